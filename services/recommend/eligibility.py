"""Criteria × facts → verdict, three-valued. Knows no FHIR: a fact is an interval of numbers or a set of words it may still be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf

import msgspec

from services.recommend.regimen import Contraindication, Need, Predicate, Rule, Threshold
from shared.oncology.recommendation import CandidateVerdict, Caution, Reason
from shared.oncology.stage import Missing
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict, every, negated

UNCHECKED = " (not checked against the source)"
SEVERITIES = ("mild", "moderate", "severe")


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A number as known: from `low` to `high` (ends open where marked). `how` names a formula or mapping, `inputs` what went in."""

    low: float
    high: float
    low_open: bool = False
    high_open: bool = False
    unit: str
    sources: tuple[str, ...] = ()
    when: str | None = None
    how: str | None = None
    inputs: dict[str, str | float | None] = {}

    @property
    def exact(self) -> float | None:
        """The number, where it is one."""
        return self.low if self.low == self.high else None

    def __str__(self) -> str:
        if self.exact is not None:
            return f"{_plain(self.low)}{_unit(self.unit)}"
        if self.high == inf:
            return f"{'above' if self.low_open else 'at least'} {_plain(self.low)}{_unit(self.unit)}"
        if self.low == -inf:
            return f"{'below' if self.high_open else 'at most'} {_plain(self.high)}{_unit(self.unit)}"
        return f"{_plain(self.low)} to {_plain(self.high)}{_unit(self.unit)}"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in words: what it may be. "no" means absent; several words mean it is not settled."""

    values: tuple[str, ...]
    sources: tuple[str, ...] = ()
    when: str | None = None
    how: str | None = None

    def __str__(self) -> str:
        return " or ".join(self.plainly)

    @property
    def plainly(self) -> tuple[str, ...]:
        """The words, with one for a disorder of which nobody told the severity."""
        if not set(SEVERITIES) <= set(self.values):
            return self.values
        return ("present (severity not told)", *(value for value in self.values if value not in SEVERITIES))


Fact = Measured | Told


class Facts(msgspec.Struct, frozen=True):
    """What is known of one patient, and for silent facts what would settle them beyond the criterion's own words."""

    known: Mapping[str, Fact]
    asks: Mapping[str, tuple[Missing, ...]] = {}


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one regimen, and everything behind it."""

    verdict: CandidateVerdict
    reasons: tuple[Reason, ...]
    missing: tuple[Missing, ...]
    cautions: tuple[Caution, ...]
    blocks: tuple[Caution, ...]


def ask(question: Predicate, known: Mapping[str, Fact], number: Callable[[str], float]) -> Verdict:
    """The verdict of one question; silence is UNKNOWN. `number` gives the policy's parameters."""
    fact = known.get(question.fact)
    if question.recorded is not None:
        return HOLDS if (fact is not None) == question.recorded else FAILS
    if isinstance(fact, Told):
        return _told(question, fact.values)
    if isinstance(fact, Measured):
        return _measured(question, fact, number)
    return UNKNOWN


def _told(question: Predicate, values: tuple[str, ...]) -> Verdict:
    if question.is_ is not None:
        hits = [(value != "no") == question.is_ for value in values]
    else:
        hits = [value in (question.one_of or ()) for value in values]
    return UNKNOWN if not hits else HOLDS if all(hits) else UNKNOWN if any(hits) else FAILS


def _measured(question: Predicate, fact: Measured, number: Callable[[str], float]) -> Verdict:
    def at_least(threshold: Threshold) -> Verdict:
        bound = number(threshold.policy) if threshold.policy else threshold.value or 0.0
        if fact.low >= bound:
            return HOLDS
        return FAILS if fact.high < bound or (fact.high == bound and fact.high_open) else UNKNOWN

    def above(threshold: Threshold) -> Verdict:
        bound = number(threshold.policy) if threshold.policy else threshold.value or 0.0
        if fact.low > bound or (fact.low == bound and fact.low_open):
            return HOLDS
        return FAILS if fact.high <= bound else UNKNOWN

    if question.at_least:
        return at_least(question.at_least)
    if question.above:
        return above(question.above)
    if question.at_most:
        return negated(above(question.at_most))
    return negated(at_least(question.below)) if question.below else UNKNOWN


