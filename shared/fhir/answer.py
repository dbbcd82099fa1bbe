"""Which of our errors an answer stands for: from a FHIR server, or from one of our own services over the wire."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from shared.fhir.outcome import (
    ERRORS,
    OUTCOME_UNKNOWN,
    Conflict,
    FigaroError,
    Gone,
    KnowledgeError,
    NotFhir,
    NotFound,
    OutcomeIssue,
    Rejected,
    Unauthorised,
    Unavailable,
    Unreadable,
    tree,
)


def from_outcome(body: bytes, status: int, *, retry_after: float | None = None, text: str | None = None) -> FigaroError:
    """The error that an answer with this HTTP status stands for; exactly the sender's class when one of ours has sent it.

    `text` is as for a stranger's. Any body is taken, also an empty one.
    """
    issues = _decode(body)
    coded = [coding.code for issue in issues[:1] for coding in issue.details.coding if coding.system == ERRORS]
    if coded and issues[0].details.text:
        return _ours(issues, coded, status, retry_after)
    return from_stranger(body, status, retry_after=retry_after, text=text)


def from_stranger(body: bytes, status: int, *, retry_after: float | None = None, text: str | None = None) -> FigaroError:
    """The error for the answer of a server that is none of ours, whatever codes it uses: its own words are not safe to repeat (FC-13)."""
    issues = _decode(body)
    error = error_class(status)
    sentence = text or f"A FHIR server answered with status {status}."
    outcome = tuple(map(_heard, issues))
    if issubclass(error, Unavailable):
        return error(sentence, retry_after=retry_after, code=_CODES.get(status), outcome=outcome)
    return error(sentence, status=None if error is NotFhir else status, code=_CODES.get(status), outcome=outcome)


def error_class(status: int) -> type[FigaroError]:
    """Which error an HTTP status means when it comes from a FHIR server."""
    named = {401: Unauthorised, 403: Unauthorised, 404: NotFound, 409: Conflict, 410: Gone, 412: Conflict, 429: Unavailable, 501: Rejected}
    if status in named:
        return named[status]
    return Unavailable if status >= 500 else Rejected if status >= 400 else NotFhir


def issues_of(body: bytes) -> tuple[OutcomeIssue, ...]:
    """The issues of an OperationOutcome; none when the body is something else."""
    return tuple(map(_heard, _decode(body)))


_CODES: Final = {401: "login", 403: "forbidden", 429: "throttled"}


class _Coding(msgspec.Struct):
    system: str | None = None
    code: str | None = None


class _Details(msgspec.Struct):
    coding: list[_Coding] = []
    text: str | None = None


class _Issue(msgspec.Struct):
    severity: str = "error"
    code: str = "processing"
    details: _Details = msgspec.field(default_factory=_Details)
    diagnostics: str | None = None
    expression: list[str] = []


class _Outcome(msgspec.Struct, tag_field="resourceType", tag="OperationOutcome"):
    issue: list[_Issue] = []


def _decode(body: bytes) -> list[_Issue]:
    try:
        return msgspec.json.decode(body, type=_Outcome).issue
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return []


def _ours(issues: list[_Issue], coded: list[str | None], status: int, retry_after: float | None) -> FigaroError:
    first = issues[0]
    error = next((kind for kind in tree() if kind.kind == coded[0]), FigaroError)
    more: dict[str, Any] = {"status": status, "code": first.code, "outcome": tuple(map(_heard, issues[1:]))}
    if error is KnowledgeError:
        file, _, line = (first.diagnostics or "").rpartition(":")
        more |= {"file": file, "line": int(line)} if file and line.isdecimal() else {"file": first.diagnostics}
    if error is Unavailable:
        more |= {"retry_after": retry_after, "outcome_unknown": OUTCOME_UNKNOWN in coded}
    if error is Unreadable:
        more["where"] = first.diagnostics
    return error(first.details.text or "", **more)


def _heard(issue: _Issue) -> OutcomeIssue:
    words = [issue.details.text, issue.diagnostics]
    text = "; ".join(word for word in words if word)
    return OutcomeIssue(severity=issue.severity, code=issue.code, text=text or None, expression=tuple(issue.expression))
