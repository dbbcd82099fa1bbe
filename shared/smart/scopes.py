"""Which SMART scopes cover which: v1 (`system/Patient.read`) and v2 (`system/Patient.rs`) mean the same thing in two spellings (SM-40)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl

URI = "http://smarthealthit.org/fhir/scopes/"  # scopes may be written as URIs (SM-44)
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
    found = _SCOPE.fullmatch(text.removeprefix(URI))
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


class Granted:
    """What a user's grant lets us do with the resources of the patient in context; `system/` scopes are no user's."""

    def __init__(self, granted: Iterable[str]) -> None:
        self._plain = frozenset(text.removeprefix(URI) for text in granted)
        self._known = [one for text in self._plain if (one := scope(text)) is not None and one.context != "system"]

    def __contains__(self, text: str) -> bool:
        """Whether a scope that is not of resources was granted: `openid`, `launch`."""
        return text in self._plain

    def reach(self, resource_type: str, letters: str, params: Iterable[tuple[str, str]] = ()) -> Literal["all", "some", "none"]:
        """How far the grant goes for all of these interactions: to every resource of the type, to some of them, or to none.

        With `params`, of a search, "all" means all that it asks for: a narrower grant is enough where the search is as narrow (SM-43).
        """
        asked = frozenset(params)
        fit = [one for one in self._known if one.type in ("*", resource_type)]
        whole = [one.letters for one in fit if one.query is None or (asked and _conditions(one.query) <= asked)]
        if frozenset(letters) <= frozenset().union(*whole):
            return "all"
        return "some" if frozenset(letters) <= frozenset().union(*(one.letters for one in fit)) else "none"


def _conditions(query: str) -> frozenset[tuple[str, str]]:
    found = frozenset(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
    # What is experimental in a scope (modifiers, chains, _filter) is not ours to judge: such a grant never covers a search of ours.
    return found | {("?", "?")} if not found or any(":" in name or "." in name or name.startswith("_") for name, _ in found) else found
