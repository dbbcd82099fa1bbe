"""What can still be told of a line that cannot be read, by a plain search in it: its type, and whose it is."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from services.cohort.heads import READ
from shared.fhir import bundle as bundles
from shared.fhir import resources as r4
from shared.oncology.not_read import FINDINGS, TREATMENTS

NO_JSON: Final = "is no FHIR resource in JSON; it is not used."
UNREADABLE: Final = "cannot be read as {}; it is not used."
SEVERAL: Final = "is a {}: a line holds one resource, and what is in it is not used."
MATTER: Final = TREATMENTS | FINDINGS
_SEVERAL: Final = ("Bundle", "Parameters")
_TYPE: Final = re.compile(rb'"resourceType"\s*:\s*"([A-Za-z]+)"')
# What stands for an id in a reference: FHIR allows letters, digits, "-" and "." up to 64; servers give others too, as "_".
NAME: Final = r"[^/?#|\s\"\\]{1,255}"
_WHOSE: Final = re.compile(rf'"reference"\s*:\s*"(?:(?:[^"\\]*/)?Patient/|urn:uuid:)({NAME})(?:/_history/[^"/]+)?"'.encode())
_ANOTHER: Final = re.compile(r"(?:^|/)(?!Patient/)[A-Z][A-Za-z]+/[^/]+$")


class Torn(NamedTuple):
    """A line that cannot be read. `fault` is None where it need not be; `owners` are the patients that it names.

    `lost` are the types of which nobody can tell whose the line was; "" where its type cannot be told either.
    """

    fault: str | None
    kind: str
    owners: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def torn(raw: bytes) -> Torn:
    """What can be told of the line."""
    head = bundles.head(raw)
    if head is not None and head.resource_type in _SEVERAL:
        inside = {kind.decode() for kind in _TYPE.findall(raw)}
        return Torn(SEVERAL.format(head.resource_type), head.resource_type, lost=tuple(sorted(inside & MATTER)))
    if head is not None and head.resource_type not in READ:
        return Torn(None, head.resource_type)
    found = _TYPE.search(raw)
    kind = head.resource_type if head else found[1].decode() if found else ""
    fault = NO_JSON if head is None else UNREADABLE.format(kind)
    if kind and kind not in MATTER:
        return Torn(fault, kind)  # a Patient that cannot be read is missed by herself
    owners = tuple(dict.fromkeys(f"Patient/{each.decode(errors='replace')}" for each in _WHOSE.findall(raw))) if kind else ()
    return Torn(fault, kind, owners, () if owners else (kind,))


def nobodys(kind: str, line: Any) -> str:
    """Why nobody can tell whose a line is that names no patient; empty where it is of none, as of a Group or a Device.

    An Observation may be of nobody; what else has no subject has lost it.
    """
    subject: r4.Reference | None = line.subject
    if kind not in MATTER or (subject is None and kind == "Observation"):
        return ""
    if subject is None:
        return "it has no subject."
    if not subject.reference:
        return "its subject is an identifier alone." if subject.identifier else "its subject has no reference."
    if subject.reference.startswith("#"):
        return "its subject stands inside it."
    if "?" in subject.reference:
        return "its subject is a search."
    return "" if _ANOTHER.search(subject.reference) else "its subject is no reference to a Patient."
