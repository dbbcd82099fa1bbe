"""What stands on the tumour-board sheet: the view and its markup, without a server and without a printer."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from services.ingest.pages.rendering import Place
from services.ingest.pages.sheet import Sheet
from services.ingest.pages.sheet_fit import PAGE, fitted, height
from services.ingest.pages.sheet_page import Paper, sheet_page
from services.ingest.pages.sheet_table import table
from services.ingest.pages.sheet_words import says, short
from tests.ingest.answered import answered, made, synthetic

PLACE = Place("/app/launch")
UNCHECKED = " (not checked against the source)"
EVIL = '"><script>alert(1)</script><img src=http://127.0.0.1:9/x>\u202e'


@cache
def view(name: str) -> Sheet:
    """The sheet of one synthetic patient."""
    one = answered(name)
    return fitted(one.view(), one.staging, one.recommendation)


def html(*sheets: Sheet, unready: list[str] | None = None) -> str:
    papers = [Paper(one, (), "") for one in sheets]
    return sheet_page(papers, PLACE, "22 Nov 2026, 12:05 UTC", pdf="/app/launch/sheet.pdf", unready=unready)


def poisoned(value: Any, evil: str, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: poisoned(inner, evil, name) for name, inner in value.items()} | ({"text": evil} if "coding" in value else {})
    if isinstance(value, list):
        return [poisoned(inner, evil, key) for inner in value]
    return evil + value if key in ("display", "text", "family", "given") and isinstance(value, str) else value


def test_the_sheet_says_stage_both_editions_tnm_sites_and_the_rule_they_come_from() -> None:
    page = html(view("syn-044"))
    for said in ("FIGO 2018", "IVB", "FIGO 2009", "T3b N2 M1", "Liver: distant organ, definite, 5 lesions", "FIGO cervix 2018"):
        assert said in page, said
    assert [found for found, _ in view("syn-044").chain] == ["Metastasis in liver and lung; supraclavicular node metastasis"]


def test_the_banner_names_the_patient_and_marks_a_synthetic_one() -> None:
    page = html(view("syn-044"))
    assert re.search(r'class="who"><bdi>Synthetic-Founding-44, Synthetic', page)
    for said in ("17 Apr 1961", "syn-044", "Synthetic patient", "Record as of 28 Aug 2026", "printed 22 Nov 2026, 12:05 UTC"):
        assert said in page, said


def test_the_foot_says_what_figaro_is_by_which_knowledge_and_leaves_room_to_decide() -> None:
    page = html(view("syn-044"))
    for said in ("Figaro proposes and never orders.", "Staging knowledge", "Decision of the board", "Names", "Signature", "Date"):
        assert said in page, said


def test_candidates_stand_in_the_order_of_the_policy_and_the_first_eligible_one_is_among_them() -> None:
    """She has 25 candidates; the fifth is the first that is eligible on the record."""
    sheet = view("syn-044")
    ranks = [c.rank for c in sheet.candidates]
    assert ranks == sorted(ranks)
    assert 5 in ranks
    assert next(c for c in sheet.candidates if c.rank == 5).verdict == "eligible"


@pytest.mark.parametrize("name", ["syn-044", "syn-118", "syn-140", "syn-045"])
def test_what_is_cut_is_counted(name: str) -> None:
    sheet, one = view(name), answered(name)
    assert len(sheet.candidates) + sheet.further == len(one.recommendation.candidates)
    assert f"Further {sheet.further} candidates on the screen" in html(sheet)
    out = [c.rank for c in one.recommendation.candidates if c.verdict == "ruled-out"]
    assert sheet.further_out == len(set(out) - {c.rank for c in sheet.candidates})


def test_each_amount_names_the_inputs_that_it_was_worked_out_from() -> None:
    sheet = view("syn-044")
    doses = {dose.drug: dose for dose in sheet.candidates[0].doses}
    assert doses["cisplatin"].amount == "86.8 mg"
    assert "body surface 1.735 m²" in dict(sheet.inputs)[doses["cisplatin"].inputs]
    assert (doses["pembrolizumab"].inputs, doses["pembrolizumab"].when) == ("", "IV, d1 q21d, ≤\u00a035 cycles")


def test_a_ruled_out_candidate_shows_its_reason_and_no_dose() -> None:
    ruled_out = table(view("syn-048").page.out[:3], answered("syn-048").recommendation)
    assert [c.verdict for c in ruled_out] == ["ruled-out"] * 3
    for c in ruled_out:
        assert c.against[0][0] == "fails"
        assert not c.doses
        assert not c.courses


def test_the_forest_plot_has_the_checked_figures_of_the_candidates_shown() -> None:
    sheet, one = view("syn-044"), answered("syn-044")
    shown = {c.rank for c in sheet.candidates}
    figures = [f for c in one.recommendation.candidates if c.rank in shown for f in c.evidence if f.checked and f.hazard_ratio]
    assert sheet.forest is not None
    assert {bar.ratio for bar in sheet.forest.bars} <= {f"{f.hazard_ratio:.2f}" for f in figures}
    places = {tick: place for place, tick in sheet.forest.ticks}
    for bar in sheet.forest.bars:
        assert (bar.at < places["1"]) == (float(bar.ratio) < 1)
        if bar.low is not None and bar.high is not None:
            assert bar.low < bar.at < bar.high


def test_a_conflict_stands_on_the_sheet_with_both_stages() -> None:
    sheet = view("syn-125")
    assert "IIB in FIGO 2018" in sheet.conflicts.shown[0]
    assert "differs from the derived stage" in sheet.recorded


def test_what_the_record_tells_of_her_comes_before_what_holds_for_everyone() -> None:
    assert view("syn-140").questions.shown[0].startswith("Radiotherapy to the pelvis before")


def test_out_of_scope_shows_the_reason_and_no_candidate() -> None:
    page = html(view("syn-120"))
    assert "No FIGO stage: out of scope" in page
    assert "Carcinoma in situ" in page
    assert "Candidates" not in page
    assert "Decision of the board" in page


def test_a_cut_text_keeps_the_mark_of_what_nobody_has_checked_and_what_is_on_record() -> None:
    long = f"A limit that the policy asks for{UNCHECKED}, {'and more ' * 30}"
    assert short(f"A limit{UNCHECKED}.", 40) == "A limit†."
    assert short("word " * 30, 20) == "word word word word…"
    assert short(f"{'word ' * 30}end{UNCHECKED}", 20).endswith("…†")
    told = says(f"{long} On record: IVA N0.", 80)
    assert told.endswith("On record: IVA N0.")
    assert "†" in told
    assert len(told) <= 82


@pytest.mark.parametrize("name", ["syn-044", "syn-118", "syn-125", "syn-138", "syn-140"])
def test_the_height_is_reckoned_within_the_page(name: str) -> None:
    assert height(view(name)) <= PAGE


def test_hostile_text_is_shown_as_text_and_fits() -> None:
    one = made(poisoned(synthetic()["syn-125"], EVIL + "x" * 5000))
    sheet = fitted(one.view(), one.staging, one.recommendation)
    page = html(sheet)
    assert height(sheet) <= PAGE
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_nothing_on_a_sheet_breaks_the_policy_and_no_address_tells_of_the_patient() -> None:
    page = html(view("syn-044"))
    assert not re.search(r"<style|\sstyle=|<script|\son\w+=", page)
    assert all("syn-044" not in address for address in re.findall(r'(?:href|src)="([^"]*)"', page))
    title = re.search(r"<title>(.*?)</title>", page)
    assert title is not None
    assert title[1] == "Tumour-board sheet · Figaro"


def test_ids_are_there_once_also_where_several_sheets_are_printed_together() -> None:
    ones = [answered(name) for name in ("syn-044", "syn-137")]
    sheets = [fitted(one.view(), one.staging, one.recommendation, number) for number, one in enumerate(ones, 1)]
    page = html(*sheets, unready=[])
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", page):
        assert reference in ids
    assert 'href="#sheet-2"' in page
