"""Whose a changed resource is, and whether she is a patient of ours. Asked of the FHIR server, never of the notification."""

from __future__ import annotations

import json
from typing import Literal

from services.ingest.neighbours import Neighbours
from services.ingest.notification import Change, change
from shared.fhir.client import FhirClient
from shared.fhir.incomplete import withheld
from shared.fhir.outcome import FigaroError, Gone, NotFound, Unauthorised, Unavailable
from shared.fhir.paging import Entry
from shared.fhir.reader import read_resources
from shared.oncology.record import encode

Missing = Literal["not there", "not hers"]


async def patient_of(server: FhirClient, reference: str) -> Change | Missing:
    """The patient that a resource ("Condition/c1") or a search ("Patient?identifier=…") leads to, also where the resource is deleted.

    "not there": it may still come. "not hers": nothing follows from it. Raises Unavailable and Unauthorised.
    """
    if reference.startswith("Patient?"):
        found = await server.find("Patient", reference.partition("=")[2], post=True)
        return Change(found[0].reference) if len(found) == 1 else "not there"
    kind, _, id = reference.partition("/")
    deleted = ""
    raw: bytes | None
    try:
        raw = await server.read(kind, id)
    except (Gone, NotFound):
        deleted, raw = "|deleted", await _last(server, kind, id)
        if raw is None:
            return "not there"
    said = change(json.loads(raw), server.base_url)
    if not isinstance(said, Change) or not said.about.startswith("Patient/"):
        return "not hers"
    # The deletion of a version is told by every sweep that looks back so far, and counts once.
    return said._replace(version=f"{said.version}{deleted}")


async def _last(server: FhirClient, kind: str, id: str) -> bytes | None:
    """The last version before a deletion."""
    try:
        versions = await server.history(kind, id)
    except (Unavailable, Unauthorised):
        raise
    except FigaroError:
        return None
    return next((bytes(entry.resource) for entry in versions if entry.resource is not None), None)


def query(patient: str) -> str:
    """What `is_ours` asks for, for an audit trail."""
    return f"Condition?patient={patient.removeprefix('Patient/')}"


async def is_ours(server: FhirClient, neighbours: Neighbours, patient: str) -> bool:
    """Whether staging finds an invasive cervical cancer in her Conditions. No more of her is asked for, and nothing is kept.

    Where that cannot be told she is taken for ours, so that her case says why. Raises Unavailable and Unauthorised.
    """
    id = patient.removeprefix("Patient/")
    try:
        found = await server.search("Condition", (("patient", id), ("_count", "200")))
        record = read_resources(patient, [bytes(entry.resource) for entry in found if entry.resource and _is_condition(entry)])
        staging, _ = await neighbours.stage(encode(record))
    except (Unavailable, Unauthorised):
        raise
    except FigaroError:
        return True
    return staging.primary.applies or withheld(found.warnings)


def _is_condition(entry: Entry) -> bool:
    return entry.type == "Condition"
