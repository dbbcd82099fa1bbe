"""Whether what a server answers is what was asked for: of that patient, and under that identifier (FC-05). Opens no connection.

A server may ignore a parameter and return everything. What does not fit is refused with the whole answer, never passed over: who ignores
one parameter once tells nothing by what he returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from shared.fhir.outcome import Stuck

_ABOUT: Final = ("subject", "patient", "for")  # of most types; of AllergyIntolerance, DetectedIssue and others; of Task


def about(resource: Mapping[str, Any], base: str) -> str | None:
    """The patient that a resource is about, "Patient/17" where she is of this server; None where it names nobody by an address."""
    for element in _ABOUT:
        named = resource.get(element)
        if isinstance(named, dict) and isinstance(reference := named.get("reference"), str):
            return reference.removeprefix(f"{base}/").split("/_history/")[0]
    return None


def is_hers(resource: Mapping[str, Any], patient: str, base: str) -> bool:
    """Whether the resource says that it is the patient's; False where it names nobody. Raises Stuck where it names somebody else."""
    whose = about(resource, base)
    if whose is None or whose == patient:
        return whose is not None
    raise Stuck(
        f"The FHIR server at {base} answered a search for one patient with a {_kind(resource)} of another: it ignores the parameter "
        "`patient`, or the patient was merged. Nothing of that answer is used, and nothing is written."
    )


def carries(resource: Mapping[str, Any], identifier: str, base: str) -> None:
    """Raises Stuck unless the resource carries the identifier, `system|value`."""
    there = resource.get("identifier") or []
    for one in there if isinstance(there, list) else [there]:
        if isinstance(one, dict) and f"{one.get('system', '')}|{one.get('value', '')}" == identifier:
            return
    raise Stuck(
        f"The FHIR server at {base} answered a search for one identifier with a {_kind(resource)} that does not carry it: it ignores the "
        "parameter `identifier`. Nothing of that answer is used, and nothing is written."
    )


def _kind(resource: Mapping[str, Any]) -> str:
    return str(resource.get("resourceType", "resource"))[:40]
