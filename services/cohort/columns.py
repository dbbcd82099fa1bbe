"""The columns of a Struct in Arrow's terms, so that NDJSON and Parquet cannot say different things."""

from __future__ import annotations

import pyarrow as pa  # type: ignore[import-untyped]
from msgspec import inspect


def columns(*shapes: type) -> pa.Schema:
    """The columns of Structs side by side; raises ValueError where two have a column of one name."""
    fields = [field for shape in shapes for field in _fields(inspect.type_info(shape))]
    names = [field.name for field in fields]
    if len(set(names)) < len(names):
        raise ValueError(f"two columns of one name: {', '.join(sorted({name for name in names if names.count(name) > 1}))}")
    return pa.schema(fields)


def _fields(shape: inspect.Type) -> list[pa.Field]:
    assert isinstance(shape, inspect.StructType)
    return [pa.field(field.encode_name, _column(field.type)) for field in shape.fields]


def _column(of: inspect.Type) -> pa.DataType:
    match of:
        case inspect.UnionType(types=types):
            (known,) = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _column(known)
        case inspect.BoolType():
            return pa.bool_()
        case inspect.IntType():
            return pa.int64()
        case inspect.FloatType() | inspect.DecimalType():
            return pa.float64()
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return pa.list_(_column(item))
        case inspect.StructType():
            return pa.struct(_fields(of))
        case inspect.StrType() | inspect.LiteralType() | inspect.DateType():
            return pa.string()
    raise TypeError(f"no column for {type(of).__name__}")
