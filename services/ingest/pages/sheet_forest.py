"""The small forest plot of the tumour-board sheet: one line a figure, the words in columns and the interval between them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Final, NamedTuple

from services.ingest.pages.forest import Row, interval, runs
from services.ingest.pages.links import work_name
from services.ingest.pages.sheet_words import short
from shared.oncology.recommendation import EvidenceFigure
from shared.oncology.wording import sentence

_ENDPOINTS: Final = {"overall survival": "OS", "progression-free survival": "PFS"}
_TICKS: Final = (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8)


class Bar(NamedTuple):
    """A row; `low`, `at` and `high` are per cent of the plot's width, `low` and `high` None without an interval."""

    work: str
    endpoint: str
    population: str
    n: str
    ratio: str
    interval: str
    months: str
    ranks: str
    low: float | None
    at: float
    high: float | None


class Forest(NamedTuple):
    """The rows, the ticks as pairs of a place in per cent and a number, and how many figures are on the screen only."""

    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    further: int


def small_forest(figures: Sequence[Row], most: int) -> Forest | None:
    """The plot of the first figures; None where there is nothing to draw."""
    shown = figures[:most]
    if not shown:
        return None
    told = [value for row in shown for value in (row.figure.hazard_ratio, *(row.figure.ci or ())) if value]
    low, high = min(*told, 0.45), max(*told, 1.5)

    def place(value: float) -> float:
        return round(100 * log2(value / low) / log2(high / low), 2)

    ticks = tuple((place(tick), f"{tick:g}") for tick in _TICKS if low <= tick <= high)
    bars = tuple(_bar(row, place(row.figure.hazard_ratio or 1), *(map(place, row.figure.ci or ()))) for row in shown)
    return Forest(bars, ticks, len(figures) - len(shown))


def best_figure(figures: Sequence[EvidenceFigure], long: int) -> str:
    """The first checked hazard ratio, or else the first checked figure, in one sentence."""
    best = next((one for one in figures if one.checked and one.hazard_ratio is not None), None)
    if best is None:
        said = next(((one.id, words) for one in figures if (words := sentence(one))), None)
        return short(f"{work_name(said[0])}: {said[1]}", long) if said else ""
    told = [f"HR {best.hazard_ratio:.2f}" + (f" ({interval(best)})" if best.ci else ", CI not told")]
    told += [f"median {_months(best)} months"] if best.months else []
    told += [f"n {best.n}"] if best.n else []
    return short(f"{work_name(best.id)}, {_endpoint(best)}: {', '.join([*told, *filter(None, [best.population])])}", long)


def _bar(row: Row, at: float, low: float | None = None, high: float | None = None) -> Bar:
    figure = row.figure
    return Bar(
        work=work_name(figure.id),
        endpoint=short(_endpoint(figure), 30),
        population=short(figure.population or "", 44),
        n=str(figure.n or ""),
        ratio=f"{figure.hazard_ratio:.2f}",
        interval=interval(figure) if figure.ci else "CI not told",
        months=_months(figure),
        ranks=runs(row.ranks),
        low=low,
        at=at,
        high=high,
    )


def _endpoint(figure: EvidenceFigure) -> str:
    return _ENDPOINTS.get((figure.endpoint or "").lower(), figure.endpoint or "")


def _months(figure: EvidenceFigure) -> str:
    return f"{figure.months[0]:g} v {figure.months[1]:g}" if figure.months else ""