def judge(
    needs: Iterable[Need],
    contraindications: Iterable[Contraindication],
    facts: Facts,
    number: Callable[[str], float],
    cites: Callable[[str], bool] = lambda work: True,
    extra: Iterable[tuple[Reason, Missing | None]] = (),
) -> Judgement:
    """A criterion that fails or a block that holds rules out; a silent criterion leaves it open. `cites` hides later works."""
    reasons: list[Reason] = []
    missing: list[Missing] = []
    for reason, gap in extra:
        reasons.append(reason)
        missing += [gap] if gap else []
    for need in needs:
        verdict = ask(need, facts.known, number)
        reasons.append(_reason(need, verdict, facts, cites))
        if verdict is UNKNOWN:
            missing += _gaps(need.fact, need.ask, facts)
    cautions: list[Caution] = []
    blocks: list[Caution] = []
    for rule in contraindications:
        if rule.unless and ask(rule.unless, facts.known, number) is HOLDS:
            continue
        verdict = ask(rule, facts.known, number)
        if verdict is HOLDS and rule.level != "ask":
            (blocks if rule.level == "block" else cautions).append(_caution(rule, facts, cites))
        elif rule.ask_unless and ask(rule.ask_unless, facts.known, number) is HOLDS:
            continue
        elif rule.ask and verdict is (HOLDS if rule.level == "ask" else UNKNOWN):
            missing += _gaps(rule.fact, rule.ask, facts)
    settled = every(Verdict(reason.verdict) for reason in reasons)
    return Judgement(
        verdict="ruled-out" if blocks or settled is FAILS else "cannot-tell" if settled is UNKNOWN else "eligible",
        reasons=tuple(reasons),
        missing=tuple(dict.fromkeys(missing)),
        cautions=tuple(cautions),
        blocks=tuple(blocks),
    )


def _gaps(fact: str, text: str, facts: Facts) -> list[Missing]:
    return [Missing(fact, text), *facts.asks.get(fact, ())]


def _recorded(fact: Fact | None) -> str:
    if fact is None:
        return ""
    if isinstance(fact, Measured) and fact.unit == "{line}":
        return _line(fact)
    if isinstance(fact, Measured) and fact.unit == "d" and fact.when:
        return f" On record: {fact.when}."
    how = f", {fact.how}" if fact.how else ""
    return f" On record: {fact}{how}{f', {fact.when}' if fact.when else ''}."


def _line(line: Measured) -> str:
    """Which line it is; where nothing is on record, that this is why."""
    if not line.sources and line.exact is None:
        return " None on record, and not all treatments could be read."
    if not line.sources:
        return f" None on record, and so this is line {line}."
    return f" This is line {_plain(line.low)}, {line.how}." if line.how else f" This is line {line}."


def _says(rule: Rule, facts: Facts) -> str:
    fact = facts.known.get(rule.fact)
    return f"{rule.says.rstrip('.')}{'' if rule.checked else UNCHECKED}.{_recorded(fact)}{_open(rule, fact)}"


def _open(rule: Rule, fact: Fact | None) -> str:
    """Of a fact that may still be several things: whether the rule holds for each of them, or hinges on which it is."""
    if not isinstance(fact, Told) or len(fact.values) < 2:
        return ""
    holding = [value for value in fact.values if _told(rule, (value,)) is HOLDS]
    if len(fact.plainly) < 2 and len(holding) in (0, len(fact.values)):
        return ""
    if len(holding) == len(fact.values):
        return " It holds for each that is still open."
    if not holding:
        return " It holds for none that is still open."
    rest = [value for value in fact.values if value not in holding]
    return f" It hinges on which: it holds for {', '.join(holding)}, not for {', '.join(rest)}."


def _works(rule: Rule, cites: Callable[[str], bool]) -> tuple[str, ...]:
    return tuple(place.work for place in rule.because if cites(place.work))


def _places(rule: Rule, cites: Callable[[str], bool]) -> tuple[str, ...]:
    return tuple(place.at for place in rule.because if cites(place.work))


def _sources(rule: Rule, facts: Facts) -> tuple[str, ...]:
    fact = facts.known.get(rule.fact)
    return fact.sources if fact else ()


def _reason(rule: Need, verdict: Verdict, facts: Facts, cites: Callable[[str], bool]) -> Reason:
    return Reason(
        criterion=rule.id,
        verdict=verdict.value,
        says=_says(rule, facts),
        sources=_sources(rule, facts),
        evidence=_works(rule, cites),
        at=_places(rule, cites),
    )


def _caution(rule: Contraindication, facts: Facts, cites: Callable[[str], bool]) -> Caution:
    return Caution(
        criterion=rule.id,
        says=_says(rule, facts),
        sources=_sources(rule, facts),
        evidence=_works(rule, cites),
        at=_places(rule, cites),
    )


def _plain(value: float) -> str:
    return f"{round(value, 1):g}"


def _unit(unit: str) -> str:
    """The unit as people write it; a UCUM annotation is none."""
    plain = {"a": "years", "d": "days"}.get(unit, unit)
    return "" if unit.startswith("{") and unit.endswith("}") else f" {plain}"
