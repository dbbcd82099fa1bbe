"""What is done again and again: marked patients become cases, servers are asked what has changed, Subscriptions are looked after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from services.ingest.channels import Channels
from services.ingest.drain import Drain
from services.ingest.inbox import Inbox
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.settings import IngestSettings
from services.ingest.subscriptions import look_after
from services.ingest.sweep import Sweeper
from shared.fhir.audit import Auditor
from shared.fhir.outcome import FigaroError
from shared.smart.servers import Servers


class Rounds:
    """The rounds that `conduct.py` has made on time."""

    def __init__(
        self,
        ledger: Ledger,
        inbox: Inbox,
        servers: Servers,
        neighbours: Neighbours,
        auditor: Auditor,
        channels: Channels,
        settings: IngestSettings,
    ) -> None:
        self._servers = servers
        self._inbox = inbox
        self._channels = channels
        self._settings = settings
        self.drain = Drain(ledger, inbox, servers, neighbours, auditor, settings)
        self.sweeper = Sweeper(inbox, servers, settings, self.watched)

    def watched(self) -> Iterator[str]:
        """The servers that are swept: those that may notify us, or all where the settings say how often."""
        for issuer in self._servers.issuers:
            try:
                told = bool(self._channels.secrets(issuer))
            except FigaroError:
                told = True  # its secret is set and cannot be read now
            if told or self._settings.sweep_seconds:
                yield issuer.base

    async def pending(self) -> list[str]:
        """The FHIR servers to be swept now."""
        return await self.sweeper.pending()

    async def sweep(self, base: str) -> None:
        """Asks one server what has changed, and how our Subscriptions there are."""
        await self.sweeper.sweep(base)
        if self._settings.public_url:
            issuer = self._servers.issuer(base)
            place = f"{self._settings.public_url.rstrip('/')}/notifications/{issuer.id}/"
            await look_after(self._servers(base), self._inbox, place)

    async def stands(self) -> dict[str, object]:
        """What waits, when each server was last swept, and how our Subscriptions are. Nothing here makes us not ready: sweeps go on."""
        sweeps, channels = await asyncio.to_thread(self._inbox.sweeps), await asyncio.to_thread(self._inbox.channels)
        name = self._servers.issuers.name
        return {
            "waiting": await asyncio.to_thread(self._inbox.waiting),
            "sweeps": {name(base): {"swept": row.swept, "failed": row.failed} for base, row in sweeps.items()},
            "subscriptions": [
                {"issuer": name(row.base), "channel": row.name, "status": row.status, "heard": row.heard, "ends": row.ends}
                for row in channels
            ],
        }
