"""A forest plot in rows: where a hazard ratio and its interval stand on a logarithmic scale that is the same on every page."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor, log2
from typing import NamedTuple

from services.recommend.evidence import Figure

WIDTH = 100.0


class Bar(NamedTuple):
    """One row of the plot, in the units of its picture: the point, and the ends of its interval."""

    point: float
    low: float | None
    high: float | None


class Scale(NamedTuple):
    """The scale, from one whole octave to another: powers of two."""

    first: int
    last: int

    @property
    def ticks(self) -> list[tuple[str, float]]:
        """Each power of two inside the scale, as it is written, and where it stands."""
        return [(f"{2.0**power:g}", self.at(2.0**power)) for power in range(self.first + 1, self.last)]

    def at(self, ratio: float) -> float:
        """Where a ratio stands."""
        return round((log2(ratio) - self.first) / (self.last - self.first) * WIDTH, 2)

    def bar(self, figure: Figure) -> Bar | None:
        """The row of a figure; None where nobody has checked a hazard ratio."""
        if not figure.checked or figure.hazard_ratio is None:
            return None
        low, high = figure.ci or (None, None)
        return Bar(self.at(figure.hazard_ratio), low and self.at(low), high and self.at(high))


def scale(figures: Iterable[Figure]) -> Scale:
    """The scale that holds every checked hazard ratio with its interval, and a quarter to a double at least."""
    checked = [figure for figure in figures if figure.checked and figure.hazard_ratio is not None]
    shown = [float(value) for figure in checked for value in (figure.hazard_ratio, *(figure.ci or ())) if value]
    return Scale(floor(min(map(log2, [*shown, 0.3]))), ceil(max(map(log2, [*shown, 1.5]))))
