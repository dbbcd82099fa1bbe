"""The third step: the lines of the patients who are staged, out of each piece, sorted into parts by patient.

Medications belong to no patient: once it is known which ones her orders refer to, they are gathered in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import msgspec
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.cohort.arrays import numbers, read, strings, texts
from services.cohort.blocks import Place, fetched
from services.cohort.heads import READ
from services.cohort.patients import database
from services.cohort.plan import Piece, Plan, beside, leave, left, placed, whole
from services.cohort.torn import NAME
from shared.fhir import resources as r4
from shared.fhir.bundle import FAULTS
from shared.fhir.reader import age

KEPT: Final = pa.schema(
    [
        ("part", pa.int32()),
        ("owner", pa.string()),
        ("piece", pa.int32()),
        ("offset", pa.int64()),
        ("source", pa.string()),
        ("medication", pa.string()),
        ("written", pa.int64()),
        ("version", pa.int64()),
        ("raw", pa.binary()),
    ]
)
_BYTES: Final = 32 << 20
_NEVER: Final = -(1 << 62)
_MEDICATION_KIND: Final = READ.index("Medication")
_MEDICATION: Final = re.compile(rf"(?:^|/)(Medication/{NAME})(?:/_history/[^/]+)?$")


class _Order(msgspec.Struct):
    id: str | None = None
    medicationReference: r4.Reference | None = None  # noqa: N815 - FHIR's own name
    meta: r4.Meta = r4.Meta()


_ORDER: Final = msgspec.json.Decoder(_Order)


class Gathered(msgspec.Struct, frozen=True):
    """How many lines of a piece are of patients who are staged."""

    lines: int


def gather(plan: Plan, piece: Piece, parts: int) -> Gathered:
    """Leaves the lines of the chosen patients that stand in a piece."""
    return _gather(plan, piece, "kept", None if plan.asked.all else plan.work / "patients.parquet", parts)


def gather_medications(plan: Plan, piece: Piece) -> Gathered:
    """Leaves the Medications of a piece that these lines refer to."""
    return _gather(plan, piece, "medications", plan.work / "medications.parquet", 1)


def wanted_medications(plan: Plan, pieces: int) -> int:
    """Leaves the Medications to be gathered; how many they are."""
    return _found(plan, pieces, "medications", _WANTED)


_WANTED: Final = """
    CREATE TEMP TABLE found AS SELECT DISTINCT medication AS owner FROM read_parquet($1) WHERE medication IS NOT NULL
"""
# Of a resource that stands under several patients, those whose version is older than the newest. Of equals nothing tells which is.
_MOVED: Final = """
    CREATE TEMP TABLE found AS
    WITH several AS (
        SELECT source FROM read_parquet($1) WHERE source IS NOT NULL GROUP BY source HAVING min(owner) <> max(owner)
    ), each AS (
        SELECT source, owner, max(row(written, version)) AS age
        FROM read_parquet($1) WHERE source IN (FROM several) GROUP BY source, owner
    )
    SELECT each.source, each.owner FROM each JOIN (SELECT source, max(age) AS age FROM each GROUP BY source) AS newest USING (source)
    WHERE each.age < newest.age ORDER BY ALL
