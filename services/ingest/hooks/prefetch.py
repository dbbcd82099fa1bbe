"""What we ask an EHR to send along, and what it sent: missing is not "no data" (CH-10 to CH-13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlencode

import msgspec

from services.ingest.searches import EXTENT, searches_for
from shared.fhir.bundle import READ
from shared.fhir.outcome import Refused

PATIENT_ID: Final = "{{context.patientId}}"
MOST: Final = 5_000  # resources of one call; of one patient a few hundred are asked for
ESSENTIAL: Final = frozenset({"patient", "conditions"})
_NAMES: Final = {
    "Condition": "conditions",
    "Observation": "observations",
    "Procedure": "procedures",
    "MedicationRequest": "medicationRequests",
    "MedicationAdministration": "medicationAdministrations",
    "MedicationStatement": "medicationStatements",
    "AllergyIntolerance": "allergies",
    "BodyStructure": "bodyStructures",
}
_WORDS: Final = {
    "patient": "the patient",
    "conditions": "conditions",
    "extent": "findings of the extent of disease",
    "procedures": "procedures",
    "medicationRequests": "medication orders",
    "medicationAdministrations": "medications given",
    "medicationStatements": "medications stated",
    "allergies": "allergies",
    "bodyStructures": "body structures",
}


class Query(NamedTuple):
    """One prefetch key: a read of the patient (no `params`), or a search of a type."""

    type: str
    params: tuple[tuple[str, str], ...]

    def template(self) -> str:
        """As it stands in discovery."""
        return f"{self.type}?{urlencode(self.params, safe=':,/{}|')}" if self.params else f"{self.type}/{PATIENT_ID}"


def queries() -> dict[str, Query]:
    """Every prefetch key. The searches of a pull, without what is outside CDS Hooks' safe subset: `_include` and modifiers (CH-11).

    An EHR delivers one page and no more, so it is asked for a long one: the options that we have written fill the usual twenty.
    """
    found = {"patient": Query("Patient", ())}
    for search in searches_for(PATIENT_ID):
        params = tuple((name, value) for name, value in search.params if name != "_include")
        if any(":" in name for name, _ in params):
            continue
        name = "extent" if any(value.startswith(EXTENT) for _, value in params) else _NAMES[search.type]
        if name == "observations":
            name += str(1 + sum(key.startswith("observations") for key in found))
        found[name] = Query(search.type, (*params, ("_count", "200")))
    return found


QUERIES: Final = queries()


def templates() -> dict[str, str]:
    """The prefetch templates of discovery."""
    return {key: query.template() for key, query in QUERIES.items()}


def wording(keys: Iterable[str]) -> str:
    """The keys in words, each once."""
    said = dict.fromkeys("observations" if key.startswith("observations") else _WORDS[key] for key in keys)
    return ", ".join(said)


class Gathered(NamedTuple):
    """The resources that were delivered; the keys that were not, and those of which only a first page was."""

    resources: tuple[bytes, ...]
    missing: tuple[str, ...]
    partial: tuple[str, ...]
    nameless: tuple[str, ...] = ()


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Link(msgspec.Struct):
    relation: str = ""


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw()


class _Head(msgspec.Struct, rename="camel"):
    resource_type: str
    id: str | None = None
    subject: _Reference | None = None
    patient: _Reference | None = None


class _Delivered(msgspec.Struct, rename="camel"):
    resource_type: str
    link: tuple[_Link, ...] = ()
    entry: tuple[_Entry, ...] = ()


_HEAD = msgspec.json.Decoder(_Head)
_DELIVERED = msgspec.json.Decoder(_Delivered)
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_OURS = frozenset(kind.__name__ for kind in READ) - {"Patient", "Medication"}


def gathered(prefetch: Mapping[str, msgspec.Raw], patient: str, base: str) -> Gathered:
    """What came under our keys. Raises Refused (400) where a resource is another patient's, 413 where there are more than `MOST`."""
    resources: list[bytes] = []
    missing, partial, nameless = [], [], []
    room = MOST
    for key in QUERIES:
        came = _came(prefetch.get(key), room)
        room -= len(came[0]) if came else 0
        if came is None:
            missing.append(key)
            continue
        found, whole = came
        if key == "patient" and not found:
            missing.append(key)
        if not whole:
            partial.append(key)
        for raw in found:
            if verified(raw, patient, base):
                resources.append(raw)
            elif (head := _head(raw)) is not None and head.resource_type in _OURS:
                nameless.append(f"{head.resource_type}/{head.id}")
    return Gathered(tuple(dict.fromkeys(resources)), tuple(missing), tuple(partial), tuple(nameless))


def few(count: int, most: int = MOST) -> None:
    """Raises Refused (413) where more resources came with a call than are read."""
    if count > most:
        text = f"More than {MOST} resources came with the call: prefetch what /cds-services asks for, of one patient, and no more."
        raise Refused(text, status=413, code="too-long")


def _came(value: msgspec.Raw | None, room: int) -> tuple[list[bytes], bool] | None:
    """The resources of one key, and whether they are all of them; None where it was not delivered, or could not be had."""
    if value is None:
        return None
    if bytes(value).strip() == b"null":
        return [], True
    try:
        it = _DELIVERED.decode(value)
    except _FAULTS:
        return None
    if it.resource_type == "OperationOutcome":
        return None
    if it.resource_type != "Bundle":
        return [bytes(value)], True
    few(len(it.entry), room)
    entries = [bytes(entry.resource) for entry in it.entry if bytes(entry.resource)]
    heads = [_head(raw) for raw in entries]
    whole = not any(link.relation == "next" for link in it.link)
    whole &= all(head is not None and head.resource_type != "OperationOutcome" for head in heads)
    return [raw for raw, head in zip(entries, heads, strict=True) if head is not None and head.resource_type != "OperationOutcome"], whole


def _head(raw: bytes) -> _Head | None:
    try:
        return _HEAD.decode(raw)
    except _FAULTS:
        return None


def verified(raw: bytes, patient: str, base: str) -> bool:
    """Whether a resource says that it is this patient's; False where it names nobody or cannot be read. Raises Refused (CH-13)."""
    head = _head(raw)
    if head is None or head.resource_type == "Bundle":  # a Bundle in a Bundle is nobody's
        return False
    told = [about.reference for about in (head.subject, head.patient) if about is not None and about.reference is not None]
    if head.resource_type == "Patient":
        told.append(f"Patient/{head.id}")
    if any(one.removeprefix(f"{base}/").split("/_history/")[0] != patient for one in told):
        raise Refused(f"What came with the call has a {head.resource_type} of another patient than `context.patientId`.", status=400)
    return bool(told) or head.resource_type == "Medication"
