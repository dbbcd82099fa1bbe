"""Records that the study must not be taken in by: recurrences, other tumours, late entries, palliative or stopped radiotherapy."""

from __future__ import annotations

from typing import Any

import pytest

from examples import codes
from examples.codes import SITES
from examples.findings import metastasis
from examples.resources import coding, concept, snomed
from services.cohort.definitions import definitions
from services.cohort.statistics import MONTH, frame, landmark
from services.recommend.library import library
from tests.cohort.study_rows import Patient, studied

LOCAL_RECURRENCE = "314970000"


def definitive() -> Patient:
    return Patient().cycles().beam(56, 93, 45.9, 27).beam(96, 110, 28.0, 5, inside=True)


def row(patient: Patient) -> dict[str, Any]:
    """Her row: the stage beside the study's columns."""
    return studied(patient.chart.transaction())[0]


def breast(patient: Patient, day: int, verification: str = "confirmed") -> str:
    code = concept(coding(codes.ICD_10_CM, "C50.9", "Malignant neoplasm of breast"))
    return patient.chart.condition("breast", code, patient.chart.on(day), verification=verification)


@pytest.mark.parametrize(("day", "counted"), [(90, True), (91, False)])
def test_an_organ_metastasis_is_one_at_diagnosis_until_90_days_after_it(day: int, counted: bool) -> None:
    patient = Patient(organs=()).cycles(first=day + 7)
    metastasis(patient.chart, "bone", 1, day)
    found = patient.columns()
    assert (found.counted, found.left_out) == (counted, None if counted else "synchronous")


def test_a_recurrence_years_later_is_left_out_as_found_later_and_names_no_organ() -> None:
    """Nothing tells how she was treated at first, so that staging leaves a stage IVB open."""
    patient = Patient(organs=())
    metastasis(patient.chart, "bone", 1, 1830)
    found = patient.cycles(first=1840).columns()
    assert (found.left_out, found.metastatic_organs, found.bone) == ("synchronous", (), None)
    assert any("later than 90 days" in reason.says for reason in found.reasons)


def test_a_metastasis_found_after_treatment_had_begun_is_none_at_diagnosis() -> None:
    patient = Patient(organs=()).cycles(first=14)
    metastasis(patient.chart, "bone", 1, 60)
    assert patient.columns().left_out == "synchronous"


def test_a_new_organ_after_treatment_had_begun_is_distant_progression_on_its_day_as_it_is_to_staging() -> None:
    patient = definitive()
    metastasis(patient.chart, "bone", 1, 250)
    found = row(patient)
    assert (found["disease_state"], found["progressed"], found["progressed_distant"]) == ("progressive", True, True)
    assert (found["pfs_days"], found["pfs_event"], found["progressed_on"]) == (250, True, patient.chart.on(250))


def test_an_old_metastasis_seen_again_is_no_progression() -> None:
    patient = definitive()
    patient.chart.extent("distant-organ", patient.chart.on(250), by=codes.CT, site=SITES["lung"].structure, name="again")
    found = row(patient)
    assert (found["disease_state"], found["progressed"]) == ("persistent", False)


def test_a_confirmed_local_recurrence_is_locoregional_progression_on_its_day() -> None:
    patient = definitive()
    patient.chart.condition("recurrence", snomed(LOCAL_RECURRENCE), patient.chart.on(300))
    found = row(patient)
    assert (found["disease_state"], found["progressed_locoregional"], found["pfs_days"]) == ("recurrent", True, 300)


def test_a_recurrence_on_a_day_nobody_recorded_leaves_progression_free_survival_open() -> None:
    patient = definitive().answer(140, "complete")
    (primary,) = [each for each in patient.chart.resources if each["id"] == "one-primary"]
    primary["clinicalStatus"]["coding"][0]["code"] = "recurrence"
    found = row(patient)
    assert (found["disease_state"], found["progressed"], found["pfs_days"]) == ("recurrent", True, None)
    assert (found["counted"], found["os_days"]) == (True, 140)


@pytest.mark.parametrize("verification", ["confirmed", "provisional"])
def test_the_progression_of_another_primary_is_not_hers(verification: str) -> None:
    patient = definitive()
    focus = breast(patient, 150, verification)
    patient.answer(200, "progression").answer(260, "stable")
    patient.chart.resources[-2]["focus"] = [{"reference": focus}]
    del patient.chart.resources[-2]["bodySite"]
    found = patient.columns()
    assert (found.counted, found.progressed, found.pfs_days, found.best_locoregional) == (True, False, 260, "stable")


def test_last_contact_is_no_entry_no_order_and_no_end_of_a_medication() -> None:
    patient = definitive().answer(140, "stable")
    chart = patient.chart
    chart.condition("pressure", snomed("38341003"), "2000")
    chart.resources[-1]["recordedDate"] = "2024-05-05"
    metformin = {"medicationCodeableConcept": concept(text="metformin"), "subject": chart.subject}
    chart.put("MedicationRequest", "metformin", metformin | {"status": "active", "intent": "order", "authoredOn": chart.on(900)})
    span = {"effectivePeriod": {"start": chart.on(120), "end": chart.on(6000)}}
    chart.put("MedicationStatement", "metformin", metformin | {"status": "active"} | span)
    found = patient.columns()
    assert (found.last_contact, found.os_days) == (chart.on(140), 140)


