"""Each figure of the cohort report is the one that R's `survival` makes of the same rows (examples/recompute.R)."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pandas as pd  # type: ignore[import-untyped]
import pytest

from examples.study_cohort import export
from services.cohort.comparison import WORDS, curves
from services.cohort.endpoints import Part
from services.cohort.kaplan_meier import Curve
from services.cohort.report import Report, made, of_result
from services.cohort.result import ROWS
from services.cohort.statistics import ENDPOINTS, MONTH, cox, frame
from services.cohort_study import STUDY
from tests.cohort import r_figures as figures
from tests.cohort.export import done, planned
from tests.cohort.r_figures import GROUPS, LIST, Json, Pair
from tests.cohort.study_rows import rows
from tests.docs.markdown import ROOT
from tests.peers.r_language import rscript

pytestmark = pytest.mark.slow


class Both(NamedTuple):
    """A cohort as the report has it, and as R has it."""

    report: Report
    r: Json


@cache
def _rscript() -> str:
    try:
        return rscript()
    except RuntimeError as error:
        if os.environ.get("CI"):
            pytest.fail(f"R was not there: {error}")
        pytest.skip(f"R was not there: {error}")


def recompute(file: Path) -> Json:
    done = subprocess.run([_rscript(), ROOT / "examples/recompute.R", file], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    found: Json = json.loads(done.stdout)
    return found


def in_months_and_with_holes() -> list[Json]:
    """The study's rows as a registry might have them: times of whole months, so that many fall on one day, and variables not told."""
    found = []
    for number, row in enumerate(rows()):
        told = row | {name: 30 * -(-row[name] // 30) for name in ("os_days", "pfs_days")}
        if number % 9 == 0:
            told |= {"haemoglobin": None, "age": None, "age_years": None, "external_gy": None}
        if number % 11 == 0:
            told |= {"few": None, "found_by": None, "definitive_days": None, "best_locoregional": None, "squamous": None, "cells": None}
        if number % 13 == 0:
            told |= {"pfs_days": None}
        found.append(told)
    return found


def of_rows(folder: Path, given: list[Json]) -> Json:
    """What R makes of these rows."""
    (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return recompute(folder / ROWS)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The cohort that stands in for the study, among the others, by way of an export."""
    folder = tmp_path_factory.mktemp("study")
    plan = planned(export(folder / "study", others=True), to=folder / "result", study=STUDY)
    done(plan)
    return Both(of_result(plan.folder), recompute(plan.folder / ROWS))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Both:
    given = in_months_and_with_holes()
    return Both(made(given), of_rows(tmp_path_factory.mktemp("registry"), given))


@pytest.fixture(params=["study", "registry"])
def both(request: pytest.FixtureRequest) -> Both:
    found: Both = request.getfixturevalue(request.param)
    return found


def different(pairs: Iterable[Pair], at_least: int) -> list[Pair]:
    """Those that are not the same, of so many at the least."""
    found = list(pairs)
    assert len(found) >= at_least
    return [pair for pair in found if not pair.same]


def part_and_r(both: Both) -> Iterable[tuple[Part, Json]]:
    return ((both.report.parts[endpoint], both.r[WORDS[endpoint].lower().replace(" ", "_").replace("-", "_")]) for endpoint in ENDPOINTS)


def test_r_and_the_report_ask_the_same() -> None:
    """The numbers of the study's definitions stand in the script, too."""
    text = (ROOT / "examples/recompute.R").read_text(encoding="utf-8")
    for name in ("TABLE_3 <- c", "os = c", "pfs = c"):
        (told,) = re.findall(rf"{re.escape(name)}\(([^)]+)\)", text)
        variables = tuple(re.findall(r'"(\w+)"', told))
        assert variables == (tuple(v.id for v in LIST.variables) if "TABLE" in name else LIST.models[name.split(" ")[0]])
    assert f"LANDMARK <- {LIST.number('landmark'):g} " in text


def test_survival_is_that_of_r(both: Both) -> None:
    """Medians, rates, numbers at risk, every step and band; log-rank; Cox models."""
    found = [pair for part, r in part_and_r(both) for pair in figures.of_part(part, r)]
    assert different(found, 700) == []


def test_the_comparison_from_the_landmark_is_that_of_r(both: Both) -> None:
    found = [pair for part, r in part_and_r(both) for pair in figures.of_landmark(part, r)]
    assert different(found, 20) == []


def test_the_order_of_the_rows_changes_no_p_of_proportional_hazards() -> None:
    """Events of one day have one rank."""
    day, x = [30, 30, 61, 91], [True, False, True, False]
    data = pd.DataFrame({"os_months": [d / MONTH for d in day], "os_event": True, "group": x})
    (one,), (other,) = (cox(each, "os", ["group"]).hazards for each in (data, data.iloc[[1, 0, 2, 3]]))
    assert one.proportional == pytest.approx(other.proportional)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[Curve, ...], Json]:
    """Six deaths in group A and three in group B, and nobody left: their curves, and what R has there."""
    days = {"A": range(100, 700, 100), "B": range(150, 450, 100)}
    given = [
        row | {"os_days": day, "pfs_days": day, "died": True}
        for group, each in days.items()
        for day, row in zip(each, [row for row in rows() if row["group"] == group], strict=False)
    ]
    return curves(frame(given), "os"), of_rows(tmp_path_factory.mktemp("few"), given)["overall_survival"]["kaplan_meier"]


def test_the_median_of_a_curve_that_comes_to_exactly_a_half_is_the_day_on_which_it_does(few: tuple[tuple[Curve, ...], Json]) -> None:
    """The third of six deaths. (R's own median is the middle between the third and the fourth.)"""
    (_, six, _), r = few
    assert (r["group_a"]["median"], r["group_a"]["median_of_r"]) == pytest.approx((300 / MONTH, 350 / MONTH))
    assert six.median == pytest.approx(r["group_a"]["median"])


def test_the_interval_of_a_median_has_no_end_that_only_the_last_death_would_give(few: tuple[tuple[Curve, ...], Json]) -> None:
    """After the second of three deaths up to 77 % might be alive; a curve at nothing has no standard error, and no band."""
    (_, _, three), r = few
    assert (r["group_b"]["median"], r["group_b"]["median_low"], r["group_b"]["median_high"]) == (
        pytest.approx(250 / MONTH),
        pytest.approx(150 / MONTH),
        None,
    )
    assert three.median_high is None


def test_table_3_is_that_of_r(both: Both) -> None:
    assert different(figures.of_table_3(both.report.tables["three"], both.r["table_3"]), 190) == []


def test_the_follow_up_is_that_of_r(both: Both) -> None:
    follow, r = both.report.follow, both.r["follow_up"]
    reverse, observed = r["reverse_kaplan_meier"], r["observed"]
    ours = (follow.median, *follow.quartiles, follow.observed, follow.shortest, follow.longest)
    theirs = (reverse["median"], *reverse["quartiles"], observed["median"], observed["shortest"], observed["longest"])
    pairs = [Pair(f"follow-up {n}", one, other) for n, (one, other) in enumerate(zip(ours, theirs, strict=True))]
    pairs += figures.shown("time to progression", both.report.progression, (both.r["median_months_to_progression"], 1))
    assert different(pairs, 7) == []


def test_the_counts_are_those_of_r(both: Both) -> None:
    """Tables 1, 2 and 4, the cycles, who is counted, and what is missing."""
    report, r = both.report, both.r
    sizes = r["counted"]
    found = [*figures.of_lines(report.tables["one"], r["table_1"], sizes, figures.names_of_table_1())]
    found += figures.of_lines(report.tables["four"], r["table_4"], sizes, {("", label): (name,) for label, name in figures.TABLE_4.items()})
    found += figures.of_table_2(report.tables["two"], r["table_2"], sizes["all"])
    found += [Pair(name, int(mine), r["cycles_by_regimen"].get(name, 0)) for name, mine, _ in report.tables["regimens"]]
    found.append(Pair("cycles", report.tables["cycles"][0], r["cycles"]))
    found += [Pair(group, int(size), sizes[group]) for group, size in zip(GROUPS, report.sizes, strict=True)]
    found += [Pair("rows", int(report.rows), r["rows"]), Pair("newest", report.newest, r["newest_day"])]
    left_out = dict(r["left_out"])
    found += [Pair(each.id, int(step.out), left_out.get(each.id, 0)) for each, step in zip(LIST.criteria, report.flow, strict=True)]
    missing = [int(re.findall(r": (\d+) of", text)[0]) for text in report.missing]
    found += [Pair("missing", one, other) for one, other in zip(missing, dict(r["not_told"]).values(), strict=True)]
    assert different(found, 200) == []
