"""What is sent to be written, and what a server says it wrote: one resource, or every entry of a transaction. Opens no connection.

Source: FHIR R4 3.1.0 (http).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from shared.fhir.answer import from_stranger, issues_of
from shared.fhir.outcome import NotFhir, OutcomeIssue, Refused
from shared.fhir.paging import Head, head

_LOCATION: Final = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([^/]+))?/?$")
_REFUSED: Final = 400
_ETAG: Final = re.compile(r'(?:W/)?"([^"]*)"$')


Resource = Mapping[str, Any] | bytes | msgspec.Raw
_JSON: Final = msgspec.json.Encoder(decimal_format="number")


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One write. `version` is None where the server keeps or tells none; `resource` is what it sent back, if anything."""

    status: int
    type: str = ""
    id: str = ""
    version: str | None = None
    resource: msgspec.Raw | None = None
    outcome: tuple[OutcomeIssue, ...] = ()

    @property
    def created(self) -> bool:
        """False when a conditional create found it there already."""
        return self.status == 201

    @property
    def reference(self) -> str:
        """`Type/id`, without version."""
        return f"{self.type}/{self.id}"

    @property
    def versioned(self) -> str:
        """`Type/id/_history/version`, or without the version where there is none."""
        return f"{self.reference}/_history/{self.version}" if self.version else self.reference


class _Response(msgspec.Struct):
    status: str = ""
    location: str | None = None
    etag: str | None = None
    outcome: msgspec.Raw = msgspec.Raw()


class _Entry(msgspec.Struct):
    response: _Response = msgspec.field(default_factory=_Response)
    resource: msgspec.Raw = msgspec.Raw()


class _Bundle(msgspec.Struct, tag_field="resourceType", tag="Bundle"):
    type: Literal["transaction-response", "batch-response"]
    entry: list[_Entry] = []


def encoded(resource: Resource) -> bytes:
    """A resource as it is sent."""
    return bytes(resource) if isinstance(resource, (bytes, msgspec.Raw)) else _JSON.encode(resource)


def what_it_is(body: bytes) -> Head:
    """Type and id of what is to be written. Raises Refused for what is no resource."""
    try:
        return head(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused("Only a FHIR resource in JSON, with its resourceType, can be written.") from error


def written(status: int, location: str | None, etag: str | None, body: bytes | msgspec.Raw, known: tuple[str, str] = ("", "")) -> Written:
    """Reads the address of what was written from the Location, else from the body, else it is `known`; the id is "" when nobody tells."""
    top = _head(body)
    place = _LOCATION.search(location or "")
    type, id, version = place.groups() if place else (*known, None)
    tagged = _ETAG.match(etag or "")
    if top is not None:
        type, id, version = type or top.type, id or top.id, version or top.meta.version_id
    return Written(
        status=status,
        type=type,
        id=id,
        version=tagged.group(1) if tagged else version,
        resource=msgspec.Raw(body) if top is not None else None,
        outcome=issues_of(bytes(body)),
    )


def written_all(body: bytes) -> tuple[Written, ...]:
    """One for each entry of a transaction's response, in its order. Raises msgspec.DecodeError.

    Where an entry was refused, the whole is, with that entry's status (FC-12): no part of a transaction is written by itself, and a server
    that answers with a batch has taken it apart.
    """
    bundle = msgspec.json.decode(body, type=_Bundle)
    done = tuple(map(_entry, bundle.entry))
    for number, (one, entry) in enumerate(zip(done, bundle.entry, strict=True), 1):
        if one.status >= _REFUSED:
            text = f"The FHIR server refused entry {number} of {len(done)} of a transaction with status {one.status}"
            raise from_stranger(bytes(entry.response.outcome), one.status, text=f"{text}: it counts as not written. Look into its log.")
    if bundle.type == "batch-response":
        raise NotFhir("The FHIR server answered a transaction with a batch-response: it takes it apart, and may write half of it.")
    return done


def _entry(entry: _Entry) -> Written:
    said = entry.response
    digits = said.status[:3]
    read = written(int(digits) if digits.isdecimal() else 0, said.location, said.etag, entry.resource)
    return msgspec.structs.replace(read, outcome=issues_of(bytes(said.outcome)))


def _head(body: bytes | msgspec.Raw) -> Head | None:
    try:
        top = head(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return top if top.type != "OperationOutcome" else None
