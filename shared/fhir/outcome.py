"""Our errors, and how each becomes a FHIR OperationOutcome. The way back is `shared.fhir.answer`.

    FigaroError
    ├── Refused            the caller's fault, and his to mend                                400, 404, 405, 413, 422
    ├── Unavailable        try later; `retry_after` in seconds; `outcome_unknown` when a write may have happened
    │                                                                                          502, 503
    ├── Unreadable         an input or a resource, named by `where`                            422
    ├── KnowledgeError     a knowledge file and its line; the service does not start           500
    ├── Stuck              a case that goes on only when a person has looked                   500
    └── ServerAnswer       a FHIR server has answered, and the answer is no
        ├── NotFound       it has no such thing, or does not show it to us                     404
        ├── Gone           it had it: deleted, or a page that has expired                      410
        ├── Conflict       somebody else wrote first (stale If-Match), or several match        409, 412
        ├── Unauthorised   the token is missing, spent, or does not reach this far             401, 403
        ├── Rejected       any other refusal, with the server's own issues in `outcome`        4xx
        └── NotFhir        no FHIR R4: a web page, a redirect, another version, half a JSON    502

`text` is one sentence: what, where, what to do; it never holds a patient's data, and neither does `str()`. What the server wrote itself
stands in `outcome` only, because diagnostics may quote the patient.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final, Literal, TypedDict, Unpack

import msgspec

ERRORS: Final = "https://figaro.example/fhir/CodeSystem/errors"
OUTCOME_UNKNOWN: Final = "outcome-unknown"

Severity = Literal["fatal", "error", "warning", "information"]


def printable(text: str) -> str:
    """What somebody else has written, for a terminal: without the characters that a terminal takes for orders, on one line."""
    return "".join(filter(str.isprintable, text))


def quoted(error: FigaroError) -> list[str]:
    """What the server said itself, for the eyes of whoever gave the command and for no log; none where it may quote a patient."""
    if not error.quotable:
        return []
    texts = [_SECRET.sub("Bearer …", printable(issue.text)) for issue in error.outcome if issue.text]
    return [text[:_QUOTED] for text in dict.fromkeys(texts)][:_QUOTES]


_SECRET: Final = re.compile(r"bearer\s+[^\s\"',]+", re.IGNORECASE)  # of a Subscription's header
_QUOTED: Final = 500
_QUOTES: Final = 5


class OutcomeIssue(msgspec.Struct, frozen=True, kw_only=True):
    """One issue of a server's OperationOutcome. `text` is the server's own and may hold a patient's data: never log it."""

    severity: str
    code: str
    text: str | None = None
    expression: tuple[str, ...] = ()


class _Common(TypedDict, total=False):
    status: int | None
    code: str | None
    outcome: tuple[OutcomeIssue, ...]
    quotable: bool


class FigaroError(Exception):
    """The root. `status` is the HTTP status we answer with, `code` a FHIR issue type, `outcome` what a server said.

    `quotable`: the exchange was about no patient, so that `outcome` quotes none.
    """

    kind: ClassVar[str] = "error"
    status: int = 500
    code: str = "exception"
    severity: Severity = "error"

    def __init__(self, text: str, **common: Unpack[_Common]) -> None:
        super().__init__(text)
        self.text = text
        self.outcome = common.get("outcome", ())
        self.quotable = common.get("quotable", False)
        self.status = common.get("status") or self.status
        self.code = common.get("code") or self.code

    def __str__(self) -> str:
        return self.text

    @property
    def diagnostics(self) -> str | None:
        """Where it happened, in our own words, when the error knows."""
        return None


class Refused(FigaroError):
    """The caller asked for what cannot be done, or said it so that we cannot understand it."""

    kind = "refused"
    status = 422
    code = "invalid"


