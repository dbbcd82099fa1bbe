"""Schedules as timelines, in days from day 1 of cycle 1: the drugs of a candidate, and the published pathway to its follow-up.

What has no fixed end goes on as a dashed line; nothing is drawn on a day that the knowledge does not name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import altair as alt

from services.ingest.pages.beside_view import held, when
from services.ingest.pages.picture import INK, Column, Picture, axis, data, layers, svg, words
from shared.fhir.words import capital
from shared.oncology.recommendation import Activity, Candidate, Pathway, Recommendation
from shared.oncology.wording import UNCHECKED

_COLUMNS = (Column("Activity"), Column("When"))
_EVERY = re.compile(r"every (\d{1,3}) days")
_TIMES = re.compile(r"at most (\d{1,3}) cycles|(\w+) cycles in all")
_DAYS = re.compile(r"day ([\d, ]+) every")
_NUMBERS = {word: number for number, word in enumerate(["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"], 1)}
_WIDE, _NARROW, _FAR = 66, 46, 260


class Strip(NamedTuple):
    """One activity on the line: the days that are named, and whether it goes on after the last of them."""

    activity: str
    days: tuple[int, ...]
    goes_on: bool
    when: str


def timelines(recommendation: Recommendation, candidate: Candidate | None) -> tuple[Picture, ...]:
    """The drugs of the candidate, then each pathway that has a schedule and goes on."""
    found = [_of_candidate(candidate)] if candidate is not None and candidate.doses else []
    found += [_of_pathway(pathway) for pathway in recommendation.pathways if pathway.schedule and not held(recommendation)]
    return tuple(found)


def _of_candidate(candidate: Candidate) -> Picture:
    strips = _strips(candidate.schedule, None)
    return _picture(f"schedule-{candidate.rank}", f"If candidate {candidate.rank} is chosen: {candidate.title}", strips)


def _of_pathway(pathway: Pathway) -> Picture:
    return _picture(
        f"schedule-{pathway.id}", f"If the published pathway is followed: {pathway.title}", _strips(pathway.schedule, pathway.started)
    )


def _strips(lines: Iterable[Activity], started: str | None) -> tuple[Strip, ...]:
    listed = [*lines]
    ends = [days[-1] for line in listed if (days := _days(line, 0)) and days[-1] <= _FAR]
    horizon = max(*ends, *(line.day for line in listed), 127, 0)
    return tuple(Strip(_plain(line.activity), _days(line, horizon), _open(line, horizon), when(line, started)) for line in listed)


def _days(line: Activity, horizon: int) -> tuple[int, ...]:
    """The days that the words name; of a recurrence without an end those up to the horizon."""
    told, every = line.repeats or "", _EVERY.search(line.repeats or "")
    if every is None:
        return (line.day,)
    each = [int(day) for day in found[1].replace(" ", "").split(",") if day] if (found := _DAYS.search(told)) else [1]
    period, times = int(every[1]), _times(told)
    last = min(times, horizon // period + 1) if times and horizon else times or horizon // period + 1
    days = [line.day + cycle * period + day - 1 for cycle in range(last) for day in each]
    return tuple(day for day in days if not horizon or day <= horizon) or (line.day,)


def _times(told: str) -> int:
    found = _TIMES.search(told)
    return 0 if found is None else int(found[1]) if found[1] else _NUMBERS.get(found[2], 0)


def _open(line: Activity, horizon: int) -> bool:
    """Whether it goes on after the last day that is drawn: a course of radiotherapy has a first day, and its length is not told."""
    if line.repeats is None and "radiotherapy" in line.activity:
        return True
    if line.repeats is None or line.repeats.startswith("after"):
        return False
    every, times = _EVERY.search(line.repeats), _times(line.repeats)
    return not (every and times) or line.day + (times - 1) * int(every[1]) > horizon


def _plain(text: str) -> str:
    return capital(text.replace(f" ({UNCHECKED})", "").replace(" intravenously", " IV").replace("m2", "m²"))


@lru_cache(maxsize=256)
def _picture(id: str, title: str, strips: tuple[Strip, ...]) -> Picture:
    says = f"A timeline in days from day 1 of cycle 1. {' '.join(f'{strip.activity}: {strip.when}.' for strip in strips)}"
    placed = [*_placed(strips)]
    last = max(strip["last"] for strip in placed)
    return Picture(
        id=id,
        title=title,
        says=says,
        wide=svg(_wide(placed, last), id=id, title=title, says=says, shape="wide"),
        narrow=svg(_narrow(placed, last), id=id, title=title, says=says, shape="narrow"),
        columns=_COLUMNS,
        rows=tuple((strip.activity, strip.when) for strip in strips),
    )


def _placed(strips: Iterable[Strip]) -> Iterator[dict[str, Any]]:
    listed = [*strips]
    end = max(strip.days[-1] for strip in listed)
    for number, strip in enumerate(listed):
        yield {"row": number, "name": strip.activity, "days": strip.days, "goes_on": strip.goes_on, "from": strip.days[-1], "last": end}


def _short(text: str, long: int) -> str:
    return text if len(text) <= long else f"{text[:long].rstrip()}…"


def _wide(placed: list[dict[str, Any]], last: int) -> dict[str, Any]:
    lines = [{**strip, "name": _short(strip["name"], _WIDE), "at": strip["row"] + 0.5} for strip in placed]
    y, left = _y("at", len(lines)), 430
    return layers([*_marks(lines, last, y), words(lines, "name", -left, y)], width=448, height=30 * len(lines), left=left, right=22)


def _narrow(placed: list[dict[str, Any]], last: int) -> dict[str, Any]:
    short = [{**strip, "name": _short(strip["name"], _NARROW)} for strip in placed]
    lines = [{**strip, "at": strip["row"] + 0.72, "upper": strip["row"] + 0.3} for strip in short]
    marks = [*_marks(lines, last, _y("at", len(lines))), words(lines, "name", 0, _y("upper", len(lines)), size=13.5)]
    return layers(marks, width=326, height=52 * len(lines), left=6, right=16)


def _marks(lines: list[dict[str, Any]], last: int, y: alt.Y) -> list[alt.Chart]:
    domain = [1, max(last * 1.08, 30)]
    step = next(step for step in (21, 42, 84, 168, 336) if domain[1] / step <= 9)
    days = axis([1 + step * number for number in range(int(domain[1] / step) + 1)], "Day, counted from day 1 of cycle 1", "d")
    x = alt.X("day:Q", scale=alt.Scale(domain=domain, nice=False), axis=days)
    points = data([{"day": day, "at": line["at"]} for line in lines for day in line["days"]])
    spans = data([{"day": line["days"][0], "until": line["from"], "at": line["at"]} for line in lines])
    on = [{"day": line["from"], "until": domain[1], "at": line["at"]} for line in lines if line["goes_on"]]
    return [
        alt.Chart(points).mark_point(shape="circle", filled=True, size=52, color=INK, opacity=1).encode(x=x, y=y),
        alt.Chart(spans).mark_rule(color=INK, strokeWidth=1.25, opacity=0.5).encode(x=alt.X("day:Q"), x2="until:Q", y=y),
        alt.Chart(data(on))
        .mark_rule(color=INK, strokeWidth=1.25, strokeDash=[3, 3], opacity=0.7)
        .encode(x=alt.X("day:Q"), x2="until:Q", y=y),
        alt.Chart(data(on))
        .mark_point(shape="triangle-right", filled=True, size=44, color=INK, opacity=0.7)
        .encode(x=alt.X("until:Q"), y=y),
    ]


def _y(field: str, count: int) -> alt.Y:
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[count, 0], nice=False), axis=None)
