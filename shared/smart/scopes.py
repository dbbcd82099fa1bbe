"""Which SMART scopes cover which: v1 (`system/Patient.read`) and v2 (`system/Patient.rs`) mean the same thing in two spellings (SM-40)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_SCOPE = re.compile(r"(patient|user|system)/([A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)(\?\S+)?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


class Scope(NamedTuple):
    """`letters` are of v2: create, read, update, delete, search. `query` is what narrows it to some resources of the type (SM-43)."""

    context: str
    type: str
    letters: frozenset[str]
    query: str | None


def scope(text: str) -> Scope | None:
    """A resource scope; None where it is something else (`launch`, `openid`, a server's own)."""
    found = _SCOPE.fullmatch(text)
    if found is None or not found[3]:
        return None
    return Scope(found[1], found[2], frozenset(_V1.get(found[3], found[3])), found[4])


def missing(asked: Iterable[str], granted: Iterable[str]) -> tuple[str, ...]:
    """What was asked for and is not granted, in the order asked, whichever spelling the grant is in (SM-34, SM-42)."""
    given = tuple(granted)
    known = [found for text in given if (found := scope(text)) is not None]
    return tuple(text for text in asked if text not in given and not _covered(scope(text), known))


def _covered(wanted: Scope | None, granted: Iterable[Scope]) -> bool:
    if wanted is None:
        return False
    # A grant with a query is narrower than its type: it covers only itself, and that was compared as text.
    fit = [one for one in granted if one.query is None and one.context == wanted.context and one.type in ("*", wanted.type)]
    return wanted.letters <= frozenset().union(*(one.letters for one in fit))
