"""What to ask for first: of the facts that leave a stage open, the one whose answer would narrow the interval most.

The interval is what the stage may be: the stage that is settled, and every other that is open; a parent does not count beside a substage
of its own. An answer narrows it by as many stages as it takes out. Questions are ordered by what their worst answer takes out, then by
what their best one does, then as the facts stand in the table; those that no answer alone makes narrower come last.

The answers to a question are yes and no; to the question for a length, one length in every stretch between the limits that the stages draw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from services.staging.consequences import BEYOND, LIMITS, bounds, complete
from shared.knowledge.table import Fact, Measure, Reader, Reading
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict

# What "none found" says of other facts: an abdomen free of organ metastases has no peritoneal spread.
_FREE = {"distant_organ": ("peritoneal_spread",), "regional_nodes": ("pelvic_nodes", "para_aortic_nodes")}
# Facts from which others follow (consequences.py).
_TELLING = frozenset({*BEYOND, *LIMITS, "pelvic_nodes", "para_aortic_nodes", "regional_nodes", "microscopic_only", "tumour_size"})
_SILENT = Fact()


class Narrowing(NamedTuple):
    """How many stages the worst and the best answer to a question take out of the interval."""

    worst: int
    best: int


def ordered(reader: Reader, facts: Mapping[str, Fact], names: Sequence[str], floor: str | None = None) -> tuple[str, ...]:
    """The facts in the order that narrows the interval most. `floor` is the stage that stands where no row holds."""
    if len(names) < 2:
        return tuple(names)
    verdicts = reader.verdicts(facts)
    now = len(interval(reader.reading(verdicts, floor), floor))

    def gain(name: str) -> Narrowing:
        widths = [len(interval(reader.reading(then, floor), floor)) for then in _afterwards(reader, facts, name, verdicts)]
        return Narrowing(now - max(widths), now - min(widths))

    gains = {name: gain(name) for name in names}
    return tuple(sorted(names, key=lambda name: (gains[name].best <= 0, -gains[name].worst, -gains[name].best)))


def interval(reading: Reading, floor: str | None = None) -> frozenset[str | None]:
    """What the stage may be; None stands for "none of the rows"."""
    settled = reading.row.stage if reading.row is not None else floor
    stages = [row.stage for row in reading.open]
    return frozenset(s for s in (settled, *stages) if s is None or not any(is_under(other, s) for other in stages))


def is_under(stage: str, parent: str) -> bool:
    """Whether a stage is a substage of another: IIIC1 of IIIC and of III, and not of II."""
    return stage != parent and stage.startswith(parent) and stage[len(parent)] not in "IV"


def answers(reader: Reader, name: str, fact: Fact) -> Iterator[Fact]:
    """The answers that a question may still have."""
    limits = bounds([reader], name)
    if not limits:
        yield Fact(HOLDS)
        yield Fact(FAILS)
        return
    known = fact.measure or Measure()
    below: Decimal | None = None
    for limit in limits:
        if known.at_most(limit) is not FAILS and (below is None or known.at_most(below) is not HOLDS):
            yield Fact(HOLDS, Measure(limit, limit))
        below = limit
    if known.at_most(limits[-1]) is not HOLDS:
        yield Fact(HOLDS, Measure(limits[-1] + 1, limits[-1] + 1))


def answered(facts: Mapping[str, Fact], name: str, answer: Fact) -> dict[str, Fact]:
    """The facts once a question is answered, with what follows."""
    found = {**facts, name: answer}
    if answer.verdict is FAILS:
        for other in _FREE.get(name, ()):
            known = found.get(other, _SILENT)
            if known.verdict is UNKNOWN and not known.doubts:
                found[other] = Fact(FAILS)
    if name in _TELLING:
        complete(found)
    return found


def _afterwards(reader: Reader, facts: Mapping[str, Fact], name: str, now: Sequence[Verdict]) -> Iterator[list[Verdict]]:
    """The verdicts of the rows after each answer; only the rows that read what has changed are read again."""
    for answer in answers(reader, name, facts.get(name, _SILENT)):
        found = answered(facts, name, answer)
        changed = {each for each, fact in found.items() if fact is not facts.get(each)}
        yield reader.verdicts(found, changed, now)
