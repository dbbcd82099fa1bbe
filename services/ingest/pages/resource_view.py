"""A resource as it was pulled, in rows: where in it, and what stands there. Whoever doubts a claim reads the source itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

_ROWS, _DEEP, _LONG = 400, 24, 6000


class Field(NamedTuple):
    """One value of a resource, with the path to it."""

    path: str
    value: str


class ResourceView(NamedTuple):
    """A resource in rows. `cut` says that there is more than is shown."""

    kind: str
    fields: tuple[Field, ...]
    cut: bool


def resource(raw: bytes, kind: str, name: str) -> bytes | None:
    """The resource of that type and id in the array that was pulled; None where it is not there. The one Patient needs no id."""
    for each in msgspec.json.decode(raw, type=list[msgspec.Raw]):
        try:
            head = msgspec.json.decode(each, type=dict[str, msgspec.Raw])
            told, named = (msgspec.json.decode(head.get(key, b'""'), type=str) for key in ("resourceType", "id"))
        except (msgspec.DecodeError, RecursionError):
            continue
        if told == kind and (named == name or kind == "Patient"):
            return bytes(each)
    return None


def view(raw: bytes) -> ResourceView:
    """The rows of a resource, in the order in which they were sent."""
    told = msgspec.json.decode(raw)
    fields, cut = list[Field](), False
    for field in _walk(told, "", 0):
        if len(fields) == _ROWS:
            cut = True
            break
        fields.append(field)
    kind = told.get("resourceType") if isinstance(told, dict) else None
    return ResourceView(str(kind or "Resource"), tuple(fields), cut)


def _walk(value: Any, path: str, deep: int) -> Iterator[Field]:
    if deep > _DEEP:
        yield Field(path, "… nested too deeply to show")
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _walk(inner, f"{path}.{name}" if path else str(name), deep + 1)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{number}]" if len(value) > 1 else path, deep + 1)
    else:
        text = {True: "true", False: "false", None: "null"}.get(value) if value is None or isinstance(value, bool) else str(value)
        yield Field(path, f"{text[:_LONG]}…" if text and len(text) > _LONG else text or "")
