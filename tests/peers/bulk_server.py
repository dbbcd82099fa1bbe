"""A FHIR server with Bulk Data export, as strict as the specification, that fails as told.

async with bulk_server({"Condition.ndjson": [...]}) as server:
    server.plan("poll", busy(429, "1"))      # what befalls the next polls; afterwards all is well
    server.plan("Condition.ndjson", truncated)

It wants `Prefer: respond-async`, serves ranges and gzip, and knows what it was asked: `seen` holds every request.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web

Json = dict[str, Any]
Fault = Callable[["Bulk", web.Request, bytes], Awaitable[web.StreamResponse]]
OUTCOME = {"resourceType": "OperationOutcome"}


class Seen(NamedTuple):
    """One request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Bulk:
    """`files` are lines by name, `errors` and `deleted` beside them; `polls` says how often the export is not ready yet."""

    def __init__(self, root: str, files: Mapping[str, list[Json | bytes]]) -> None:
        self.root = root
        self.base_url = f"{root}/fhir"
        self.files = {
            name: b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in found)
            for name, found in files.items()
        }
        self.counts: dict[str, int | None] = {name: len(found) for name, found in files.items()}
        self.errors: list[str] = []
        self.deleted: list[str] = []
        self.polls = 1
        self.token: str | None = None
        self.requires = False
        self.post = True
        self.gzip = False
        self.ranges = True
        self.parts = False
        self.file_root = root
        self.status_root = root
        self.exports = 0
        self.open: set[str] = set()
        self.seen: list[Seen] = []
        self.at_once = self.most_at_once = 0
        self._asked: defaultdict[str, int] = defaultdict(int)
        self._plan: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def plan(self, what: str, *faults: Fault) -> None:
        """For `start`, `poll`, or a file of that name."""
        self._plan[what] = deque(faults)

    def asked(self, method: str, begins: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method and one.path.startswith(begins)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(Seen(request.method, request.path_qs, request.headers.copy(), body))
        steps = request.path.strip("/").split("/")
        what = {"status": "poll", "files": steps[-1]}.get(steps[1], "start")
        if request.method != "DELETE" and self._plan[what]:
            return await self._plan[what].popleft()(self, request, body)
        if what not in self.files and self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response(OUTCOME, status=401)
        if steps[1] == "status":
            return self._status(request, steps[2])
        if steps[1] == "files":
            return await self._file(request, steps[-1])
        return self._start(request, steps)

    def _start(self, request: web.Request, steps: list[str]) -> web.StreamResponse:
        if steps[-1] != "$export" or request.headers.get("Prefer") != "respond-async":
            return web.json_response(OUTCOME, status=404)
        if request.method == "POST" and not self.post:
            return web.json_response(OUTCOME, status=405)
        self.exports += 1
        self.open.add(str(self.exports))
        return web.Response(status=202, headers={"Content-Location": f"{self.status_root}/fhir/status/{self.exports}"})

    def _status(self, request: web.Request, export: str) -> web.StreamResponse:
        if export not in self.open:
            return web.json_response(OUTCOME, status=404)
        if request.method == "DELETE":
            self.open.discard(export)
            return web.Response(status=202)
        self._asked[export] += 1
        if self._asked[export] <= self.polls:
            return web.Response(status=202, headers={"Retry-After": "0", "X-Progress": f"{self._asked[export]} of {self.polls}"})
        return web.json_response(self._manifest(request, export))

    def _manifest(self, request: web.Request, export: str) -> Json:
        def entry(name: str) -> Json:
            file = {"type": name.split(".", maxsplit=1)[0], "url": f"{self.file_root}/fhir/files/{export}/{name}"}
            return file if self.counts[name] is None else {**file, "count": self.counts[name]}

        output = [name for name in self.files if name not in (*self.errors, *self.deleted)]
        said = {
            "transactionTime": "2026-03-01T08:00:00.000Z",
            "request": f"{self.base_url}/$export",
            "requiresAccessToken": self.requires,
            "output": [entry(name) for name in output],
            "error": [entry(name) for name in self.errors],
            "deleted": [entry(name) for name in self.deleted],
        }
        if self.parts:
            rest = request.query.get("rest") is not None
            said["output"] = said["output"][1:] if rest else said["output"][:1]
            said["error"] = [] if rest else said["error"]
            said["link"] = [] if rest else [{"relation": "next", "url": f"{self.root}/fhir/status/{export}?rest="}]
        return said

    async def _file(self, request: web.Request, name: str) -> web.StreamResponse:
        authorization = request.headers.get("Authorization")
        if self.requires and authorization != f"Bearer {self.token}":
            return web.json_response(OUTCOME, status=401)
        if not self.requires and authorization:
            return web.json_response(OUTCOME, status=400)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.02)
        self.at_once -= 1
        body, headers = self.packed(request, name)
        begin = request.headers.get("Range", "")
        if self.ranges and begin and request.headers.get("If-Range", '"1"') == '"1"':
            start = int(begin.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            return web.Response(status=206, body=body[start:], headers=headers)
        return web.Response(body=body, headers=headers)

    def packed(self, request: web.Request, name: str) -> tuple[bytes, dict[str, str]]:
        """The file as it goes out, and its headers."""
        headers = {"Content-Type": "application/fhir+ndjson", **({"ETag": '"1"', "Accept-Ranges": "bytes"} if self.ranges else {})}
        if self.gzip and "gzip" in request.headers.get("Accept-Encoding", ""):
            return gzip.compress(self.files[name], mtime=0), {**headers, "Content-Encoding": "gzip"}
        return self.files[name], headers


@asynccontextmanager
async def bulk_server(files: Mapping[str, list[Json | bytes]]) -> AsyncIterator[Bulk]:
    """The server on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Bulk(f"http://127.0.0.1:{listener.getsockname()[1]}", files)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield server
    finally:
        await runner.cleanup()


def said(status: int, code: str | None = None, **headers: str) -> Fault:
    """This status, with an OperationOutcome of that code. Header names with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {**OUTCOME, "issue": [{"severity": "error", "code": code, "diagnostics": "Mrs Example"}]} if code else OUTCOME

    async def fault(_server: Bulk, _request: web.Request, _body: bytes) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=named)

    return fault


async def truncated(server: Bulk, request: web.Request, _body: bytes) -> web.StreamResponse:
    """The first half of the file, then the connection ends."""
    body, headers = server.packed(request, request.path.rpartition("/")[2])
    response = web.StreamResponse(headers=headers)
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0.1)  # what has arrived is read before the end is
    if request.transport is not None:
        request.transport.close()
    return response


async def half_packed(server: Bulk, request: web.Request, _body: bytes) -> web.StreamResponse:
    """Half a gzip that calls itself whole."""
    body = gzip.compress(server.files[request.path.rpartition("/")[2]])
    return web.Response(body=body[: len(body) // 2], headers={"Content-Encoding": "gzip"})


def page(text: str) -> Fault:
    """HTML, with a status that says that all is well."""

    async def fault(_server: Bulk, _request: web.Request, _body: bytes) -> web.StreamResponse:
        return web.Response(text=text, content_type="text/html")

    return fault


def sent(body: bytes, **headers: str) -> Fault:
    """These bytes."""

    async def fault(_server: Bulk, _request: web.Request, _body: bytes) -> web.StreamResponse:
        return web.Response(body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return fault
