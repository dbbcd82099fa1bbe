"""Half a character in what names something in a notification: refused, and where it stands is said. In any other text it is passed over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from shared.fhir.outcome import Unreadable

# What tells which resource, version, patient or Subscription it is: kept, looked up, or hashed, and none of that can be done with half.
_NAMING: Final = frozenset(
    ["id", "versionId", "lastUpdated", "reference", "system", "value", "url", "fullUrl", "resourceType", "status", "type", "timestamp"]
)
_MEMBER: Final = re.compile(r"[A-Za-z_]{1,64}")
_HALF: Final = re.compile("[\\ud800-\\udfff]")


def refuse_halves(read: dict[str, Any]) -> None:
    """Raises Unreadable, whose `where` is the first such place: "Condition.meta.versionId"."""
    kind = str(read.get("resourceType"))
    try:
        where = next(_halves(read, kind if _MEMBER.fullmatch(kind) else "the body"), None)
    except RecursionError:
        where = "the body"
    if where:
        raise Unreadable(f"{where} holds half a character, which UTF-8 cannot: send it whole, or send ids only.", where=where)


def _halves(value: Any, where: str, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _halves(inner, f"{where}.{key if _MEMBER.fullmatch(key) else '?'}", key)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _halves(inner, f"{where}[{position}]", name)
    elif isinstance(value, str) and (name in _NAMING or (name.startswith("value") and ".parameter[" in where)) and _HALF.search(value):
        yield where
