"""The parts of a running ingest: made when the service starts, ended when it stops."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp
import structlog
from fastapi import FastAPI, Request

from services.ingest.channels import Channels
from services.ingest.conduct import Conductor
from services.ingest.grants import Grants
from services.ingest.hooks.parts import Hooks, hooks
from services.ingest.inbox import Inbox
from services.ingest.launches import Launches
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.rounds import Rounds
from services.ingest.seal import Seal
from services.ingest.settings import IngestSettings
from services.ingest.steps import Steps
from services.ingest.trail import Trail
from shared import VERSION
from shared.fhir.audit import Auditor
from shared.fhir.guard import fhir_base
from shared.fhir.outcome import Refused, Unavailable
from shared.smart.app import Apps
from shared.smart.issuers import Issuers, issuers_of
from shared.smart.servers import Servers, reaching

_log = structlog.get_logger("figaro.ingest")


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
    launches: Launches
    grants: Grants
    hooks: Hooks
    trail: Trail

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
    _check_public(settings, issuers)
    ledger = await asyncio.to_thread(Ledger, settings.ledger_url)
    stack.callback(ledger.close)
    session = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False))
    reach = await stack.enter_async_context(reaching(issuers, settings.fhir_networks))
    servers = Servers(issuers, "read", reach)
    neighbours = Neighbours.of(settings, session)
    answering = hooks(issuers, ledger, neighbours, reach, settings)
    inbox, channels = Inbox(ledger), Channels(issuers, settings)
    for issuer, why in channels.unreadable():
        _log.error("notifications_refused", issuer=issuer, advice=why)
    auditor = Auditor("ingest", VERSION, settings.audit_key.get_secret_value() if settings.audit_key else None)
    launches = _launches(settings, ledger, issuers)
    trail = Trail(ledger, auditor, servers)
    stack.push_async_callback(trail.close)
    grants = Grants(launches, Apps(issuers, reach), servers)
    rounds = Rounds(ledger, inbox, servers, neighbours, auditor, channels, grants, settings)
    conductor = Conductor(ledger, Steps(ledger, servers, neighbours, auditor, grants), rounds, settings, issuers.name)
    await conductor.start()
    stack.push_async_callback(conductor.close)
    return Ingest(ledger, servers, neighbours, conductor, inbox, channels, rounds, launches, grants, answering, trail)


def _launches(settings: IngestSettings, ledger: Ledger, issuers: Issuers) -> Launches:
    key = settings.session_key.get_secret_value() if settings.session_key else None
    if key is None and any(issuer.launch for issuer in issuers):
        _log.warning("session_key_not_set", advice="set FIGARO_SESSION_KEY: without it a restart ends every session of the page")
    if settings.audit_key is None and any(issuer.launch for issuer in issuers):
        _log.warning("audit_key_not_set", advice="set FIGARO_AUDIT_KEY: without it the audit log does not tell who looked at whom")
    seal, hours, idle = Seal(key), settings.session_hours, settings.session_idle_minutes
    return Launches(ledger, issuers, seal, hours=hours, idle_minutes=idle, sign_ins=settings.sign_ins)


def _check_public(settings: IngestSettings, issuers: Issuers) -> None:
    """Whoever signs in comes back to our public address, over https, or within this machine."""
    if not any(issuer.launch for issuer in issuers):
        return
    if not settings.public_url:
        raise Refused("FIGARO_PUBLIC_URL is not set: an issuer has `launch`, and browsers come back to that address.", code="required")
    try:
        fhir_base(settings.public_url, with_token=True)  # the same rules hold for an address of ours
    except Refused:
        raise Refused("FIGARO_PUBLIC_URL has to be https, without a query, where an issuer has `launch`.", code="value") from None
