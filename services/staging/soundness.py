"""Whether the stage tables are sound: no gap, no overlap, no row out of reach, no fact that nobody supplies, every bound on a measure.

Exact, by telling cases apart and not by sampling: a fact is true or false, a length lies in one of the stretches between the limits that
anything draws through it, and a table is read in each case only as far as it looks. What is checked is what is read in earnest: the reader
of the tables, over facts completed by `consequences.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import combinations, pairwise, product
from typing import Any

from services.staging.consequences import LABELS, LIMITS, complete
from services.staging.knowledge import Rules
from services.staging.wording import said
from shared.fhir.outcome import KnowledgeError
from shared.knowledge.table import Fact, Measure, Reader, Row, When, judge
from shared.oncology.verdict import FAILS, HOLDS, Verdict

_EITHER = (Fact(HOLDS), Fact(FAILS))
_LEVELS = ("pelvic_nodes", "para_aortic_nodes")
_SILENT = Fact()


def refusals(rules: Rules) -> Iterator[KnowledgeError]:
    """What is wrong with the tables, one sentence each: the file, the row, and what to do."""
    for edition, reader in rules.tables.items():
        unusable = [*_unmeasured(reader, rules), *_unsupplied(reader, rules)]
        checks = (_overlaps, _out_of_reach, _gaps) if not unusable else ()
        for text in (*unusable, *(found for check in checks for found in check(reader, rules))):
            yield KnowledgeError(text, file=f"{edition}.yaml")


def _unmeasured(reader: Reader, rules: Rules) -> Iterator[str]:
    for row in reader.table.rows:
        for part in _leaves(row.when):
            assert part.fact is not None
            measured = rules.facts[part.fact].measure
            if part.unit != measured:
                how = f"is measured in {measured}" if measured else "is no measure"
                unit = part.unit or "no unit"
                yield f"Row {row.stage} reads `{part.fact}` in {unit}, and it {how}: give a bound in that unit, or none."


def _unsupplied(reader: Reader, rules: Rules) -> Iterator[str]:
    """A parent row may also read a label of its own: then it speaks where somebody recorded that stage."""
    supplied = supplies(rules)
    for row in reader.table.rows:
        for name in dict.fromkeys(row.when.facts()):
            if name not in supplied and not (row.parent and name in LABELS):
                yield (
                    f"Row {row.stage} reads `{name}`, which no code, TNM category, site or consequence makes true: "
                    "let one supply it, or take it out of the row."
                )


def supplies(rules: Rules) -> set[str]:
    """The facts that some reader can make hold, or leave open."""
    coded = {name for name, rule in rules.facts.items() if rule.code}
    stated = {name for category in rules.tnm.categories.values() for name in held(category)}
    sites = (*rules.sites.sites, *rules.sites.direct, *rules.sites.separate, *rules.sites.regions)
    placed = {name for site in sites for name in (*site.opens, *([site.holds] if site.holds else []))}
    follows: dict[str, Fact] = {}
    complete(follows)
    return coded | stated | placed | (follows.keys() - set(LABELS))


def held(category: Any) -> tuple[str, ...]:
    """What a TNM category states to hold, in any version."""
    return tuple(name for it in (category, category.in_8, category.in_7, category.undated) if it is not None for name in it.holds)


def _overlaps(reader: Reader, rules: Rules) -> Iterator[str]:
    """Substages that a measure tells apart exclude one another; any other two rows may hold together, and the upper one outranks."""
    substages: dict[str, list[Row]] = {}
    for row in reader.table.rows:
        if not row.parent:
            substages.setdefault(row.stage[:-1], []).append(row)
    for group in substages.values():
        if not any(part.unit for row in group for part in _leaves(row.when)):
            continue
        for upper, lower in combinations(group, 2):
            both = _both(upper, lower, reader, rules)
            if both is not None:
                yield (
                    f"Rows {upper.stage} and {lower.stage} both hold with {said(both, rules)}: "
                    f"let {upper.stage} begin where {lower.stage} ends (the limit itself belongs to {lower.stage})."
                )


def _both(one: Row, other: Row, reader: Reader, rules: Rules) -> dict[str, Fact] | None:
    names = tuple(dict.fromkeys((*one.when.facts(), *other.when.facts())))
    for values in product(*(choices(name, reader, rules) for name in names)):
        facts = dict(zip(names, values, strict=True))
        if judge(one.when, facts) is judge(other.when, facts) is HOLDS:
            return facts
    return None


def _out_of_reach(reader: Reader, rules: Rules) -> Iterator[str]:
    """Silence on what a row does not read, and on what no row reads against itself, is where the rows above it hold the least."""
    against: set[str] = set()
    for row in reader.table.rows:
        against |= set(_against(row.when))
        names = tuple(dict.fromkeys((*_with_suppliers(row.when.facts(), rules), *sorted(against))))
        known = [(*choices(name, reader, rules), _SILENT) for name in names]
        if not any(_answers(reader, row, dict(zip(names, values, strict=True))) for values in product(*known)):
            yield f"Row {row.stage} is never the answer, whatever is known: move it above the row that outranks it, or change or remove it."


def _answers(reader: Reader, row: Row, facts: dict[str, Fact]) -> bool:
    complete(facts)
    return reader.read(facts).row is row


def _gaps(reader: Reader, rules: Rules) -> Iterator[str]:
    """Where everything is known of a tumour, a row answers, and not a parent: a parent speaks where something is not told."""
    read = {name for row in reader.table.rows for name in row.when.facts()}
    spread, excuses = _spread(rules), _excuses(reader)
    yield from (f"No row reads `{name}`, although it is spread: add it to the row that it makes." for name in spread if name not in read)
    plainest: dict[object, tuple[Row | None, dict[str, Fact]]] = {}
    for facts, row in known_cases(reader, rules):
        unread = frozenset(name for name in spread if name in read and _counts(name, facts, excuses))
        if row is not None and not row.parent and (not unread or unread & set(row.when.facts())):
            continue
        kind = row.stage if row is not None and row.parent else row and unread
        if kind not in plainest or _findings(facts) < _findings(plainest[kind][1]):
            plainest[kind] = row, facts
    yield from (_gap(row, said(facts, rules)) for row, facts in plainest.values())


def _gap(row: Row | None, words: str) -> str:
    if row is None:
        return f"No row answers with {words}, and all else excluded: add a row for it, or widen one."
    if not row.parent:
        return f"Row {row.stage} answers with {words}, and reads nothing of that spread: add a row for it, or widen one above."
    return (
        f"Row {row.stage} answers with {words}, although nothing is left untold: "
        "a substage has a gap there; let its limits meet those of its neighbour, or add a row."
    )


def _spread(rules: Rules) -> list[str]:
    return [*_beyond_the_uterus(rules), *(name for name in rules.tnm.categories["M0"].fails if rules.facts[name].code)]


def _excuses(reader: Reader) -> dict[str, str]:
    """Fact → the fact that excuses it: an obstruction with another known cause is no spread."""
    parts = (part for row in reader.table.rows for part in _leaves(row.when))
    return {part.fact: part.unless for part in parts if part.fact is not None and part.unless is not None}


def _counts(name: str, facts: Mapping[str, Fact], excuses: Mapping[str, str]) -> bool:
    held = facts.get(name, _SILENT).verdict is HOLDS
    return held and not (name in excuses and facts.get(excuses[name], _SILENT).verdict is HOLDS)


def _findings(facts: Mapping[str, Fact]) -> int:
    return sum(fact.verdict is HOLDS for fact in facts.values())


def known_cases(reader: Reader, rules: Rules) -> Iterator[tuple[dict[str, Fact], Row | None]]:
    """Every case of a tumour of known extent, each as far as the table looks, with the row that answers."""
    todo: list[dict[str, Fact]] = [{}]
    excuses = _excuses(reader)
    while todo:
        known = todo.pop()
        try:
            row = reader.read(_Asking(known, excuses, rules)).row
        except _Untold as untold:
            todo += [known | {untold.name: value} for value in reversed(choices(untold.name, reader, rules))]
        else:
            yield known, row


class _Untold(Exception):
    def __init__(self, name: str) -> None:
        self.name = name


class _Asking(dict[str, Fact]):
    """Facts of which none is unknown: one that is not told yet is asked for, one that cannot be told follows from those that can."""

    def __init__(self, known: Mapping[str, Fact], excuses: Mapping[str, str], rules: Rules) -> None:
        super().__init__(known)
        self._rules = rules
        self._excuses = excuses

    def get(self, name: str, _: Any = None) -> Fact:
        if name in self:
            return self[name]
        if name == "regional_nodes":
            return _fact(self.get(level).verdict is HOLDS for level in _LEVELS)
        if name == "confined_to_cervix":
            return _fact([not any(_counts(each, self, self._excuses) for each in _beyond_the_uterus(self._rules))])
        rule = self._rules.facts[name]
        if rule.code:
            raise _Untold(name)
        for supplier in rule.supplied_by:
            self.get(supplier)
        return self._completed.get(name, Fact(FAILS))

    @cached_property
    def _completed(self) -> dict[str, Fact]:
        """With what follows from them: once for all that follows, for nobody adds to these facts."""
        completed = dict(self)
        complete(completed)
        return completed


def _fact(verdicts: Iterable[bool]) -> Fact:
    return Fact(Verdict.of(any(verdicts)))


def _beyond_the_uterus(rules: Rules) -> list[str]:
    return [name for group in rules.tnm.beyond.values() for name in group if rules.facts[name].code]


def choices(name: str, reader: Reader, rules: Rules) -> Sequence[Fact]:
    """What can be known of a fact: true or false; or a length on every limit, between any two, below the first and above the last."""
    if rules.facts[name].measure is None:
        return _EITHER
    limits = sorted(
        {
            *(limit for row in reader.table.rows for fact, limit in row.when.limits() if fact == name),
            *([LIMITS[name]] if name in LIMITS else []),
        }
    ) or [Decimal(1)]
    lengths = [limits[0] / 2, *limits, *((low + high) / 2 for low, high in pairwise(limits)), limits[-1] + 1]
    return [Fact(HOLDS, Measure(length, length)) for length in sorted(lengths)]


def _leaves(when: When) -> Iterator[When]:
    if when.fact is not None:
        yield when
    for part in (*when.every, *when.some, *((when.negated,) if when.negated else ())):
        yield from _leaves(part)


def _against(when: When) -> Iterator[str]:
    """The facts that a condition reads against itself: one that excuses another, and all below a `not`."""
    if when.negated is not None:
        yield from when.negated.facts()
    elif when.unless is not None:
        yield when.unless
    for part in (*when.every, *when.some):
        yield from _against(part)


def _with_suppliers(names: Iterable[str], rules: Rules) -> Iterator[str]:
    for name in names:
        yield name
        yield from rules.facts[name].supplied_by if name not in LABELS else ()
