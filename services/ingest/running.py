"""The parts of a running ingest: made when the service starts, ended when it stops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
from fastapi import FastAPI, Request

from services.ingest.conduct import Conductor
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.settings import IngestSettings
from services.ingest.steps import Steps
from shared.fhir.client import FhirClient
from shared.fhir.guard import fhir_base
from shared.fhir.outcome import Refused, Unavailable


@dataclass
class Servers:
    """The FHIR servers we may ask, each with one client. No address is ever taken from a request or a resource."""

    session: aiohttp.ClientSession
    settings: IngestSettings
    clients: dict[str, FhirClient] = field(default_factory=dict)

    def __post_init__(self) -> None:
        settings = self.settings
        self.default = str(fhir_base(settings.fhir_base)) if settings.fhir_base else None
        self.known = {*filter(None, [self.default]), *(str(fhir_base(base)) for base in settings.fhir_bases)}

    def base(self, asked: str | None) -> str:
        """The base URL a case is for. Raises Refused where it is not one of the settings."""
        base = str(fhir_base(asked)) if asked else self.default
        if base is None:
            raise Refused("No FHIR server is named: set FIGARO_FHIR_BASE, or give `base`.", code="required")
        if base not in self.known:
            raise Refused("That FHIR server is not in the settings: add it to FIGARO_FHIR_BASES.", status=403, code="forbidden")
        return base

    def __call__(self, base: str) -> FhirClient:
        """The client of a base that is in the settings."""
        base = self.base(base)
        if base not in self.clients:
            secret = self.settings.fhir_token if base == self.default else None
            self.clients[base] = FhirClient(base, session=self.session, token=secret.get_secret_value() if secret else None)
        return self.clients[base]


@dataclass
class Ingest:
    """What the routes and doors work with."""

    ledger: Ledger
    servers: Servers
    neighbours: Neighbours
    conductor: Conductor

    async def check(self) -> dict[str, object]:
        """How many cases stand in each state. Raises Unavailable, saying what is missing, while none could be carried to its end."""
        counts = await asyncio.to_thread(self.ledger.counts)
        missing = [name for name, ready in (await self.neighbours.ready()).items() if not ready]
        if missing:
            raise Unavailable(f"Not ready: {' and '.join(missing)}. Cases are accepted and wait.", retry_after=5)
        return {"cases": counts}


def ingest_in(app: FastAPI) -> Ingest:
    """The ingest that runs in an application whose lifespan has begun."""
    running: Ingest = app.state.ingest
    return running


def ingest_of(request: Request) -> Ingest:
    """The running ingest that a request came to."""
    return ingest_in(request.app)


async def start(settings: IngestSettings, stack: AsyncExitStack) -> Ingest:
    """Opens everything; `stack` closes it again."""
    ledger = await asyncio.to_thread(Ledger, settings.ledger_url)
    stack.callback(ledger.close)
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False))
    servers = Servers(session, settings)
    neighbours = Neighbours(
        session, staging_url=settings.staging_url, recommend_url=settings.recommend_url, timeout=settings.neighbour_seconds
    )
    conductor = Conductor(ledger, Steps(ledger, servers, neighbours), settings)
    await conductor.start()
    stack.push_async_callback(conductor.close)
    return Ingest(ledger, servers, neighbours, conductor)