def test_histology_is_of_the_class_that_the_recommendation_reads() -> None:
    """HPV-associated and independent squamous carcinoma are squamous; a neuroendocrine tumour is no adenocarcinoma."""
    same = {"neuroendocrine": {"small-cell", "neuroendocrine"}, "low-grade-neuroendocrine": {"neuroendocrine"}}
    study = definitions()
    seen = set()
    for entry in library().book.histology:
        classes = same.get(str(entry.value), {str(entry.value)})
        for code in entry.codes.get("icdo3", ()):
            if entry.value != "other-carcinoma":
                assert study.cells(f"{code}/3") in classes, code
                seen.add(code)
    assert {"8085", "8086", "8240", "8246", "8249"} <= seen
    assert {study.cells(f"{code}/3") for code in range(8240, 8250)} == {"neuroendocrine"}


def test_cycles_after_a_progression_count_for_who_is_counted_and_not_for_the_first_treatment() -> None:
    found = Patient().cycles().answer(20, "progression", "lung").columns()
    assert (found.counted, found.cycles, found.every_cycle, found.group) == (True, 1, 4, "B")


def test_palliative_or_stopped_radiotherapy_is_not_definitive() -> None:
    palliative = Patient().cycles().beam(56, 57, 8.0, 1, palliative=True).beam(60, 60, 5.0, 1, inside=True, palliative=True).columns()
    assert (palliative.group, palliative.pelvic_radiotherapy) == ("B", "palliative")
    patient = definitive()
    patient.chart.resources[-1]["status"] = "stopped"
    stopped = patient.columns()
    assert (stopped.group, stopped.left_out) == (None, "complete")
    assert any("stopped before its end" in reason.says for reason in stopped.reasons)


def test_a_low_dose_does_not_take_her_out_of_group_a_and_the_reason_says_that_nobody_asks() -> None:
    found = Patient().cycles().beam(56, 60, 10.0, 5).beam(62, 62, 7.0, 1, inside=True).columns()
    (reason,) = [each for each in found.reasons if each.assigned == "group A"]
    assert "low is not asked" in reason.says


def test_radiotherapy_without_a_date_leaves_the_group_open_where_the_disease_progressed() -> None:
    patient = definitive().answer(200, "progression", "lung")
    for resource in patient.chart.resources:
        resource.pop("performedPeriod", None)
    found = patient.columns()
    assert (found.group, found.left_out) == (None, "complete")


def test_a_progression_of_a_month_counts_on_its_last_day_and_one_before_the_diagnosis_not_at_all() -> None:
    month = definitive().answer(200, "progression", "lung")
    month.chart.resources[-1]["effectiveDateTime"] = "2015-09"
    found = month.columns()
    assert (found.progressed_on, found.last_contact, found.pfs_days) == ("2015-09-30", "2015-09-30", 212)
    before = definitive().answer(-300, "progression", "lung").columns()
    assert (before.counted, before.progressed) == (True, False)


def test_who_has_no_day_of_diagnosis_is_left_out_for_that_and_not_for_her_fitness() -> None:
    patient = definitive()
    (primary,) = [each for each in patient.chart.resources if each["id"] == "one-primary"]
    primary["onsetDateTime"] = primary["recordedDate"] = "2015-03"
    assert patient.columns().left_out == "diagnosis-day"


def test_treatment_more_than_30_days_before_the_diagnosis_belongs_to_something_else() -> None:
    old = Patient().cycles(first=-900).beam(-900, -860, 50.4, 28).beam(20, 30, 28.0, 5, inside=True).columns()
    assert (old.every_cycle, old.external_gy, old.group, old.left_out, old.ecog) == (0, None, None, "cycles", True)
    assert Patient().drug(-30, "cisplatin", "paclitaxel").drug(14, "cisplatin", "paclitaxel").columns().every_cycle == 2


def test_a_man_with_a_cancer_of_the_cervix_is_left_out_and_somebody_is_asked() -> None:
    patient = definitive()
    patient.chart.resources[0]["gender"] = "male"
    found = patient.columns()
    assert found.left_out == "cervical-cancer"
    assert any("ask whether" in reason.says for reason in found.reasons)


def test_who_finished_after_the_landmark_is_in_group_b_there_and_counted() -> None:
    early, late = (
        row(definitive()),
        row(Patient().cycles().beam(56, 93, 45.9, 27).beam(180, 190, 28.0, 5, inside=True).answer(500, "stable")),
    )
    assert (early["definitive_days"], late["definitive_days"]) == (110, 190)
    early |= {"os_days": 500, "pfs_days": 500}
    kept = landmark(frame([early, late]), "os", 6)
    assert kept["group"].tolist() == [True, False]
    assert kept["finished_later"].tolist() == [False, True]
    assert kept["os_months"].tolist() == pytest.approx([500 / MONTH - 6] * 2)


def test_the_landmark_of_overall_survival_keeps_who_progressed_before() -> None:
    her = row(definitive().answer(120, "progression", "lung").answer(400, "stable"))
    data = frame([her])
    assert (len(landmark(data, "os", 6)), len(landmark(data, "pfs", 6))) == (1, 0)
