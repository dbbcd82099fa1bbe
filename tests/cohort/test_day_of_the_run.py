"""Nothing of an export can have happened after the day of the run: who is dated so is followed to that day, and it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.cohort.engines import OneProcess
from services.cohort.reading import AHEAD
from services.cohort.run import run
from services.cohort.summary import lacking, notes, without_numbers
from services.cohort_study import STUDY
from tests.cohort.export import Json, done, planned, write
from tests.cohort.study_rows import Patient

DAY = "2016-06-01"
FUTURE = {"lastUpdated": "2099-12-31T00:00:00Z"}


def definitive() -> Patient:
    return Patient().cycles().beam(56, 93, 45.9, 27).beam(96, 110, 28.0, 5, inside=True).answer(140, "stable")


def row(tmp_path: Path, patient: Patient, *, until: str | None = DAY, **asked: str) -> tuple[Json, list[str]]:
    plan = planned(write(tmp_path / "export", patient.chart.resources), study=STUDY, until=until, **asked)
    manifest, rows = done(plan)
    (hers,) = rows.values()
    return hers, notes(manifest)


@pytest.mark.parametrize("resource", ["Observation", "Procedure", "MedicationAdministration"])
def test_a_date_in_the_future_in_a_resource_of_the_future_moves_no_last_contact(tmp_path: Path, resource: str) -> None:
    patient = definitive()
    later = [each for each in patient.chart.resources if each["resourceType"] == resource][-1]
    later["meta"] = later.get("meta", {}) | FUTURE
    for name in ("effectiveDateTime", "performedPeriod"):
        if name in later:
            later[name] = {"start": "2099-01-05", "end": "2099-01-06"} if name == "performedPeriod" else "2099-01-05"
    found, said = row(tmp_path, patient)
    assert found["last_contact"] <= DAY
    assert found["os_days"] <= 457
    assert AHEAD.format(DAY) in [issue["text"] for issue in found["issues"]]
    assert any("1 patients have dates" in text and DAY in text for text in said)
    unbounded, _ = row(tmp_path / "unbounded", patient, until=None)
    assert unbounded["last_contact"] > "2098"


def test_a_progression_or_a_death_in_the_future_has_not_happened(tmp_path: Path) -> None:
    patient = definitive().answer(5000, "progression", "lung")
    patient.chart.resources[-1]["meta"] = FUTURE
    found, _ = row(tmp_path / "progressed", patient)
    assert (found["progressed"], found["pfs_days"], found["os_days"]) == (False, 140, 140)
    dead, said = row(tmp_path / "dead", definitive().died(30_000))
    assert (dead["died"], dead["died_on"], dead["os_days"]) == (False, None, 140)
    assert any("1 patients have dates" in text for text in said)


def test_radiotherapy_in_the_future_makes_no_group_a(tmp_path: Path) -> None:
    patient = Patient().cycles().beam(56, 93, 45.9, 27).beam(20_000, 20_010, 28.0, 5, inside=True)
    found, _ = row(tmp_path, patient)
    assert (found["group"], found["pelvic_radiotherapy"], found["brachytherapy_gy"]) == ("B", "palliative", None)


def test_a_resource_that_is_written_in_the_future_is_said_and_changes_nothing_else(tmp_path: Path) -> None:
    plain, nothing = row(tmp_path / "plain", definitive())
    patient = definitive()
    patient.chart.resources[-1]["meta"] = patient.chart.resources[-1].get("meta", {}) | FUTURE
    found, said = row(tmp_path / "ahead", patient)
    assert found | {"issues": []} == plain | {"issues": []}
    assert len(found["issues"]) == len(plain["issues"]) + 1
    assert [text for text in said if "lastUpdated" in text and text not in nothing]


def test_nobody_s_number_is_told_where_small_ones_are_hidden(tmp_path: Path) -> None:
    plan = planned(write(tmp_path / "export", definitive().died(30_000).chart.resources), study=STUDY, until=DAY)
    counts = done(plan)[0].counts
    (told,) = set(without_numbers(counts)) - set(lacking(counts))
    assert "after the day of the run" in told
    assert "1" not in told


def test_with_as_of_that_day_bounds_everything(tmp_path: Path) -> None:
    found, said = row(tmp_path, definitive().died(30_000), as_of="2015-07-01")
    assert (found["last_contact"], found["died"]) == ("2015-06-06", False)
    assert not any("day of the run" in text for text in said)


def test_as_of_a_day_before_her_radiotherapy_she_has_had_none() -> None:
    found = definitive().columns(as_of="2015-04-20")
    assert (found.group, found.pelvic_radiotherapy) == ("B", "none")


def test_a_run_that_is_gone_on_with_keeps_its_day_and_a_result_stays_one(tmp_path: Path) -> None:
    export = write(tmp_path / "export", definitive().chart.resources)

    def cut(step: str, count: int, total: int) -> None:
        if step == "stage":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(planned(export, until=DAY), OneProcess(), cut)
    assert run(planned(export, until="2016-06-02"), OneProcess()).asked.until == DAY
    assert run(planned(export, until="2016-06-03"), OneProcess()).asked.until == DAY
