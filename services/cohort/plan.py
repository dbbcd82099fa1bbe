"""What a run is to do: the pieces of the export, where results go, and what makes two runs the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import SEEK_END
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from shared.fhir.ndjson import files
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Staging

PIECE: Final = 64 << 20  # bytes of a plain file; a packed one is read from its beginning and stays whole
PART: Final = 32 << 20  # bytes of the patients that are staged together
MOST: Final = 500  # parts: at the end the files of all of them are open at once


class Piece(msgspec.Struct, frozen=True):
    """Lines that begin at `start` or later and before `end`, in bytes of the file; `end` is None where the file is packed."""

    number: int
    file: str
    start: int
    end: int | None


class Input(msgspec.Struct, frozen=True):
    """A file of the export as it was found."""

    name: str
    size: int
    changed: int  # ns


class Study(NamedTuple):
    """Columns beside the stage: `assess` gives a value of the Struct `shape` for every patient who has a row."""

    shape: type[msgspec.Struct]
    assess: Callable[[Record, Staging], msgspec.Struct]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What two runs must share for the second to go on where the first was cut off. `all` asks a row for every patient, `study` names
    the study and the digest of its definitions. `until` is the day of the run, beyond which nothing can have happened: a run that is gone
    on with keeps that of its beginning. None: nothing is bounded, or by `as_of`.
    """

    inputs: tuple[Input, ...]
    knowledge: str
    version: str
    all: bool = False
    as_of: str | None = None
    study: str | None = None
    piece: int = PIECE
    until: str | None = None

    def same(self, other: Asked) -> bool:
        """Whether the other run asks the same, on whatever day."""
        return replace(self, until=other.until) == other


class Medicine(NamedTuple):
    """What is asked of a patient. Functions of a module, so that another process or host can be told to call them."""

    names_the_cervix: Callable[[Finding], bool]
    stage: Callable[[Record], Staging]
    study: Study | None = None


class Plan(NamedTuple):
    """One run: the export, the folder of results, what was asked, and the medicine."""

    export: Path
    folder: Path
    asked: Asked
    medicine: Medicine

    @property
    def work(self) -> Path:
        """Where the steps leave their files until the result is whole."""
        return self.folder / "work"

    def pieces(self) -> list[Piece]:
        """The export in pieces, always the same, in the order of the file names."""
        found: list[tuple[str, int, int | None]] = []
        for one in self.asked.inputs:
            if packed(self.export / one.name):
                found.append((one.name, 0, None))
            else:
                found += [(one.name, at, min(at + self.asked.piece, one.size)) for at in range(0, max(1, one.size), self.asked.piece)]
        return [Piece(number, *each) for number, each in enumerate(found)]


def inputs(export: Path) -> tuple[Input, ...]:
    """The NDJSON files of a folder; raises Unreadable where there are none."""
    return tuple(Input(path.name, (told := path.stat()).st_size, told.st_mtime_ns) for path in files(export))


def packed(path: Path) -> bool:
    """Whether a file is gzip, whatever its name."""
    with path.open("rb") as start:
        return start.read(2) == b"\x1f\x8b"


def placed(work: Path, step: str, numbers: Iterable[int]) -> list[str]:
    """The Parquet files of a step."""
    return [str(work / step / f"{number:06}.parquet") for number in numbers]


def whole(path: Path, shape: Any) -> Any:
    """A value that a step left behind when it was done; None where it was not, or where a loss of power took what was written."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (FileNotFoundError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def left(path: Path) -> bool:
    """Whether a Parquet file that a step left behind is there to its end."""
    try:
        with path.open("rb") as file:
            return file.seek(0, SEEK_END) > 8 and file.seek(-4, SEEK_END) > 0 and file.read(4) == b"PAR1"
    except FileNotFoundError:
        return False


def leave(path: Path, value: Any) -> None:
    """Writes a value whole or not at all."""
    on_the_way = beside(path)
    on_the_way.write_bytes(msgspec.json.encode(value))
    on_the_way.replace(path)


def beside(path: Path) -> Path:
    """Where a file is written until it is whole: a place of its own, for a task that an engine has given to two workers."""
    return path.with_name(f"{path.name}.{token_hex(4)}.part")
