"""What everything has in common that a machine asserts in FHIR: the label, and the references to the findings it rests on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from shared.oncology.record import Record

Json = dict[str, Any]
FIGARO = "https://figaro.example/fhir"
AIAST = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
EXAM = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "exam"}]}
SUPPORTING = "http://hl7.org/fhir/StructureDefinition/workflow-supportingInfo"
_ADDRESS = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}(/_history/[^/]+)?$|[a-z][a-z0-9+.\-]*:")


def reference(source: str) -> Json:
    """A reference to a source; its name alone where the input gave it no address ("entry 3")."""
    return {"reference": source} if _ADDRESS.match(source) else {"display": source}


def concept(system: str, code: str, text: str | None = None) -> Json:
    """A CodeableConcept of one coding."""
    coded: Json = {"coding": [{"system": system, "code": code}]}
    return coded | {"text": text} if text else coded


def observation(
    record: Record, focus: str | None, sources: Iterable[str], *, profile: str | None = None, issued: str | None = None
) -> Json:
    """What each derived Observation begins with. It is effective on the day of its newest source; `issued` is an instant.

    R4 lets an Observation be derived from Observations only: other sources are supporting information.
    """
    wanted = sorted(set(sources))
    found = {f.source: f for f in record.findings if f.source in wanted}
    measured = [s for s in wanted if s.startswith("Observation/") or (s in found and found[s].kind == "observation")]
    others = [s for s in wanted if s not in measured]
    resource: Json = {
        "resourceType": "Observation",
        "meta": {"profile": [MCODE + profile], "security": [AIAST]} if profile else {"security": [AIAST]},
        "status": "preliminary",
        "category": [EXAM],
        "subject": reference(record.patient),
    }
    if others:
        resource["extension"] = [{"url": SUPPORTING, "valueReference": reference(s)} for s in others]
    if focus:
        resource["focus"] = [reference(focus)]
    if effective := max((f.when or f.recorded or "" for f in found.values()), default=""):
        resource["effectiveDateTime"] = effective
    if issued:
        resource["issued"] = issued
    if measured:
        resource["derivedFrom"] = [reference(s) for s in measured]
    return resource
