"""The forest plot of a page: each checked hazard ratio of the candidates with its interval on a logarithmic scale, medians, n, population.

A figure that nobody has compared with its work is not drawn; the work is named as cited without one.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import ceil, floor, log2
from typing import Any, NamedTuple

import altair as alt

from services.ingest.pages.links import work_name
from services.ingest.pages.picture import INK, Column, Picture, axis, data, layers, svg, words
from shared.fhir.words import capital
from shared.oncology.recommendation import Candidate, EvidenceFigure

_COLUMNS = (
    Column("Work"),
    Column("Endpoint"),
    Column("Compared"),
    Column("Population"),
    Column("n", True),
    Column("HR", True),
    Column("CI", True),
    Column("Medians, months", True),
    Column("For candidates"),
)
_WIDE, _NARROW = 62, 48


class Row(NamedTuple):
    """A figure, and the ranks of the candidates that cite it."""

    figure: EvidenceFigure
    ranks: tuple[int, ...]


def rows(candidates: Iterable[Candidate]) -> tuple[Row, ...]:
    """Every checked hazard ratio once, in the order of the candidates."""
    found: dict[tuple[object, ...], tuple[EvidenceFigure, list[int]]] = {}
    for candidate in candidates:
        for figure in candidate.evidence:
            if figure.checked and figure.hazard_ratio:
                key = (figure.id, figure.endpoint, figure.population, figure.hazard_ratio, figure.ci)
                found.setdefault(key, (figure, []))[1].append(candidate.rank)
    return tuple(Row(figure, tuple(dict.fromkeys(ranks))) for figure, ranks in found.values())


def unchecked(candidates: Iterable[Candidate]) -> tuple[str, ...]:
    """The works that are cited, and not one figure of them was checked."""
    checked: dict[str, bool] = {}
    for figure in (figure for candidate in candidates for figure in candidate.evidence):
        checked[figure.id] = checked.get(figure.id, False) or figure.checked
    return tuple(work_name(name) for name, known in checked.items() if not known)


@lru_cache(maxsize=256)
def forest(shown: tuple[Row, ...]) -> Picture | None:
    """The plot in both widths with its table; None where there is nothing to draw."""
    if not shown:
        return None
    title = "Hazard ratios of the cited works"
    says = (
        f"{len(shown)} hazard ratios on a logarithmic scale; below 1 the first-named treatment did better. {' '.join(map(_spoken, shown))}"
    )
    lines = [_line(number, row) for number, row in enumerate(shown)]
    scale = _scale(shown)
    return Picture(
        id="forest",
        title=title,
        says=says,
        wide=svg(_wide(lines, scale), id="forest", title=title, says=says, shape="wide"),
        narrow=svg(_narrow(lines, scale), id="forest", title=title, says=says, shape="narrow"),
        columns=_COLUMNS,
        rows=tuple(map(_cells, shown)),
    )


def runs(ranks: Iterable[int]) -> str:
    """Numbers with their runs drawn together: 1 to 4, 7."""
    found: list[list[int]] = []
    for rank in sorted(ranks):
        if found and rank == found[-1][-1] + 1:
            found[-1].append(rank)
        else:
            found.append([rank])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in found)


def interval(figure: EvidenceFigure) -> str:
    """The confidence interval, with its level where that is not 95 %."""
    if figure.ci is None:
        return "not told"
    level = f" ({figure.level} %)" if figure.level not in (None, 95) else ""
    return f"{figure.ci[0]:.2f}–{figure.ci[1]:.2f}{level}"


def medians(figure: EvidenceFigure) -> str:
    """The medians in months, treatment of interest first."""
    return f"{figure.months[0]:g} v {figure.months[1]:g}" if figure.months else ""


def _cells(row: Row) -> tuple[str, ...]:
    f = row.figure
    cells = (
        work_name(f.id),
        capital(f.endpoint or ""),
        " against ".join(f.arms),
        f.population or "",
        str(f.n or ""),
        f"{f.hazard_ratio:.2f}",
    )
    return (*cells, interval(f), medians(f), runs(row.ranks))


def _spoken(row: Row) -> str:
    f = row.figure
    return f"{work_name(f.id)}, {f.endpoint}: {f.hazard_ratio:.2f}, interval {interval(f)}."


def _short(line: dict[str, Any], long: int) -> dict[str, Any]:
    """The words of a line, cut where they would not fit."""
    return line | {name: text if len(text := line[name]) <= long else f"{text[:long].rstrip()}…" for name in ("work", "who")}


def _line(number: int, row: Row) -> dict[str, Any]:
    f = row.figure
    low, high = f.ci or (None, None)
    return {
        "at": number + 0.5,
        "upper": number + 0.33,
        "lower": number + 0.69,
        "low": low,
        "high": high,
        "ratio": f.hazard_ratio,
        "work": f"{work_name(f.id)}, {f.endpoint}",
        "who": ", ".join(filter(None, (f.population, f"n {f.n}" if f.n else ""))),
        "told": f"{f.hazard_ratio:.2f} ({interval(f)})" if f.ci else f"{f.hazard_ratio:.2f} (no interval told)",
        "months": f"{medians(f)} months" if f.months else "",
    }


def _scale(shown: Iterable[Row]) -> tuple[float, float]:
    told = [value for row in shown for value in (row.figure.hazard_ratio, *(row.figure.ci or ())) if value]
    low, high = 2 * log2(min(*told, 0.5)), 2 * log2(max(*told, 1.4))
    return 2.0 ** (floor(low) / 2), 2.0 ** (ceil(high) / 2)


def _wide(lines: list[dict[str, Any]], scale: tuple[float, float]) -> dict[str, Any]:
    tall, left, field = 40 * len(lines), 400, 320
    lines = [_short(line, _WIDE) for line in lines]
    y = _y("at", len(lines))
    upper, lower = _y("upper", len(lines)), _y("lower", len(lines))
    marks = [
        *_bars(lines, scale, y, "Hazard ratio, logarithmic; below 1 favours the first-named treatment"),
        words(lines, "work", -left, upper, weight=600),
        words(lines, "who", -left, lower, size=12.5, quiet=True),
        words(lines, "told", field + 24, upper, weight=600),
        words(lines, "months", field + 24, lower, size=12.5, quiet=True),
    ]
    return layers(marks, width=field, height=tall, left=left, right=180)


def _narrow(lines: list[dict[str, Any]], scale: tuple[float, float]) -> dict[str, Any]:
    """The words of a row stand above its bar."""
    count, field = len(lines), 340
    placed = [
        {**_short(line, _NARROW), "at": n + 0.86, "upper": n + 0.2, "lower": n + 0.42, "third": n + 0.63} for n, line in enumerate(lines)
    ]
    marks = [
        *_bars(placed, scale, _y("at", count), "Hazard ratio, logarithmic; below 1 favours the first-named"),
        words(placed, "work", 0, _y("upper", count), size=14, weight=600),
        words(placed, "who", 0, _y("lower", count), size=13, quiet=True),
        words(placed, "told", 0, _y("third", count), size=14),
        words(placed, "months", field, _y("third", count), align="right", size=13, quiet=True),
    ]
    return layers(marks, width=field, height=92 * count, left=4, right=4)


def _bars(lines: list[dict[str, Any]], scale: tuple[float, float], y: alt.Y, title: str) -> list[alt.Chart]:
    ticks = [tick for tick in (0.125, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8) if scale[0] <= tick <= scale[1]]
    scales = axis(ticks, title, "~g")
    x = alt.X("ratio:Q", scale=alt.Scale(type="log", domain=list(scale), nice=False), axis=scales)
    one = alt.Chart(data([{"one": 1}])).mark_rule(color=INK, opacity=0.4, strokeWidth=1).encode(x=alt.X("one:Q"))
    told = [line for line in lines if line["low"] is not None]
    bars = alt.Chart(data(told)).mark_rule(color=INK, strokeWidth=1.75).encode(x=alt.X("low:Q"), x2="high:Q", y=y)
    ends = [
        alt.Chart(data(told)).mark_tick(color=INK, thickness=1.75, size=9, orient="vertical").encode(x=alt.X(f"{end}:Q"), y=y)
        for end in ("low", "high")
    ]
    filled = alt.Chart(data(lines)).mark_point(shape="square", filled=True, size=64, color=INK, opacity=1).encode(x=x, y=y)
    return [filled, one, bars, *ends]


def _y(field: str, count: int) -> alt.Y:
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[count, 0], nice=False), axis=None)
