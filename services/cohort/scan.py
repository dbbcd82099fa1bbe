"""The first step: every line of a piece is looked at once, and an index of it is left: whose it is, its type, where it stands.

Most lines are of patients and types that cannot matter, so that nothing is read of a line but what tells that.
"""

from __future__ import annotations

import re
from operator import attrgetter
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from services.cohort import heads
from services.cohort.arrays import numbers, texts
from services.cohort.blocks import TOO_LONG, Block, blocks
from services.cohort.plan import Piece, Plan, beside, leave, left, whole
from services.cohort.torn import NAME, UNREADABLE, nobodys, torn
from shared.fhir import bundle as bundles
from shared.fhir.reader import read_resources

SHOWN: Final = 20
INDEX: Final = pa.schema(
    [
        ("owner", pa.dictionary(pa.int32(), pa.string())),
        ("kind", pa.int8()),
        ("offset", pa.int64()),
        ("length", pa.int32()),
        ("named", pa.bool_()),
    ]
)
_ROWS: Final = 200_000
_REMEMBERED: Final = 100_000
_OWNER: Final = re.compile(rf"(?:(?:^|/)Patient/|^urn:uuid:)({NAME})(?:/_history/[^/]+)?$")


_Column = npt.NDArray[Any]


class Seen(msgspec.Struct):
    """What a piece holds. Lines count from 1 in the piece; `faults` are the first of `unreadable`.

    `lost` are the lines of a type of which nobody can tell whose they are: how many, the first of them, and why; "" where the type cannot
    be told either.
    """

    number: int
    lines: int = 0
    kinds: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    unreadable: int = 0
    cut: bool = False  # its file breaks off in it
    nameless: dict[str, int] = {}
    lost: dict[str, tuple[int, int, str]] = {}
    shapes: dict[str, tuple[int, int]] = {}  # "STU3 Condition" → how many, the first line

    def fault(self, line: int, text: str) -> None:
        self.unreadable += 1
        if len(self.faults) < SHOWN:
            self.faults.append((line, text))

    def lose(self, kind: str, line: int, why: str) -> None:
        count, first, said = self.lost.get(kind, (0, line, why))
        self.lost[kind] = (count + 1, first, said)


class _Broken(NamedTuple):
    """In place of a line that cannot be read: a patient whom it names, and its type."""

    owner: str
    kind: str


def scan(plan: Plan, piece: Piece) -> Seen:
    """Leaves the index of a piece. A piece that was done is not looked at again."""
    done = plan.work / "scan" / f"{piece.number:06}.json"
    seen: Seen | None = whole(done, Seen)
    index = done.with_suffix(".parquet")
    if seen is not None and left(index):
        return seen
    scanning = _Scanning(plan, piece.number)
    on_the_way = beside(index)
    with pq.ParquetWriter(on_the_way, INDEX, compression="zstd", use_dictionary=["owner"], write_statistics=False) as writer:
        for block in blocks(plan.export, piece):
            scanning.look(block)
            if scanning.rows >= _ROWS:
                writer.write_batch(scanning.taken())
        writer.write_batch(scanning.taken())
    on_the_way.replace(index)
    leave(done, scanning.seen)
    return scanning.seen


