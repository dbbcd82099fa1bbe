"""What a server says itself of an export: severity and code for the terminal, its words, which may name a patient, into a file."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from shared.fhir.incomplete import coded
from shared.fhir.outcome import FigaroError, OutcomeIssue

ANSWER: Final = Path("error", "answer.json")  # no .ndjson: it is of no export's files
Codes = tuple[str, str]
_SEVERITIES: Final = ("fatal", "error", "warning", "information")
_NAME = re.compile(r"[A-Za-z\-]{1,40}")


def known(name: str) -> str:
    """A resource type for the terminal; one that FHIR cannot have is not repeated."""
    return name if _NAME.fullmatch(name) else "other"


def codes(issues: Iterable[OutcomeIssue]) -> Counter[Codes]:
    """How often each severity and code; one that FHIR does not have may be words of the server's own, and is not repeated."""
    return Counter(
        (issue.severity if issue.severity in _SEVERITIES else "other", issue.code if coded(issue) == issue.code else "other")
        for issue in issues
    )


def keep(error: FigaroError, folder: Path) -> None:
    """Puts the words of a refusal into the folder, and has the error's sentence say what they are about and where they are."""
    said = ", ".join(f"{count} x {severity}, {code}" for (severity, code), count in sorted(codes(error.outcome).items()))
    where = f"; in its words in {folder / ANSWER}" if any(issue.text for issue in error.outcome) and _written(error, folder) else ""
    error.text = f"{error.text} The server says: {said}{where}."


def _written(error: FigaroError, folder: Path) -> bool:
    issues = [{"severity": one.severity, "code": one.code, "diagnostics": one.text, "expression": one.expression} for one in error.outcome]
    body = msgspec.json.encode({"resourceType": "OperationOutcome", "issue": issues})
    try:
        (folder / ANSWER).parent.mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(os.open(folder / ANSWER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(body)
    except OSError:
        return False
    return True
