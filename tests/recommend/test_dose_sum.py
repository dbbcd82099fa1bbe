"""Sums of radiotherapy: the founding study's total to point A, a candidate's courses together, and what a field has had."""

from __future__ import annotations

import pytest

from services.recommend.dose_sum import remark, spent, together
from services.recommend.dosing import rounded
from services.recommend.radiotherapy import eqd2
from shared.oncology.recommendation import Irradiated, Radiotherapy
from tests.recommend.case import Line, Spread, Staged
from tests.recommend.test_candidates import answer, one


def _course(kind: str, eqd2_gy: tuple[float, float] | float | None, alpha_beta: float | None = 10, *, checked: bool = True) -> Radiotherapy:
    return Radiotherapy(
        course=kind,  # type: ignore[arg-type]
        target="pelvis",
        eqd2_gy=eqd2_gy,
        alpha_beta=alpha_beta,
        reference="yin-2019",
        checked=checked,
    )


def test_the_founding_study_s_median_doses_reach_its_median_at_point_a_within_its_fraction_sizes() -> None:
    """45.9 Gy at 1.7 Gy with 28 Gy at 4 to 6 Gy span the printed median of 80.4 Gy EQD2; 5.28 Gy a fraction reaches it."""
    beam = eqd2(45.9, 1.7, 10)
    assert rounded(beam, 2) == 44.75
    assert {size: rounded(eqd2(28, size, 10), 2) for size in (4, 5, 5.6, 6)} == {4: 32.67, 5: 35.0, 5.6: 36.4, 6: 37.33}
    assert beam + eqd2(28, 4, 10) < 80.4 < beam + eqd2(28, 6, 10)
    assert beam + eqd2(28, 5.28, 10) == pytest.approx(80.4, abs=0.02)


def test_the_study_s_ranges_together_hold_the_printed_range_of_point_a() -> None:
    """The candidate made of the study's ranges says what its courses come to, and 72.3 to 87 Gy lies within."""
    few = Staged(spread=(Spread(site="bone", of="organ", lesions=1),), few=True)
    candidate = one(answer(staged=few), "definitive-pelvic-radiotherapy")
    total = together(candidate.radiotherapy)
    assert total is not None
    assert total[0] < 72.3
    assert total[1] > 87
    assert any(f"{total[0]:g} to {total[1]:g} Gy EQD2" in note for note in candidate.notes)


def test_no_sum_is_made_where_a_course_has_no_figure_or_another_ratio() -> None:
    """A sum of what is known and what is not is no sum."""
    assert together([_course("external-beam", 44.3), _course("brachytherapy", None)]) is None
    assert together([_course("external-beam", 44.3), _course("brachytherapy", 40.0, 3)]) is None
    assert together([_course("external-beam", 44.3), _course("nodal-boost", 58.0)]) is None
    assert remark([_course("palliative", 23.3)]) is None


def test_a_sum_of_unchecked_doses_says_so() -> None:
    said = remark([_course("external-beam", 44.3), _course("brachytherapy", 40.0, checked=False)])
    assert said is not None
    assert "84.3 Gy EQD2" in said
    assert "not checked" in said


def test_what_the_pelvis_has_had_is_said_and_what_it_still_bears_is_asked() -> None:
    """45 Gy in 25: 44.3 Gy for tumour, 43.2 Gy for late effects; no limit of ours."""
    (note,) = spent([Irradiated(field="pelvis", source="Procedure/rt", total_gy=45, fractions=25)])
    assert "EQD2 44.3 Gy (alpha/beta 10) and 43.2 Gy (alpha/beta 3)" in note.text
    assert "question to the board" in note.text
    assert note.sources == ("Procedure/rt",)


def test_a_field_or_a_dose_that_nobody_recorded_is_asked_for_and_another_place_is_left_out() -> None:
    unknown, open_dose = spent(
        [
            Irradiated(field=None, source="Procedure/a", total_gy=30, fractions=10),
            Irradiated(field="pelvis", source="Procedure/b"),
            Irradiated(field="elsewhere", source="Procedure/c", total_gy=8, fractions=1),
        ]
    )
    assert "a field that nobody recorded" in unknown.text
    assert "ask for both" in open_dose.text


def test_the_answer_for_an_irradiated_patient_says_what_she_has_had() -> None:
    """The note stands in the whole answer."""
    back = Staged(figo_2018="IIB", figo_2009="IIB", state="recurrent")
    found = answer(Line(procedure="sct 1217123003", site="sct 12921003", on="2023-01-10", until="2023-03-01", id="rt"), staged=back)
    assert any("Radiotherapy to the pelvis before: 45 Gy in 25" in note.text for note in found.notes)
