"""Prognostic context from a published table, shown as what it is: those patients, that centre. No prediction for anybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from services.recommend.eligibility import Facts, ask
from services.recommend.regimen import Belongs, Cited, Id, Predicate, Review, Text
from shared.oncology.recommendation import Prognosis, PrognosticGroup
from shared.oncology.verdict import HOLDS, UNKNOWN, every

Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]


class Group(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One group of the table: patients, and percent alive and progression-free. `when`: how a patient is known to be like them."""

    group: Text
    n: Annotated[int, msgspec.Meta(gt=0)]
    os: Percent | None = None
    pfs: Percent | None = None
    when: Annotated[tuple[Predicate, ...], msgspec.Meta(min_length=1)]


class Factor(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One factor of the table, with its groups and p values as printed."""

    factor: Text
    groups: Annotated[tuple[Group, ...], msgspec.Meta(min_length=2)]
    p_os: Text | None = None
    p_pfs: Text | None = None


class PrognosisFile(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table, for whom it is shown, and what must be said of it wherever it stands."""

    id: Id
    belongs: Belongs
    months: int
    factors: Annotated[tuple[Factor, ...], msgspec.Meta(min_length=1)]
    limits: Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
    review: Review


def context(file: PrognosisFile, facts: Facts, number: Callable[[str], float]) -> tuple[Prognosis, ...]:
    """The factors of the table that the record says something about; a figure that nobody has checked is not shown."""
    found = []
    for factor in file.factors:
        verdicts = [every(ask(question, facts.known, number) for question in group.when) for group in factor.groups]
        if not factor.checked or all(verdict is UNKNOWN for verdict in verdicts):
            continue
        groups = tuple(
            PrognosticGroup(
                group=group.group,
                n=group.n,
                overall_survival=group.os,
                progression_free_survival=group.pfs,
                hers=None if verdict is UNKNOWN else verdict is HOLDS,
            )
            for group, verdict in zip(factor.groups, verdicts, strict=True)
        )
        asked = [facts.known.get(question.fact) for group in factor.groups for question in group.when]
        place = factor.because[0]
        found.append(
            Prognosis(
                factor=factor.factor,
                groups=groups,
                months=file.months,
                p_overall_survival=factor.p_os,
                p_progression_free_survival=factor.p_pfs,
                work=place.work,
                at=place.at,
                sources=tuple(dict.fromkeys(source for fact in asked if fact for source in fact.sources)),
            )
        )
    return tuple(found)
