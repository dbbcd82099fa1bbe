"""How a draft of ours is withdrawn, and how it is known afterwards that we did it and no person. Pure.

A withdrawal of ours carries a tag, and is the second version of a resource: whatever comes after it is somebody else's word.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from shared.fhir.assertion import FIGARO

Json = dict[str, Any]
# By type. A derived stage stays: it says what was derived on its day.
WITHDRAWN: Final = {
    "CarePlan": "revoked",
    "RequestGroup": "revoked",
    "ServiceRequest": "revoked",
    "MedicationRequest": "cancelled",
    "DetectedIssue": "cancelled",
    "Task": "cancelled",
}
_BY: Final = f"{FIGARO}/sid/withdrawn-by"
_SECOND: Final = 2


class Replaced(NamedTuple):
    """An earlier resource of ours; with `resource` and `version` only where nobody touched it and it may be withdrawn."""

    reference: str
    resource: Json | None = None
    version: str | None = None


def withdrawn(resource: Json, decision: str) -> Json:
    """The resource withdrawn: in the status of its type, with the decision that it gave way to."""
    return marked({**resource, "status": WITHDRAWN[resource["resourceType"]]}, decision)


def marked(resource: Json, decision: str) -> Json:
    """The resource with the tag by which a withdrawal of ours is known."""
    meta = resource.get("meta", {})
    tags = [tag for tag in meta.get("tag", ()) if tag.get("system") != _BY]
    return {**resource, "meta": {**meta, "tag": [*tags, {"system": _BY, "code": decision}]}}


def by_us(resource: Json, version: str | None) -> bool:
    """Whether this version is a withdrawal of ours; where versions are not counted, its tag alone says so."""
    told = any(tag.get("system") == _BY for tag in resource.get("meta", {}).get("tag", ()))
    return told and not (version and version.isdecimal() and int(version) > _SECOND)
