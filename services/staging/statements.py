"""What single findings state about facts, and how statements about one fact are reconciled.

Pathology beats other methods; a finding beats what a TNM category merely implies; then the later one; then the lower stage
(R1 and R2 of FIGO 2018 as told by Bhatla 2021). A doubtful finding neither holds nor fails, and stays named.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Issue
from shared.oncology.verdict import FAILS, UNKNOWN, Verdict


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


def _weight(s: Statement) -> tuple[bool, bool, str, bool, bool]:
    return (s.method == "p" and s.direct, s.direct, s.when, s.verdict is not UNKNOWN, s.verdict is FAILS)


def settle(statements: list[Statement]) -> tuple[Fact, Issue | None]:
    """What the statements about one fact come to, with an issue where definite ones contradict each other."""
    best = statements[0] if len(statements) == 1 else max(statements, key=_weight)
    agreeing = [s for s in statements if s.verdict is best.verdict and (best.measure is None or s.measure is not None)]
    doubts = tuple(sorted({s.source for s in statements if s.verdict is UNKNOWN}))
    method = best.method or next((s.method for s in sorted(agreeing, key=_weight, reverse=True) if s.method), None)
    fact = Fact(
        verdict=best.verdict,
        measure=best.measure,
        sources=tuple(sorted({s.source for s in agreeing if s.direct or not best.direct})),
        method=method,
        doubts=doubts,
        ask=next((s.ask for s in statements if s.ask and s.verdict is UNKNOWN), None),
    )
    return fact, _conflict(statements, best)


def _conflict(statements: list[Statement], best: Statement) -> Issue | None:
    if len(statements) == 1 or best.verdict is UNKNOWN:
        return None
    against = sorted({s.source for s in statements if s.direct and s.verdict is not UNKNOWN and _contradicts(s, best)})
    if not against:
        return None
    why = "pathology decides" if best.method == "p" else "the later finding decides" if best.when else "the lower stage is taken"
    name = best.fact.replace("_", " ")
    return Issue(
        severity="warning",
        code="extent-conflict",
        text=f"Findings contradict each other on {name}; {why}.",
        sources=tuple(sorted({best.source, *against})),
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
