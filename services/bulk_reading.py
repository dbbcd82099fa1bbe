"""What a folder of NDJSON holds: resources by type, what could not be read, and the patients whose Conditions name a cervical cancer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from shared.fhir.answer import issues_of
from shared.fhir.bulk_manifest import Manifest
from shared.fhir.ndjson import Fault, Line, files, lines
from shared.fhir.outcome import FigaroError
from shared.fhir.reader import read_resources
from shared.oncology.record import Finding

SHOWN: Final = 20
_EVERY: Final = 5_000  # lines
_PATIENT = re.compile(r"(?:^|/)(Patient/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?$")

_NAME = re.compile(r"[A-Za-z\-]{1,40}")


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Condition(msgspec.Struct):
    subject: _Reference | None = None


@dataclass
class Holding:
    """`faults` are the first of `unreadable`; `said` counts what the server tells in OperationOutcomes, by severity and code."""

    kinds: Counter[str] = field(default_factory=Counter)
    of_file: Counter[str] = field(default_factory=Counter)
    patients: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    unreadable: int = 0
    nameless: int = 0
    said: Counter[tuple[str, str]] = field(default_factory=Counter)
    short: list[str] = field(default_factory=list)

    @property
    def incomplete(self) -> bool:
        """Whether the server has said that something failed, or sent fewer lines than it said."""
        return bool(self.short) or any(severity in ("error", "fatal") for severity, _ in self.said)


def read(
    folder: Path, chosen: Callable[[Finding], bool], *, manifest: Manifest | None = None, told: Callable[[int], None] = lambda _: None
) -> Holding:
    """Reads every file, line by line. `chosen` says of a Condition whether its patient is one of ours. Raises Unreadable without a file."""
    found = Holding()

    def fault(it: Fault) -> None:
        found.unreadable += 1
        if len(found.faults) < SHOWN:
            found.faults.append(it)

    total = 0
    for file in files(folder):
        for line in lines(file, fault):
            total += 1
            found.of_file[file.name] += 1
            _count(line, found, chosen, fault)
            if total % _EVERY == 0:
                told(total)
    told(total)
    for file in sorted((folder / "error").glob("*.ndjson")) if manifest else ():
        for line in lines(file, fault):
            _outcome(line, found)
    for name, file_of in manifest.placed() if manifest else ():
        if file_of.count is not None and "/" not in name and found.of_file[name] < file_of.count:
            found.short.append(f"{name} has {found.of_file[name]} resources of {file_of.count}.")
    return found


def _count(line: Line, found: Holding, chosen: Callable[[Finding], bool], fault: Callable[[Fault], None]) -> None:
    if line.kind == "OperationOutcome":
        _outcome(line, found)
        return
    found.kinds[_known(line.kind)] += 1
    if line.kind != "Condition":
        return
    try:
        subject = msgspec.json.decode(line.raw, type=_Condition).subject
        about = _PATIENT.search((subject.reference if subject else None) or "")
        if about is None:
            found.nameless += 1
            return
        record = read_resources(about[1], [line.raw])
    except (FigaroError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        fault(Fault(line.file, line.number, "is a Condition that cannot be read; it is not used."))
        return
    if any(issue.code == "resource-unreadable" for issue in record.issues) and not record.findings:
        fault(Fault(line.file, line.number, "is a Condition that cannot be read; it is not used."))
    if any(chosen(finding) for finding in record.findings):
        found.patients.add(about[1])


def _outcome(line: Line, found: Holding) -> None:
    """Severity and code only: the server's words may name a patient, and stay in the file."""
    found.said.update((_known(issue.severity), _known(issue.code)) for issue in issues_of(line.raw))


def _known(name: str) -> str:
    """A type or a code for the terminal; one that FHIR cannot have is not repeated."""
    return name if _NAME.fullmatch(name) else "other"
