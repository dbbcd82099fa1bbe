"""How far a case is, for a person who waits: its steps, or why it cannot go on and what to do."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

_STEPS = (
    ("opened", "Opened", "The case stands in the queue."),
    ("pulled", "Record", "Diagnoses, findings, treatments and allergies are read from the patient's record."),
    ("staged", "Stage", "The FIGO stage and the sites of spread are derived."),
    ("answered", "Candidates", "Regimens are weighed against the record, and the draft plan is written."),
)
_ORDER = tuple(name for name, _, _ in _STEPS)
_AGAIN = "It is tried again by itself; you can leave this page open. If it lasts, tell whoever runs Figaro here."
_BY_HAND = "Mend what is named, then open Figaro from the chart again. If you cannot, tell whoever runs Figaro here."


class Step(NamedTuple):
    """One step: `state` is "done", "now" or ""."""

    name: str
    title: str
    says: str
    state: str


class Progress(NamedTuple):
    """A case under way; `stuck` is the reason where it cannot go on, `again` whether it is tried again by itself."""

    state: str
    steps: tuple[Step, ...]
    stuck: str
    advice: str
    again: bool


class _Details(msgspec.Struct, frozen=True):
    text: str = ""


class _Issue(msgspec.Struct, frozen=True):
    details: _Details = _Details()
    diagnostics: str = ""


class _Outcome(msgspec.Struct, frozen=True):
    issue: tuple[_Issue, ...] = ()


def progress(state: str, *, outcome: str | None = None, retry_at: str | None = None) -> Progress:
    """The progress of a case in that state; `outcome` is the OperationOutcome of a stuck one."""
    stuck = state == "stuck"
    reached = -1 if stuck else _ORDER.index(state)
    steps = tuple(
        Step(name, title, says, "done" if number <= reached else "now" if number == reached + 1 else "")
        for number, (name, title, says) in enumerate(_STEPS)
    )
    reason = _reason(outcome) if stuck else ""
    return Progress(state, () if stuck else steps, reason, (_AGAIN if retry_at else _BY_HAND) if stuck else "", bool(retry_at))


def _reason(outcome: str | None) -> str:
    try:
        told = msgspec.json.decode(outcome or "{}", type=_Outcome)
    except msgspec.DecodeError:
        told = _Outcome()
    said = next((words for issue in told.issue if (words := issue.details.text or issue.diagnostics)), "")
    return said or "No reason was left. The log of this case tells more."
