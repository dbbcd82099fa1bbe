"""The one door to the fhir.resources model classes (R4B, whose clinical resources are those of R4), and what they do not check.

In: `complaints` says what is not valid, for an issue on the record. Out: `check` refuses what we would write, down to the bound codes,
the reference targets and the invariants that the models leave open (FHIR R4 4.0.1 StructureDefinitions).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec
from pydantic import ValidationError

Json = dict[str, Any]

_REQUEST_STATUS = {"draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"}
_PUBLICATION_STATUS = {"draft", "active", "retired", "unknown"}
_BOUND: dict[str, dict[str, set[str]]] = {
    "CarePlan": {"status": _REQUEST_STATUS, "intent": {"proposal", "plan", "order", "option"}},
    "RequestGroup": {"status": _REQUEST_STATUS, "intent": {"proposal", "plan", "directive", "order", "option"}},
    "MedicationRequest": {
        "status": {"active", "on-hold", "cancelled", "completed", "entered-in-error", "stopped", "draft", "unknown"},
        "intent": {"proposal", "plan", "order", "original-order", "reflex-order", "filler-order", "instance-order", "option"},
    },
    "ServiceRequest": {"status": _REQUEST_STATUS, "intent": {"proposal", "plan", "directive", "order", "option"}},
    "Observation": {"status": {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"}},
    "DetectedIssue": {
        "status": {"registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown"},
        "severity": {"high", "moderate", "low"},
    },
    "Device": {"status": {"active", "inactive", "entered-in-error", "unknown"}},
    **{kind: {"status": _PUBLICATION_STATUS} for kind in ("PlanDefinition", "Library", "ValueSet", "ConceptMap")},
    "CodeSystem": {"status": _PUBLICATION_STATUS, "content": {"not-present", "example", "fragment", "complete", "supplement"}},
    "ActivityDefinition": {
        "status": _PUBLICATION_STATUS,
        "kind": {"MedicationRequest", "ServiceRequest"},
        "intent": {"proposal", "plan", "directive", "order", "option"},
    },
    "Task": {
        "status": {"draft", "requested", "received", "accepted", "rejected", "ready", "cancelled", "in-progress", "on-hold", "failed"}
        | {"completed", "entered-in-error"},
        "intent": {"unknown", "proposal", "plan", "order"},
    },
}
_TARGETS: dict[tuple[str, str], set[str]] = {
    ("CarePlan", "subject"): {"Patient"},
    ("CarePlan", "author"): {"Device"},
    ("CarePlan", "addresses"): {"Condition"},
    ("CarePlan", "replaces"): {"CarePlan"},
    ("RequestGroup", "subject"): {"Patient"},
    ("RequestGroup", "author"): {"Device"},
    ("RequestGroup", "reasonReference"): {"Condition", "Observation", "DiagnosticReport", "DocumentReference"},
    ("MedicationRequest", "subject"): {"Patient"},
    ("MedicationRequest", "requester"): {"Device"},
    ("MedicationRequest", "reasonReference"): {"Condition", "Observation"},
    ("ServiceRequest", "subject"): {"Patient"},
    ("ServiceRequest", "requester"): {"Device"},
    ("ServiceRequest", "reasonReference"): {"Condition", "Observation", "DiagnosticReport", "DocumentReference"},
    ("Observation", "subject"): {"Patient"},
    ("Observation", "focus"): {"Condition"},
    ("Observation", "derivedFrom"): {"Observation"},
    ("Observation", "hasMember"): {"Observation"},
    ("Observation", "performer"): {"Practitioner", "PractitionerRole", "Organization", "CareTeam", "Patient", "RelatedPerson"},
    ("DetectedIssue", "patient"): {"Patient"},
    ("DetectedIssue", "author"): {"Device"},
}
# What mCODE 4.0.0, and US Core below it, require of the profiles that we claim; one of them, where several stand together.
_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
_STATED = (("category",), ("subject",), ("code",), ("valueCodeableConcept", "dataAbsentReason", "component", "hasMember"))
_PROFILED: dict[str, tuple[tuple[str, ...], ...]] = {
    f"{_MCODE}mcode-cancer-stage": _STATED,
    f"{_MCODE}mcode-tnm-primary-tumor-category": (*_STATED, ("method",)),
    f"{_MCODE}mcode-tnm-regional-nodes-category": (*_STATED, ("method",)),
    f"{_MCODE}mcode-tnm-distant-metastases-category": (*_STATED, ("method",)),
}


def complaints(raw: bytes) -> list[str]:
    """What the R4 models refuse in one resource: the place and the reason, never the value. Empty where it is valid."""
    from fhir.resources.R4B import get_fhir_model_class

    try:
        plain = msgspec.json.decode(raw)
        get_fhir_model_class(plain["resourceType"]).model_validate(plain)
    except ValidationError as error:
        return [f"{'.'.join(str(step) for step in e['loc'])}: {e['msg']}" for e in error.errors(include_input=False, include_url=False)]
    except (KeyError, TypeError, ValueError):
        return ["resourceType: not a type of FHIR R4"]
    return []


def check(bundle: Json, given: Collection[str] = ()) -> list[str]:
    """What is wrong with a transaction that we are about to write; empty where it may leave.

    `given` are the addresses of the input: of a file whose resources have no ids they are urn:uuid, and resolve in that file only.
    """
    found: list[str] = []
    entries = bundle.get("entry", ())
    types = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in entries}
    for entry in entries:
        resource = entry["resource"]
        name = f"{resource['resourceType']} {entry['fullUrl']}"
        found += [f"{name}: {complaint}" for complaint in complaints(msgspec.json.encode(resource))]
        found += [f"{name}: {complaint}" for complaint in _unbound(resource)]
        found += [f"{name}: {complaint}" for complaint in _targets(resource, types, given)]
        found += [f"{name}: {complaint}" for complaint in _invariants(resource)]
    return found


def _unbound(resource: Json) -> Iterator[str]:
    for element, codes in _BOUND.get(resource["resourceType"], {}).items():
        if element in resource and resource[element] not in codes:
            yield f"{element} is not a code of its required value set"


def _targets(resource: Json, types: dict[str, str], given: Collection[str]) -> Iterator[str]:
    for reference in references(resource):
        if reference.startswith("urn:") and reference not in types and reference not in given:
            yield f"{reference} is not in the transaction"
    for element, value, allowed in _aimed(resource):
        if "reference" not in value:
            continue  # named only: an input without an address
        reference = value["reference"]
        target = types.get(reference) or reference.split("/_history/")[0].rpartition("/")[0].rpartition("/")[2]
        if target not in allowed and reference not in given:
            yield f"{element} may not refer to a {target}"


def _aimed(resource: Json) -> Iterator[tuple[str, Json, set[str]]]:
    """The references whose targets we know: the element, the reference, the types it may lead to."""
    for (kind, element), allowed in _TARGETS.items():
        if kind == resource["resourceType"] and element in resource:
            values = resource[element] if isinstance(resource[element], list) else [resource[element]]
            yield from ((element, value, allowed) for value in values)
    for note in resource.get("note", ()):
        if "authorReference" in note:
            yield "note.author", note["authorReference"], {"Practitioner", "Patient", "RelatedPerson", "Organization"}


def references(value: Any) -> Iterable[str]:
    """Every reference in a resource, in its order."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def _invariants(resource: Json) -> Iterator[str]:
    kind = resource["resourceType"]
    if kind == "CarePlan" and any("detail" in a and "reference" in a for a in resource.get("activity", ())):
        yield "cpl-3: an activity has a detail or a reference, not both"
    if kind == "RequestGroup" and any("resource" in a and "action" in a for a in _actions(resource)):
        yield "rqg-1: an action has a resource or actions, not both"
    if kind == "Observation" and "dataAbsentReason" in resource and any(key.startswith("value") for key in resource):
        yield "obs-6: a dataAbsentReason stands only where there is no value"
    if kind == "Observation" and any(key.startswith("value") for key in resource):
        own = _codings(resource)
        if any(own & _codings(component) for component in resource.get("component", ())):
            yield "obs-7: a component does not repeat the code of an observation with a value"
    if "subjectCanonical" in resource:
        yield "subjectCanonical is of R4B, and not of R4"
    for profile in resource.get("meta", {}).get("profile", ()):
        for wanted in _PROFILED.get(profile, ()):
            if not any(resource.get(element) for element in wanted):
                yield f"{profile.rpartition('/')[2]}: {' or '.join(wanted)} is required"


def _codings(element: Json) -> set[tuple[str | None, str | None]]:
    return {(coding.get("system"), coding.get("code")) for coding in element.get("code", {}).get("coding", ())}


def _actions(node: Json) -> Iterator[Json]:
    for action in node.get("action", ()):
        yield action
        yield from _actions(action)
