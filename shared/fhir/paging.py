"""A search's answer, page by page: entries as raw bytes, what the server warned of, and which of two versions is the newer.

Knows Bundles, opens no connection. Sources: FHIR R4 3.1.1 (search) and 2.36 (Bundle).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec

from shared.fhir.answer import issues_of
from shared.fhir.depth import DEEPEST, shallow, too_deep
from shared.fhir.incomplete import whole
from shared.fhir.outcome import NotFhir, OutcomeIssue
from shared.fhir.surrogates import mended

# These shape the answer and filter nothing; a server need not repeat them in its self link.
_AROUND: Final = 10  # levels of a Bundle around a resource, and some more: a resource cut with its Bundle is still known as too deep
_SHAPING: Final = {"_count", "_sort", "_total", "_summary", "_elements", "_include", "_revinclude", "_format", "_pretty"}


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One resource as the server sent it. `resource` is None, and `deleted` true, for a deletion in a history.

    Where it is `deep`, nested deeper than any resource of FHIR, what lies deeper was left out.
    """

    type: str
    id: str
    version: str | None = None
    last_updated: str | None = None
    mode: str = "match"
    resource: msgspec.Raw | None = None
    deleted: bool = False
    deep: bool = False

    @property
    def reference(self) -> str:
        """`Type/id`, without version."""
        return f"{self.type}/{self.id}"


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page; `next` is the server's link, opaque."""

    entries: tuple[Entry, ...] = ()
    warnings: tuple[OutcomeIssue, ...] = ()
    next: str | None = None
    asked: str | None = None
    total: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A whole search: each resource once, in its newest version, in the order first seen."""

    entries: tuple[Entry, ...] = ()
    warnings: tuple[OutcomeIssue, ...] = ()
    total: int | None = None
    pages: int = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class _Link(msgspec.Struct):
    relation: str = ""
    url: str = ""


class _Search(msgspec.Struct):
    mode: str = "match"


class _Request(msgspec.Struct):
    method: str = ""
    url: str = ""


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()
    search: _Search | None = None
    request: _Request | None = None


class _Bundle(msgspec.Struct, tag_field="resourceType", tag="Bundle"):
    type: str = ""
    total: int | None = None
    link: list[_Link] = []
    entry: list[_Entry] = []


class _Meta(msgspec.Struct, rename="camel"):
    version_id: str | None = None
    last_updated: str | None = None


class Head(msgspec.Struct):
    """The first lines of any resource."""

    type: str = msgspec.field(name="resourceType")
    id: str = ""
    meta: _Meta = msgspec.field(default_factory=_Meta)


_BUNDLE = msgspec.json.Decoder(_Bundle)
_HEAD = msgspec.json.Decoder(Head)


def head(body: bytes | msgspec.Raw) -> Head:
    """Type, id and version of a resource; raises msgspec.DecodeError."""
    return _HEAD.decode(body)


def page(body: bytes, base: str) -> Page:
    """One page of a search or history; half a character is read as U+FFFD. Raises NotFhir when the body is no Bundle of one, and
    Incomplete, an Unavailable, where it says itself that it is not whole."""
    try:
        bundle = _bundle(mended(body))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise NotFhir(f"The FHIR server at {base} answered a search with something that is no FHIR Bundle.") from error
    if bundle.type not in ("searchset", "history"):
        raise NotFhir(f"The FHIR server at {base} answered a search with a Bundle that is no searchset.")
    read = [_read(entry) for entry in bundle.entry]
    links = {link.relation: link.url for link in reversed(bundle.link)}
    warnings = tuple(issue for entry in read if not isinstance(entry, Entry) for issue in entry)
    whole(warnings, f"The FHIR server at {base}")
    return Page(
        entries=tuple(entry for entry in read if isinstance(entry, Entry)),
        warnings=warnings,
        next=links.get("next") or None,
        asked=links.get("self") or None,
        total=bundle.total,
    )


def _bundle(body: bytes) -> _Bundle:
    try:
        return _BUNDLE.decode(body)
    except RecursionError:  # one resource takes nothing from the others
        return _BUNDLE.decode(shallow(body, DEEPEST + _AROUND))


def newest(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Each resource once, in its newest version, in the order first seen (FC-02); a match outranks an include of the same version."""
    kept: dict[str, Entry] = {}
    for position, entry in enumerate(entries):
        key = entry.reference if entry.id else str(position)
        before = kept.get(key)
        if before is None or _age(entry) > _age(before):
            kept[key] = entry
    return tuple(kept.values())


def ignored(names: Iterable[str], query: Iterable[str]) -> tuple[OutcomeIssue, ...]:
    """A warning for each parameter asked for that the server's self link, whose parameters are `query`, does not repeat (FC-05)."""
    said = {name.split(":")[0] for name in query}
    asked = {name.split(":")[0] for name in names} - _SHAPING
    if not said:
        return ()
    return tuple(
        OutcomeIssue(severity="warning", code="not-supported", text=f"The server did not apply the search parameter {name}.")
        for name in sorted(asked - said)
    )


def _read(entry: _Entry) -> Entry | tuple[OutcomeIssue, ...]:
    if not bytes(entry.resource):
        return _deleted(entry)
    try:
        top = head(entry.resource)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return (OutcomeIssue(severity="warning", code="structure", text="An entry that is no FHIR resource was set aside."),)
    mode = entry.search.mode if entry.search else "match"
    if top.type == "OperationOutcome" or mode == "outcome":
        return issues_of(bytes(entry.resource))
    raw = bytes(entry.resource)
    deep = too_deep(raw)
    return Entry(
        type=top.type,
        id=top.id,
        version=top.meta.version_id,
        last_updated=top.meta.last_updated,
        mode=mode,
        resource=msgspec.Raw(shallow(raw)) if deep else entry.resource,
        deep=deep,
    )


def _deleted(entry: _Entry) -> Entry | tuple[OutcomeIssue, ...]:
    path = (entry.request.url if entry.request else "").split("/_history")[0].strip("/").split("/")
    return Entry(type=path[-2], id=path[-1], deleted=True) if len(path) > 1 else ()


def _age(entry: Entry) -> tuple[datetime, int, bool]:
    try:
        updated = datetime.fromisoformat(entry.last_updated or "")
    except ValueError:
        updated = datetime.min
    version = int(entry.version) if entry.version and entry.version.isdecimal() else 0
    return updated if updated.tzinfo else updated.replace(tzinfo=UTC), version, entry.mode == "match"
