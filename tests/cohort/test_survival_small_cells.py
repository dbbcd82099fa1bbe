"""With small cells hidden nobody can work out of what is published of survival how few died, or were censored, in between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from services.cohort.comparison import TWO, YEARS, curves, rates, survival
from services.cohort.curves import points
from services.cohort.definitions import definitions, printed
from services.cohort.kaplan_meier import Curve, curve
from services.cohort.statistics import ENDPOINTS, Endpoint, curve_of, frame
from services.cohort.suppression import small
from tests.cohort.study_rows import rows
from tests.cohort.survival_bounds import Counts, Group, Trail, given_away, together, trails

FOUNDING = printed()


def random(seed: int) -> Any:
    """A frame of as many women as it happens, who die and are lost to follow-up at rates of their own."""
    rng = Random(seed)
    kept = rows() * 2
    died, lost = rng.choice((250, 450, 900)), rng.choice((600, 1500, 6000))
    found = []
    for row in kept[: rng.randint(30, 70)]:
        death, loss = rng.expovariate(1 / died) + 1, rng.expovariate(1 / lost) + 1
        group = "A" if rng.random() < 0.6 else "B"
        found.append(row | {"group": group, "os_days": int(min(death, loss)), "died": death <= loss})
    return frame(found)


def published(found: Sequence[Curve], endpoint: Endpoint, threshold: int) -> list[Group]:
    """What the table shows of the whole and both groups, and the curves of the groups."""
    groups = []
    for each, row in zip(found, survival(tuple(found), endpoint, FOUNDING, threshold), strict=True):
        told = {month: cell.ours for month, cell in zip(YEARS, row.cells[1:], strict=True)}
        months = {month: int(text.removeprefix("about ")) for month, text in told.items() if text.startswith("about")}
        if each is not found[0]:
            drawn = {int(step.month): round(100 * step.value) for step in points(each, 120, threshold)[1:]}
            assert months == {month: rate for month, rate in drawn.items() if month in YEARS}
            months = drawn
        groups.append(Group(each.patients, int(row.events) if row.events.isdecimal() else None, months))
    return groups


def counted(found: Curve, months: Sequence[int]) -> Trail:
    """How many died and were censored between the months, and after the last."""
    times: list[Counts] = [(0, 0)]
    for month in months:
        gone = sum(each <= month for each in found.months)
        times.append((found.happened(month), gone - found.happened(month)))
    times.append((found.events, found.patients - found.events))
    return tuple((later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(times))


def leaks(data: Any, endpoint: Endpoint, threshold: int) -> list[str]:
    """What survival of whole, A and B gives away together."""
    found = curves(data, endpoint)
    groups = published(found, endpoint, threshold)
    true = [counted(each, [*group.months]) for each, group in zip(found, groups, strict=True)]
    kept, derived = together(groups, threshold, true)
    told = [
        f"{each.name}: {leak}" for each, trail, fits in zip(found, true, kept, strict=True) for leak in given_away(fits, trail, threshold)
    ]
    for month, values in derived.items():
        told += [
            f"by difference at {month}: {min(values)}"
            for n in (0, 1)
            if len({v[n] for v in values}) == 1 and small(min(values)[n], threshold)
        ]
    return told


@pytest.mark.parametrize("threshold", [pytest.param(3, marks=pytest.mark.slow), 5, 10])
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_survival_in_the_study_s_cohort_gives_no_small_count_away(endpoint: Endpoint, threshold: int) -> None:
    assert leaks(frame(rows()), endpoint, threshold) == []


@pytest.mark.slow
@pytest.mark.parametrize("threshold", [3, 5])
@pytest.mark.parametrize("seed", range(8))
def test_survival_in_other_cohorts_gives_no_small_count_away(seed: int, threshold: int) -> None:
    assert leaks(random(seed), "os", threshold) == []


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_table_3_gives_no_small_count_away(endpoint: Endpoint) -> None:
    """Each level by itself: its size, and its rate at two years."""
    data = frame(rows())
    for variable in definitions().variables:
        for level in (True, False):
            found = curve_of(data[data[variable.id] == level], endpoint)
            (text,) = rates(found, [TWO], 5, every=TWO, counted=False)
            if text.startswith("about"):
                group = Group(found.patients, None, {TWO: int(text.removeprefix("about "))})
                assert given_away(trails(group, 5), counted(found, [TWO]), 5) == []


def test_the_bounds_find_what_more_digits_give_away() -> None:
    """Eight of 19 in the first year, eleven in all: by five digits of a per cent three died later. Such a year is not told."""
    found = curve("A", [*range(1, 9), *range(20, 31)], [True] * 8 + [True] * 3 + [False] * 8)
    exact = Group(19, 11, {12: round(100 * 11 / 19, 5)})
    assert given_away(trails(exact, 5, step=1e-5), counted(found, [12]), 5) == ["deaths of stretch 2 = 3"]
    assert found.years(5) == []
    assert found.years(5, counted=False) == [12]
