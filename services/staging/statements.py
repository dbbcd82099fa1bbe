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
from typing import Literal

import msgspec

from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Issue
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict

Place = tuple[str, ...]  # () is everywhere; ("bone",) a site; ("bone", "73903008") a structure of it; a side stands last
SIDES = frozenset({"24028007", "7771000"})
# A finding of the fact itself; a summary that denies it (N0, M0, "confined to the cervix"); what a category implies beyond what it says.
Kind = Literal["finding", "summary", "implied"]


class Statement(msgspec.Struct, frozen=True, gc=False):
    """What one finding states about one fact; `method` is "p", "r" or None. `category` is the TNM category that states it ("cT2b")."""

    fact: str
    verdict: Verdict
    source: str
    when: str = ""
    method: str | None = None
    kind: Kind = "finding"
    measure: Measure | None = None
    ask: str | None = None
    place: Place = ()
    category: str = ""

    @property
    def direct(self) -> bool:
        return self.kind == "finding"


class Settled(msgspec.Struct, frozen=True, gc=False):
    """A fact as settled, the verdict of each place that was looked at, the contradictions, and the TNM categories that lost them."""

    fact: Fact
    places: dict[Place, Fact]
    issues: tuple[Issue, ...] = ()
    lost: tuple[str, ...] = ()


def _rank(s: Statement) -> tuple[bool, bool]:
    return s.method == "p" and s.direct, s.direct


def _lower(s: Statement) -> tuple[bool, bool, Decimal]:
    """Of statements that weigh the same: one that is sure, then the one of the lower stage."""
    bound = (s.measure.low if s.measure.high is None else s.measure.high) if s.measure else None
    lower = HOLDS if s.fact == "confined_to_cervix" else FAILS
    return s.verdict is not UNKNOWN, s.verdict is lower, -(bound or Decimal(0))


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


def settle(statements: list[Statement], *, local: bool = False, limits: tuple[Decimal, ...] = ()) -> Settled:
    """What the statements about one fact come to: it holds where one place holds, and fails where all that could hold it fails.

    A `local` fact has one region with two sides: free on both, or free without a side, it fails. Any other has more places than were
    looked at, and fails only where it was found free everywhere. `limits` are those that the tables draw through a length.
    """
    if len(statements) == 1 and not statements[0].place:
        return _alone(statements[0])
    settled = {place: _at(place, statements, limits) for place in sorted({s.place for s in statements})}
    facts = [fact for fact, _, _ in settled.values()]
    issues = tuple(dict.fromkeys(issue for _, issue, _ in settled.values() if issue))
    lost = tuple(label for _, _, labels in settled.values() for label in labels)
    places = {place: fact for place, (fact, _, _) in settled.items()}
    if len(facts) == 1 and () in settled:
        return Settled(facts[0], places, issues, lost)
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
    return Settled(whole, places, issues, lost)


def _alone(s: Statement) -> Settled:
    """The usual case: one statement about a fact as a whole."""
    doubts = (s.source,) if s.verdict is UNKNOWN else ()
    fact = Fact(s.verdict, s.measure, (s.source,), s.method, doubts, s.ask if doubts else None)
    return Settled(fact, {(): fact})


def _at(place: Place, statements: list[Statement], limits: tuple[Decimal, ...]) -> tuple[Fact, Issue | None, tuple[str, ...]]:
    """What the statements come to at one place: its own, and those that find a whole free of which it is part."""
    own = [s for s in statements if s.place == place or (s.verdict is FAILS and s.place == place[: len(s.place)])]
    here = [s for s in own if s.place == place]
    if place and here[0].fact == "distant_nodes" and any(s.verdict is HOLDS for s in here):
        # "No distant nodes" is an answer of its own, and takes nothing from the groin where a node was found (R17); M0 contradicts it.
        own = here + [s for s in own if s.place != place and not s.direct]
    best = own[0] if len(own) == 1 else _best(_within(own, limits) if limits else own)
    agreeing = [s for s in own if s.verdict is best.verdict and s.measure == best.measure]
    method = best.method or min((s.method for s in agreeing if s.method and s.direct is best.direct), default=None)
    fact = Fact(
        verdict=best.verdict,
        measure=best.measure,
        sources=tuple(sorted({s.source for s in agreeing if s.direct or not best.direct})),
        method=method,
        doubts=tuple(sorted({s.source for s in own if s.verdict is UNKNOWN})),
        ask=min((s.ask for s in own if s.ask and s.verdict is UNKNOWN), default=None),
    )
    if len(own) == 1 or best.verdict is UNKNOWN:
        return fact, None, ()
    against = [s for s in own if s.verdict is not UNKNOWN and _opposes(s, best, limits)]
    lost = tuple(sorted({s.category for s in against if s.category}))
    return fact, _conflict(best, against, lost, fact.sources) if against else None, lost


def _within(own: list[Statement], limits: tuple[Decimal, ...]) -> list[Statement]:
    """The lengths that may count: beside a pathological category only those within it, unless the specimen itself was measured (R1)."""
    category = next((s for s in own if s.kind == "summary"), None)
    if category is None or any(s.direct and s.method == "p" for s in own):
        return own
    return [s for s in own if s.direct and not _contradicts(s, category, limits)] or [category]


def _best(own: list[Statement]) -> Statement:
    """The statement that decides. A doubt reopens what was free and takes nothing from what was found: it does not count (R2)."""
    best = _heaviest(own)
    if best.verdict is UNKNOWN:
        sure = [s for s in own if s.verdict is not UNKNOWN and s.direct]
        definite = _heaviest(sure) if sure else best
        return definite if definite.verdict is HOLDS else best
    return best


def _conflict(best: Statement, against: list[Statement], lost: tuple[str, ...], sources: tuple[str, ...]) -> Issue:
    """The contradiction: what it is about, which recorded categories lost it, and why. `sources` are those that the fact stands on."""
    why = (
        "pathology decides"
        if best.method == "p" and (best.direct or best.measure) and not any(s.method == "p" for s in against)
        else "the finding decides"
        if best.direct and not any(s.direct for s in against)
        else "the later finding decides"
        if all(_later(best, s) for s in against)
        else "the lower stage is taken"
    )
    recorded = f" ({', '.join(lost)} is recorded)" if lost else ""
    return Issue(
        severity="warning",
        code="extent-conflict",
        text=f"Findings contradict each other on {best.fact.replace('_', ' ')}{recorded}; {why}.",
        sources=tuple(sorted({*sources, *(s.source for s in against)})),
    )


def _opposes(one: Statement, best: Statement, limits: tuple[Decimal, ...]) -> bool:
    """Whether a statement lost to the one that decides: what is merely implied does so only where a TNM category implies it."""
    return (one.kind != "implied" or (best.direct and bool(one.category))) and _contradicts(one, best, limits)


def _contradicts(one: Statement, other: Statement, limits: tuple[Decimal, ...]) -> bool:
    """Whether two verdicts differ, or two lengths lie on either side of a limit of the tables."""
    if one.measure is not None and other.measure is not None:
        return any({one.measure.at_most(limit), other.measure.at_most(limit)} == {HOLDS, FAILS} for limit in limits)
    return one.verdict is not other.verdict


def by_fact(statements: Iterable[Statement]) -> dict[str, list[Statement]]:
    """The statements grouped by the fact they are about."""
    found: dict[str, list[Statement]] = {}
    for statement in statements:
        found.setdefault(statement.fact, []).append(statement)
    return found
