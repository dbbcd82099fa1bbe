"""What a folder of NDJSON holds: resources by type, what could not be read, and the patients whose Conditions name a cervical cancer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from shared.fhir.answer import issues_of
from shared.fhir.bulk_manifest import Manifest
from shared.fhir.bulk_words import Codes, codes, known
from shared.fhir.ndjson import Fault, Line, files, lines
from shared.fhir.outcome import FigaroError
from shared.fhir.reader import read_resources
from shared.oncology.record import Finding

SHOWN: Final = 20
PLACES: Final = 3
_EVERY: Final = 5_000  # lines
_PATIENT = re.compile(r"(?:^|/)(Patient/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?$")


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Condition(msgspec.Struct):
    subject: _Reference | None = None


class _Bundle(msgspec.Struct):
    entry: list[msgspec.Raw] = []


@dataclass
class Holding:
    """`faults` are the first of `unreadable`; `lost` of these are no resources at all, and the next export would not bring them.

    `said` counts what the server tells in OperationOutcomes, by severity and code, and `words` are the places where it does. `short`
    are files with fewer lines than it says. `deletions` are told, and not followed.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    of_file: Counter[str] = field(default_factory=Counter)
    patients: set[str] = field(default_factory=set)
    faults: list[Fault] = field(default_factory=list)
    unreadable: int = 0
    lost: int = 0
    nameless: int = 0
    said: Counter[Codes] = field(default_factory=Counter)
    words: dict[Codes, list[str]] = field(default_factory=dict)
    short: dict[str, str] = field(default_factory=dict)
    deletions: int = 0

    @property
    def failed(self) -> bool:
        """Whether the server has said that it could not export something."""
        return any(severity in ("error", "fatal") for severity, _ in self.said)

    @property
    def incomplete(self) -> bool:
        """Whether the server has said that something failed, or sent fewer lines than it said."""
        return bool(self.short) or self.failed


def read(
    folder: Path, chosen: Callable[[Finding], bool], *, manifest: Manifest | None = None, told: Callable[[int], None] = lambda _: None
) -> Holding:
    """Reads every file, line by line. `chosen` says of a Condition whether its patient is one of ours. Raises Unreadable without a file."""
    found = Holding()

    def fault(it: Fault) -> None:
        found.unreadable += 1
        if len(found.faults) < SHOWN:
            found.faults.append(it)

    def lost(it: Fault) -> None:
        found.lost += 1
        fault(it)

    total = 0
    for file in files(folder):
        for line in lines(file, lost):
            total += 1
            found.of_file[file.name] += 1
            _count(line, found, chosen, fault)
            if total % _EVERY == 0:
                told(total)
    told(total)
    if manifest:
        _beside(folder, manifest, found, lost)
    return found


def _beside(folder: Path, manifest: Manifest, found: Holding, lost: Callable[[Fault], None]) -> None:
    """What the manifest tells beside the data: failures, deletions, and how many lines a file has."""
    told = Counter(found.of_file)
    for line in _of(folder, "error", lost):
        told[line.file] += 1
        _outcome(line, found)
    found.deletions = sum(max(1, _entries(line)) for line in _of(folder, "deleted", lost))
    for name, file in manifest.placed():
        if file.count is not None and not name.startswith("deleted/") and told[name] < file.count:
            found.short[name] = f"{name} has {told[name]} resources of {file.count}"


def _of(folder: Path, below: str, lost: Callable[[Fault], None]) -> Iterator[Line]:
    for file in sorted((folder / below).glob("*.ndjson")):
        for line in lines(file, lambda it: lost(it._replace(file=f"{below}/{it.file}"))):
            yield line._replace(file=f"{below}/{line.file}")


def _entries(line: Line) -> int:
    try:
        return len(msgspec.json.decode(line.raw, type=_Bundle).entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0


def _count(line: Line, found: Holding, chosen: Callable[[Finding], bool], fault: Callable[[Fault], None]) -> None:
    if line.kind == "OperationOutcome":
        _outcome(line, found)
        return
    found.kinds[known(line.kind)] += 1
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
    said = codes(issues_of(line.raw))
    found.said.update(said)
    place = line.file if "/" in line.file else f"{line.file}, line {line.number}"
    for code in said:
        if place not in (places := found.words.setdefault(code, [])) and len(places) <= PLACES:
            places.append(place)
