"""Ingest: opens cases, sees them through, shows them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from prometheus_client import Counter

from services.ingest import cases, jwks
from services.ingest.doors import app as clinician_page
from services.ingest.doors import board, cds_hooks, decisions, smart_launch, subscription
from services.ingest.hooks.cors import HookCors
from services.ingest.limiting import Limits
from services.ingest.meter import CaseMeter, WatchMeter
from services.ingest.pages.errors import PageError, shown
from services.ingest.running import ingest_in, start
from services.ingest.settings import IngestSettings
from shared.service.access import Access
from shared.service.app import create_app


def create(settings: IngestSettings) -> FastAPI:
    """The service. Nothing is opened before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.ingest = await start(settings, stack)
            yield

    async def ready() -> dict[str, object]:
        return await ingest_in(app).check()

    routers = [cases.router, jwks.router, subscription.router, cds_hooks.router]
    routers += [smart_launch.router, decisions.router, board.router, clinician_page.router]
    app = create_app("Figaro ingest", routers=routers, lifespan=lifespan, ready=ready, access=Access.of(settings))
    app.add_middleware(HookCors, origins=lambda: ingest_in(app).hooks.trust.origins)
    app.add_exception_handler(PageError, shown)
    app.state.settings = settings
    app.state.limits = Limits(settings)
    app.state.notices = Counter(
        "figaro_notices", "Resources that notifications told of", ["issuer", "outcome"], registry=app.state.registry
    )
    app.state.registry.register(CaseMeter(lambda: ingest_in(app)))
    app.state.registry.register(WatchMeter(lambda: ingest_in(app)))
    return app
