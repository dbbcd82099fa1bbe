"""What nobody has compared with its source is marked or left out, wherever it is shown."""

from __future__ import annotations

from tests.recommend.case import Staged
from tests.recommend.test_candidates import answer, one


def test_no_unchecked_figure_is_shown_as_a_figure() -> None:
    """An unchecked figure is left out; the citation stays, and says nothing but itself."""
    for staged in (Staged(), Staged(figo_2018="IVA", figo_2009="IVA"), Staged(state="progressive")):
        for candidate in answer(staged=staged).candidates:
            for figure in candidate.evidence:
                numbers = (figure.endpoint, figure.hazard_ratio, figure.ci, figure.months, figure.n, figure.p, figure.says)
                assert figure.checked or numbers == (None,) * 7
    jcog = [e for e in one(answer(), "carboplatin-paclitaxel").evidence if e.id == "jcog0505"]
    assert [e.hazard_ratio for e in jcog] == [None]
    assert [e.months for e in jcog] == [(17.5, 18.3)]


def test_unchecked_thresholds_carry_the_mark_and_are_counted() -> None:
    """The policy's limit for cisplatin is judgement; the reason says it, and a note counts."""
    given = answer()
    reason = next(r for r in one(given, "cisplatin-paclitaxel").reasons if r.criterion == "creatinine-clearance-for-cisplatin")
    assert "not checked against the source" in reason.says
    assert any("thresholds and doses used here are not checked" in note.text for note in given.notes)
    weekly = one(answer(staged=Staged(figo_2018="IVA", figo_2009="IVA")), "cisplatin-chemoradiation").doses[0]
    assert (weekly.cap, weekly.checked) == (70.0, False)


def test_a_citation_that_nobody_checked_carries_the_mark() -> None:
    """The mark stands in the citation itself, where the work says so; elsewhere not."""
    shown = {e.id: e.citation for e in one(answer(), "definitive-pelvic-radiotherapy").evidence}
    assert shown["wang-2018"].endswith("(not checked against the source)")
    assert "not checked" not in shown["yin-2019"]


def test_what_the_work_does_not_report_is_marked_in_the_schedule() -> None:
    """Six cycles of chemotherapy beside pembrolizumab, and the time of infusion, are not in the sources read."""
    lines = {a.activity.split()[0]: a for a in one(answer(), "pembrolizumab-cisplatin-paclitaxel-bevacizumab").schedule}
    assert lines["paclitaxel"].activity.endswith("over 3 h (not checked against the source)")
    assert str(lines["cisplatin"].repeats).endswith("at most 6 cycles (not checked against the source)")
    assert str(lines["pembrolizumab"].repeats).endswith("at most 35 cycles")
