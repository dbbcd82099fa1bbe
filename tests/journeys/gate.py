"""A gate on the way to a server: it lets everything through, until a test holds one request, before it arrives or after it was answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

When = Literal["before", "after"]
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding", "date", "server"}


class Gate:
    """The server at `url`, in front of `upstream`. `reached` is set once the request that is held has come."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self.upstream = upstream
        self.url = ""
        self.reached = asyncio.Event()
        self.passed: Counter[str] = Counter()
        self._session = session
        self._opened = asyncio.Event()
        self._holds: Callable[[web.Request], bool] = lambda _: False
        self._when: When = "before"

    def hold(self, which: Callable[[web.Request], bool], when: When) -> None:
        """From now on such a request stays here, until `open`."""
        self._holds, self._when = which, when
        self.reached.clear()
        self._opened.clear()

    def open(self) -> None:
        """Everything passes again."""
        self._holds = lambda _: False
        self._opened.set()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        held = self._holds(request)
        if held and self._when == "before":
            await self._wait()
        status, headers, answer = await self._forward(request, body)
        if held and self._when == "after":
            await self._wait()
        return web.Response(status=status, headers=headers, body=answer)

    async def _wait(self) -> None:
        self.reached.set()
        await self._opened.wait()

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.passed[f"{request.method} {request.path}"] += 1
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self._session.request(request.method, self.upstream + request.raw_path, data=body, headers=sent) as answer:
            ours = (await answer.read()).replace(self.upstream.encode(), self.url.encode())
            received = {n: v.replace(self.upstream, self.url) for n, v in answer.headers.items() if n.lower() not in _HOP}
            return answer.status, received, ours


@asynccontextmanager
async def gate(upstream: str) -> AsyncIterator[Gate]:
    """A gate on a free port of this machine, in front of scheme, host and port."""
    async with aiohttp.ClientSession() as session:
        it = Gate(upstream, session)
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/{rest:.*}", it.handle)
        server = TestServer(app, host="127.0.0.1")
        await server.start_server()
        it.url = str(server.make_url("")).rstrip("/")
        try:
            yield it
        finally:
            it.open()
            await server.close()
