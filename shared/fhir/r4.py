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
    ("DetectedIssue", "patient"): {"Patient"},
    ("DetectedIssue", "author"): {"Device"},
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
    types = {entry["fullUrl"]: entry["resource"]["resourceType"] for entry in bundle["entry"] if "resource" in entry}
    for entry in bundle["entry"]:
        resource = entry.get("resource")
        if resource is None:
            continue
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
    for reference in _references(resource):
        if reference.startswith("urn:") and reference not in types and reference not in given:
            yield f"{reference} is not in the transaction"
    for (kind, element), allowed in _TARGETS.items():
        if kind == resource["resourceType"] and element in resource:
            values = resource[element] if isinstance(resource[element], list) else [resource[element]]
            for value in values:
                reference = value["reference"]
                target = types.get(reference) or reference.split("/_history/")[0].rpartition("/")[0].rpartition("/")[2]
                if target not in allowed and reference not in given:
                    yield f"{element} may not refer to a {target}"


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _invariants(resource: Json) -> Iterator[str]:
    kind = resource["resourceType"]
    if kind == "CarePlan" and any("detail" in a and "reference" in a for a in resource.get("activity", ())):
        yield "cpl-3: an activity has a detail or a reference, not both"
    if kind == "RequestGroup" and any("resource" in a and "action" in a for a in _actions(resource)):
        yield "rqg-1: an action has a resource or actions, not both"
    if kind == "Observation" and "dataAbsentReason" in resource and any(key.startswith("value") for key in resource):
        yield "obs-6: a dataAbsentReason stands only where there is no value"


def _actions(node: Json) -> Iterator[Json]:
    for action in node.get("action", ()):
        yield action
        yield from _actions(action)
