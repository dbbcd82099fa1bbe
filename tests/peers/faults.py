"""A FHIR server that fails as told: a proxy in front of a real one, with a plan of what to do to each request in turn.

async with faulty(base) as server:
    server.plan(busy("0"), passed, lost_reply)   # afterwards everything passes
    async with FhirClient(server.base_url) as client: ...
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

import aiohttp
from aiohttp import web

Fault = Callable[["Proxy", web.Request], Awaitable[web.StreamResponse]]
FHIR_JSON = "application/fhir+json"
_HOP = {"host", "content-length", "transfer-encoding", "connection", "content-encoding", "accept-encoding", "date", "server"}


class Seen(NamedTuple):
    """One request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]


class Proxy:
    """The server at `base_url`, in front of `upstream`; `seen` holds every request, `plan` says what befalls the next ones."""

    def __init__(self, upstream: str, session: aiohttp.ClientSession) -> None:
        self.upstream = upstream
        self.session = session
        self.base_url = ""
        self.seen: list[Seen] = []
        self._plan: deque[Fault] = deque()

    def plan(self, *faults: Fault) -> None:
        self._plan = deque(faults)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.raw_path, request.headers.copy()))
        fault = self._plan.popleft() if self._plan else passed
        return await fault(self, request)

    async def fetch(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        """The real server's answer, with its addresses turned into ours."""
        url = self.upstream + request.raw_path.removeprefix("/fhir")
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        async with self.session.request(request.method, url, data=await request.read(), headers=sent) as answer:
            body = (await answer.read()).replace(self.upstream.encode(), self.base_url.encode())
            received = {name: self._ours(value) for name, value in answer.headers.items() if name.lower() not in _HOP}
            return answer.status, received, body

    def _ours(self, text: str) -> str:
        return text.replace(self.upstream, self.base_url)


P = TypeVar("P", bound=Proxy)


@asynccontextmanager
async def faulty(upstream: str, kind: type[P] = Proxy) -> AsyncIterator[P]:  # type: ignore[assignment]
    """The proxy on a free port of this machine."""
    async with aiohttp.ClientSession() as session:
        proxy = kind(upstream, session)
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/fhir{rest:.*}", proxy.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        proxy.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
        try:
            yield proxy
        finally:
            await runner.cleanup()


async def passed(proxy: Proxy, request: web.Request) -> web.StreamResponse:
    """Nothing goes wrong."""
    status, headers, body = await proxy.fetch(request)
    return web.Response(status=status, headers=headers, body=body)


def answered(status: int, body: bytes = b"", **headers: str) -> Fault:
    """This answer, and the real server never hears of the request. Header names with _ for -."""

    async def fault(_proxy: Proxy, _request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers={"Content-Type": FHIR_JSON, **named}, body=body)

    return fault


def busy(retry_after: str, status: int = 503) -> Fault:
    """503, or 429, with Retry-After in seconds or as a date."""
    return answered(status, Retry_After=retry_after)


def web_page(status: int = 200) -> Fault:
    """HTML where FHIR was asked for."""
    return answered(status, b"<!doctype html><title>Log in</title>", Content_Type="text/html; charset=utf-8")


def changed(change: Callable[[dict[str, Any]], None]) -> Fault:
    """The real answer, with its JSON changed."""

    async def fault(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        status, headers, body = await proxy.fetch(request)
        resource = json.loads(body)
        change(resource)
        return web.Response(status=status, headers=headers, body=json.dumps(resource).encode())

    return fault


def next_link(url: str) -> Fault:
    """A page whose next link is this one: of another host, or of a page that was there already."""

    def change(bundle: dict[str, Any]) -> None:
        others = [link for link in bundle.get("link", []) if link["relation"] != "next"]
        bundle["link"] = [*others, {"relation": "next", "url": url}]

    return changed(change)


async def without_total(proxy: Proxy, request: web.Request) -> web.StreamResponse:
    """A searchset without `total`."""
    return await changed(lambda bundle: bundle.pop("total", None))(proxy, request)


async def reset(_proxy: Proxy, request: web.Request) -> web.StreamResponse:
    """The connection is reset before the real server hears of it."""
    return _hang_up(request)


async def lost_reply(proxy: Proxy, request: web.Request) -> web.StreamResponse:
    """The real server does it, and nobody is told."""
    await proxy.fetch(request)
    return _hang_up(request)


async def truncated(proxy: Proxy, request: web.Request) -> web.StreamResponse:
    """The first half of the answer, then the connection ends."""
    response, body = await _begun(proxy, request)
    await response.write(body[: len(body) // 2])
    return _hang_up(request)


def slow(seconds: float) -> Fault:
    """The answer byte by byte, each after so many seconds."""

    async def fault(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        response, body = await _begun(proxy, request)
        for byte in body:
            await asyncio.sleep(seconds)
            await response.write(bytes([byte]))
        return response

    return fault


def silent(seconds: float) -> Fault:
    """No byte for so many seconds, then the real answer."""

    async def fault(proxy: Proxy, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(seconds)
        return await passed(proxy, request)

    return fault


async def _begun(proxy: Proxy, request: web.Request) -> tuple[web.StreamResponse, bytes]:
    status, headers, body = await proxy.fetch(request)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    return response, body


def _hang_up(request: web.Request) -> web.StreamResponse:
    transport = request.transport
    if transport is not None:
        # A linger of zero seconds makes the kernel send a reset instead of a polite end.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    raise ConnectionResetError
