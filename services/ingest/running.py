"""The parts of a running ingest: made when the service starts, ended when it stops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
from fastapi import FastAPI, Request

from services.ingest.channels import Channels
from services.ingest.conduct import Conductor
from services.ingest.inbox import Inbox
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.rounds import Rounds
from services.ingest.settings import IngestSettings
from services.ingest.steps import Steps
from shared import VERSION
from shared.fhir.audit import Auditor
from shared.fhir.outcome import Unavailable
from shared.smart.issuers import issuers_of
from shared.smart.servers import Servers, reaching


@dataclass
class Ingest:
    """What the routes and doors work with."""

    ledger: Ledger
    servers: Servers
    neighbours: Neighbours
    conductor: Conductor
    inbox: Inbox
    channels: Channels
    rounds: Rounds

    async def check(self) -> dict[str, object]:
        """How many cases stand in each state. Raises Unavailable, saying what is missing, while none could be carried to its end."""
        counts = await asyncio.to_thread(self.ledger.counts)
        missing = [name for name, ready in (await self.neighbours.ready()).items() if not ready]
        if missing:
            raise Unavailable(f"Not ready: {' and '.join(missing)}. Cases are accepted and wait.", retry_after=5)
        return {"cases": counts, **await self.rounds.stands()}


def ingest_in(app: FastAPI) -> Ingest:
    """The ingest that runs in an application whose lifespan has begun."""
    running: Ingest = app.state.ingest
    return running


def ingest_of(request: Request) -> Ingest:
    """The running ingest that a request came to."""
    return ingest_in(request.app)


async def start(settings: IngestSettings, stack: AsyncExitStack) -> Ingest:
    """Opens everything; `stack` closes it again. Raises Refused where the issuers cannot be used."""
    issuers = issuers_of(file=settings.issuers, base=settings.fhir_base, bases=settings.fhir_bases, token=settings.fhir_token, role="read")
    ledger = await asyncio.to_thread(Ledger, settings.ledger_url)
    stack.callback(ledger.close)
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False))
    servers = Servers(issuers, "read", await stack.enter_async_context(reaching(issuers, settings.fhir_networks)))
    neighbours = Neighbours(
        session, staging_url=settings.staging_url, recommend_url=settings.recommend_url, timeout=settings.neighbour_seconds
    )
    inbox, channels = Inbox(ledger), Channels(issuers, settings)
    auditor = Auditor("ingest", VERSION, settings.audit_key.get_secret_value() if settings.audit_key else None)
    rounds = Rounds(ledger, inbox, servers, neighbours, auditor, channels, settings)
    conductor = Conductor(ledger, Steps(ledger, servers, neighbours, auditor), rounds, settings, issuers.name)
    await conductor.start()
    stack.push_async_callback(conductor.close)
    return Ingest(ledger, servers, neighbours, conductor, inbox, channels, rounds)
