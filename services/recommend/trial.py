"""What a trial file may say, and each criterion's answer for one patient: meets, fails, or open with what to ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec

from services.recommend.dates import known
from services.recommend.eligibility import UNCHECKED, Facts, ask
from services.recommend.regimen import Cited, Date, Id, Predicate, Review, Setting, State, Text
from shared.oncology.recommendation import Trial, TrialCriterion
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, every


class Criterion(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One criterion: a sentence, and the questions that must all hold. Without a question the record cannot tell, and it is asked."""

    text: Text
    when: tuple[Predicate, ...] = ()
    ask: Text


class TrialFile(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A trial that may be asked about. `registry` is its number in a public registry, where one was found."""

    id: Id
    title: Text
    registry: Annotated[str, msgspec.Meta(pattern=r"^NCT\d{8}$")] | None = None
    status: Literal["open", "unknown"]
    status_on: Date | None = None
    settings: Annotated[tuple[Setting, ...], msgspec.Meta(min_length=1)]
    disease: Annotated[tuple[State, ...], msgspec.Meta(min_length=1)]
    criteria: Annotated[tuple[Criterion, ...], msgspec.Meta(min_length=1)]
    remarks: tuple[Text, ...] = ()
    review: Review

    def __post_init__(self) -> None:
        if self.status == "open" and self.status_on is None:
            raise ValueError(f"`{self.id}` is called open and says not on which day")


def judge(
    trial: TrialFile,
    facts: Facts,
    number: Callable[[str], float],
    cites: Callable[[str], bool] = lambda work: True,
    as_of: str | None = None,
) -> Trial:
    """The trial with each criterion answered; a criterion that fails rules out, a silent one leaves it open. `cites` hides later works."""
    criteria = tuple(_answer(criterion, facts, number, cites) for criterion in trial.criteria)
    verdicts = {criterion.verdict for criterion in criteria}
    return Trial(
        id=trial.id,
        title=trial.title,
        registry=trial.registry,
        verdict="ruled-out" if "fails" in verdicts else "cannot-tell" if "unknown" in verdicts else "eligible",
        criteria=criteria,
        notes=(_status(trial, as_of), *trial.remarks),
    )


def _answer(criterion: Criterion, facts: Facts, number: Callable[[str], float], cites: Callable[[str], bool]) -> TrialCriterion:
    verdict = every(ask(question, facts.known, number) for question in criterion.when) if criterion.when else UNKNOWN
    sources = tuple(dict.fromkeys(s for q in criterion.when if (fact := facts.known.get(q.fact)) for s in fact.sources))
    return TrialCriterion(
        text=criterion.text if criterion.checked else criterion.text.rstrip(".") + UNCHECKED,
        verdict="holds" if verdict is HOLDS else "fails" if verdict is FAILS else "unknown",
        sources=sources,
        evidence=tuple(place.work for place in criterion.because if cites(place.work)),
        at=tuple(place.at for place in criterion.because if cites(place.work)),
        ask=criterion.ask if verdict is UNKNOWN else None,
    )


def _status(trial: TrialFile, as_of: str | None) -> str:
    if trial.status == "open" and known(trial.status_on, as_of):
        return f"Listed as open on {trial.status_on}; ask the registry whether it still is, and where."
    return "Nobody knows here whether it is open; ask before it is offered."
