"""What single findings state about facts, and how statements about one fact are reconciled.

Pathology beats other methods; a finding beats a bare category, and both beat what a category merely implies; then the later one; then
the lower stage (R1 and R2 of FIGO 2018 as told by Bhatla 2021). A doubtful finding neither holds nor fails, and stays named. What
cannot be ordered in time, because a date is partial or not told, is neither the later nor the earlier one.

A finding with a body site speaks of that place only: a free liver takes nothing from the lung, and excludes no other organ. What is
free as a whole is free in each of its places.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal, NamedTuple

from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Issue
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict

Place = tuple[str, ...]  # () is everywhere; ("bone",) a site; ("bone", "73903008") a structure of it; a side stands last
SIDES = frozenset({"24028007", "7771000"})
# A finding of the fact itself; a summary that denies it (N0, M0, "confined to the cervix"); what a category implies beyond what it says.
Kind = Literal["finding", "summary", "implied"]


class Statement(NamedTuple):
    """What one finding states about one fact; `method` is "p", "r" or None."""

    fact: str
    verdict: Verdict
    source: str
    when: str = ""
    method: str | None = None
    kind: Kind = "finding"
    measure: Measure | None = None
    ask: str | None = None
    place: Place = ()

    @property
    def direct(self) -> bool:
        return self.kind == "finding"


class Settled(NamedTuple):
    """A fact as settled, the verdict of each place that was looked at, and the contradictions."""

    fact: Fact
    places: dict[Place, Fact]
    issues: tuple[Issue, ...]


def _rank(s: Statement) -> tuple[bool, bool]:
    return s.method == "p" and s.direct, s.direct


def _lower(s: Statement) -> tuple[bool, bool, Decimal]:
    """Of statements that weigh the same: one that is sure, then the one of the lower stage."""
    bound = (s.measure.low if s.measure.high is None else s.measure.high) if s.measure else None
    return s.verdict is not UNKNOWN, s.verdict is FAILS, -(bound or Decimal(0))


def _later(one: Statement, other: Statement) -> bool:
    """Whether the one is surely later than the other, at the precision that both dates have."""
    shared = min(len(one.when), len(other.when))
    return one.when[:shared] > other.when[:shared]


def _heaviest(statements: list[Statement]) -> Statement:
    top = max(_rank(s) for s in statements)
    ranked = [s for s in statements if _rank(s) == top]
    # The newest of each precision: what none of them is later than, no other is.
    newest = {len(s.when): s for s in sorted(ranked, key=lambda s: s.when)}.values()
    return max((s for s in ranked if not any(_later(other, s) for other in newest)), key=lambda s: (*_lower(s), s.when))


def settle(statements: list[Statement], *, local: bool = False) -> Settled:
    """What the statements about one fact come to: it holds where one place holds, and fails where all that could hold it fails.

    A `local` fact has one region with two sides: free on both, or free without a side, it fails. Any other has more places than were
    looked at, and fails only where it was found free everywhere.
    """
    if len(statements) == 1 and not statements[0].place:
        return _alone(statements[0])
    settled = {place: _at(place, statements) for place in sorted({s.place for s in statements})}
    facts = [fact for fact, _ in settled.values()]
    issues = tuple(dict.fromkeys(issue for _, issue in settled.values() if issue))
    places = {place: fact for place, (fact, _) in settled.items()}
    if len(facts) == 1 and () in settled:
        return Settled(facts[0], places, issues)
    verdicts = {fact.verdict for fact in facts}
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
    return Settled(fact, {(): fact}, ())


def _at(place: Place, statements: list[Statement]) -> tuple[Fact, Issue | None]:
    """What the statements come to at one place: its own, and those that find a whole free of which it is part."""
    own = [s for s in statements if s.place == place or (s.verdict is FAILS and s.place == place[: len(s.place)])]
    here = [s for s in own if s.place == place]
    if place and here[0].fact == "distant_nodes" and any(s.verdict is HOLDS for s in here):
        # "No distant nodes" is an answer of its own, and takes nothing from the groin where a node was found (R17); M0 contradicts it.
        own = here + [s for s in own if s.place != place and not s.direct]
    best = own[0] if len(own) == 1 else _best(own)
    agreeing = [s for s in own if s.verdict is best.verdict and (best.measure is None or s.measure is not None)]
    method = best.method or min((s.method for s in agreeing if s.method and s.direct is best.direct), default=None)
    fact = Fact(
        verdict=best.verdict,
        measure=best.measure,
        sources=tuple(sorted({s.source for s in agreeing if s.direct or not best.direct})),
        method=method,
        doubts=tuple(sorted({s.source for s in own if s.verdict is UNKNOWN})),
        ask=min((s.ask for s in own if s.ask and s.verdict is UNKNOWN), default=None),
    )
    return fact, _conflict(own, best, fact.sources)


def _best(own: list[Statement]) -> Statement:
    """The statement that decides. A doubt reopens what was free and takes nothing from what was found: it does not count (R2)."""
    best = _heaviest(own)
    if best.verdict is UNKNOWN:
        sure = [s for s in own if s.verdict is not UNKNOWN and s.direct]
        definite = _heaviest(sure) if sure else best
        return definite if definite.verdict is HOLDS else best
    return best


def _conflict(statements: list[Statement], best: Statement, sources: tuple[str, ...]) -> Issue | None:
    """The contradiction between the statements, if there is one; `sources` are those that the fact as settled stands on."""
    if len(statements) == 1 or best.verdict is UNKNOWN:
        return None
    against = [s for s in statements if s.kind != "implied" and s.verdict is not UNKNOWN and _contradicts(s, best)]
    if not against:
        return None
    why = (
        "pathology decides"
        if best.method == "p" and best.direct and not any(s.method == "p" for s in against)
        else "the finding decides"
        if best.direct and not any(s.direct for s in against)
        else "the later finding decides"
        if all(_later(best, s) for s in against)
        else "the lower stage is taken"
    )
    name = best.fact.replace("_", " ")
    return Issue(
        severity="warning",
        code="extent-conflict",
        text=f"Findings contradict each other on {name}; {why}.",
        sources=tuple(sorted({*sources, *(s.source for s in against)})),
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
