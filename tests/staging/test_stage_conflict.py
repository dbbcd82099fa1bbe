"""A conflict between the recorded and the derived stage carries both chains of evidence, and says on what each rests."""

from __future__ import annotations

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import Issue
from tests.staging.case import Chart, Extent, Seen, Stated, bundle


def conflict(*recorded: Stated) -> Issue:
    extent: Extent = {"pelvic-nodes": Seen(is_=True, by="MRI"), "para-aortic-nodes": False}
    chart = Chart(tnm=["cT2b", "cM0"], extent=extent, recorded=list(recorded))
    (issue,) = stage(read_bundle(bundle(chart)), rules()).issues
    assert (issue.code, issue.severity) == ("stage-conflict", "warning")
    return issue


def test_it_names_stage_edition_rule_and_source_of_both() -> None:
    issue = conflict(Stated(stage="IIB", edition="2018"))

    assert issue.text == (
        "Recorded: IIB in FIGO 2018, in Observation/figo-1. "
        "Derived: IIIC1r in FIGO 2018 by figo-2018/IIIC1, from Observation/pelvic-nodes. "
        "Both are shown and neither is changed."
    )
    assert issue.sources == ("Observation/figo-1", "Observation/pelvic-nodes")


def test_it_says_that_the_edition_is_the_one_of_the_day() -> None:
    assert "Recorded: IIB in FIGO 2018 (in force on 2026-02-13), in Observation/figo-1." in conflict(Stated(stage="IIB")).text


def test_without_an_edition_it_is_compared_with_both_and_shows_both() -> None:
    issue = conflict(Stated(stage="IVA", on=None))

    assert "Recorded: IVA in an edition that is not named, in Observation/figo-1." in issue.text
    assert "Derived: IIIC1r in FIGO 2018 by figo-2018/IIIC1, from Observation/pelvic-nodes." in issue.text
    assert "Derived: IIB in FIGO 2009 by figo-2009/IIB, from Observation/t-cT2b-2026-02-12." in issue.text
    assert issue.sources == ("Observation/figo-1", "Observation/pelvic-nodes", "Observation/t-cT2b-2026-02-12")


def test_a_stage_group_is_called_one() -> None:
    issue = conflict(Stated(stage="IIB", by="text", group="SNOMED c", version="9"))

    assert "Recorded: IIB as a TNM stage group, read in FIGO 2018, in Observation/figo-1." in issue.text
