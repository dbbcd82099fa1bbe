"""What is done again and again: marked patients become cases, servers are asked what has changed, Subscriptions are looked after."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from services.ingest.channels import Channels
from services.ingest.drain import Drain
from services.ingest.grants import Grants
from services.ingest.inbox import Inbox
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.restarts import restart
from services.ingest.settings import IngestSettings
from services.ingest.subscription_resource import Json, again
from services.ingest.subscriptions import end, look_after
from services.ingest.sweep import Sweeper
from shared.fhir.audit import Auditor
from shared.fhir.outcome import FigaroError
from shared.smart.issuers import Issuer
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
        grants: Grants,
        settings: IngestSettings,
    ) -> None:
        self._servers = servers
        self._inbox = inbox
        self._channels = channels
        self._grants = grants
        self._settings = settings
        self.drain = Drain(ledger, inbox, servers, neighbours, auditor, settings)
        self.sweeper = Sweeper(inbox, servers, auditor, settings, self.watched)

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
            server, ours = self._servers(base), f"{self._settings.public_url.rstrip('/')}/notifications/{issuer.id}/"
            there = await look_after(server, self._inbox, ours)
            await restart(server, self._inbox, there, lambda channel, one: self._again(issuer, channel, one))

    def _again(self, issuer: Issuer, channel: str, there: Json) -> Json:
        """A Subscription to be tried again, with today's secret. Raises Refused where there is none."""
        endpoint = f"{(self._settings.public_url or '').rstrip('/')}{self._channels.path(issuer, channel)}"
        return again(there, endpoint, self._channels.secrets(issuer)[0], end())

    async def tidy(self) -> None:
        """Ends the sessions whose time is over."""
        await self._grants.tidy()

    async def stands(self) -> dict[str, object]:
        """What waits, when each server was last swept, and how our Subscriptions are. Nothing here makes us not ready: sweeps go on."""
        sweeps, channels = await asyncio.to_thread(self._inbox.sweeps), await asyncio.to_thread(self._inbox.channels)
        name = self._servers.issuers.name
        return {
            "waiting": (await asyncio.to_thread(self._inbox.waiting)).total(),
            "sweeps": {name(base): {"swept": row.swept, "failed": row.failed} for base, row in sweeps.items()},
            "subscriptions": [
                {"issuer": name(row.base), "channel": row.name}
                | {field: getattr(row, field) for field in ("status", "heard", "ends", "restarts", "restart_at")}
                for row in channels
            ],
        }
