"""What of one patient could not be read: types of which the reader has set something aside, and whether she has a Patient at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import Final

import msgspec

from services.cohort import heads
from services.cohort.torn import MATTER, NAME, torn
from shared.fhir import bundle as bundles
from shared.fhir import resources as r4
from shared.fhir.reader import age
from shared.oncology.not_read import PERSON
from shared.oncology.record import Issue

_CODES: Final = ("resource-unreadable", "modifier-unknown")
_PATIENT: Final = re.compile(rf"(?:(?:^|/)Patient/|^urn:uuid:)({NAME})(?:/_history/[^/]+)?$")


def unread_of(resources: Sequence[bytes], issues: Iterable[Issue], foreign: Collection[str]) -> frozenset[str]:
    """The types of hers of which not all could be read; those in the shape of another version (`foreign`) among them."""
    found = set[str]()
    for source in (source for issue in issues if issue.code in _CODES for source in issue.sources):
        place = source.removeprefix("entry ")
        found.add(torn(resources[int(place) - 1]).kind if place != source else source.partition("/")[0])
    if foreign:
        found.update(filter(None, map(_shaped, resources)))
    if not any(b'"Patient"' in raw and _is_patient(raw) for raw in resources):
        found |= PERSON
    return frozenset(found & (MATTER | PERSON))


def broken(resources: Sequence[bytes]) -> frozenset[str]:
    """The types of her lines that are not even JSON."""
    return frozenset(torn(raw).kind for raw in resources if bundles.head(raw) is None)


def _is_patient(raw: bytes) -> bool:
    head = bundles.head(raw)
    return head is not None and head.resource_type == "Patient"


def _shaped(raw: bytes) -> str | None:
    """The type of a resource in the shape of another version."""
    try:
        line = heads.decoder().decode(raw)
    except bundles.FAULTS:
        return None  # the reader has set it aside
    kind = heads.kinds().get(type(line))
    return kind.name if kind and any(attrgetter(element)(line) for element, _ in kind.shapes) else None


class _Link(msgspec.Struct, frozen=True):
    other: r4.Reference = r4.Reference()
    type: str | None = None


class _Person(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="resourceType", default="")
    active: bool | None = None
    link: tuple[_Link, ...] = ()
    meta: r4.Meta = r4.Meta()


_PERSON: Final = msgspec.json.Decoder(_Person)


def replaced_by(resources: Iterable[bytes]) -> str | None:
    """The Patient that replaces hers by its newest version, as a hospital leaves it that has joined two records of one woman."""
    found = [raw for raw in resources if b'"Patient"' in raw and _is_patient(raw)]
    if not any(b"replaced-by" in raw for raw in found):
        return None
    try:
        newest = max(map(_PERSON.decode, found), key=lambda person: age(person.meta.lastUpdated, person.meta.versionId))
    except bundles.FAULTS:
        return None
    others = [link.other.reference for link in newest.link if link.type == "replaced-by"] if newest.active is not True else []
    told = [f"Patient/{match[1]}" for other in others if (match := _PATIENT.search(other or ""))]
    return told[0] if told else None
