"""The founding study's definitions, one patient at a time: who is counted, in which group, with what dose, and how she fared."""

from __future__ import annotations

import re

import msgspec
import pytest

from examples.findings import Fitness
from services.cohort.columns import columns
from services.cohort.definitions import definitions, printed
from services.cohort.rows import Row
from services.cohort.study import Studied
from services.recommend.library import library
from tests.cohort.study_rows import Patient
from tests.docs.markdown import ROOT
from tests.docs.markdown import rows as table

PAGE = ROOT / "docs/read-the-cohort-report.md"


def definitive() -> Patient:
    """Two cycles, external beam and brachytherapy, two cycles more."""
    return Patient().cycles().beam(56, 93, 45.9, 27).beam(96, 110, 28.0, 5, inside=True)


def test_chemotherapy_with_external_beam_and_brachytherapy_is_group_a_with_her_dose_to_point_a() -> None:
    """45.9 Gy in 27 fractions come to 44.75 Gy EQD2 and 28 Gy in 5 to 36.4 Gy (alpha/beta 10)."""
    found = definitive().columns()
    assert found.counted
    assert (found.group, found.pelvic_radiotherapy) == ("A", "definitive")
    assert (found.external_gy, found.brachytherapy_gy, found.point_a_eqd2_gy) == (45.9, 28.0, 81.2)


def test_the_assignment_names_the_courses_that_it_rests_on() -> None:
    (reason,) = [each for each in definitive().columns().reasons if each.assigned == "group A"]
    assert reason.says.startswith("external beam to the pelvis and brachytherapy")
    assert reason.sources == ("Procedure/one-radiotherapy-56", "Procedure/one-radiotherapy-96")


def test_external_beam_to_the_pelvis_alone_is_palliative_and_group_b() -> None:
    found = Patient().cycles().beam(20, 48, 37.8, 21).columns()
    assert (found.group, found.pelvic_radiotherapy, found.point_a_eqd2_gy) == ("B", "palliative", None)


def test_radiotherapy_to_a_metastasis_is_not_radiotherapy_to_the_pelvis() -> None:
    found = Patient(organs=("bone",)).cycles().beam(20, 33, 30.0, 10, site="bone").columns()
    assert (found.group, found.pelvic_radiotherapy, found.metastasis_radiotherapy) == ("B", "none", True)


def test_radiotherapy_after_progression_does_not_make_group_a() -> None:
    """Else a patient would be in the group for what was given because the first treatment had failed."""
    found = Patient().cycles().answer(120, "progression", "lung").beam(140, 177, 45.9, 27).beam(180, 190, 28.0, 5, inside=True).columns()
    assert (found.group, found.pelvic_radiotherapy) == ("B", "none")


def test_radiotherapy_to_an_unknown_field_leaves_the_group_open_and_the_patient_out() -> None:
    found = Patient().cycles().unknown_field(60).columns()
    assert (found.counted, found.left_out, found.group) == (False, "complete", None)
    assert any("nobody recorded" in reason.says for reason in found.reasons)


def test_brachytherapy_without_external_beam_on_record_is_in_neither_group() -> None:
    found = Patient().cycles().beam(60, 70, 28.0, 5, inside=True).columns()
    assert (found.counted, found.group) == (False, None)


def test_a_course_without_its_fractions_has_no_dose_to_point_a() -> None:
    patient = definitive()
    for resource in patient.chart.resources:
        if resource["id"] == "one-radiotherapy-96":
            dose = resource["extension"][2]["extension"]
            resource["extension"][2]["extension"] = [part for part in dose if part["url"] == "totalDoseDelivered"]
    found = patient.columns()
    assert (found.group, found.brachytherapy_gy, found.point_a_eqd2_gy) == ("A", 28.0, None)


