"""Every statistic by another route: the raw export counted by DuckDB, Kaplan-Meier and log-rank in SQL, Cox's likelihood by scipy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from math import erfc, exp, sqrt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from scipy.optimize import minimize  # type: ignore[import-untyped]

from examples.study_cohort import export
from examples.study_cohort import rows as dealt_rows
from examples.study_fit import TABLE_3, levels
from services.cohort.comparison import after_landmark, curves, multivariable, unadjusted
from services.cohort.definitions import definitions, printed
from services.cohort.kaplan_meier import curve
from services.cohort.statistics import ENDPOINTS, Endpoint, cox, curve_of, follow_up, frame, landmark, log_rank, missing
from services.cohort.suppression import HIDDEN, alone, count, groups_shown, hidden
from tests.cohort.study_rows import rows

STUDY = definitions()


@cache
def studied() -> Any:
    """The frame of the study's rows, which no test changes."""
    return frame(rows())


# Straight from the FHIR of the export: no reader, no row, none of our definitions' code.
SURVIVAL = """
    CREATE MACRO her(j) AS replace(json_extract_string(j, '$.subject.reference'), 'Patient/', '');
    CREATE TABLE diagnosed AS
        SELECT her(json) AS id, json_extract_string(json, '$.onsetDateTime')::DATE AS day FROM conditions
        WHERE json_extract_string(json, '$.id') LIKE '%-primary';
    CREATE TABLE progressed AS
        SELECT her(json) AS id, min(json_extract_string(json, '$.effectiveDateTime')::DATE) AS day FROM observations
        WHERE json_extract_string(json, '$.code.coding[0].code') = '97509-4'
          AND json_extract_string(json, '$.valueCodeableConcept.coding[0].code') = '271299001' GROUP BY 1;
    CREATE TABLE seen AS
        SELECT her(json) AS id, max(json_extract_string(json, '$.effectiveDateTime')::DATE) AS day FROM observations GROUP BY 1;
    CREATE TABLE inside AS
        SELECT her(json) AS id, max(json_extract_string(json, '$.performedPeriod.end')::DATE) AS day FROM procedures
        WHERE json::VARCHAR LIKE '%394902000%' AND json_extract_string(json, '$.bodySite[0].coding[0].code') = '71252005' GROUP BY 1;
    CREATE TABLE times AS
        SELECT id, i.id IS NOT NULL AS a, date_diff('day', d.day, i.day) AS finished,
               date_diff('day', d.day, coalesce(died, seen.day)) AS os, died IS NOT NULL AS os_event,
               date_diff('day', d.day, coalesce(p.day, died, seen.day)) AS pfs, p.day IS NOT NULL OR died IS NOT NULL AS pfs_event
        FROM (SELECT json_extract_string(json, '$.id') AS id, json_extract_string(json, '$.deceasedDateTime')::DATE AS died FROM patients)
        JOIN diagnosed AS d USING (id) JOIN seen USING (id) LEFT JOIN progressed AS p USING (id) LEFT JOIN inside AS i USING (id);
"""
KAPLAN_MEIER = """
    SELECT time, product(1 - events / at_risk) OVER (ORDER BY time) FROM (
        SELECT DISTINCT {0} AS time, (SELECT count(*) FROM times AS t WHERE t.{0} >= s.{0} AND {1}) AS at_risk,
               (SELECT count(*) FROM times AS t WHERE t.{0} = s.{0} AND t.{0}_event AND {1}) AS events
        FROM times AS s WHERE {1}
    ) ORDER BY time
"""
LOG_RANK = """
    SELECT sum(d1 - d * n1 / n), sum(CASE WHEN n > 1 THEN d * (n1 / n) * (1 - n1 / n) * (n - d) / (n - 1) ELSE 0 END) FROM (
        SELECT DISTINCT {0} AS time,
               (SELECT count(*) FROM times AS t WHERE t.{0} >= s.{0}) AS n,
               (SELECT count(*) FROM times AS t WHERE t.{0} >= s.{0} AND a) AS n1,
               (SELECT count(*) FROM times AS t WHERE t.{0} = s.{0} AND {0}_event) AS d,
               (SELECT count(*) FROM times AS t WHERE t.{0} = s.{0} AND {0}_event AND a) AS d1
        FROM times AS s WHERE {0}_event
    )
"""
GROUPS = {"All": "true", "A": "a", "B": "NOT a"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The export as tables of JSON, and the times in days that SQL takes out of it."""
    folder: Path = export(tmp_path_factory.mktemp("export"))
    with duckdb.connect() as db:
        for kind in ("Patient", "Condition", "Observation", "Procedure"):
            path = folder / f"{kind}.ndjson"
            db.execute(f"CREATE VIEW {kind.lower()}s AS SELECT json FROM read_ndjson_objects('{path}', maximum_object_size=1000000)")
        db.execute(SURVIVAL)
        yield db


def test_the_rows_hold_the_times_and_events_that_sql_finds_in_the_export(raw: Any) -> None:
    found = raw.execute("SELECT 'Patient/' || id, a, os, os_event, pfs, pfs_event FROM times ORDER BY 1").fetchall()
    ours = [(r["patient"], r["group"] == "A", r["os_days"], r["died"], r["pfs_days"], r["pfs_event"]) for r in rows()]
    assert found == sorted(ours)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("group", GROUPS)
def test_kaplan_meier_is_the_product_that_sql_makes(raw: Any, endpoint: Endpoint, group: str) -> None:
    """Every step; the median is the first time at which no more than half survive."""
    steps = raw.execute(KAPLAN_MEIER.format(endpoint, GROUPS[group])).fetchall()
    ours = dict(zip(("All", "A", "B"), curves(studied(), endpoint), strict=True))[group]
    assert [step.value for step in ours.steps[1:]] == pytest.approx([value for _, value in steps], abs=1e-12)
    month = 365.25 / 12
    assert [step.month for step in ours.steps[1:]] == pytest.approx([days / month for days, _ in steps])
    median = next((days / month for days, value in steps if value <= 0.5), None)
    assert ours.median == pytest.approx(median)
    two = ours.rate(24)
    before = [value for days, value in steps if days / month <= 24][-1]
    assert two is None or two.value == pytest.approx(before)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_log_rank_p_is_the_one_of_observed_less_expected_in_sql(raw: Any, endpoint: Endpoint) -> None:
    ((difference, variance),) = raw.execute(LOG_RANK.format(endpoint)).fetchall()
    assert log_rank(studied(), endpoint, "group") == pytest.approx(erfc(sqrt(difference**2 / variance / 2)), rel=1e-9)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_hazard_ratios_maximise_the_partial_likelihood_that_scipy_climbs(endpoint: Endpoint) -> None:
    """Breslow's likelihood, which Efron's is where no two events fall on a day; the interval from the numerical curvature."""
    variables = STUDY.models[endpoint]
    times, events = studied()[f"{endpoint}_days"].to_numpy(), studied()[f"{endpoint}_event"].to_numpy()
    assert len(set(times[events])) == events.sum()
    x = studied()[[*variables]].astype(float).to_numpy()

    def against(beta: Any) -> float:
        risk = x @ beta
        return -sum(risk[i] - np.log(np.exp(risk[times >= times[i]]).sum()) for i in range(len(x)) if events[i])

    best = minimize(against, np.zeros(len(variables)), method="BFGS", options={"gtol": 1e-8})
    step, n = 1e-4, len(variables)
    unit = np.eye(n) * step
    bend = [
        [
            (against(best.x + a + b) - against(best.x + a - b) - against(best.x - a + b) + against(best.x - a - b)) / (4 * step**2)
            for b in unit
        ]
        for a in unit
    ]
    errors = np.sqrt(np.diag(np.linalg.inv(np.array(bend))))
    model = cox(studied(), endpoint, variables)
    for hazard, beta, error in zip(model.hazards, best.x, errors, strict=True):
        assert hazard.ratio == pytest.approx(exp(beta), rel=1e-3)
        assert (hazard.low, hazard.high) == pytest.approx((exp(beta - 1.959964 * error), exp(beta + 1.959964 * error)), rel=5e-3)
        assert hazard.p == pytest.approx(erfc(abs(beta / error) / sqrt(2)), rel=2e-2)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("variable", TABLE_3)
def test_each_line_of_table_3_is_what_sql_makes_of_the_days_and_of_who_was_dealt_what(raw: Any, variable: str, endpoint: Endpoint) -> None:
    """The levels are those that the generator dealt, and not the ones that we read out of the FHIR."""
    place = list(TABLE_3).index(variable)
    dealt = [(f"study-{row['number']:02d}", levels(row | {"spread": (row["organs"], row["node"])})[place]) for row in dealt_rows()]
    raw.execute("CREATE OR REPLACE TEMP TABLE level (id VARCHAR, first BOOLEAN)")
    raw.executemany("INSERT INTO level VALUES (?, ?)", dealt)
    raw.execute("CREATE OR REPLACE TEMP VIEW here AS SELECT times.* EXCLUDE (a), first AS a FROM times JOIN level USING (id)")
    for level, where in ((True, "a"), (False, "NOT a")):
        steps = raw.execute(KAPLAN_MEIER.replace("FROM times", "FROM here").format(endpoint, where)).fetchall()
        found = curve_of(studied()[studied()[variable] == level], endpoint).rate(24)
        if found is not None:
            assert found.value == pytest.approx([value for days, value in steps if days <= 24 * 365.25 / 12][-1], abs=1e-12)
    ((difference, variance),) = raw.execute(LOG_RANK.replace("FROM times", "FROM here").format(endpoint)).fetchall()
    assert log_rank(studied(), endpoint, variable) == pytest.approx(erfc(sqrt(difference**2 / variance / 2)), rel=1e-9)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_landmark_p_is_that_of_sql_by_what_was_finished_among_those_still_free_at_six_months(raw: Any, endpoint: Endpoint) -> None:
    half = "6 * 365.25 / 12"
    then = f"SELECT * EXCLUDE (a), coalesce(finished <= {half}, false) AS a FROM times WHERE {endpoint} > {half}"
    raw.execute(f"CREATE OR REPLACE TEMP VIEW here AS {then}")
    ((difference, variance),) = raw.execute(LOG_RANK.replace("FROM times", "FROM here").format(endpoint)).fetchall()
    ((a, b),) = raw.execute("SELECT count(*) FILTER (a), count(*) FILTER (NOT a) FROM here").fetchall()
    ours = after_landmark(studied(), endpoint, STUDY)
    assert ours[:2] == (a, b)
    assert ours[2] == pytest.approx(erfc(sqrt(difference**2 / variance / 2)), rel=1e-9)


def test_the_median_follow_up_is_kaplan_meier_with_deaths_and_censorings_exchanged(raw: Any) -> None:
    raw.execute("CREATE OR REPLACE TABLE turned AS SELECT os AS time, NOT os_event AS event FROM times")
    steps = raw.execute("""
        SELECT time, product(1 - events / at_risk) OVER (ORDER BY time) FROM (
            SELECT DISTINCT time, (SELECT count(*) FROM turned AS t WHERE t.time >= s.time) AS at_risk,
                   (SELECT count(*) FROM turned AS t WHERE t.time = s.time AND event) AS events FROM turned AS s
        ) ORDER BY time""").fetchall()
    found = follow_up(studied())
    assert found.median == pytest.approx(next(days for days, value in steps if value <= 0.5) / (365.25 / 12))
    ((median, low, high),) = raw.execute("SELECT median(os), min(os), max(os) FROM times").fetchall()
    assert (found.observed, found.shortest, found.longest) == pytest.approx(tuple(days / (365.25 / 12) for days in (median, low, high)))


def test_kaplan_meier_of_five_patients_by_hand() -> None:
    """Deaths at 1, 3 and 4 months, censored at 2 and 5: 4/5, then 4/5 of 2/3, then of 1/2."""
    found = curve("five", [1, 2, 3, 4, 5], [True, False, True, True, False])
    assert [step.value for step in found.steps] == pytest.approx([1, 0.8, 0.8, 0.8 * 2 / 3, 0.8 / 3, 0.8 / 3])
    assert (found.median, found.events, found.censored) == (4, 3, ((2.0, 0.8), (5.0, pytest.approx(0.8 / 3))))
    assert [found.at_risk(month) for month in (0, 2, 2.5, 6)] == [5, 4, 3, 0]


def test_a_rate_that_nobody_was_followed_to_is_not_told() -> None:
    """A curve that ends above nothing says nothing of later; one that has come down to nothing stays there."""
    assert curve("short", [1, 2, 3], [True, False, False]).rate(24) is None
    assert curve("gone", [1, 2, 3], [True, True, True]).rate(24) is not None


def test_the_landmark_leaves_out_who_had_the_event_or_left_before_and_counts_from_there() -> None:
    kept = landmark(studied(), "os", 6)
    assert len(kept) == (studied()["os_months"] > 6).sum() < len(studied())
    assert kept["os_months"].min() > 0
    assert kept["os_months"].max() == pytest.approx(studied()["os_months"].max() - 6)


def test_a_model_without_events_or_contrast_says_why_it_is_none() -> None:
    nobody = studied().assign(os_event=False)
    assert cox(nobody, "os", ["group"]).why_not == "no event"
    found = cox(studied()[studied()["group"]], "os", ["group", "age"])
    assert (found.away, [hazard.variable for hazard in found.hazards]) == ({"group": "all alike"}, ["age"])


def test_a_variable_that_parts_the_events_from_the_others_gives_no_model_but_a_reason() -> None:
    parted = studied().assign(age=studied()["os_event"])
    model = cox(parted, "os", ["age"])
    assert model.why_not is not None or model.hazards[0].high > 1000


@pytest.mark.parametrize("contrary", [False, True])
def test_two_variables_that_tell_the_same_of_every_patient_are_named_as_the_reason(contrary: bool) -> None:
    """No search for a maximum finds one, and none of the levels is without events."""
    same = studied().assign(size=studied()["age"] != contrary)
    model = cox(same, "os", ["age", "group", "size"])
    assert (model.hazards, model.alike) == ((), ("age", "size"))
    assert model.why_not == "age and size tell the same of every patient, or the contrary: their ratios cannot be told apart"


def test_the_report_names_variables_that_are_alike_in_words() -> None:
    one, two, *_ = STUDY.models["os"]
    says = {variable.id: variable.says for variable in STUDY.variables}
    model, lines = multivariable(studied().assign(**{two: studied()[one]}), "os", STUDY, printed())
    assert lines == []
    assert str(model.why_not).startswith(f"{says[one]} and {says[two]} tell the same of every patient")


def test_a_variable_that_follows_from_two_others_is_the_reason_too() -> None:
    """Each patient has one of the three: who has neither of two has the third."""
    turn = [number % 3 for number in range(48)]
    dealt = studied().assign(age=[t == 0 for t in turn], size=[t == 1 for t in turn], ecog=[t == 2 for t in turn])
    assert cox(dealt, "os", ["age", "size", "ecog"]).why_not == "one of the variables follows from the others in every patient"


def test_events_of_one_day_tell_nothing_of_time() -> None:
    """All dead on one day: no test, no ratio. Half of them, and the others followed on: a ratio, and no check that it stays the same."""
    at_once = studied().assign(os_months=10.0, os_event=True)
    assert log_rank(at_once, "os", "group") is None
    assert cox(at_once, "os", ["group"]).why_not == "all who were still followed have the event on one day"
    half = [number % 2 == 0 for number in range(48)]
    on = studied().assign(os_months=[10.0 if died else 20.0 for died in half], os_event=half)
    (hazard,) = cox(on, "os", ["group"]).hazards
    assert hazard.ratio == pytest.approx(1)
    assert hazard.proportional is None
    shown = unadjusted(on.assign(definitive_days=100), "os", STUDY)
    assert shown.checks == (HIDDEN, HIDDEN)
    lost = unadjusted(at_once.assign(definitive_days=100), "os", STUDY)
    assert (lost.p, lost.checks) == (HIDDEN, (HIDDEN, HIDDEN))


def test_who_lacks_a_variable_is_left_out_of_the_model_and_counted() -> None:
    holes = studied().astype({"age": object})
    holes.loc[holes.index[:3], "age"] = None
    model = cox(holes, "os", ["age", "group"])
    assert (model.patients, model.missing) == (45, 3)
    assert missing(holes, ["age", "group"]) == {"age": 3}


def test_no_p_without_two_groups() -> None:
    assert log_rank(studied()[studied()["group"]], "os", "group") is None
    assert curve_of(studied()[:0], "os").patients == 0


def test_a_small_cell_is_hidden_with_the_one_that_would_give_it_away() -> None:
    """3 of 48 is hidden with the next smallest; a block with a small number in a group is shown of the whole alone."""
    assert hidden([39, 3, 6, 0], 5) == {1, 2}
    assert hidden([40, 4, 4], 5) == {1, 2}
    assert hidden([2, 3], 5) == {0, 1}
    assert hidden([39, 3, 6, 0], 0) == hidden([43, 5, 0], 5) == set()
    assert not groups_shown([[39, 30, 9], [9, 6, 3]], 5)
    assert groups_shown([[36, 30, 6], [12, 6, 6]], 5)
    assert (alone((8, 6, 2), (48, 36, 12), 5), alone((3, 3, 0), (48, 36, 12), 5)) == ({1, 2}, {0, 1, 2})
    assert (count(3, 5), count(9, 5, away=True), count(0, 5), count(5, 5)) == ("< 5", HIDDEN, "0", "5")
