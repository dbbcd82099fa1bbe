"""Every SNOMED CT code of a TNM category of the cervix is read as that category, whatever the text beside it says.

The pairs are written down here once more, from the CanShare value sets, so that a slip in the rules does not pass for the truth.
"""

from __future__ import annotations

import json

import pytest

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from tests.staging.case import AXES, Category, Chart, bundle

CODES = {
    "c": """
        1222604002 TX, 1228882005 T0, 1228884006 Tis, 1228889001 T1, 1228892002 T1a, 1228893007 T1a1, 1228894001 T1a2, 1228895000 T1b,
        1228896004 T1b1, 1228898003 T1b2, 1228929004 T2, 1228931008 T2a, 1228932001 T2a1, 1228933006 T2a2, 1228934000 T2b, 1228938002 T3,
        1228939005 T3a, 1228940007 T3b, 1228944003 T4, 1229966003 NX, 1229967007 N0, 1229971005 N0(i+), 1229973008 N1, 1229974002 N1mi,
        1229975001 N1a, 1229978004 N2, 1229980005 N2mi, 1229981009 N2a, 1229901006 M0, 1229903009 M1
    """,
    "p": """
        1228951007 T0, 1228957006 T1, 1228959009 T1a, 1228960004 T1a1, 1228961000 T1a2, 1228962007 T1b, 1229844006 T1b1, 1229845007 T1b2,
        1285095005 T1b3, 1229852009 T2, 1229853004 T2a, 1229854005 T2a1, 1229855006 T2a2, 1229856007 T2b, 1229859000 T3, 1229860005 T3a,
        1229861009 T3b, 1229864001 T4, 1229945006 NX, 1229947003 N0, 1229949000 N0(i+), 1229951001 N1, 1229952008 N1mi, 1229954009 N1a,
        1229957002 N2, 1229958007 N2mi, 1229959004 N2a, 1229916009 M1
    """,
}
PAIRS = [(prefix, *pair.split()) for prefix, text in CODES.items() for pair in text.split(",")]


@pytest.mark.parametrize(("prefix", "code", "category"), PAIRS, ids=[f"{p}{category}" for p, _, category in PAIRS])
def test_a_code_is_its_category(prefix: str, code: str, category: str) -> None:
    chart = Chart(tnm=[Category(is_=prefix + category, value=code)])

    answer = stage(read_bundle(bundle(chart)), rules())

    assert getattr(answer.tnm, category[0].lower()) == category


def test_the_rules_know_no_other_codes() -> None:
    assert {code for _, code in rules().values} == {code for _, code, _ in PAIRS}


@pytest.mark.parametrize(("system", "prefix"), AXES)
@pytest.mark.parametrize("axis", "TNM")
def test_every_code_of_an_axis_is_read(system: str, prefix: str, axis: str) -> None:
    """The prefix of the question is the prefix of an answer that has none."""
    plain = json.loads(bundle(Chart(tnm=[Category(is_=f"{axis}1")])))
    observation = plain["entry"][-1]["resource"]
    observation["code"]["coding"] = [
        {"system": {"SNOMED": "http://snomed.info/sct", "LOINC": "http://loinc.org"}[system], "code": AXES[system, prefix][axis]}
    ]

    answer = stage(read_bundle(json.dumps(plain).encode()), rules())

    assert getattr(answer.tnm, axis.lower()) == f"{axis}1"
    if axis == "N":
        assert answer.editions["figo-2018"].label == ("IIIC1p" if prefix == "p" else "IIIC1")


@pytest.mark.parametrize(
    ("text", "t"),
    [
        ("T2b", "T2b"),
        (" cT2b ", "T2b"),
        ("ct2B", "T2b"),
        ("pT1b3", "T1b3"),
        ("T1a1", "T1a1"),
        ("TX", "TX"),
        ("Tis", "Tis"),
        ("2b", "T2b"),
        ("T2b (m)", "T2b"),
        ("T2 b", None),
        ("T2b N1 M0", None),
        ("T5", None),
        ("N1", None),
        ("stage T2b", None),
        ("T1b4", None),
        ("", None),
    ],
)
def test_a_category_in_words_is_read_strictly(text: str, t: str | None) -> None:
    plain = json.loads(bundle(Chart(tnm=["cT1"])))
    plain["entry"][-1]["resource"]["valueCodeableConcept"] = {"text": text}

    answer = stage(read_bundle(json.dumps(plain).encode()), rules())

    assert answer.tnm.t == t
    assert [issue.code for issue in answer.issues] == ([] if t else ["value-implausible"])
