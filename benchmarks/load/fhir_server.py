"""The hospital's FHIR server, in a process of its own, and the bad line between it and us: it fails one call in twenty and is restarted."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Final, Literal

import aiohttp
from aiohttp import web
from yarl import URL

from shared.service.embedded import embedded_fhir_server
from tests.peers.faults import Fault, Proxy, busy, lost_reply, passed, reset, truncated
from tests.peers.hapi_server import HapiServer

Kind = Literal["sekmet", "hapi"]
ONE_IN: Final = 20
FAULTS: Final[dict[str, Fault]] = {
    "429 with Retry-After": busy("1", 429),
    "503 with Retry-After": busy("1", 503),
    "reset before it was done": reset,
    "reset after it was done": lost_reply,
    "half an answer": truncated,
}


class Line(Proxy):
    """What Figaro sees of the server: one call in `ONE_IN` fails in one of five ways, once `bad`; none gets through while it is away."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        super().__init__(upstream, session)
        self.bad = self.away = False
        self.befell: Counter[str] = Counter()
        self._random = Random(1)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.befell["all"] += 1
        if self.away:
            self.befell["while away"] += 1
            return await reset(self, request)
        fault = passed
        if self.bad and self._random.randrange(ONE_IN) == 0:
            name = self._random.choice(list(FAULTS))
            self.befell[name] += 1
            fault = FAULTS[name]
        try:
            return await fault(self, request)
        except aiohttp.ClientError:  # the server behind ended while it was asked
            self.befell["while away"] += 1
            return await reset(self, request)


class FhirServer:
    """One server that can be restarted, sekmet-fhir or HAPI: what it holds is in `folder`, and it comes again at the same address."""

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.base = ""
        self._folder = folder
        self._hapi = HapiServer(data=folder / "hapi") if kind == "hapi" else None
        self._sekmet: AbstractContextManager[str] = nullcontext("")

    async def start(self) -> None:
        """Returns when it answers."""
        if self._hapi:
            self.base = await asyncio.to_thread(self._hapi.start)
            return
        port = URL(self.base).port or 0 if self.base else 0
        self._sekmet = embedded_fhir_server(folder=self._folder, port=port)
        self.base = await asyncio.to_thread(self._sekmet.__enter__)

    async def stop(self) -> None:
        """As an operator does."""
        if self._hapi:
            await asyncio.to_thread(self._hapi.stop)
            return
        await asyncio.to_thread(self._sekmet.__exit__, None, None, None)
        self._sekmet = nullcontext("")

    async def restart(self, line: Line, seconds: float) -> None:
        """Away for so many seconds and its start."""
        line.away = True
        await self.stop()
        await asyncio.sleep(seconds)
        await self.start()
        line.away = False