def test_a_nodal_boost_does_not_raise_the_dose_of_the_whole_pelvis() -> None:
    patient = definitive()
    for resource in patient.chart.resources:
        if resource["id"] == "one-radiotherapy-56":
            boost = {"url": resource["extension"][2]["url"], "extension": [*resource["extension"][2]["extension"]]}
            cgy = {"value": 5940, "unit": "cGy", "system": "http://unitsofmeasure.org", "code": "cGy"}
            boost["extension"] = [{"url": "totalDoseDelivered", "valueQuantity": cgy}, boost["extension"][1]]
            resource["extension"].append(boost)
    assert patient.columns().external_gy == 45.9


def test_days_of_one_cycle_count_once_and_weekly_cisplatin_counts_dose_by_dose() -> None:
    """Etoposide on days 1 to 3 is one cycle; the study counts 18 cycles of cisplatin, given weekly with radiotherapy."""
    patient = Patient("small-cell")
    for day in (14, 35):
        patient.drug(day, "cisplatin", "etoposide").drug(day + 1, "etoposide").drug(day + 2, "etoposide")
    for day in (56, 63, 70):
        patient.drug(day, "cisplatin")
    found = patient.columns()
    assert found.cycles == 5
    assert {each.drugs: each.cycles for each in found.regimens} == {"cisplatin/etoposide": 2, "cisplatin": 3}


def test_what_was_only_ordered_is_no_cycle_and_an_antibody_is_no_chemotherapy() -> None:
    found = Patient().drug(14, "cisplatin", "paclitaxel", kind="MedicationRequest").drug(14, "pembrolizumab").drug(35, "pembrolizumab")
    assert (found.columns().cycles, found.columns().left_out) == (None, "cycles")


def test_cycles_are_before_during_and_after_the_definitive_radiotherapy() -> None:
    found = Patient().cycles(6).beam(50, 87, 45.9, 27).beam(90, 100, 28.0, 5, inside=True).columns()
    assert (found.cycles_before, found.cycles_during, found.cycles_after) == (2, 3, 1)


@pytest.mark.parametrize(
    ("patient", "criterion"),
    [
        (Patient(organs=()).cycles(), "organ-metastasis"),
        (Patient().cycles().other_cancer(), "first-malignancy"),
        (Patient().cycles(1), "cycles"),
        (Patient(fit=Fitness(ecog=3)).cycles(), "ecog"),
        (Patient(fit=None).cycles(), "ecog"),
        (Patient().cycles().dead(), "death-day"),
    ],
    ids=["no organ", "another cancer before", "one cycle", "ECOG 3", "no ECOG", "died, nobody told when"],
)
def test_who_does_not_meet_a_criterion_is_left_out_by_its_name(patient: Patient, criterion: str) -> None:
    found = patient.columns()
    assert (found.counted, found.left_out) == (False, criterion)
    assert f"left out: {criterion}" in {reason.assigned for reason in found.reasons}


def test_a_cancer_after_the_one_of_the_cervix_does_not_leave_her_out() -> None:
    """The study asks that the cervix came first, and not that nothing followed."""
    assert Patient().cycles().other_cancer("2016-01-01").columns().counted


def test_a_progression_without_a_place_ends_progression_free_survival_and_is_in_neither_column() -> None:
    patient = definitive().answer(200, "progression")
    del patient.chart.resources[-1]["bodySite"]
    found = patient.columns()
    assert (found.pfs_days, found.pfs_event, found.progressed_locoregional, found.progressed_distant) == (200, True, False, False)


def test_a_sarcoma_of_the_cervix_with_organ_metastases_is_counted_as_in_the_study() -> None:
    found = Patient("sarcoma").cycles().columns()
    assert (found.counted, found.cells, found.squamous) == (True, "sarcoma", False)


def test_progression_ends_progression_free_survival_and_death_ends_overall_survival() -> None:
    found = definitive().answer(140, "complete").answer(200, "progression", "lung").died(400).columns()
    assert (found.pfs_days, found.pfs_event, found.os_days, found.died) == (200, True, 400, True)
    assert (found.best_locoregional, found.progressed_distant, found.progressed_locoregional) == ("complete", True, False)


def test_death_without_progression_on_record_ends_both() -> None:
    found = definitive().died(300).columns()
    assert (found.pfs_days, found.pfs_event, found.os_days, found.died, found.progressed) == (300, True, 300, True, False)


