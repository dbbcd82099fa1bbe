"""Where the founding study leaves something open: what our reading makes of records that ask for one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from examples import codes
from examples.resources import coding, concept, snomed
from services.cohort.counting import Counting
from services.cohort.definitions import definitions, printed
from services.cohort.document import html
from services.cohort.report import made
from services.cohort.statistics import cox, curve_of, end_unknown, frame, landmark, log_rank
from services.cohort.terminal import tables
from services.cohort_study import STUDY
from tests.cohort.export import done, planned, write
from tests.cohort.study_rows import Patient, rows
from tests.cohort.test_study_traps import breast, definitive, row

pytestmark = pytest.mark.usefixtures("fitted_once")


def rectal(patient: Patient, day: int) -> str:
    return patient.chart.condition("rectal", concept(coding(codes.ICD_10_CM, "C20", "Malignant neoplasm of rectum")), patient.chart.on(day))


def performed(patient: Patient, **other: Any) -> Patient:
    """Her radiotherapy with only a beginning."""
    for resource in patient.chart.resources:
        if resource["resourceType"] == "Procedure":
            resource["performedPeriod"] = {"start": resource["performedPeriod"]["start"]}
            resource.update(other)
    return patient


def test_chemotherapy_for_another_cancer_is_no_cycle_of_hers() -> None:
    patient = Patient().drug(14, "cisplatin", "paclitaxel").answer(900, "stable")
    reference = breast(patient, 1000)
    for day in (1020, 1041, 1062):
        patient.drug(day, "carboplatin", "paclitaxel")
        for given in patient.chart.resources[-2:]:
            given["reasonReference"] = [{"reference": reference}]
    found = patient.columns()
    assert (found.every_cycle, found.left_out, found.last_contact) == (1, "cycles", patient.chart.on(1062))


@pytest.mark.parametrize("kind", ["MedicationStatement", "MedicationAdministration"])
def test_a_reason_coded_as_another_cancer_is_one_and_a_secondary_or_her_own_beside_it_is_none(kind: str) -> None:
    def given(*reasons: str) -> int | None:
        patient = Patient()
        for day in (14, 35):
            patient.drug(day, "cisplatin", "paclitaxel", kind=kind)
        for day in (100, 121):
            patient.drug(day, "cisplatin", "paclitaxel", kind=kind)
            patient.chart.resources[-1]["reasonCode"] = [concept(coding(codes.ICD_10_CM, code)) for code in reasons]
            patient.chart.resources[-2]["reasonCode"] = patient.chart.resources[-1]["reasonCode"]
        return patient.columns().every_cycle

    assert given("C50.9") == 2
    assert (given("C53.9"), given("C79.51"), given("C50.9", "C53.9"), given("R11.0")) == (4, 4, 4, 4)


def test_radiotherapy_for_another_cancer_is_none_of_hers() -> None:
    patient = definitive().answer(900, "stable")
    reference = rectal(patient, 200)
    patient.beam(130, 160, 50.4, 28)
    patient.chart.resources[-1]["reasonReference"] = [{"reference": reference}]
    found = patient.columns()
    assert (found.group, found.external_gy, found.point_a_eqd2_gy, found.definitive_days) == ("A", 45.9, 81.2, 110)
    alone = Patient().cycles()
    reference = rectal(alone, 20)
    alone.beam(30, 60, 50.4, 28).chart.resources[-1]["reasonReference"] = [{"reference": reference}]
    assert alone.columns().pelvic_radiotherapy == "none"


def test_radiotherapy_begun_more_than_90_days_after_the_last_ended_is_another_treatment() -> None:
    again = definitive().answer(700, "stable").beam(201, 230, 45.0, 25).columns()
    assert (again.external_gy, again.definitive_days, again.group) == (45.9, 110, "A")
    near = definitive().answer(700, "stable").beam(200, 230, 23.4, 13).columns()
    assert (near.external_gy, near.definitive_days) == (69.3, 230)
    late = Patient().cycles().beam(56, 93, 45.9, 27).beam(900, 905, 28.0, 5, inside=True).columns()
    assert (late.group, late.pelvic_radiotherapy, late.brachytherapy_gy) == ("B", "palliative", None)
    assert any("is another treatment" in reason.says and len(reason.sources) == 2 for reason in late.reasons)


@pytest.mark.parametrize(("start", "kind"), [(365, "palliative"), (366, "none")])
def test_radiotherapy_of_the_pelvis_is_first_treatment_where_it_begins_within_365_days(start: int, kind: str) -> None:
    assert Patient().cycles().answer(300, "stable").beam(start, start + 4, 20.0, 5).columns().pelvic_radiotherapy == kind


def test_a_death_of_a_month_counts_on_its_last_day_and_one_of_a_year_has_no_day() -> None:
    patient = definitive().answer(140, "stable")
    patient.chart.resources[0]["deceasedDateTime"] = "2016-02"
    found = patient.columns()
    assert (found.counted, found.died_on, found.os_days, found.pfs_event) == (True, "2016-02-29", 364, True)
    assert patient.columns(as_of="2016-02-10").died_on == "2016-02-10"
    patient.chart.resources[0]["deceasedDateTime"] = "2016"
    assert (patient.columns().left_out, patient.columns().os_days) == ("death-day", None)


def test_deaths_without_a_day_are_said_with_what_leaving_them_out_does() -> None:
    lost = [each | {"counted": False, "left_out": "death-day"} for each in rows()[:2]]
    found = made([*lost, *rows()[2:]])
    words = "2 patients who died are left out, since not even the month of death is on record: this makes survival look longer"
    assert words in html(found)
    assert words in str(tables(found)[0].caption)
    assert "Some patients who died are left out" in html(made([*lost, *rows()[2:]], threshold=3))
    assert made(rows()).deaths == ""


def test_who_progressed_on_a_day_nobody_recorded_is_out_of_progression_free_survival_alone() -> None:
    undated = rows()[0] | {"pfs_days": None, "progressed": True, "progressed_on": None, "pfs_event": True}
    found = made([undated, *rows()[1:]])
    assert [found.parts[endpoint].rows[0].patients for endpoint in ("pfs", "os")] == ["47", "48"]
    assert found.parts["pfs"].model.missing == 1
    assert "Day of the progression (left out of progression-free survival): 1 of 48 patients without it" in html(found)
    data = frame([undated, *rows()[1:]])
    assert log_rank(data, "pfs", "group") == log_rank(data[1:], "pfs", "group")
    assert curve_of(data, "pfs") == curve_of(data[1:], "pfs")


@pytest.mark.parametrize("other", [{}, {"status": "in-progress"}], ids=["no end", "in progress"])
def test_a_course_without_an_end_leaves_her_out_at_the_landmark_and_counted_there(other: dict[str, str]) -> None:
    hers = row(performed(definitive().answer(400, "stable"), **other))
    assert (hers["group"], hers["definitive_days"]) == ("A", None)
    assert (hers["cycles_before"], hers["cycles_during"], hers["cycles_after"]) == (2, None, None)
    data = frame([hers, row(definitive().answer(400, "stable"))])
    kept = landmark(data, "os", 6)
    assert (len(kept), kept["finished_later"].sum(), end_unknown(data, "os", 6)) == (1, 0, 1)


def test_those_without_an_end_are_told_at_the_landmark() -> None:
    chosen = next(n for n, each in enumerate(rows()) if each["group"] == "A" and each["os_days"] > 400)
    found = made([each | ({"definitive_days": None} if n == chosen else {}) for n, each in enumerate(rows())])
    told = found.parts["os"].landmark
    assert told is not None
    assert told.unknown == "1"
    assert "OS 1)" in html(found)


def test_a_course_of_one_fraction_ends_as_it_begins() -> None:
    patient = performed(Patient().cycles().beam(56, 93, 45.9, 27).beam(96, 96, 7.0, 1, inside=True).answer(400, "stable"))
    external = next(each for each in patient.chart.resources if each["id"] == "one-radiotherapy-56")
    external["performedPeriod"]["end"] = patient.chart.on(93)
    assert patient.columns().definitive_days == 96


def test_a_progression_of_a_year_counts_no_later_than_she_was_seen_in_it_or_is_asked_for() -> None:
    patient = definitive().answer(120, "progression", "lung")
    patient.chart.resources[-1]["effectiveDateTime"] = "2015"
    found = patient.columns()
    assert (found.pfs_days, found.os_days) == (96, 96)
    assert patient.columns(as_of="2015-05-01").progressed_on <= "2015-05-01"  # type: ignore[operator]
    patient.chart.resources[-1]["effectiveDateTime"] = "2017"
    assert patient.columns().progressed_on == "2017-01-01"


def test_nothing_is_dated_after_the_day_of_the_run(tmp_path: Path) -> None:
    def at(day: str, name: str, patient: Patient) -> dict[str, Any]:
        plan = planned(write(tmp_path / name, patient.chart.resources), study=STUDY, until=day)
        (hers,) = done(plan)[1].values()
        return hers

    far = at("2016-06-01", "far", definitive().answer(15_000, "stable"))
    assert far["last_contact"] <= "2016-06-01"
    month = definitive().answer(200, "progression", "lung")
    month.chart.resources[-1]["effectiveDateTime"] = "2015-09"
    assert at("2015-09-18", "month", month)["progressed_on"] == "2015-09-18"
    dead = definitive()
    dead.chart.resources[0]["deceasedDateTime"] = "2016-02"
    assert at("2016-02-10", "dead", dead)["died_on"] == "2016-02-10"


def doses(*given: tuple[int, tuple[str, ...]]) -> dict[str, int]:
    patient = Patient()
    for day, drugs in given:
        patient.drug(day, *drugs)
    return {each.drugs: each.cycles for each in patient.columns().regimens}


TC, GC = ("carboplatin", "paclitaxel"), ("cisplatin", "gemcitabine")


@pytest.mark.parametrize(
    ("given", "cycles"),
    [
        ([(14, ("cisplatin",)), (15, ("cisplatin",)), (16, ("cisplatin",)), (35, ("cisplatin",))], {"cisplatin": 2}),
        ([(14, ("cisplatin",)), (21, ("cisplatin",)), (28, ("cisplatin",))], {"cisplatin": 3}),
        ([(14, GC), (21, GC), (28, GC), (42, GC)], {"cisplatin/gemcitabine": 2}),
        ([(14, GC), (21, ("gemcitabine",)), (28, ("gemcitabine",)), (42, GC)], {"cisplatin/gemcitabine": 2}),
        ([(14, GC), (21, ("gemcitabine",)), (34, ("gemcitabine",)), (42, GC)], {"cisplatin/gemcitabine": 2}),
        ([(14, TC), (21, TC), (28, TC), (35, TC), (42, TC), (49, TC)], {"carboplatin/paclitaxel": 2}),
        ([(14, ("paclitaxel",)), (15, ("cisplatin",)), (35, ("paclitaxel",)), (36, ("cisplatin",))], {"cisplatin/paclitaxel": 2}),
        ([(14, TC), (35, TC), (56, ("topotecan",))], {"carboplatin/paclitaxel": 2, "topotecan": 1}),
        ([(14, TC), (42, ("paclitaxel",))], {"carboplatin/paclitaxel": 1, "paclitaxel": 1}),
    ],
)
def test_doses_make_cycles(given: list[tuple[int, tuple[str, ...]]], cycles: dict[str, int]) -> None:
    assert doses(*given) == cycles


def noted(code: dict[str, Any], *, day: str = "2009-05-01") -> str | None:
    patient = definitive()
    patient.chart.condition("noted", code, day, clinical="inactive")
    return patient.columns().left_out


def test_a_cancer_on_record_as_history_is_an_earlier_one_but_for_that_of_the_cervix() -> None:
    def icd(code: str) -> dict[str, Any]:
        return concept(coding(codes.ICD_10_CM, code))

    assert [noted(icd(code)) for code in ("Z85.3", "Z85.038", "Z85.43")] == ["first-malignancy"] * 3
    assert noted(snomed("429087003")) == "first-malignancy"
    assert [noted(icd(code)) for code in ("Z85.41", "Z85.4", "Z86.000", "Z80.3")] == [None] * 4
    assert noted(icd("Z85.3"), day="2017-03-10") is None
    assert definitions().past.checked is False


def test_a_boost_to_nodes_as_a_course_of_its_own_adds_nothing_to_point_a() -> None:
    patient = definitive().beam(94, 99, 14.4, 8)
    assert patient.columns().point_a_eqd2_gy == 95.3
    patient.chart.resources[-1]["bodySite"] = [snomed("54268001", "Structure of pelvic lymph node")]
    found = patient.columns()
    assert (found.external_gy, found.point_a_eqd2_gy, found.group) == (45.9, 81.2, "A")
    patient.chart.resources[-1]["bodySite"] = [concept(text="Pelvic lymph nodes")]
    assert patient.columns().point_a_eqd2_gy == 81.2


def test_a_response_before_treatment_is_none() -> None:
    assert Patient().answer(5, "complete").cycles().answer(90, "stable").columns().best_locoregional == "stable"
    early = Patient().answer(5, "progression", "lung").cycles().columns()
    assert (early.progressed, early.pfs_days) == (True, 5)


def test_a_median_age_of_a_half_is_rounded_up() -> None:
    data = frame([rows()[0] | {"age_years": age} for age in (52, 53)])
    assert Counting(data, printed()).medians("Age", "age", "age_years").ours[0] == "53 (52–53)"


def test_a_variable_without_events_in_a_level_is_left_out_of_the_model_with_a_sentence() -> None:
    parted = [each | {"squamous": each["died"]} for each in rows()]
    model = cox(frame(parted), "os", ["squamous", "group"])
    assert (model.away, [each.variable for each in model.hazards]) == ({"squamous": "no event in one of its levels"}, ["group"])
    found = made(parted)
    assert "without Histology (no event in one of its levels), of which there is no hazard ratio" in html(found)
    assert "Histology" in str(tables(found)[-2].caption)


def test_proportional_hazards_are_checked_from_the_diagnosis_and_from_the_landmark() -> None:
    found = made(rows())
    for endpoint in ("pfs", "os"):
        told = found.parts[endpoint].landmark
        assert told is not None
        whole = cox(frame(rows()), "pfs" if endpoint == "pfs" else "os", ["group"]).hazards[0].proportional
        assert float(told.checks[0].split(":")[0]) == pytest.approx(whole, abs=0.0006)
        assert 0 <= float(told.checks[1].split(":")[0]) <= 1
