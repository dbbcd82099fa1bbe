"""What a reader can work out of survival with small cells hidden: every number of deaths and of censored that fits what is published.

All orders of deaths and censorings are gone through, one patient after the other, from the whole group on. Of many orders that end alike a
few are kept: what is found to fit does fit, so that two values found are two that a reader cannot tell apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.cohort.kaplan_meier import COARSE
from services.cohort.suppression import near, small

Counts = tuple[int, int]  # deaths, censored
Trail = tuple[Counts, ...]  # of each stretch, the last one after the last month that is published
_KEPT = 12
_MOST = 250


class Group(NamedTuple):
    """What is published of a group: per cent alive at each month that is told. `events` is None where hidden."""

    size: int
    events: int | None
    months: Mapping[int, float]


class State(NamedTuple):
    """Where a course of events has come to: how many are left, and survival."""

    left: int
    value: float

    def after(self, *, death: bool) -> State:
        return State(self.left - 1, self.value * (1 - 1 / self.left) if death else self.value)


def trails(group: Group, threshold: int, *, step: float = COARSE) -> set[Trail]:
    """Every trail that fits. A month is published where so many deaths lie between it and the one before, and so many are at risk; behind
    the last one there are none, or so many (which is not asked of figures in finer `step` of per cent).
    """
    found: dict[Trail, list[State]] = {(): [State(group.size, 1.0)]}
    most = group.size - (group.events or 0)
    for rate in group.months.values():
        reached: dict[Trail, list[State]] = {}
        for trail, states in found.items():
            for counts, ends in _stretch(states, rate, threshold, most - sum(each[1] for each in trail), step).items():
                reached[(*trail, counts)] = ends
        found = reached
    whole = set()
    for trail, states in found.items():
        left = states[0].left
        tails = range(left + 1) if group.events is None else [group.events - sum(each[0] for each in trail)]
        whole |= {
            (*trail, (each, left - each))
            for each in tails
            if 0 <= each <= left and not (group.months and small(each, threshold) and step == COARSE)
        }
    return whole


def _stretch(starts: Sequence[State], rate: float, threshold: int, most: int, step: float) -> dict[Counts, list[State]]:
    """Deaths and censored until a month, and where they end, of those that fit what is published there."""
    layer: dict[Counts, list[State]] = {(0, 0): list(starts)}
    fitting: dict[Counts, list[State]] = {}
    while layer:
        following: dict[Counts, list[State]] = {}
        for (deaths, censored), states in layer.items():
            ends = [each for each in states if round(100 * each.value / step) == round(rate / step)]
            if ends and deaths >= threshold:
                fitting[deaths, censored] = ends
            more = [each for each in states if each.left > threshold and 100 * each.value > rate - step]
            following.setdefault((deaths + 1, censored), []).extend(each.after(death=True) for each in more)
            if censored < most:
                following.setdefault((deaths, censored + 1), []).extend(each.after(death=False) for each in more)
        layer = {counts: _few(states) for counts, states in following.items() if states}
    return fitting


def _few(states: list[State]) -> list[State]:
    """So few that they lie evenly between the least and the greatest."""
    order = sorted({round(each.value, 9): each for each in states}.values(), key=lambda each: each.value)
    return order if len(order) <= _KEPT else [order[n * (len(order) - 1) // (_KEPT - 1)] for n in range(_KEPT)]


def given_away(of: Iterable[Trail], true: Trail, threshold: int) -> list[str]:
    """The small counts of a trail that all trails that fit have in common."""
    found = {*of, true}
    return [
        f"{('deaths', 'censored')[which]} of stretch {place + 1} = {true[place][which]}"
        for place in range(len(true))
        for which in (0, 1)
        if 0 < true[place][which] < threshold and len({trail[place][which] for trail in found}) == 1
    ]


def _nearest(found: set[Trail], true: Trail) -> list[Trail]:
    """The true trail and those like it, of which most fit together."""
    return sorted(
        {*found, true},
        key=lambda trail: sum(abs(a - b) for one, two in zip(trail, true, strict=True) for a, b in zip(one, two, strict=True)),
    )[:_MOST]


def until(group: Group, trail: Trail) -> dict[int, Counts]:
    """How many had died and were censored until each published month; the end is month 0."""
    found, deaths, censored = {}, 0, 0
    for month, counts in zip([*group.months, 0], trail, strict=True):
        deaths, censored = deaths + counts[0], censored + counts[1]
        found[month] = (deaths, censored)
    return found


def together(groups: Sequence[Group], threshold: int, true: Sequence[Trail]) -> tuple[list[set[Trail]], dict[int, set[Counts]]]:
    """The trails of whole, A and B that fit each other too; and for months published of the whole and one group, how many of the other had
    died or were censored there by the difference, each possible value.
    """
    whole, a, b = (
        {trail: until(group, trail) for trail in _nearest(trails(group, threshold), real)} for group, real in zip(groups, true, strict=True)
    )
    kept: list[set[Trail]] = [set(), set(), set()]
    derived: dict[int, set[Counts]] = {}
    ends: dict[Counts, list[tuple[Trail, dict[int, Counts]]]] = {}
    for trail, times in whole.items():
        ends.setdefault(times[0], []).append((trail, times))
    for one, first in a.items():
        for two, second in b.items():
            hidden = groups[1].events is None
            if hidden and not any(near(times[0][0], group.size, threshold) for times, group in ((first, groups[1]), (second, groups[2]))):
                continue
            for all_, times in ends.get(_plus(first[0], second[0]), []):
                implied = []
                for month, sums in times.items():
                    if month in first and month in second:
                        if _plus(first[month], second[month]) != sums:
                            break
                    elif month in first or month in second:
                        known, other = (first, second) if month in first else (second, first)
                        rest = (sums[0] - known[month][0], sums[1] - known[month][1])
                        if not _between(other, month, rest):
                            break
                        implied.append((month, rest))
                    elif not _apart(first, second, month, sums):
                        break
                else:
                    for place, trail in enumerate((all_, one, two)):
                        kept[place].add(trail)
                    for month, rest in implied:
                        derived.setdefault(month, set()).add(rest)
    return kept, derived


def _plus(one: Counts, two: Counts) -> Counts:
    return one[0] + two[0], one[1] + two[1]


def _ends(times: dict[int, Counts], month: int) -> tuple[Counts, Counts]:
    """What had happened until the published months around one that is not."""
    before = [counts for at, counts in times.items() if 0 < at < month]
    after = [counts for at, counts in times.items() if at > month]
    return (before[-1] if before else (0, 0)), (after[0] if after else times[0])


def _between(times: dict[int, Counts], month: int, counts: Counts) -> bool:
    low, high = _ends(times, month)
    return all(low[n] <= counts[n] <= high[n] for n in (0, 1))


def _apart(first: dict[int, Counts], second: dict[int, Counts], month: int, sums: Counts) -> bool:
    (low, high), (least, most) = _ends(first, month), _ends(second, month)
    return all(low[n] + least[n] <= sums[n] <= high[n] + most[n] for n in (0, 1))
