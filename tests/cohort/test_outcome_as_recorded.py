"""What became of her, in the words that hospitals record it in: no evidence of disease, a recurrence with its day, a cancer of the past."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from examples import codes
from examples.resources import coding, concept, snomed
from services.cohort_study import STUDY
from tests.cohort.export import done, planned, write
from tests.cohort.study_rows import Patient
from tests.cohort.test_study_traps import definitive

NOT_DETECTED, NO_ABNORMALITY = "260415000", "281900007"
DISEASE_STATUS = "97509-4"


def noted(patient: Patient, code: dict[str, Any], **told: str) -> Patient:
    """A Condition with the dates told, and no other."""
    patient.chart.condition("noted", code, patient.chart.on(0), clinical=told.pop("clinical", "active"))
    condition = patient.chart.resources[-1]
    del condition["onsetDateTime"], condition["recordedDate"]
    condition |= told
    return patient


def primary() -> dict[str, Any]:
    return concept(coding(codes.ICD_10_CM, "C53.9", "Malignant neoplasm of cervix uteri"))


def breast_before() -> dict[str, Any]:
    return concept(coding(codes.ICD_10_CM, "Z85.3", "Personal history of malignant neoplasm of breast"))


@pytest.mark.parametrize("code", [NOT_DETECTED, NO_ABNORMALITY])
def test_no_evidence_of_disease_is_a_complete_response(code: str) -> None:
    """Both codes that mCODE's value sets have had for it (ConditionStatusTrendVS: 0.9.1, and 1.16.0)."""
    patient = definitive().answer(140, "stable")
    patient.chart.resources[-1]["valueCodeableConcept"] = snomed(code)
    found = patient.columns()
    assert (found.best_locoregional, found.progressed) == ("complete", False)


def test_the_same_code_of_something_else_is_no_response() -> None:
    patient = definitive().answer(140, "stable")
    other = patient.chart.resources[-1]
    other |= {"valueCodeableConcept": snomed(NOT_DETECTED), "code": concept(coding(codes.LOINC, "21440-3", "HPV 16+18 DNA"))}
    assert patient.columns().best_locoregional is None


@pytest.mark.parametrize("clinical", ["recurrence", "relapse"])
@pytest.mark.parametrize("date", ["onsetDateTime", "recordedDate"])
def test_the_primary_on_record_once_more_as_a_recurrence_is_a_progression_on_its_day(clinical: str, date: str) -> None:
    patient = definitive().answer(400, "stable")
    noted(patient, primary(), clinical=clinical, **{date: patient.chart.on(300)})
    found = patient.columns()
    assert (found.progressed, found.progressed_on, found.pfs_days, found.pfs_event) == (True, patient.chart.on(300), 300, True)
    assert (found.progressed_locoregional, found.progressed_distant) == (False, False)
    assert found.counted


def test_a_recurrence_that_has_no_day_but_that_of_the_diagnosis_leaves_progression_free_survival_open() -> None:
    patient = definitive().answer(400, "stable")
    noted(patient, primary(), clinical="recurrence", onsetDateTime=patient.chart.on(0))
    found = patient.columns()
    assert (found.progressed, found.progressed_on, found.pfs_days, found.counted) == (True, None, None, True)


def test_a_recurrence_after_the_day_asked_for_has_not_happened() -> None:
    patient = definitive().answer(400, "stable")
    noted(patient, primary(), clinical="recurrence", onsetDateTime=patient.chart.on(300))
    found = patient.columns(as_of=patient.chart.on(299))
    assert (found.progressed, found.progressed_on, found.pfs_event) == (False, None, False)
    assert found.pfs_days == found.os_days
    assert patient.columns(as_of=patient.chart.on(300)).pfs_days == 300


@pytest.mark.parametrize("what", ["recurrence of the primary", "cancer of the breast"])
def test_what_is_dated_after_the_day_of_the_run_has_not_happened(tmp_path: Path, what: str) -> None:
    plain = definitive().answer(400, "stable")
    patient = definitive().answer(400, "stable")
    code = primary() if what.startswith("recurrence") else concept(coding(codes.ICD_10_CM, "C50.9"))
    noted(patient, code, clinical="recurrence" if what.startswith("recurrence") else "active", onsetDateTime="2031-01-01")

    def at(name: str, who: Patient) -> dict[str, Any]:
        (hers,) = done(planned(write(tmp_path / name, who.chart.resources), study=STUDY, until="2017-06-01"))[1].values()
        return hers

    without, hers = at("without", plain), at("with", patient)
    assert any("has not happened" in issue["text"] for issue in hers["issues"])
    for column in ("figo_2018", "disease_state", "counted", "left_out", "progressed", "progressed_on", "pfs_days", "pfs_event"):
        assert (column, hers[column]) == (column, without[column])


@pytest.mark.parametrize("recorded", ["2009-05-01", "2015-03-10", "2017-03-10"])
def test_the_day_on_which_a_cancer_of_the_past_was_written_down_is_no_day_of_it(recorded: str) -> None:
    assert noted(definitive(), breast_before(), recordedDate=recorded).columns().left_out == "first-malignancy"
    assert noted(definitive(), snomed("429087003"), recordedDate=recorded).columns().left_out == "first-malignancy"


def test_a_cancer_of_the_past_that_began_after_this_one_is_none_before_it() -> None:
    assert noted(definitive(), breast_before(), onsetDateTime="2017-03-10").columns().left_out is None
