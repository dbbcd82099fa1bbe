"""What a contradiction says: what was recorded and lost, and where the value that counts comes from."""

from __future__ import annotations

import pytest

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from tests.staging.case import Chart, Diagnosis, Seen, bundle

CASES = {
    "cT1b1": Chart(tnm=["cT1b1", "cN0", "cM0"], extent={"parametrium": Seen(is_=True, by="MRI")}),
    "cN0": Chart(tnm=["cT2b", "cN0", "cM0"], extent={"pelvic-nodes": Seen(is_=True, by="PET")}),
    "cM0": Chart(tnm=["cT2b", "cN0", "cM0"], extent={"distant-organ": Seen(is_=True, by="biopsy", site="liver")}),
    "cM1": Chart(tnm=["cT2b", "cN0", "cM1"], extent={"distant-organ": False, "distant-nodes": False, "peritoneal-spread": False}),
    "cT4": Chart(tnm=["cT4", "cN0", "cM0"], extent={"bladder-mucosa": False, "rectal-mucosa": False, "bowel-contiguous": False}),
    "cT2b": Chart(tnm=["cT2b", "cN0", "cM0"], spread=[Diagnosis(snomed="94478006")]),
}


@pytest.mark.parametrize("category", CASES)
def test_a_category_that_lost_to_findings_is_named_and_is_not_in_tnm(category: str) -> None:
    answer = stage(read_bundle(bundle(CASES[category])), rules())

    (issue,) = (issue for issue in answer.issues if issue.code == "extent-conflict")
    assert f"{category} is recorded" in issue.text
    assert getattr(answer.tnm, category[1].lower()) != category[1:]


def test_what_is_said_to_be_spread_and_found_nowhere_is_named_without_a_category() -> None:
    beyond = ("vagina-upper-two-thirds", "vagina-lower-third", "parametrium", "pelvic-wall", "hydronephrosis", "non-functioning-kidney")
    free = dict.fromkeys((*beyond, "bladder-mucosa", "rectal-mucosa", "bowel-contiguous", "confined-to-cervix"), False)
    answer = stage(read_bundle(bundle(Chart(tnm=["cN0", "cM0"], extent={**free}))), rules())

    (issue,) = answer.issues
    assert issue.text.startswith("Extension beyond the uterus is recorded, although nothing was found in")
    assert answer.editions["figo-2018"].stage == "II"


def test_a_size_that_lost_is_no_source_of_the_one_that_counts() -> None:
    sizes = [Seen(is_="45 mm", by="MRI"), Seen(is_="38 mm", by="gross", on="2026-02-10")]
    answer = stage(read_bundle(bundle(Chart(extent={"confined-to-cervix": True, "tumour-size": [*sizes]}))), rules())

    (because,) = answer.editions["figo-2018"].because
    assert because.findings == ("a visible lesion or one deeper than 5 mm", "greatest diameter of 38 mm")
    assert because.sources == ("Observation/tumour-size-2",)


def test_spread_of_doubtful_time_asks_for_its_date() -> None:
    chart = Chart(tnm=["cT2b", "cN0"], spread=[Diagnosis(icd10cm="C78.00", on="2022-01-01")])
    answer = stage(read_bundle(bundle(chart)), rules())

    asked = {each.fact: each.ask for each in answer.editions["figo-2018"].missing}
    assert asked["distant_organ"] == "The day on which the spread was found, and whether treatment had begun: lung"
    assert [issue.code for issue in answer.issues] == ["date-implausible"]
