"""Kaplan-Meier of one group, by lifelines: steps with their band, the median, rates and numbers at risk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from lifelines import KaplanMeierFitter  # type: ignore[import-untyped]

YEAR: Final = 12
COARSE: Final = 5  # per cent: in fifty patients one is two per cent, and a share to one per cent is her
_ROUNDED: Final = 1e-9


class Rate(msgspec.Struct, frozen=True):
    """A share with its 95 % interval, from 0 to 1, and how many were still at risk."""

    value: float
    low: float
    high: float
    at_risk: int


class Step(msgspec.Struct, frozen=True):
    """A step of the curve: from this month on, survival and its 95 % band."""

    month: float
    value: float
    low: float
    high: float


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Kaplan-Meier of a group. The median and its interval are None where the curve does not come down to a half.

    `censored` are month and survival of each patient without the event, `months` the times of all; both in order.
    """

    name: str
    patients: int
    events: int
    median: float | None
    median_low: float | None
    median_high: float | None
    steps: tuple[Step, ...]
    censored: tuple[tuple[float, float], ...]
    months: tuple[float, ...]

    def at_risk(self, month: float) -> int:
        """How many are followed, without the event, until just before that month."""
        return len(self.months) - bisect_left(self.months, month)

    def happened(self, month: float) -> int:
        """How many had the event until that month, itself included."""
        return bisect_right(self.months, month) - bisect_right(self.censored, month, key=lambda each: each[0])

    def rate(self, month: float) -> Rate | None:
        """Survival at a month; None where nobody was followed so long and the curve has not come down to nothing."""
        if not self.months:
            return None
        step = self.steps[bisect_right(self.steps, month, key=lambda each: each.month) - 1]
        if step.value > 0 and month > self.months[-1]:
            return None
        return Rate(step.value, step.low, step.high, self.at_risk(month))

    def about(self, month: int, threshold: int) -> int:
        """Survival in per cent at one of the `years`: to the nearest 5, or to 1 where that is as many patients as the threshold."""
        found = self.rate(month)
        step = COARSE if self.patients < 100 * threshold else 1
        return step * round(100 * (found.value if found else 1) / step)

    def years(self, threshold: int, *, every: int = YEAR, counted: bool = True) -> list[int]:
        """The months at which a curve may be told where small cells are hidden, and no others: ends of years (or of `every` so many months)
        with so many events since the one before, and so many at risk. All with so many at risk where there are no events at all.

        Where all events are `counted` elsewhere, so many lie behind the last month too, or none.
        """
        found, told = [], 0
        for month in range(every, int(self.months[-1] if self.months else 0) + 1, every):
            happened = self.happened(month)
            if self.at_risk(month) >= threshold and (happened - told >= threshold or not self.events):
                found.append(month)
                told = happened
        return found[:-1] if counted and 0 < self.events - told < threshold else found


def curve(name: str, months: Sequence[float], events: Sequence[bool]) -> Curve:
    """Kaplan-Meier with its band (log-minus-log)."""
    if not months:
        empty: dict[str, Any] = {"median": None, "median_low": None, "median_high": None, "steps": (), "censored": (), "months": ()}
        return Curve(name=name, patients=0, events=0, **empty)
    fitted = KaplanMeierFitter().fit(list(months), list(events))
    band = fitted.confidence_interval_survival_function_
    table = fitted.survival_function_
    steps = tuple(
        Step(float(at), float(value), _end(low, value), _end(high, value))
        for at, value, (low, high) in zip(table.index, table.iloc[:, 0], band.to_numpy(), strict=True)
    )
    # Once nobody is left there is no standard error, and no band that an interval could end at.
    lows, highs = (tuple((s.month, getattr(s, end)) for s in steps if s.value > 0) for end in ("low", "high"))
    left = sorted(month for month, event in zip(months, events, strict=True) if not event)
    marks = zip(left, fitted.predict(left, interpolate=False).tolist() if len(left) > 1 else map(fitted.predict, left), strict=True)
    return Curve(
        name=name,
        patients=len(months),
        events=int(sum(events)),
        median=reached(((step.month, step.value) for step in steps), 0.5),
        median_low=reached(lows, 0.5),
        median_high=reached(highs, 0.5),
        steps=steps,
        censored=tuple((month, float(value)) for month, value in marks),
        months=tuple(sorted(months)),
    )


def reached(levels: Iterable[tuple[float, float]], level: float) -> float | None:
    """The first month at which a curve has come down to a level; None where it does not. What should be a half may end in a one."""
    return next((month for month, value in levels if value <= level + _ROUNDED), None)


def _end(end: float, value: float) -> float:
    """An end of the band; before the first event there is none, and behind the last one of a curve at nothing neither."""
    return float(end) if end == end else float(value)  # noqa: PLR0124 - not a number is not itself
