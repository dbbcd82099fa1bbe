"""Three-valued verdicts: what holds, what fails, and what nobody has looked at (Kleene's strong logic)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Verdict(Enum):
    """HOLDS, FAILS or UNKNOWN. Silence in a record is UNKNOWN, never FAILS."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, value: bool | None) -> Verdict:
        """The verdict of a boolean, with None for silence."""
        return UNKNOWN if value is None else HOLDS if value else FAILS


HOLDS, FAILS, UNKNOWN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNKNOWN


def every(verdicts: Iterable[Verdict]) -> Verdict:
    """FAILS if one fails, else UNKNOWN if one is unknown, else HOLDS."""
    answer = HOLDS
    for verdict in verdicts:
        if verdict is FAILS:
            return FAILS
        if verdict is UNKNOWN:
            answer = UNKNOWN
    return answer


def some(verdicts: Iterable[Verdict]) -> Verdict:
    """HOLDS if one holds, else UNKNOWN if one is unknown, else FAILS."""
    answer = FAILS
    for verdict in verdicts:
        if verdict is HOLDS:
            return HOLDS
        if verdict is UNKNOWN:
            answer = UNKNOWN
    return answer


def negated(verdict: Verdict) -> Verdict:
    """HOLDS and FAILS exchanged; UNKNOWN stays."""
    return FAILS if verdict is HOLDS else HOLDS if verdict is FAILS else UNKNOWN
