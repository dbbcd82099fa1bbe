"""The interval where part of the record was not read: what an unseen treatment may have preceded, and what unseen findings leave open."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from services.staging.asking import is_under
from services.staging.knowledge import Rules
from shared.knowledge.table import Reader
from shared.oncology.not_read import FINDINGS, questions
from shared.oncology.stage import EditionStage, Missing, Oligometastatic

Editions = dict[str, EditionStage]
_STAGING = ("treatments", "findings")


def asked(unread: Collection[str]) -> tuple[Missing, ...]:
    """What to ask a person for the stage."""
    return tuple(Missing(each.about, each.ask) for each in questions(unread) if each.about in _STAGING)


def joined(everything: Editions, early: Editions, rules: Rules) -> Editions:
    """Two readings of one record, with all findings and with those of the diagnosis alone: the lower stage, and all that either allows."""
    return {name: _joined(rules.tables[name], everything[name], early[name]) for name in everything}


def opened(editions: Editions, unread: Collection[str], rules: Rules) -> Editions:
    """With the questions for what was not read. Findings that nobody saw may contradict those on record: no stage is excluded by them."""
    asks = {name: replace(edition, missing=(*asked(unread), *edition.missing)) for name, edition in editions.items()}
    if FINDINGS.isdisjoint(unread):
        return asks
    return {name: replace(edition, could_be=_others(rules.tables[name], edition.stage)) for name, edition in asks.items()}


def few(told: Oligometastatic, unread: Collection[str]) -> Oligometastatic:
    """Whether the metastases are few is not settled by findings of which some were not read."""
    return told if FINDINGS.isdisjoint(unread) else replace(told, value=None, missing=(*asked(unread), *told.missing))


def _joined(reader: Reader, one: EditionStage, other: EditionStage) -> EditionStage:
    lower = max(other, one, key=lambda each: len(reader.stages) if each.stage is None else reader.stages.index(each.stage))
    stages = {stage for each in (one, other) for stage in (each.stage, *each.could_be) if stage is not None}
    missing = tuple(dict.fromkeys((*one.missing, *other.missing)))
    return replace(lower, could_be=_ordered(reader, stages, lower.stage), missing=missing)


def _ordered(reader: Reader, stages: Collection[str], settled: str | None) -> tuple[str, ...]:
    """The stages beside the one that is settled, lowest first; a parent gives way to what is open below it."""
    beside = [each for each in stages if each != settled and not any(is_under(other, each) for other in stages)]
    return tuple(sorted(beside, key=lambda each: -reader.stages.index(each)))


def _others(reader: Reader, settled: str | None) -> tuple[str, ...]:
    """Every stage but the one that is settled."""
    return _ordered(reader, reader.stages, settled)
