"""FHIR files in, answers out, without a network: one Bundle, or NDJSON with one Bundle a line, answered in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

import msgspec

from shared.fhir.outcome import FigaroError, Unreadable, to_bytes
from shared.fhir.reader import read_bundle
from shared.oncology.record import Record

Answering = Callable[[Record], bytes]


class Line(NamedTuple):
    """One answer, or the error that stands in its place. `whole` is True where the file is one Bundle."""

    answer: bytes
    error: FigaroError | None
    whole: bool


def answers(stream: BinaryIO, answering: Answering, *, as_of: str | None = None, plain: bool = False) -> Iterator[Line]:
    """An answer for every Bundle in the stream; raises Unreadable where there is none. NDJSON is read line by line; `plain` is no JSON."""
    lines = enumerate(stream, 1)
    first = next(((number, line) for number, line in lines if line.strip()), None)
    if first is None:
        raise Unreadable("The input is empty: give a FHIR Bundle, or NDJSON with one Bundle a line.", where="the input")
    second = next(((number, line) for number, line in lines if line.strip()), None)
    if second is None:
        yield _whole(first[1], answering, as_of, plain)
    elif _is_object(first[1]) or _is_object(second[1]):
        for number, line in chain([first, second], lines):
            if line.strip():
                yield _line(number, line, answering, as_of)
    else:
        yield _whole(b"".join(line for _, line in chain([first, second], lines)), answering, as_of, plain)


def _is_object(line: bytes) -> bool:
    """Whether a line is a whole JSON object by itself, as a line of NDJSON is and a line of an indented Bundle is not."""
    try:
        return isinstance(msgspec.json.decode(line, type=dict[str, msgspec.Raw]), dict) and b'"resourceType"' in line
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return False


def _whole(data: bytes, answering: Answering, as_of: str | None, plain: bool) -> Line:
    try:
        answer = answering(read_bundle(data, as_of=as_of))
        return Line(answer if plain else msgspec.json.format(answer, indent=2), None, True)
    except FigaroError as error:
        return Line(to_bytes(error), error, True)


def _line(number: int, data: bytes, answering: Answering, as_of: str | None) -> Line:
    try:
        return Line(answering(read_bundle(data, as_of=as_of)), None, False)
    except FigaroError as error:
        named: FigaroError = Unreadable(f"Line {number}: {error.text}", where=f"line {number}")
    except Exception as error:
        # One line that we cannot answer takes nothing from the others; the error's own words may quote the record.
        named = FigaroError(f"Line {number}: this is a fault of Figaro and not of the input ({type(error).__name__}); please report it.")
    return Line(to_bytes(named), named, False)
