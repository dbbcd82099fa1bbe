"""A published pathway as a state machine, read from the record: which track, what was done, what comes next, what nobody defined.

A state is left where the questions of one of its ways out all hold. A question that the record cannot answer stops the walk there, and
is asked. Where the work defines nothing (progression, spread it does not foresee) the state says so, and the walk ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from math import inf
from typing import Annotated

import msgspec

from services.recommend.dates import day
from services.recommend.eligibility import UNCHECKED, Fact, Facts, Measured, Told, ask
from services.recommend.irradiated import Course
from services.recommend.policy import Policy
from services.recommend.regimen import Belongs, Cited, Id, Predicate, Review, Text
from services.recommend.treatments import History
from shared.oncology.recommendation import Activity, Pathway, Step
from shared.oncology.record import Record
from shared.oncology.stage import Missing, Staging
from shared.oncology.verdict import HOLDS, UNKNOWN, Verdict, every


class Way(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way out of a state: where it leads, the questions that must all hold, and what settles them."""

    to: Id
    when: Annotated[tuple[Predicate, ...], msgspec.Meta(min_length=1)]
    ask: Text | None = None


class State(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A state: what is done in it, its ways out in the order they are tried, and what may follow. `{given}` and `{left}` count cycles."""

    id: Id
    says: Text
    ways: tuple[Way, ...] = ()
    next: tuple[Text, ...] = ()
    track: Text | None = None
    undefined: bool = False


class Visit(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An activity of the schedule, in days from day 1 of cycle 1. `track`: only there."""

    activity: Text
    day: int
    cycle: int | None = None
    repeats: Text | None = None
    track: Text | None = None


class PathwayFile(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A pathway: for whom it is shown, its states (the first is the entry), its schedule, and what its work leaves open."""

    id: Id
    title: Text
    belongs: Belongs
    cycles: Annotated[int, msgspec.Meta(gt=0)]
    states: Annotated[tuple[State, ...], msgspec.Meta(min_length=1)]
    visits: tuple[Visit, ...] = ()
    undefined: tuple[Text, ...] = ()
    remarks: tuple[Text, ...] = ()
    review: Review

    def __post_init__(self) -> None:
        names = [state.id for state in self.states]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the state `{name}` stands twice")
        for way in (way for state in self.states for way in state.ways):
            if way.to not in names:
                raise ValueError(f"no state is called `{way.to}`")
            if names.index(way.to) == 0:
                raise ValueError(f"a way leads back to the entry `{way.to}`")

    def state(self, name: str) -> State:
        """The state of that name; the file has been checked for it."""
        return next(state for state in self.states if state.id == name)


def walk(pathway: PathwayFile, facts: Facts, given: History, policy: Policy) -> Pathway:
    """Where the patient stands on the pathway."""
    number = policy.number
    passed: list[State] = []
    state = pathway.states[0]
    missing: tuple[Missing, ...] = ()
    while (way := _way(state, facts, number)) is not None:
        verdict, out = way
        if verdict is UNKNOWN:
            missing = (Missing(out.when[0].fact, out.ask or state.says),)
            break
        if out.to in {s.id for s in (*passed, state)}:
            break  # a circle in the file is no progress
        passed.append(state)
        state = pathway.state(out.to)
    else:  # no way is open: what would open one is asked
        missing = tuple(dict.fromkeys(Missing(way.when[0].fact, way.ask) for way in state.ways if way.ask))
    cycles = facts.known.get("doublet-cycles")
    counted = int(cycles.low) if isinstance(cycles, Measured) else 0
    words = {"given": str(counted), "left": str(max(pathway.cycles - counted, 0))}
    track = next((s.track for s in reversed((*passed, state)) if s.track), None)
    ran = (*passed, state)
    return Pathway(
        id=pathway.id,
        title=pathway.title,
        track=track,
        passed=tuple(_step(s, facts, words) for s in passed),
        current=_step(state, facts, words),
        next=tuple(text.format(**words) for text in state.next),
        undefined=(*([state.says.format(**words)] if state.undefined else []), *pathway.undefined),
        missing=missing,
        schedule=tuple(_activity(visit) for visit in pathway.visits if visit.track in (None, track)),
        started=_first(given),
        evidence=tuple(dict.fromkeys(place.work for part in (pathway, *ran) for place in part.because)),
        notes=pathway.remarks,
    )


def _way(state: State, facts: Facts, number: Callable[[str], float]) -> tuple[Verdict, Way] | None:
    """The first way out that is open, or that the record cannot judge."""
    for way in state.ways:
        verdict = every(ask(question, facts.known, number) for question in way.when)
        if verdict is HOLDS or verdict is UNKNOWN:
            return verdict, way
    return None


def _step(state: State, facts: Facts, words: Mapping[str, str]) -> Step:
    asked = (facts.known.get(question.fact) for way in state.ways for question in way.when)
    sources = tuple(dict.fromkeys(source for fact in asked if fact for source in fact.sources))
    says = state.says.format(**words)
    return Step(state=state.id, says=says if state.checked else says.rstrip(".") + UNCHECKED + ".", sources=sources)


def _activity(visit: Visit) -> Activity:
    words = visit.activity if visit.checked else visit.activity + UNCHECKED
    return Activity(activity=words, day=visit.day, cycle=visit.cycle, repeats=visit.repeats)


def _first(given: History) -> str | None:
    """Day 1 of cycle 1, once a doublet was given."""
    starts = _starts(given, 1)
    return starts[0].isoformat() if starts else None


def _starts(given: History, apart: float) -> list[date]:
    """The days on which a cycle of a platinum compound with a taxane began."""
    starts: list[date] = []
    for line in given.lines:
        classes = {name for drug in line.drugs.values() for name in drug.classes}
        if {"platinum", "taxane"} <= classes:
            for when in sorted(set(line.days)):
                if not starts or (when - starts[-1]).days >= apart:
                    starts.append(when)
    return starts


def pathway_facts(record: Record, staging: Staging, given: History, known: Mapping[str, Fact], policy: Policy) -> dict[str, Fact]:
    """What a pathway asks beyond the situation: cycles of the doublet, the response to them, radiotherapy after them."""
    starts = _starts(given, policy.number("cycle-apart"))
    sources = given.sources if starts else ()
    found: dict[str, Fact] = {"doublet-cycles": _count(len(starts), sources)}
    response = known.get("response")
    if starts and isinstance(response, Told) and (seen := day(response.when)) and seen > starts[0]:
        found["response-to-doublet"] = response
        found["cycles-at-response"] = _count(sum(start < seen for start in starts), response.sources)
    found |= dict(_irradiated(record, given, starts))
    classes = {m.site_class for m in staging.metastases if m.certainty == "definite" and m.in_window}
    if {"organ", "distant-node"} <= classes:
        both = tuple(dict.fromkeys(s for m in staging.metastases if m.site_class in ("organ", "distant-node") for s in m.sources))
        found["nodes-beside-organs"] = Told(values=("involved",), sources=both)
    organs = [m for m in staging.metastases if m.site_class == "organ" and m.in_window]
    if sure := [m for m in organs if m.certainty == "definite"]:
        high = len(sure) if len(sure) == len(organs) else inf
        shown = tuple(dict.fromkeys(s for m in organs for s in m.sources))
        found["organs-with-metastases"] = Measured(low=len(sure), high=high, unit="{organ}", sources=shown)
    return found


def _count(number: int, sources: tuple[str, ...]) -> Measured:
    return Measured(low=number, high=number, unit="{cycle}", sources=sources)


def _irradiated(record: Record, given: History, starts: list[date]) -> Iterator[tuple[str, Fact]]:
    """Radiotherapy to the pelvis begun after the first cycle, ongoing or completed."""
    pelvic = [course for course in given.courses if starts and course.pelvic and course.start and course.start >= starts[0]]
    today = day(record.today)
    if pelvic:
        ended = all(course.finding.status == "completed" or _over(course, today) for course in pelvic)
        yield "radiotherapy-after-doublet", Told(values=("completed" if ended else "ongoing",), sources=tuple(c.source for c in pelvic))
    else:
        yield "radiotherapy-after-doublet", Told(values=("no",))


def _over(course: Course, today: date | None) -> bool:
    return bool(course.finding.until and today and course.end and course.end < today)
