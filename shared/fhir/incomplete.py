"""What a server says of its own answer to a search: that rows are missing for now, or that rows are withheld from us (FC-02).

It does so with status 200, in an OperationOutcome beside the rows. Source: FHIR R4 3.1.1.4.1 (search mode `outcome`) and its IssueType.
Which code counts as what is our own judgement.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from shared.fhir.outcome import OutcomeIssue, Unavailable

# A code of another spelling is the server's own text, and may say anything.
_CODES: Final = frozenset(
    [
        "invalid",
        "structure",
        "required",
        "value",
        "invariant",
        "security",
        "login",
        "unknown",
        "expired",
        "forbidden",
        "suppressed",
        "processing",
        "not-supported",
        "duplicate",
        "multiple-matches",
        "not-found",
        "deleted",
        "too-long",
        "code-invalid",
        "extension",
        "too-costly",
        "business-rule",
        "conflict",
        "transient",
        "lock-error",
        "no-store",
        "exception",
        "timeout",
        "incomplete",
        "throttled",
        "informational",
    ]
)
_FOR_NOW: Final = frozenset(("incomplete", "timeout", "throttled", "too-costly", "transient", "lock-error", "no-store", "exception"))
_WITHHELD: Final = frozenset(("suppressed", "security", "forbidden", "login"))


class Incomplete(Unavailable):
    """A search was answered, and not with all: as after a 503 it may be asked again later."""


def whole(said: Iterable[OutcomeIssue], place: str) -> None:
    """Raises Incomplete where the answer says that it is not the whole one. Withheld rows do not come by asking again: see `withheld`."""
    for issue in said:
        if issue.code not in _WITHHELD and (issue.severity in ("error", "fatal") or issue.code in _FOR_NOW):
            advice = "nothing of it is used; try again later, and look into its log."
            raise Incomplete(
                f"{place} says that its answer to a search is not whole ({coded(issue)}): {advice}", code=coded(issue), outcome=(issue,)
            )


def withheld(said: Iterable[OutcomeIssue]) -> bool:
    """Whether the answer says that rows are kept from us."""
    return any(issue.code in _WITHHELD for issue in said)


def coded(issue: OutcomeIssue) -> str:
    """The issue's code, which is no free text."""
    return issue.code if issue.code in _CODES else "unknown"
