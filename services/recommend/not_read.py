"""What of the record was not read, seen from the candidates: silence there fulfils no criterion, and denies no contraindication."""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from shared.oncology.not_read import FINDINGS, TREATMENTS, questions, remark, words
from shared.oncology.recommendation import Note, Reason, Trial, TrialCriterion
from shared.oncology.stage import Missing

_SAYS = {
    "treatments": ("treatments-read", "No earlier treatment speaks against it", TREATMENTS),
    "findings": ("findings-read", "No finding that nobody saw speaks against it", FINDINGS),
}


def unread_questions(unread: Collection[str]) -> tuple[Missing, ...]:
    """What to ask a person instead."""
    return tuple(Missing(each.about, each.ask) for each in questions(unread))


def silence(unread: Collection[str]) -> tuple[Note, ...]:
    """A note that names it."""
    return (Note(text=remark(unread)),) if unread else ()


def criteria(unread: Collection[str]) -> list[tuple[Reason, Missing | None]]:
    """One criterion each for treatments and findings of which some were not read. Nobody knows whether they hold."""
    return [
        (Reason(criterion=_SAYS[gap.fact][0], verdict="unknown", says=_says(gap.fact, unread)), gap)
        for gap in unread_questions(unread)
        if gap.fact in _SAYS
    ]


def doubted(trial: Trial, unread: Collection[str]) -> Trial:
    """The trial, with the same criteria: what was not read may exclude from it."""
    more = tuple(TrialCriterion(text=reason.says, verdict="unknown", ask=gap.ask if gap else None) for reason, gap in criteria(unread))
    verdict = "cannot-tell" if more and trial.verdict == "eligible" else trial.verdict
    return replace(trial, verdict=verdict, criteria=(*trial.criteria, *more))


def _says(about: str, unread: Collection[str]) -> str:
    _, holds, types = _SAYS[about]
    return f"{holds}. Not read, or not wholly: {words(types.intersection(unread))}."
