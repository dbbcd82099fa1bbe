"""A running ingest and a bell at its door: notifications as servers and engines send them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import FastAPI

from services.ingest.app import create
from services.ingest.instants import now
from services.ingest.running import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.tables import Channel, InHand, Sweep
from shared.service.serving import served

SECRET = "a secret of this test only"
JSON = {"Content-Type": "application/fhir+json"}


class Bell:
    """Rings at one channel of one server."""

    def __init__(self, url: str, app: FastAPI, base: str, session: aiohttp.ClientSession, channel: str = "condition") -> None:
        self.ingest: Ingest = app.state.ingest
        self.base = base
        self.channel = channel
        self.session = session
        self.url = url
        self.endpoint = url + self.ingest.channels.path(self.ingest.servers.issuer(base), channel)

    def at(self, channel: str) -> Bell:
        """The same at another channel."""
        return Bell(self.url, _App(self.ingest), self.base, self.session, channel)  # type: ignore[arg-type]

    async def ring(
        self, body: Any = b"", below: str = "", *, method: str = "POST", secret: str = SECRET, **headers: str
    ) -> tuple[int, Any]:
        """Sends, and returns status and answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {secret}", **(JSON if data else {}), **{k.replace("_", "-"): v for k, v in headers.items()}}
        async with self.session.request(method, self.endpoint + below, data=data or None, headers=sent) as answer:
            assert answer.content_type == "application/fhir+json"
            return answer.status, await answer.json(content_type=None)

    def due(self) -> dict[str, int]:
        """Who is due, and how often she was marked."""
        return {due.patient: due.marks for due in self.ingest.ledger.due(now()) if due.base == self.base}

    def notices(self) -> set[str]:
        """What has to be looked up."""
        return {notice.reference for notice in self.ingest.inbox.notices(now()) if notice.base == self.base}

    def stands(self) -> Channel:
        """What is known of the channel."""
        return next(channel for channel in self.ingest.inbox.channels(self.base) if channel.name == self.channel)

    def read(self) -> None:
        """Every case that was opened has read its record: from then on a mark makes another."""
        for case in self.ingest.ledger.unqueued():
            self.ingest.ledger.pulled(InHand(case=case.id, digest="", raw=b"", record=b""))

    def sweep(self) -> Sweep | None:
        return self.ingest.inbox.sweeps().get(self.base)


class _App:
    def __init__(self, ingest: Ingest) -> None:
        self.state = self
        self.ingest = ingest


@asynccontextmanager
async def ringing(folder: Path, fhir: str, **more: Any) -> AsyncIterator[Bell]:
    """An ingest that does nothing by itself: what is marked stays marked until the test has it drained."""
    given: dict[str, Any] = {
        "drain_seconds": 59,
        "debounce_seconds": 3600,
        "sweep_seconds": 0,
        "notification_secret": SECRET,
        "data_directory": folder,
    }
    app = create(IngestSettings(fhir_base=fhir, **{**given, **more}))
    # A connection for each request: one that is kept may be closed by the server at the moment it is used again.
    async with served(app) as url, aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Bell(url, app, app.state.ingest.servers.base(fhir), session)
