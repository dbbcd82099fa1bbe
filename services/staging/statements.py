"""What single findings state about facts, and how statements about one fact are reconciled.

Pathology beats other methods; a finding beats what a TNM category merely implies; then the later one; then the lower stage
(R1 and R2 of FIGO 2018 as told by Bhatla 2021). A doubtful finding neither holds nor fails, and stays named.

A finding with a body site speaks of that place only: a free liver takes nothing from the lung, and excludes no other organ. What is
free as a whole is free in each of its places.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Issue
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict

Place = tuple[str, ...]  # () is everywhere; ("bone",) a site; ("bone", "73903008") a structure of it; a side stands last
SIDES = frozenset({"24028007", "7771000"})


class Statement(NamedTuple):
    """One finding about one fact. `direct` is False for what a category only implies; `method` is "p", "r" or None."""

    fact: str
    verdict: Verdict
    source: str
    when: str = ""
    method: str | None = None
    direct: bool = True
    measure: Measure | None = None
    ask: str | None = None
    place: Place = ()


class Settled(NamedTuple):
    """A fact as settled, the verdict of each place that was looked at, and the contradictions."""

    fact: Fact
    places: dict[Place, Verdict]
    issues: tuple[Issue, ...]


def _weight(s: Statement) -> tuple[bool, bool, str, bool, bool, Decimal]:
    bound = (s.measure.low if s.measure.high is None else s.measure.high) if s.measure else None
    return (s.method == "p" and s.direct, s.direct, s.when, s.verdict is not UNKNOWN, s.verdict is FAILS, -(bound or Decimal(0)))


def settle(statements: list[Statement], *, local: bool = False) -> Settled:
    """What the statements about one fact come to: it holds where one place holds, and fails where all that could hold it fails.

    A `local` fact has one region with two sides: free on both, or free without a side, it fails. Any other has more places than were
    looked at, and fails only where it was found free everywhere.
    """
    if len(statements) == 1 and not statements[0].place:
        return _alone(statements[0])
    settled = {place: _at(place, statements) for place in sorted({s.place for s in statements})}
    facts = [fact for fact, _ in settled.values()]
    issues = tuple(issue for _, issue in settled.values() if issue)
    places = {place: fact.verdict for place, (fact, _) in settled.items()}
    if len(facts) == 1 and () in settled:
        return Settled(facts[0], places, issues)
    verdicts = set(places.values())
    sides = {place[-1] for place in settled if place} & SIDES
    whole_seen = () in settled or (local and (sides == SIDES or any(place[-1] not in SIDES for place in settled if place)))
    verdict = HOLDS if HOLDS in verdicts else UNKNOWN if UNKNOWN in verdicts or not whole_seen else FAILS
    telling = [fact for fact in facts if fact.verdict is verdict]
    whole = Fact(
        verdict=verdict,
        sources=tuple(sorted({source for fact in telling for source in fact.sources})),
        method=min((fact.method for fact in telling if fact.method), default=None),  # "p" before "r"
        doubts=tuple(sorted({source for fact in facts for source in fact.doubts})),
        ask=next((fact.ask for fact in facts if fact.ask and fact.verdict is UNKNOWN), None),
    )
    return Settled(whole, places, issues)


def _alone(s: Statement) -> Settled:
    """The usual case: one statement about a fact as a whole."""
    doubts = (s.source,) if s.verdict is UNKNOWN else ()
    fact = Fact(s.verdict, s.measure, (s.source,), s.method, doubts, s.ask if doubts else None)
    return Settled(fact, {(): s.verdict}, ())


def _at(place: Place, statements: list[Statement]) -> tuple[Fact, Issue | None]:
    """What the statements come to at one place: its own, and those that find a whole free of which it is part."""
    own = [s for s in statements if s.place == place or (s.verdict is FAILS and s.place == place[: len(s.place)])]
    here = [s for s in own if s.place == place]
    if place and here[0].fact == "distant_nodes" and any(s.verdict is HOLDS for s in here):
        own = here  # "no distant nodes" is an answer of its own, and takes nothing from the groin where a node was found (R17)
    best = own[0] if len(own) == 1 else _best(own)
    agreeing = [s for s in own if s.verdict is best.verdict and (best.measure is None or s.measure is not None)]
    method = best.method or next((s.method for s in sorted(agreeing, key=_weight, reverse=True) if s.method), None)
    fact = Fact(
        verdict=best.verdict,
        measure=best.measure,
        sources=tuple(sorted({s.source for s in agreeing if s.direct or not best.direct})),
        method=method,
        doubts=tuple(sorted({s.source for s in own if s.verdict is UNKNOWN})),
        ask=next((s.ask for s in own if s.ask and s.verdict is UNKNOWN), None),
    )
    return fact, _conflict(own, best)


def _best(own: list[Statement]) -> Statement:
    """The statement that decides. A doubt reopens what was free and takes nothing from what was found: it does not count (R2)."""
    best = max(own, key=_weight)
    if best.verdict is UNKNOWN:
        definite = max((s for s in own if s.verdict is not UNKNOWN and s.direct), key=_weight, default=best)
        return definite if definite.verdict is HOLDS else best
    return best


def _conflict(statements: list[Statement], best: Statement) -> Issue | None:
    if len(statements) == 1 or best.verdict is UNKNOWN:
        return None
    against = [s for s in statements if s.direct and s.verdict is not UNKNOWN and _contradicts(s, best)]
    if not against:
        return None
    why = (
        "pathology decides"
        if best.method == "p" and not any(s.method == "p" for s in against)
        else "the later finding decides"
        if best.when > max(s.when for s in against)
        else "the lower stage is taken"
    )
    name = best.fact.replace("_", " ")
    return Issue(
        severity="warning",
        code="extent-conflict",
        text=f"Findings contradict each other on {name}; {why}.",
        sources=tuple(sorted({best.source, *(s.source for s in against)})),
    )


def _contradicts(one: Statement, other: Statement) -> bool:
    if one.measure is not None and other.measure is not None:
        lows = [m.low for m in (one.measure, other.measure) if m.low is not None]
        highs = [m.high for m in (one.measure, other.measure) if m.high is not None]
        return bool(lows and highs) and max(lows) > min(highs) and one.direct and other.direct and one.when == other.when
    return one.verdict is not other.verdict


def by_fact(statements: Iterable[Statement]) -> dict[str, list[Statement]]:
    """The statements grouped by the fact they are about."""
    found: dict[str, list[Statement]] = {}
    for statement in statements:
        found.setdefault(statement.fact, []).append(statement)
    return found