class Unavailable(FigaroError):
    """It may work later. `retry_after` is in seconds; `outcome_unknown` means: look the write up before repeating it.

    `code` `transient` and `throttled` may be repeated at once; `timeout`, `security` and `exception` are not worth it.
    """

    kind = "unavailable"
    status = 503
    code = "transient"

    def __init__(self, text: str, *, retry_after: float | None = None, outcome_unknown: bool = False, **common: Unpack[_Common]) -> None:
        super().__init__(text, **common)
        self.retry_after = retry_after
        self.outcome_unknown = outcome_unknown


class Unreadable(FigaroError):
    """An input that cannot be read. `where` names it: "line 3", "Bundle.entry[2]", "the body"."""

    kind = "unreadable"
    status = 422
    code = "structure"

    def __init__(self, text: str, *, where: str | None = None, **common: Unpack[_Common]) -> None:
        super().__init__(text, **common)
        self.where = where

    @property
    def diagnostics(self) -> str | None:
        return self.where


class KnowledgeError(FigaroError):
    """A rule, regimen or citation that the loader refuses. `line` counts from 1."""

    kind = "knowledge"
    severity = "fatal"

    def __init__(self, text: str, *, file: str | None = None, line: int | None = None, **common: Unpack[_Common]) -> None:
        super().__init__(text, **common)
        self.file = file
        self.line = line

    def __str__(self) -> str:
        return f"{self.diagnostics}: {self.text}" if self.file else self.text

    @property
    def diagnostics(self) -> str | None:
        return f"{self.file}:{self.line}" if self.line else self.file


class Stuck(FigaroError):
    """A case that no repetition will move: somebody has to look."""

    kind = "stuck"
    code = "business-rule"


class ServerAnswer(FigaroError):
    """A FHIR server answered, and not with what was asked."""

    kind = "server-answer"
    status = 502
    code = "processing"


class NotFound(ServerAnswer):
    kind = "not-found"
    status = 404
    code = "not-found"


class Gone(ServerAnswer):
    kind = "gone"
    status = 410
    code = "deleted"


class Conflict(ServerAnswer):
    """Read again, merge again: the server holds a newer version, or several resources match a condition."""

    kind = "conflict"
    status = 409
    code = "conflict"


class Unauthorised(ServerAnswer):
    kind = "unauthorised"
    status = 401
    code = "security"


class Rejected(ServerAnswer):
    kind = "rejected"
    status = 422


class NotFhir(ServerAnswer):
    kind = "not-fhir"
    code = "not-supported"


def tree(root: type[FigaroError] = FigaroError) -> list[type[FigaroError]]:
    """Every error class that crosses the wire by its own name, the root first, each before those below it."""
    return [root, *(below for child in root.__subclasses__() if child.__module__ == __name__ for below in tree(child))]


def to_outcome(error: FigaroError, *, quoting: bool = False) -> dict[str, Any]:
    """The error as an OperationOutcome. Of a server's issues only severity, code and expression pass: the words may name a patient.

    With `quoting`, for a terminal, its words stand below where they cannot.
    """
    coding = [{"system": ERRORS, "code": error.kind}]
    if isinstance(error, Unavailable) and error.outcome_unknown:
        coding.append({"system": ERRORS, "code": OUTCOME_UNKNOWN})
    ours: dict[str, Any] = {"severity": error.severity, "code": error.code, "details": {"coding": coding, "text": error.text}}
    if error.diagnostics:
        ours["diagnostics"] = error.diagnostics
    words = [{"severity": "information", "code": "informational", "diagnostics": text} for text in quoted(error)] if quoting else []
    return {"resourceType": "OperationOutcome", "issue": [ours, *map(_silent, error.outcome), *words]}


def to_bytes(error: FigaroError, *, quoting: bool = False) -> bytes:
    """The OperationOutcome of an error as JSON."""
    return msgspec.json.encode(to_outcome(error, quoting=quoting))


def _silent(issue: OutcomeIssue) -> dict[str, Any]:
    plain: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
    if issue.expression:
        plain["expression"] = list(issue.expression)
    return plain
