"""A folder of NDJSON, as a Bulk Data export leaves it: one resource a line, plain or gzip. What cannot be read is named, the rest is used.

Reads one line at a time, whatever the size of a file. Source: HL7 FHIR Bulk Data Access 2.0.0 (STU2), NDJSON files.
"""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from shared.fhir.bundle import head
from shared.fhir.outcome import Unreadable

SUFFIXES: Final = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
LONGEST: Final = 20_000_000  # bytes of a line: a resource with an attached document is shorter


class Line(NamedTuple):
    """One resource: its type, its bytes, and where it stands; lines count from 1."""

    kind: str
    raw: bytes
    file: str
    number: int


class Fault(NamedTuple):
    """What could not be read, by file and line, and why in our own words: nothing of the line itself."""

    file: str
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.number}: {self.text}"


def files(folder: Path) -> list[Path]:
    """The NDJSON files of a folder by name; not those of folders in it. Raises Unreadable where there are none."""
    try:
        found = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIXES) and path.is_file())
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        raise Unreadable(f"{folder} cannot be opened as a folder: {reason}.", where=str(folder)) from None
    if not found:
        raise Unreadable(f"{folder} holds no NDJSON: its files end in {', '.join(SUFFIXES)}.", where=str(folder))
    return found


def lines(file: Path, fault: Callable[[Fault], None], *, longest: int = LONGEST) -> Iterator[Line]:
    """Every resource of a file; `fault` is told what cannot be read. Empty lines are nothing."""
    number = 0
    try:
        with _opened(file) as stream:
            while raw := stream.readline(longest + 1):
                number += 1
                if len(raw) > longest:
                    _skip(stream, raw)
                    fault(Fault(file.name, number, f"is longer than {longest // 1_000_000} MB; it is not read."))
                    continue
                raw = (raw.removeprefix(BOM_UTF8) if number == 1 else raw).strip()
                if not raw:
                    continue
                top = head(raw)
                if top is None:
                    fault(Fault(file.name, number, "is no FHIR resource in JSON; it is not used."))
                else:
                    yield Line(top.resource_type, raw, file.name, number)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        fault(Fault(file.name, number + 1, "the gzip is broken from here on; what stands before it is used."))
    except OSError as error:
        fault(Fault(file.name, number + 1, f"cannot be read from here on ({(error.strerror or 'no reason given').lower()})."))


def _opened(file: Path) -> BinaryIO:
    with file.open("rb") as start:
        packed = start.read(2) == b"\x1f\x8b"
    return gzip.open(file) if packed else file.open("rb", buffering=1 << 20)  # type: ignore[return-value]


def _skip(stream: BinaryIO, raw: bytes) -> None:
    while raw and not raw.endswith(b"\n"):
        raw = stream.readline(1 << 20)
