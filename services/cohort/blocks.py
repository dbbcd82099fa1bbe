"""The bytes of a piece of NDJSON, in blocks of whole lines, each with its offset in the (unpacked) file."""

from __future__ import annotations

import gzip
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from services.cohort.plan import Piece, packed
from shared.fhir.ndjson import LONGEST

BLOCK: Final = 1 << 20
TOO_LONG: Final = f"is longer than {LONGEST // 1_000_000} MB; it is not read."
BROKEN_GZIP: Final = "the gzip is broken from here on; what stands before it is used."


class Block(NamedTuple):
    """Whole lines. `fault` is what is wrong with the line behind them, which is not among them."""

    offset: int
    data: bytes
    fault: str | None = None


class Place(NamedTuple):
    """Where a line stands, whose it is, and the place of its type in heads.READ."""

    offset: int
    length: int
    owner: str
    kind: int


def blocks(export: Path, piece: Piece) -> Iterator[Block]:
    """The lines that begin in the piece. What cannot be read on ends them with a fault."""
    path, position = export / piece.file, piece.start
    try:
        with _opened(path) as stream:
            if position:
                stream.seek(position - 1)
                position += len(stream.readline()) - 1
            while piece.end is None or position < piece.end:
                block = _block(stream, position, BLOCK if piece.end is None else min(BLOCK, piece.end - position))
                if block is None:
                    return
                yield block
                position = stream.tell()
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield from _saved(path, position)
    except OSError as error:
        yield Block(position, b"", f"cannot be read from here on ({(error.strerror or 'no reason given').lower()}).")


def _opened(path: Path) -> BinaryIO:
    return gzip.open(path) if packed(path) else path.open("rb")  # type: ignore[return-value]


def _block(stream: BinaryIO, position: int, size: int) -> Block | None:
    data = stream.read(size)
    if not data:
        return None
    fault = None
    if not data.endswith(b"\n"):
        rest = stream.readline(LONGEST)
        if len(rest) == LONGEST and not rest.endswith(b"\n"):
            while rest and not rest.endswith(b"\n"):
                rest = stream.readline(1 << 20)
            data, rest, fault = data[: data.rfind(b"\n") + 1], b"", TOO_LONG
        data += rest
    return Block(position, _unmarked(position, data), fault)


def _saved(path: Path, position: int) -> Iterator[Block]:
    """The lines before the break of a gzip, one by one: a larger read would lose what precedes the break."""
    found: list[bytes] = []
    try:
        with _opened(path) as stream:
            stream.seek(position)
            while line := stream.readline(LONGEST):
                found.append(line)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield Block(position, _unmarked(position, b"".join(found)), BROKEN_GZIP)


def _unmarked(position: int, data: bytes) -> bytes:
    """Without the byte order mark at the beginning of a file; what follows stays in its place."""
    return b"   " + data[3:] if position == 0 and data.startswith(BOM_UTF8) else data


def fetched(export: Path, piece: Piece, wanted: Iterable[Place]) -> Iterator[tuple[Place, bytes]]:
    """The lines at these places, which are in ascending order; the others are not looked at."""
    if piece.end is not None:
        with (export / piece.file).open("rb", buffering=0) as stream:
            for place in wanted:
                stream.seek(place.offset)
                yield place, _unmarked(place.offset, stream.read(place.length))
        return
    waiting = iter(wanted)
    at = next(waiting, None)
    for block in blocks(export, piece) if at else ():
        while at is not None and at.offset < block.offset + len(block.data):
            start = at.offset - block.offset
            yield at, block.data[start : start + at.length]
            at = next(waiting, None)
        if at is None:
            return
