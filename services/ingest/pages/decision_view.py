"""What clinicians decided, as a page shows it: the act, by whom, when, in her own words, and where it stands."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from shared.fhir.words import day

_ACTS = {"accept": "Accepted", "decline": "Declined", "comment": "Comment"}


class Decided(Protocol):
    """A decision as it is kept."""

    @property
    def id(self) -> str: ...
    @property
    def title(self) -> str | None: ...
    @property
    def regimen(self) -> str | None: ...
    @property
    def act(self) -> str: ...
    @property
    def display(self) -> str | None: ...
    @property
    def fhir_user(self) -> str: ...
    @property
    def at(self) -> str: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def state(self) -> str: ...


class DecisionView(NamedTuple):
    """One decision; `regimen` is "" where it is about the plan as a whole. `again` says that it may be sent again."""

    id: str
    title: str
    regimen: str
    words: str
    by: str
    at: str
    reason: str
    place: str
    again: bool


def decision_view(decided: Decided, why: str, *, again: bool) -> DecisionView:
    """A decision in words; `why` says why it is only kept here, where it is."""
    at = f"{day(decided.at[:10])}, {decided.at[11:16]} UTC"
    place = "Stands in the patient's record." if decided.state == "written" else why
    by = decided.display or decided.fhir_user.split("/")[-2]
    title = decided.title or (decided.regimen or "The plan as a whole")
    return DecisionView(
        decided.id, title, decided.regimen or "", _ACTS.get(decided.act, decided.act), by, at, decided.reason or "", place, again
    )
