"""The picture of survival: all of it, or with small cells hidden only what no single patient is read from."""

from __future__ import annotations

import re
from html import unescape
from itertools import pairwise

import pytest

from services.cohort.curves import drawn, points
from services.cohort.kaplan_meier import Curve, curve
from tests.cohort.study_rows import rows

MONTH = 365.25 / 12


def of_study(group: str) -> Curve:
    hers = [row for row in rows() if row["group"] == group]
    return curve(group, [row["os_days"] / MONTH for row in hers], [row["died"] for row in hers])


def texts(svg: str) -> list[str]:
    return [unescape(each) for each in re.findall(r"<text[^>]*>([^<]*)</text>", svg)]


def test_without_a_threshold_every_event_is_a_step() -> None:
    whole = of_study("A")
    deaths = set(whole.months) - {at for at, _ in whole.censored}
    assert len(deaths) > 20
    assert deaths <= {each.month for each in points(whole, 120, 0)}


@pytest.mark.parametrize("threshold", [3, 5, 10])
@pytest.mark.parametrize("group", ["A", "B"])
def test_with_small_cells_hidden_no_piece_of_a_curve_is_of_few_events(group: str, threshold: int) -> None:
    """Read at ends of years, so that no point is the day of one death; each true to the nearest 5 per cent, and without its band."""
    whole = of_study(group)
    shown = points(whole, 120, threshold)
    happened = [whole.happened(each.month) for each in shown]
    assert [each.month for each in shown] == {("A", 5): [0, 12, 24], ("A", 3): [0, 12, 24]}.get((group, threshold), [])
    assert all(later - earlier >= threshold for earlier, later in pairwise(happened))
    assert all(whole.at_risk(each.month) >= threshold for each in shown)
    assert [each.value for each in shown[1:]] == [
        pytest.approx(rate.value, abs=0.025) for each in shown[1:] if (rate := whole.rate(each.month))
    ]
    assert all(each.low == each.value == each.high for each in shown)


def test_a_curve_with_few_events_is_not_drawn_and_one_without_any_is_level() -> None:
    """Where the line ends would tell when they died."""
    months = [float(month) for month in range(10, 50)]
    few, none = (curve("A", months, [number < deaths for number in range(40)]) for deaths in (4, 0))
    assert points(few, 48, 5) == []
    assert "Group A: too few events to draw" in texts(drawn("Overall survival", [few], threshold=5))
    assert [(each.month, each.value) for each in points(none, 48, 5)] == [(0, 1), (12, 1), (24, 1), (36, 1)]


def test_those_without_a_time_are_not_told_by_the_number_at_the_start() -> None:
    """Two of 48 of whom nobody knows when: 46 at risk beside 48 patients."""
    whole = curve("All", [float(month) for month in range(1, 47)], [True] * 46)
    assert "46" in texts(drawn("Progression-free survival", [whole], threshold=5))
    hidden = texts(drawn("Progression-free survival", [whole], threshold=5, sizes=[48]))
    assert "46" not in hidden


def test_with_small_cells_hidden_nobody_reads_who_is_left_or_how_long_anybody_was_followed() -> None:
    """Beside the size of a group no number at risk, no band, no mark, and no year behind the last that may be told."""
    svg = drawn("Overall survival", [of_study("A")], threshold=5)
    assert [each for each in texts(svg) if each.isdecimal()] == ["0", "12", "24", "36"]
    assert not re.findall(r"(?:area|tick|rule) mark", svg)
    assert re.findall(r"area mark", drawn("Overall survival", [of_study("A")]))


@pytest.mark.parametrize(("late", "told"), [(0, [12]), (3, []), (5, [12, 24])])
def test_a_year_is_not_told_where_few_events_lie_behind_it(late: int, told: list[int]) -> None:
    """All events less those until it would be those few."""
    months = [*range(1, 11), *range(13, 13 + late), *range(40, 60)]
    assert curve("A", months, [True] * (10 + late) + [False] * 20).years(5) == told
