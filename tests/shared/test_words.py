"""What a finding says and how it was found, as a clinician would put it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from shared.fhir.codes import SNOMED
from shared.fhir.words import answer, origin
from shared.oncology.record import Coding, Component, Concept, Finding, Quantity, Value

SIZE = Value(quantity=Quantity(Decimal(45), "mm", ">"))


def _finding(kind: str, value: Value | None = None, **more: object) -> Finding:
    return Finding(source="Observation/o", kind=kind, concept=Concept(text="what"), value=value or Value(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (_finding("condition", verification="provisional"), "provisional"),
        (_finding("condition"), "present"),
        (_finding("observation", Value(boolean=True)), "present"),
        (_finding("observation", Value(boolean=False)), "absent"),
        (_finding("observation", SIZE), "more than 45 mm"),
        (_finding("observation", Value(concept=Concept((Coding(SNOMED, "82334004"),)))), "indeterminate"),
        (_finding("observation", Value(concept=Concept((Coding("http://loinc.org", "x", display="cT2b"),)))), "cT2b"),
        (_finding("observation", Value(text="in words")), "in words"),
        (_finding("observation", components=(Component(Concept(text="longest"), SIZE),)), "more than 45 mm"),
        (_finding("observation"), "nothing that can be read"),
    ],
)
def test_a_finding_says_what_the_record_has(finding: Finding, said: str) -> None:
    assert answer(finding) == said


def test_what_is_no_observation_is_told_by_its_kind() -> None:
    assert origin(_finding("medication-administration", when="2026-02-14")) == "by the medication administration of 14 Feb 2026"
    assert origin(_finding("observation", when="2026-02")) == "noted on Feb 2026"