class _Scanning:
    """A piece being looked at: columns of the index, and what is remembered from line to line."""

    def __init__(self, plan: Plan, number: int) -> None:
        self.seen = Seen(number)
        self.rows = 0
        self._columns: list[tuple[_Column, ...]] = []
        self._owners: dict[str, int] = {}
        self._known: dict[str | None, int] = {}
        self._spoken: dict[tuple[bytes, ...], bool | None] = {}
        self._names_the_cervix = plan.medicine.names_the_cervix
        self._decoder = heads.decoder()
        self._kinds = heads.kinds()

    def taken(self) -> pa.RecordBatch:
        """The index so far, which begins anew."""
        owners = texts(list(self._owners), pa.string())
        columns = [np.concatenate(each) for each in zip(*self._columns, strict=True)] or [np.empty(0, int)] * 5
        typed = [numbers(column, field.type) for column, field in zip(columns[1:], list(INDEX)[1:], strict=True)]
        whose = pa.DictionaryArray.from_arrays(numbers(columns[0], pa.int32()), owners)
        self.rows, self._columns, self._owners, self._known = 0, [], {}, {}
        return pa.RecordBatch.from_arrays([whose, *typed], schema=INDEX)

    def look(self, block: Block) -> None:
        """Every line of a block, all at once where all can be read."""
        starts, lengths = _lines(block.data)
        places: _Column = np.arange(len(starts))
        try:
            lines: list[Any] = self._decoder.decode_lines(block.data)
        except bundles.FAULTS:
            lines = []
        if len(lines) != len(starts):  # something that cannot be read, or a line that is empty or one of several
            places, lines = self._one_by_one(block.data, starts.tolist(), lengths.tolist())
        self._take(lines, block.offset + starts[places], lengths[places], self.seen.lines + places + 1)
        self.seen.lines += len(starts)
        last = block.data[block.data.rfind(b"\n") + 1 :].strip()
        read = len(places) and places[-1] == len(starts) - 1 and type(lines[-1]) is not _Broken
        self.seen.cut = bool(block.fault or (last and not read))
        if block.fault:
            self.seen.lines += 1
            if block.fault == TOO_LONG:
                self.seen.lose("", self.seen.lines, TOO_LONG)
            self.seen.fault(self.seen.lines, block.fault)

    def _one_by_one(self, data: bytes, starts: list[int], lengths: list[int]) -> tuple[_Column, list[Any]]:
        """The places of the lines that can be read, and the lines; a broken one is there once for each patient whom it names."""
        places, lines = list[int](), list[Any]()
        for place, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            raw = data[start : start + length]
            if not raw.strip():
                continue
            try:
                lines.append(self._decoder.decode(raw))
                places.append(place)
            except bundles.FAULTS:
                told = torn(raw)
                if told.fault is not None:
                    self.seen.fault(self.seen.lines + place + 1, told.fault)
                else:
                    self.seen.kinds[told.kind] = self.seen.kinds.get(told.kind, 0) + 1
                for kind in told.lost:
                    self.seen.lose(kind, self.seen.lines + place + 1, told.fault or "")
                lines += [_Broken(owner, told.kind) for owner in told.owners]
                places += [place] * len(told.owners)
        return np.array(places, int), lines

    def _take(self, lines: list[Any], offsets: _Column, lengths: _Column, numbers: _Column) -> None:
        """Type by type: a column at a time costs a fraction of a line at a time."""
        types = list(map(type, lines))
        found: list[tuple[_Column, ...]] = []
        for each in dict.fromkeys(types):
            name, kind = each.__name__, self._kinds.get(each)
            rows = [row for row, other in enumerate(types) if other is each]
            if each is _Broken:
                found.append(self._broken(rows, [lines[row] for row in rows]))
                continue
            self.seen.kinds[name] = self.seen.kinds.get(name, 0) + len(rows)
            if kind is None:
                continue
            of = lines if len(rows) == len(lines) else [lines[row] for row in rows]
            place: _Column = np.array(rows)
            self._shapes(kind, of, numbers[place])
            owners: _Column = np.array(self._owners_of(kind, of))
            named = self._named(kind, of, numbers[place])
            if (hers := owners >= 0).all():
                found.append((place, owners, np.full(len(rows), kind.number), named))
            else:
                self.seen.nameless[name] = self.seen.nameless.get(name, 0) + int((~hers).sum())
                for row in np.flatnonzero(~hers):
                    if why := nobodys(name, of[row]):
                        self.seen.lose(name, int(numbers[place[row]]), why)
                found.append((place[hers], owners[hers], np.full(int(hers.sum()), kind.number), named[hers]))
        if not found:
            return
        place, owner, number, named = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.argsort(place, kind="stable")
        at = place[order]
        self._columns.append((owner[order], number[order], offsets[at], lengths[at], named[order]))
        self.rows += len(at)

    def _broken(self, rows: list[int], lines: list[_Broken]) -> tuple[_Column, ...]:
        owners = [self._owners.setdefault(line.owner, len(self._owners)) for line in lines]
        kinds = [heads.READ.index(line.kind) for line in lines]
        return np.array(rows), np.array(owners), np.array(kinds), np.zeros(len(rows), bool)

    def _shapes(self, kind: heads.Kind, lines: list[Any], numbers: _Column) -> None:
        """Counts what is in the shape of another version of FHIR."""
        for version in dict.fromkeys(version for _, version in kind.shapes):
            of = [element for element, other in kind.shapes if other == version]
            rows = sorted({row for element in of for row, raw in enumerate(map(attrgetter(element), lines)) if raw})
            if rows:
                shape = f"{version} {kind.name}"
                count, first = self.seen.shapes.get(shape, (0, int(numbers[rows[0]])))
                self.seen.shapes[shape] = (count + len(rows), first)

    def _owners_of(self, kind: heads.Kind, lines: list[Any]) -> list[int]:
        """The places of the patients among the owners; -1 where nobody can be told."""
        if kind.itself:
            owners = self._owners
            return [owners.setdefault(f"{kind.name}/{line.id}", len(owners)) if line.id else -1 for line in lines]
        known = self._known
        references = [subject.reference if (subject := line.subject) is not None else None for line in lines]
        return [known[each] if each in known else self._owner(each) for each in references]

    def _owner(self, reference: str | None) -> int:
        found = _OWNER.search(reference or "")
        key = f"Patient/{found[1]}" if found else reference if (reference or "").startswith("urn:") else None
        place = self._known[reference] = -1 if key is None else self._owners.setdefault(key, len(self._owners))
        return place

    def _named(self, kind: heads.Kind, lines: list[Any], numbers: _Column) -> _Column:
        """Whether each line names the cervix; a line that cannot be read for that is a fault."""
        if not kind.speaking:
            return np.zeros(len(lines), bool)
        spoken = self._spoken
        saying = zip(*(map(bytes, map(attrgetter(element), lines)) for element in kind.speaking), strict=True)
        told = [spoken[said] if said in spoken else self._says(kind, said) for said in saying]
        if None in told:
            for row, answer in enumerate(told):
                if answer is None:
                    self.seen.fault(int(numbers[row]), UNREADABLE.format(kind.name))
        return np.array(told, bool)

    def _says(self, kind: heads.Kind, said: tuple[bytes, ...]) -> bool | None:
        """Whether what a resource says of itself names the cervix; None where it cannot be read. Remembered, as most say the same."""
        parts = b"".join(b',"%s":%s' % (name.encode(), raw) for name, raw in zip(kind.speaking, said, strict=True) if raw)
        raw = b'{"resourceType":"%s","id":"1","subject":{"reference":"Patient/1"}%s}' % (kind.name.encode(), parts)
        findings = read_resources("Patient/1", [raw]).findings
        if len(self._spoken) >= _REMEMBERED:
            self._spoken.clear()
        answer = self._spoken[said] = any(map(self._names_the_cervix, findings)) if findings else None
        return answer


def _lines(data: bytes) -> tuple[_Column, _Column]:
    """Where each line starts, and its length without its end."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.concatenate((np.zeros(min(1, len(ends)), ends.dtype), ends[:-1] + 1))
    return starts, ends - starts
