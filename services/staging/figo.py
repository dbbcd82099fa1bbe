"""Facts in, stage out: one table read under three-valued facts. The stage is an interval."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NamedTuple

import msgspec

from services.staging.asking import is_under, ordered
from services.staging.consequences import bounds
from services.staging.schema import FactRule
from shared.knowledge.table import Fact, Measure, Reader, Row, asked, holding
from shared.oncology.stage import Because, EditionStage, Missing
from shared.oncology.verdict import FAILS, HOLDS

_NODES = {"IIIC": "regional_nodes", "IIIC1": "pelvic_nodes", "IIIC2": "para_aortic_nodes"}
_CLINICAL = " (FIGO 2009 is a clinical edition; findings of any method are used.)"
METHOD_ASK = "Whether the nodes were found by imaging (r) or by pathology (p)"
# Facts that no row reads, and that decide what follows from those that one does.
_BEHIND = ("microscopic_only", "horizontal_width")
_MANY = 20_000

FactRules = Mapping[str, FactRule]
Versions = Mapping[str, str]


class Interval(NamedTuple):
    """What a table makes of the facts: the row that holds, by which facts; what else it could be; what to ask for, in order."""

    row: Row | None
    holding: tuple[str, ...]
    could_be: tuple[str, ...]
    missing: tuple[str, ...]


def stage(reader: Reader, facts: Mapping[str, Fact], rules: FactRules, versions: Versions, floor: str | None = None) -> EditionStage:
    """The stage of one edition, what it could be, why, and what is missing.

    `versions` are the versions of the sources. `floor` is a stage that stands where no row holds: only rows above it are then open.
    """
    row, names, could_be, asks = _interval(reader, facts, rules, floor)
    missing = tuple(Missing(name, _ask(name, facts, rules)) for name in asks)
    if row is None:
        return EditionStage(could_be=could_be, missing=missing)
    suffix = None
    if row.stage in _NODES:
        suffix = facts[_NODES[row.stage]].method
        if suffix is None:
            missing += (Missing(_NODES[row.stage], METHOD_ASK),)
    return EditionStage(
        stage=row.stage,
        suffix=suffix,
        label=row.stage + (suffix or ""),
        could_be=could_be,
        because=(_because(reader, row, names, facts, rules, versions),),
        missing=missing,
    )


def versioned(sources: tuple[str, ...], versions: Versions) -> dict[str, str] | msgspec.UnsetType:
    """The versions that are known of these sources; left out where none is."""
    return {source: versions[source] for source in sources if source in versions} or msgspec.UNSET


def _because(reader: Reader, row: Row, names: tuple[str, ...], facts: Mapping[str, Fact], rules: FactRules, versions: Versions) -> Because:
    """Why a row holds, with the facts by which it holds and their sources."""
    clinical = reader.table.edition == "figo-2009" and any(facts[name].method for name in names)
    sources = tuple(sorted({source for name in names for source in facts[name].sources}))
    return Because(
        rule=f"{reader.table.edition}/{row.stage}",
        says=row.says + (_CLINICAL if clinical else ""),
        facts=names,
        findings=tuple(_finding(name, facts[name], rules) for name in names),
        sources=sources,
        versions=versioned(sources, versions),
        reference=row.reference.work,
        place=row.reference.at,
        checked=row.checked,
    )


def _interval(reader: Reader, facts: Mapping[str, Fact], rules: FactRules, floor: str | None) -> Interval:
    """The interval; worked out once for all records whose facts say the same."""
    key = (_state(reader, facts), floor)
    known: Interval | None = reader.known.get(key)
    if known is not None:
        return known
    reading = reader.reading(reader.verdicts(facts), floor)
    opened = [r for r in reading.open if not r.parent or not any(is_under(child.stage, r.stage) for child in reading.open)]
    found = Interval(
        row=reading.row,
        holding=tuple(dict.fromkeys(holding(reading.row.when, facts))) if reading.row else (),
        could_be=tuple(r.stage for r in reversed(opened)),
        missing=ordered(reader, facts, _missing(opened, facts, rules), floor),
    )
    if len(reader.known) >= _MANY:
        reader.known.clear()
    reader.known[key] = found
    return found


def _state(reader: Reader, facts: Mapping[str, Fact]) -> Hashable:
    """All that the rows, what follows, and the questions can tell of the facts: verdicts, doubts, and lengths between their limits."""
    found: list[Hashable] = []
    for name in (*reader.facts, *_BEHIND):
        fact = facts.get(name)
        if fact is None:
            found.append(0)
        elif fact.measure is not None:
            found.append(_stretch(fact.measure, reader, name))
        else:
            found.append((fact.verdict is HOLDS) + 2 * (fact.verdict is FAILS) + 4 * bool(fact.doubts))
    return tuple(found)


def _stretch(measure: Measure, reader: Reader, name: str) -> Hashable:
    return tuple(measure.at_most(limit)._value_ for limit in bounds([reader], name))


def _missing(rows: list[Row], facts: Mapping[str, Fact], rules: FactRules) -> tuple[str, ...]:
    """The facts that the open rows ask for, most advanced row first; what cannot be observed is asked for by what supplies it."""
    found: dict[str, None] = {}
    for row in rows:
        names = asked(row.when, facts)
        for name in [n for n in names if rules[n].code] or names:
            found |= dict.fromkeys(rules[name].supplied_by or (name,))
    return tuple(found)


def _ask(name: str, facts: Mapping[str, Fact], rules: FactRules) -> str:
    """The question for a fact; a doubtful finding asks in its own words."""
    fact = facts.get(name)
    return (fact.ask if fact else None) or rules[name].ask


def _finding(name: str, fact: Fact, rules: FactRules) -> str:
    """A fact that holds in plain words: "parametrial invasion", "greatest diameter of 45 mm"."""
    words = rules[name].finding
    return f"{words} of {in_words(fact.measure, rules[name].measure or '')}" if fact.measure is not None else words


def in_words(measure: Measure, unit: str) -> str:
    """A length as a clinician says it: "45 mm", "more than 40 mm", "20 to 30 mm"."""
    low, high = (None if end is None else f"{end.normalize():f}" for end in (measure.low, measure.high))
    if low is not None and high is not None:
        return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"
    if high is not None:
        return f"{'less than' if measure.high_open else 'at most'} {high} {unit}"
    return f"{'more than' if measure.low_open else 'at least'} {low} {unit}"
