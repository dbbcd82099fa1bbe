"""A table of rows read under three-valued facts: which row holds, which rows above it are open, and what they ask.

Rows stand from the most to the least advanced. The first row that holds is the answer; an unknown row above it is what the answer could
be; the facts that leave it unknown are what is missing. Silence is unknown, so a silent record gives a wide answer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict, every, negated, some


class Measure(msgspec.Struct, frozen=True, gc=False):
    """What is known of a quantity, in the unit of its fact: between `low` and `high`, each end included unless open."""

    low: Decimal | None = None
    high: Decimal | None = None
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether no quantity lies in it: it ends before it begins."""
        return self.low is not None and self.high is not None and self.low > self.high

    def at_most(self, limit: Decimal) -> Verdict:
        """Whether the quantity is at most the limit."""
        if self.high is not None and self.high <= limit:
            return HOLDS
        if self.low is not None and (self.low > limit or (self.low == limit and self.low_open)):
            return FAILS
        return UNKNOWN


class Fact(msgspec.Struct, frozen=True, gc=False):
    """What the record says of one fact. `open` names findings that leave it in doubt, with the question that would settle it."""

    verdict: Verdict = UNKNOWN
    measure: Measure | None = None
    sources: tuple[str, ...] = ()
    method: str | None = None
    doubts: tuple[str, ...] = ()
    ask: str | None = None


