"""A create that happens once, also on a server that knows no conditional create, and also when its reply is lost (FC-07)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from shared.fhir.asked import about, carries, is_hers
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Unavailable
from shared.fhir.paging import Entry
from shared.fhir.written import Written

T = TypeVar("T")
# Seconds between looks for something whose fate is unknown, ten in all: a search index may be that late.
PATIENCE: Final = (0.25, 0.5, 1.0, 2.0, 3.0, 3.5)


async def create_once(
    server: FhirClient, resource: Mapping[str, Any], identifier: str, *, conditional: bool, resumed: bool = False
) -> Written:
    """Creates it unless something carries the identifier, `system|value`. `conditional` says whether the server can see to that itself.

    Where it cannot, two callers at the same moment may both create it: let one at a time write for a patient. `resumed`: an earlier try
    was broken off, so that what is not found may only not be found yet. Where it is there more than once the oldest is taken. Raises
    Conflict where the server says that it is there more than once, Stuck where it shows something else under the identifier, and
    Unavailable with `outcome_unknown` where nobody can say whether it is there.
    """

    async def look() -> Written | None:
        return await _there(server, resource, identifier)

    if not conditional and (there := await (patiently(look) if resumed else look())) is not None:
        return there
    try:
        done = await server.create(resource, if_none_exist=f"identifier={identifier}" if conditional else None)
    except Unavailable as error:
        # The reply is lost: whether it arrived is looked up, and not tried again blindly.
        if not error.outcome_unknown or (there := await patiently(look)) is None:
            raise
        return there
    if not done.created and done.resource is not None:
        _verify(server, resource, msgspec.json.decode(done.resource), identifier)
    return done


async def patiently(look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What the look finds, tried again for ten seconds; None where it still finds nothing."""
    for wait in PATIENCE:
        if (there := await look()) is not None:
            return there
        await asyncio.sleep(wait)
    return await look()


async def found(server: FhirClient, resource: Mapping[str, Any], identifier: str) -> tuple[Entry, ...]:
    """What carries the identifier that the resource is to have, the oldest first. Raises Stuck where the server shows something else."""
    entries = await server.find(str(resource["resourceType"]), identifier)
    for one in entries:
        _verify(server, resource, msgspec.json.decode(one.resource or b"{}"), identifier)
    return tuple(sorted(entries, key=lambda one: (one.last_updated or "", one.id)))


async def _there(server: FhirClient, resource: Mapping[str, Any], identifier: str) -> Written | None:
    there = await found(server, resource, identifier)
    return Written(status=200, type=there[0].type, id=there[0].id, version=there[0].version) if there else None


def _verify(server: FhirClient, wanted: Mapping[str, Any], there: Mapping[str, Any], identifier: str) -> None:
    carries(there, identifier, server.base_url)
    if (whose := about(wanted, server.base_url)) is not None:
        is_hers(there, whose, server.base_url)