"""


def moved(plan: Plan, pieces: int) -> int:
    """Leaves the resources that a newer version gives to another patient, with those whose they are no more; how many they are."""
    return _found(plan, pieces, "moved", _MOVED)


def _found(plan: Plan, pieces: int, name: str, statement: str) -> int:
    """Leaves what a statement finds in the kept lines of all pieces, as a table `found`; how much it is. A resumed run does it no more."""
    done, target = plan.work / f"{name}.json", plan.work / f"{name}.parquet"
    many: int | None = whole(done, int)
    if many is None or not left(target):
        on_the_way = beside(target)
        with database(plan.work) as db:
            db.execute(statement, [placed(plan.work, "kept", range(pieces))])
            db.table("found").write_parquet(str(on_the_way))
            ((count,),) = db.execute("SELECT count(*) FROM found").fetchall()
        on_the_way.replace(target)
        many = int(count)
        leave(done, many)
    return many


def _gather(plan: Plan, piece: Piece, step: str, owners: Path | None, parts: int) -> Gathered:
    done = plan.work / step / f"{piece.number:06}.json"
    found: Gathered | None = whole(done, Gathered)
    target = done.with_suffix(".parquet")
    if found is not None and left(target):
        return found
    on_the_way = beside(target)
    keeping = _Keeping(piece.number, parts, on_the_way)
    try:
        wanted = _wanted(plan.work / "scan" / f"{piece.number:06}.parquet", owners)
        for place, raw in fetched(plan.export, piece, wanted):
            keeping.keep(place, raw)
    finally:
        keeping.close()
    on_the_way.replace(target)
    found = Gathered(keeping.lines)
    leave(done, found)
    return found


def _wanted(index: Path, owners: Path | None) -> Iterator[Place]:
    """The lines that are wanted, in the order of the piece."""
    chosen = None if owners is None else _keys(owners, owners.stat().st_mtime_ns)
    for batch in pq.ParquetFile(index).iter_batches(batch_size=200_000):
        column: Any = batch.column("owner")
        names = strings(column.dictionary)
        kinds, of = read(batch.column("kind")), read(column.indices)
        if chosen is None:
            rows = np.flatnonzero(kinds != _MEDICATION_KIND)
        else:
            rows = np.flatnonzero(np.array([name in chosen for name in names], bool)[of])
        offsets, lengths = read(batch.column("offset")), read(batch.column("length"))
        for offset, length, whose, kind in zip(*(column[rows].tolist() for column in (offsets, lengths, of, kinds)), strict=True):
            yield Place(offset, length, names[whose], kind)


def _order(raw: bytes) -> _Order:
    try:
        return _ORDER.decode(raw)
    except FAULTS:
        return _Order()  # the reader will say what is wrong with it


@lru_cache(maxsize=2)
def _keys(path: Path, _: int) -> frozenset[str]:
    return frozenset(pq.ParquetFile(path).read().column(0).to_pylist())


class _Keeping:
    """Lines on their way to the disk, a row group for each part, so that a part can be read without the others."""

    def __init__(self, piece: int, parts: int, target: Path) -> None:
        self.lines = 0
        self._piece = piece
        self._parts = parts
        self._held: list[tuple[int, str, int, int, str | None, str | None, int, int, bytes]] = []
        self._size = 0
        self._writer = pq.ParquetWriter(target, KEPT, compression="zstd")

    def keep(self, place: Place, raw: bytes) -> None:
        order = _order(raw)
        reference = order.medicationReference.reference if order.medicationReference else None
        found = _MEDICATION.search(reference) if reference else None
        medication = found[1] if found else None
        source = f"{READ[place.kind]}/{order.id}" if order.id else None
        written, version = age(order.meta.lastUpdated, order.meta.versionId)
        since = int(written * 1_000_000) if written > -inf else _NEVER
        part = crc32(place.owner.encode()) % self._parts
        self._held.append((part, place.owner, self._piece, place.offset, source, medication, since, version, raw))
        self.lines += 1
        self._size += len(raw)
        if self._size >= _BYTES:
            self._write()

    def _write(self) -> None:
        self._held.sort(key=lambda row: row[:4])
        start = 0
        for end in range(1, len(self._held) + 1):
            if end == len(self._held) or self._held[end][0] != self._held[start][0]:
                columns = zip(zip(*self._held[start:end], strict=True), KEPT, strict=True)
                arrays = [(numbers if pa.types.is_integer(field.type) else texts)(each, field.type) for each, field in columns]
                self._writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=KEPT))
                start = end
        self._held, self._size = [], 0

    def close(self) -> None:
        self._write()
        self._writer.close()
