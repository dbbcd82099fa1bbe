"""Has a FHIR server try again where it has stopped a Subscription of ours (`error`, `off`), less and less often while it keeps stopping.

What was not told in the meantime a sweep has found by then (SU-28). One that is gone is not made anew: that is `figaro subscribe`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import structlog

from services.ingest.inbox import Inbox
from services.ingest.instants import now
from services.ingest.tables import Channel
from shared.fhir.client import FhirClient
from shared.fhir.outcome import FigaroError, Refused

Json = dict[str, Any]
STOPPED: Final = ("error", "off")
FIRST_WAIT: Final = timedelta(minutes=5)
LONGEST_WAIT: Final = timedelta(days=1)
log = structlog.get_logger("figaro.ingest")


async def restart(server: FhirClient, inbox: Inbox, there: Mapping[str, Json], again: Callable[[str, Json], Json]) -> None:
    """Asks again for each of `there`, by channel, that is stopped and whose time has come. `again` gives the resource to ask with.

    Never fails: what cannot be restarted is logged, is shown with its status, and is tried again after twice the time.
    """
    for row in await asyncio.to_thread(inbox.channels, server.base_url):
        if row.name in there and row.status in STOPPED and (row.restart_at or "") <= now():
            await _restart(server, row, there[row.name], again)
            await asyncio.to_thread(inbox.restarted, row, now(min(FIRST_WAIT * 2 ** min(row.restarts, 20), LONGEST_WAIT)))


async def _restart(server: FhirClient, row: Channel, there: Json, again: Callable[[str, Json], Json]) -> None:
    try:
        if not (await server.known()).allows("Subscription", "update"):
            raise Refused("The server lets no Subscription be changed.", code="not-supported")
        await server.update(again(row.name, there), if_match=there.get("meta", {}).get("versionId"))
    except FigaroError as error:
        log.warning("subscription_not_restarted", channel=row.name, error=error.kind, status=error.status)
    else:
        log.info("subscription_restarted", channel=row.name, before=row.restarts)
