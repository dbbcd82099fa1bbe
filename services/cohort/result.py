"""The last step: the rows of all parts as one NDJSON and one Parquet, by patient, with a manifest that is written when both are whole."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.cohort.arrays import table
from services.cohort.columns import columns
from services.cohort.patients import Patients
from services.cohort.plan import Asked, Plan, leave, whole
from services.cohort.rows import Row

ROWS: Final = "cohort.ndjson"
TABLE: Final = "cohort.parquet"
MANIFEST: Final = "manifest.json"
_AT_ONCE: Final = 2_000


class Fault(msgspec.Struct, frozen=True):
    """A line that cannot be read: the file, the line from 1, and why."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.text}"


class Foreign(msgspec.Struct, frozen=True):
    """Resources in the shape of another version of FHIR, and where the first of them stands."""

    version: str
    kind: str
    count: int
    file: str
    line: int


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on the way. `faults` are the first of `unreadable` lines; `copies` are older or second copies of a resource.

    `absent` are types that the export has nothing of, `cut` those of files that break off. `counted` meet the study's criteria, `marked`
    of them bear the tag of synthetic patients. `ahead` have dates after the day of the run. `lost` are lines of a type that are of nobody
    who can be told, `lost_first` the first of them; of the types `spared` they are too few for anything to be withheld. `partly` are
    patients of whose resources of a type not all could be read; `replaced` have another record in the export, `moved` are resources that a
    newer version gives to another patient.
    """

    kinds: dict[str, int]
    lines: int
    unreadable: int
    faults: tuple[Fault, ...]
    nameless: dict[str, int]
    foreign: tuple[Foreign, ...]
    patients: Patients
    rows: int
    errors: int
    copies: int
    issues: dict[str, int]
    absent: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    counted: int = 0
    marked: int = 0
    ahead: int = 0
    lost: dict[str, int] = {}
    lost_first: dict[str, Fault] = {}
    spared: tuple[str, ...] = ()
    partly: dict[str, int] = {}
    replaced: int = 0
    moved: int = 0

    @property
    def unread(self) -> tuple[str, ...]:
        """The types of which silence tells nothing."""
        return tuple(sorted({*self.absent, *self.cut, *({*self.lost} - {*self.spared})}))


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A result that is whole. `files` are the sha-256 of what lies beside it."""

    asked: Asked
    counts: Counts
    files: dict[str, str]


def merge(plan: Plan, parts: int, seen: Callable[[int], None]) -> dict[str, str]:
    """Writes the rows under their own names; their digests. The order is that of the patients, whatever the parts were."""
    study = plan.medicine.study
    schema = columns(Row, *([study.shape] if study else []))
    rows, parquet = plan.folder / f"{ROWS}.part", plan.folder / f"{TABLE}.part"
    with ExitStack() as files:
        given = [_rows(files.enter_context((plan.work / "rows" / f"{part:06}.ndjson").open("rb"))) for part in range(parts)]
        merged = heapq.merge(*given)
        text = files.enter_context(rows.open("wb"))
        packed = files.enter_context(pq.ParquetWriter(parquet, schema, compression="zstd"))
        done = 0
        while some := [line for _, line in islice(merged, _AT_ONCE)]:
            lines = b"".join(some)
            text.write(lines)
            packed.write_table(table(lines, schema))
            done += len(some)
            seen(done)
    rows.replace(plan.folder / ROWS)
    parquet.replace(plan.folder / TABLE)
    return {name: _digest(plan.folder / name) for name in (ROWS, TABLE)}


def staged_patients(folder: Path, stages: Collection[str] = ()) -> Iterator[str]:
    """The patients of a result who have a stage, in the order of the rows; where `stages` are given, whom FIGO 2018 puts into one of them.

    A stage holds those below it: IV is IVA and IVB too.
    """
    with (folder / ROWS).open("rb") as rows:
        for line in rows:
            row = msgspec.json.decode(line, type=Row)
            chosen = not stages or any(_within(row.figo_2018.stage or "", each) for each in stages)
            if row.applies and chosen and row.patient.startswith("Patient/"):
                yield row.patient


def _within(stage: str, whole: str) -> bool:
    """Whether a stage is the other or a part of it: IIA is of II, III is not."""
    return stage.startswith(whole) and stage[len(whole) : len(whole) + 1] not in ("I", "V")


class _Who(msgspec.Struct):
    patient: str


_WHO: Final = msgspec.json.Decoder(_Who)


def _rows(lines: Iterable[bytes]) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        yield _WHO.decode(line).patient, line


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def finished(folder: Path, asked: Asked) -> Manifest | None:
    """The result of the same run, where it is there and whole."""
    manifest: Manifest | None = read_manifest(folder)
    if manifest is None or not manifest.asked.same(asked):
        return None
    there = all((folder / name).exists() and _digest(folder / name) == digest for name, digest in manifest.files.items())
    return manifest if there else None


def read_manifest(folder: Path) -> Any:
    """The manifest of a folder; None where there is none that can be read."""
    return whole(folder / MANIFEST, Manifest)


def write_manifest(plan: Plan, counts: Counts, files: dict[str, str]) -> Manifest:
    """Writes the manifest last: where it stands, the result is whole."""
    manifest = Manifest(asked=plan.asked, counts=counts, files=files)
    leave(plan.folder / MANIFEST, manifest)
    return manifest