class Reference(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A work, and the place in it."""

    work: str
    at: str


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"every": "all", "some": "any", "negated": "not"}):
    """A condition: one fact (with a bound, or unless another is known to hold), or all, any, not of conditions."""

    fact: str | None = None
    unless: str | None = None
    at_most: Decimal | None = None
    more_than: Decimal | None = None
    unit: str | None = None
    every: tuple[When, ...] = ()
    some: tuple[When, ...] = ()
    negated: When | None = None

    def __post_init__(self) -> None:
        forms = [self.fact is not None, bool(self.every), bool(self.some), self.negated is not None]
        if sum(forms) != 1:
            raise ValueError("a condition is exactly one of `fact`, `all`, `any`, `not`")
        bounds = [b for b in (self.at_most, self.more_than) if b is not None]
        if len(bounds) > 1 or (bounds and (self.fact is None or self.unit is None)) or (self.unit and not bounds):
            raise ValueError("a bound stands on one fact, once, and has a unit")

    def facts(self) -> tuple[str, ...]:
        """The facts that the condition reads, in order."""
        inner = tuple(name for part in (*self.every, *self.some) for name in part.facts())
        own = tuple(name for name in (self.fact, self.unless) if name)
        return own + inner + (self.negated.facts() if self.negated else ())

    def limits(self) -> Iterator[tuple[str, Decimal]]:
        """The limits that the condition draws through lengths, each with its fact."""
        limit = self.at_most if self.at_most is not None else self.more_than
        if self.fact is not None and limit is not None:
            yield self.fact, limit
        for part in (*self.every, *self.some, *((self.negated,) if self.negated else ())):
            yield from part.limits()


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: the answer it gives, its condition, and the work it stands in. A parent speaks where its children are open."""

    stage: str
    says: str
    when: When
    reference: Reference
    checked: bool
    parent: bool = False


class Review(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who has looked at a knowledge file, when, and when it is due again (ISO dates)."""

    state: Literal["draft", "reviewed"]
    by: tuple[str, ...]
    on: str | None
    next: str

    def __post_init__(self) -> None:
        if self.state == "reviewed" and (len(self.by) < 2 or self.on is None):
            raise ValueError("a reviewed file names two reviewers and a date")


class Reviewed(Protocol):
    """A review as any knowledge file has it, to be printed or exported."""

    @property
    def state(self) -> str: ...
    @property
    def by(self) -> tuple[str, ...]: ...
    @property
    def on(self) -> str | None: ...
    @property
    def next(self) -> str: ...


class InForce(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """The days on which an edition was in force."""

    since: str
    to: str | None


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One edition's rows, from the most to the least advanced."""

    edition: str
    title: str
    in_force: InForce
    review: Review
    rows: tuple[Row, ...]


Facts = Mapping[str, Fact]
_SILENT = Fact()
_Judge = Callable[[Facts], Verdict]


class Reading(NamedTuple):
    """What a table says: the row that holds (or none), and the open rows above it, most advanced first."""

    row: Row | None
    open: list[Row]


class Reader:
    """A table made ready for reading many records.

    `stages` are the answers of the rows in their order, `facts` what the rows read, by name, `bounds` the limits that they draw through
    lengths. `known` is for whoever reads with it: what the same state of the facts came to before.
    """

    def __init__(self, table: Table) -> None:
        self.table = table
        self._rows = [(row, _judge(row.when)) for row in table.rows]
        self.stages = tuple(row.stage for row in table.rows)
        self._readers: dict[str, set[int]] = {}
        limits: dict[str, set[Decimal]] = {}
        for place, row in enumerate(table.rows):
            for name in row.when.facts():
                self._readers.setdefault(name, set()).add(place)
            for name, limit in row.when.limits():
                limits.setdefault(name, set()).add(limit)
        self.facts = tuple(sorted(self._readers))
        self.bounds = {name: tuple(sorted(found)) for name, found in limits.items()}
        self.known: dict[Hashable, Any] = {}

    def read(self, facts: Facts) -> Reading:
        """The row that holds under the facts, and the rows above it that nobody can exclude."""
        return self.reading(judge(facts) for _, judge in self._rows)

    def reading(self, verdicts: Iterable[Verdict], floor: str | None = None) -> Reading:
        """The same from the verdicts of the rows. Where no row holds, only rows above the stage `floor` are open."""
        opened: list[Row] = []
        for (row, _), verdict in zip(self._rows, verdicts, strict=False):
            if verdict is HOLDS:
                return Reading(row, opened)
            if verdict is UNKNOWN:
                opened.append(row)
        if floor is None:
            return Reading(None, opened)
        return Reading(None, [row for row in opened if self.stages.index(row.stage) < self.stages.index(floor)])

    def verdicts(self, facts: Facts, changed: Iterable[str] | None = None, before: Sequence[Verdict] = ()) -> list[Verdict]:
        """The verdict of every row, from the most advanced; from those `before` where only some facts have changed since."""
        if changed is None:
            return [judge(facts) for _, judge in self._rows]
        found = list(before)
        for place in {place for name in changed for place in self._readers.get(name, ())}:
            found[place] = self._rows[place][1](facts)
        return found


def judge(when: When, facts: Facts) -> Verdict:
    """The verdict of one condition under the facts."""
    return _judge(when)(facts)


def asked(when: When, facts: Facts) -> Sequence[str]:
    """The facts that leave a condition unknown."""
    if when.negated is not None:
        return asked(when.negated, facts)
    if when.fact is None:
        parts = [part for part in (*when.every, *when.some) if judge(part, facts) is UNKNOWN]
        return [name for part in parts for name in asked(part, facts)]
    return [when.fact] if judge(when, facts) is UNKNOWN else []


def holding(when: When, facts: Facts) -> Sequence[str]:
    """The facts by which a condition holds."""
    if when.fact is not None:
        return [when.fact] if judge(when, facts) is HOLDS else []
    return [name for part in (*when.every, *when.some) for name in holding(part, facts)]


def _judge(when: When) -> _Judge:
    if when.negated is not None:
        inner = _judge(when.negated)
        return lambda facts: negated(inner(facts))
    if when.every:
        parts = [_judge(part) for part in when.every]
        return lambda facts: every(part(facts) for part in parts)
    if when.some:
        parts = [_judge(part) for part in when.some]
        return lambda facts: some(part(facts) for part in parts)
    assert when.fact is not None
    return _judge_fact(when, when.fact)


def _judge_fact(when: When, name: str) -> _Judge:
    if when.at_most is not None or when.more_than is not None:
        return _judge_measure(name, when.at_most, when.more_than)
    if when.unless is not None:
        unless = when.unless
        return lambda facts: FAILS if facts.get(unless, _SILENT).verdict is HOLDS else facts.get(name, _SILENT).verdict
    return lambda facts: facts.get(name, _SILENT).verdict


def _judge_measure(name: str, at_most: Decimal | None, more_than: Decimal | None) -> _Judge:
    def verdict(facts: Facts) -> Verdict:
        measure = facts.get(name, _SILENT).measure
        if measure is None:
            return UNKNOWN
        if at_most is not None:
            return measure.at_most(at_most)
        assert more_than is not None
        return negated(measure.at_most(more_than))

    return verdict