def test_who_lives_is_censored_on_the_newest_day_on_record() -> None:
    found = definitive().answer(140, "partial").columns()
    assert (found.os_days, found.died, found.pfs_days, found.pfs_event) == (140, False, 140, False)
    assert found.last_contact == "2015-07-20"


def test_as_of_an_earlier_day_what_came_later_has_not_happened() -> None:
    """She is then alive, free of progression, and followed to what had begun by that day."""
    found = definitive().answer(200, "progression", "lung").died(400).columns(as_of="2015-07-01")
    assert (found.died, found.progressed, found.os_days, found.pfs_event) == (False, False, 96, False)


def test_a_response_to_a_later_treatment_is_not_the_best_response_to_the_first() -> None:
    found = definitive().answer(140, "stable").answer(200, "progression", "lung").answer(300, "complete").columns()
    assert found.best_locoregional == "stable"


def test_a_measurement_after_the_first_treatment_says_nothing_of_before() -> None:
    patient = Patient(fit=None).cycles()
    patient.chart.assessed = 60
    from examples.findings import fitness

    fitness(patient.chart, Fitness(ecog=1))
    found = patient.columns()
    assert (found.ecog, found.haemoglobin) == (None, None)


def test_the_columns_of_the_study_stand_beside_those_of_the_stage() -> None:
    names = columns(Row, Studied).names
    assert len(names) == len(set(names))
    assert {"figo_2018", "group", "os_days", "reasons"} <= set(names)


def test_every_column_of_a_row_is_explained_on_the_page_and_no_other() -> None:
    explained = [name for cells in table(PAGE, "Every column of a row") for name in re.findall(r"`(\w+)`", cells[0])]
    assert sorted(explained) == sorted(columns(Row, Studied).names)


def test_every_criterion_and_variable_of_the_definitions_is_one_that_the_code_knows() -> None:
    study = definitions()
    assert [each.id for each in study.criteria] == [
        *("cervical-cancer", "organ-metastasis", "synchronous", "first-malignancy"),
        *("diagnosis-day", "death-day", "cycles", "ecog", "complete"),
    ]
    fields = {field.name for field in msgspec.structs.fields(Studied)} | {"oligometastatic"}
    assert {variable.id for variable in study.variables} <= fields
    assert {name for model in study.models.values() for name in model} <= {variable.id for variable in study.variables}


def test_what_is_printed_beside_our_figures_is_what_the_evidence_file_says() -> None:
    """Each figure of the evidence file stands in the printed tables, and each of its notes among the footnotes."""
    work, founding = library().works["yin-2019"], printed()
    notes = set(work.notes)
    assert {founding.notes[letter] for letter in "abcde"} <= notes
    figures = {figure.id: figure for figure in work.figures}
    for endpoint in ("os", "pfs"):
        figure = figures[endpoint]
        low, high = figure.ci or (0, 0)
        assert founding.models[endpoint]["group"] == f"{figure.hazard_ratio:.2f} ({low:.2f}–{high:.2f}), p {figure.p}"
        assert [founding.survival[endpoint][group][0] for group in "AB"] == list(figure.months or ())
    says = {name: figure.says or "" for name, figure in figures.items()}
    for name, endpoint in (("cohort-survival", "os"), ("cohort-progression", "pfs")):
        assert all(f"{value:g}" in says[name] for value in founding.survival[endpoint]["all"] if value is not None)
    for name, variable, place in (
        ("os-oligometastatic", "oligometastatic", 2),
        ("pfs-oligometastatic", "oligometastatic", 1),
        ("os-histology", "squamous", 2),
        ("os-distant-nodes", "nodes", 2),
        ("os-lung", "lung", 2),
        ("os-liver", "liver", 2),
        ("os-bone", "bone", 2),
        ("os-organs", "organs", 2),
    ):
        theirs = founding.table3[variable]
        assert says[name] == f"{theirs.first[place]:g} % against {theirs.second[place]:g} %"
        assert figures[name].p == theirs.p[place - 1]
