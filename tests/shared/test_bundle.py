"""A Bundle is read in one pass where every entry can be read, else entry by entry; the record is the same. Synthetic patients only."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from typing import Any

import pytest

from examples.resources import Json
from examples.synthetic_patients import patients
from shared.fhir.bundle import Bundle, RawBundle, bundle
from shared.fhir.reader import read_bundle

UNHEARD_OF = {"resource": {"resourceType": "SyntheticTestType", "id": "x", "subject": {"reference": "Patient/of-nobody"}}}


@pytest.mark.parametrize("given", patients()[::4], ids=lambda given: str(given["entry"][0]["resource"]["id"]))
def test_a_type_that_we_do_not_know_changes_the_road_and_not_the_record(given: Json) -> None:
    data, longer = (json.dumps({**given, "entry": entries}).encode() for entries in (given["entry"], [UNHEARD_OF, *given["entry"]]))

    assert isinstance(bundle(data), Bundle)
    assert isinstance(bundle(longer), RawBundle)
    assert read_bundle(longer) == read_bundle(data)


@pytest.mark.parametrize("type_", ["Encounter", "DiagnosticReport", "DocumentReference", "Provenance", "MedicationDispense", "CarePlan"])
def test_a_type_that_rules_do_not_read_does_not_take_the_slow_road(type_: str) -> None:
    resource: dict[str, Any] = {"resourceType": type_, "id": "x", "status": "final", "code": 7, "contained": [{}]}

    assert isinstance(bundle(json.dumps({"resourceType": "Bundle", "entry": [{"resource": resource}]}).encode()), Bundle)


def test_of_two_versions_of_a_resource_the_newer_counts_and_of_equals_always_the_same_one() -> None:
    def seen(text: str, **meta: str) -> Json:
        subject = {"reference": "Patient/17"}
        return {"resource": {"resourceType": "Observation", "id": "o", "subject": subject, "code": {}, "valueString": text, "meta": meta}}

    def read(*entries: Json) -> str | None:
        (finding,) = read_bundle(json.dumps({"resourceType": "Bundle", "entry": entries}).encode()).findings
        return finding.value.text

    old, new = seen("old", lastUpdated="2026-01-01T08:00:00Z"), seen("new", lastUpdated="2026-01-02T08:00:00Z")
    tenth, ninth = seen("tenth", versionId="10"), seen("ninth", versionId="9")
    one, other = seen("one"), seen("other")

    assert read(old, new) == read(new, old) == "new"
    assert read(tenth, ninth) == read(ninth, tenth) == "tenth"
    assert read(one, other) == read(other, one)


def test_two_resources_of_one_id_that_nothing_dates_are_named_and_the_same_one_twice_is_not() -> None:
    """What stands twice and differs cannot both be true of one resource; a repeated page is no contradiction."""

    def issues(*texts: str) -> list[str]:
        observation = {"resourceType": "Observation", "id": "o", "subject": {"reference": "Patient/17"}, "code": {}}
        entries = [{"resource": {**observation, "valueString": it}} for it in texts]
        return [i.code for i in read_bundle(json.dumps({"resourceType": "Bundle", "entry": entries}).encode()).issues]

    assert issues("one", "other") == issues("other", "one") == issues("one", "other", "one") == ["resource-unreadable"]
    assert issues("one", "one") == []


def test_a_byte_order_mark_before_the_bundle_is_no_fault() -> None:
    """Windows tools write one."""
    given = b'{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "17"}}]}'

    assert read_bundle(BOM_UTF8 + given) == read_bundle(given)
