"""A create that happens once, also on a server that knows no conditional create, and also when its reply is lost (FC-07)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, Unavailable
from shared.fhir.written import Written


async def create_once(server: FhirClient, resource: Mapping[str, Any], identifier: str, *, conditional: bool) -> Written:
    """Creates it unless something carries the identifier, `system|value`. `conditional` says whether the server can see to that itself.

    Where it cannot, two callers at the same moment may both create it: let one at a time write for a patient. Raises Conflict where it is
    there more than once, and Unavailable with `outcome_unknown` where nobody can say whether it is there.
    """
    kind = str(resource["resourceType"])
    if not conditional and (there := await _there(server, kind, identifier)) is not None:
        return there
    try:
        return await server.create(resource, if_none_exist=f"identifier={identifier}" if conditional else None)
    except Unavailable as error:
        # The reply is lost: whether it arrived is looked up, and not tried again blindly.
        if not error.outcome_unknown or (there := await _there(server, kind, identifier)) is None:
            raise
        return there


async def _there(server: FhirClient, kind: str, identifier: str) -> Written | None:
    found = await server.find(kind, identifier)
    if len(found) > 1:
        text = f"The FHIR server at {server.base_url} holds {len(found)} of {kind} under one identifier of ours: keep one of them."
        raise Conflict(text, status=412)
    return Written(status=200, type=kind, id=found[0].id, version=found[0].version) if found else None
