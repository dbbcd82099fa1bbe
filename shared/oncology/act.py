"""What a clinician decides on a proposed plan, as it goes from ingest to recommend, and what became of it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Kind = Literal["accept", "decline", "comment"]
Words = Annotated[str, Meta(max_length=4000)]


class Author(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who decides. `reference` is her `fhirUser`: relative to the FHIR base, or absolute; `display` is her name, where it is known."""

    reference: str
    display: str | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One act on one plan, under an id of its own, so that it is written once however often it is sent.

    `version` and `decision` are of the CarePlan that she has seen. `regimen` is the id of a candidate; without one a comment or a decline
    is about the plan as a whole. `at` is an instant.
    """

    id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9\-]{8,40}$")]
    act: Kind
    patient: Annotated[str, Meta(pattern=r"^Patient/[A-Za-z0-9\-.]{1,64}$")]
    careplan: Annotated[str, Meta(pattern=r"^CarePlan/[A-Za-z0-9\-.]{1,64}$")]
    version: str
    decision: str
    author: Author
    at: str
    regimen: str | None = None
    text: Words | None = None
    fhir_base: str | None = None


class Acted(msgspec.Struct, frozen=True):
    """Where the act stands: the CarePlan and its version with it, whether this call wrote it, whether a Provenance tells of it, by whom."""

    careplan: str
    version: str | None
    written: bool
    provenance: bool = True
    by: str | None = None


def may_decide(reference: str | None) -> bool:
    """Whether a `fhirUser` is one of those who treat: a patient or relative decides nothing here (SM-54)."""
    parts = (reference or "").split("/")
    return len(parts) > 1 and parts[-2] in ("Practitioner", "PractitionerRole") and bool(parts[-1])
