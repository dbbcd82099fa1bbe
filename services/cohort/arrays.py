"""Arrow arrays from their buffers and back. `pyarrow.array` and `to_numpy` do the same, and import pandas for it: half a second."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa  # type: ignore[import-untyped]
from pyarrow import json

Numbers = npt.NDArray[Any] | Sequence[int]


def numbers(values: Numbers, of: pa.DataType) -> pa.Array:
    """A column of numbers, or of booleans, none of them missing."""
    given = np.ascontiguousarray(values, of.to_pandas_dtype())
    bits = np.packbits(given, bitorder="little") if pa.types.is_boolean(of) else given
    return pa.Array.from_buffers(of, len(given), [None, pa.py_buffer(bits)])


def read(column: pa.Array) -> npt.NDArray[Any]:
    """The numbers of a column, none of them missing."""
    values: npt.NDArray[Any] = np.frombuffer(column.buffers()[1], column.type.to_pandas_dtype(), column.offset + len(column))
    return values[column.offset :]


def texts(values: Sequence[str | bytes | None], of: pa.DataType) -> pa.Array:
    """A column of text or of bytes; None is missing."""
    data = [each.encode() if isinstance(each, str) else each or b"" for each in values]
    ends = np.concatenate(([0], np.cumsum([len(each) for each in data], dtype=np.int32))).astype(np.int32)
    there = np.packbits(np.array([each is not None for each in values], bool), bitorder="little")
    return pa.Array.from_buffers(of, len(data), [pa.py_buffer(part) for part in (there, ends, b"".join(data))])


def strings(column: pa.Array) -> list[str]:
    """The texts of a column, none of them missing; many times as fast as asking for one value after the other."""
    _, places, data = column.buffers()
    ends = np.frombuffer(places, np.int32, column.offset + len(column) + 1)[column.offset :].tolist()
    whole = data.to_pybytes() if data else b""
    return [whole[start:end].decode() for start, end in pairwise(ends)]


def table(lines: bytes, schema: pa.Schema) -> pa.Table:
    """NDJSON as a table of exactly these columns; raises pyarrow.ArrowInvalid where a line has another."""
    whole = json.ReadOptions(use_threads=False, block_size=len(lines) + 1)
    return json.read_json(pa.BufferReader(lines), whole, json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"))
