"""`figaro run` against servers that are down, closed, slow or no FHIR R4: one sentence, which server, what to do, and nothing written."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

pytestmark = pytest.mark.slow
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """A server that answers everything the same way."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
    finally:
        await runner.cleanup()


async def figaro_run(base: str) -> tuple[int, str]:
    command = [sys.executable, "-c", "from services.cli import main; main()", "run", base, "--patient", "1"]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 90)
    assert out == b""
    assert b"Traceback" not in err
    return process.returncode or 0, " ".join(err.decode().split())


async def test_a_server_that_is_down_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, said = await figaro_run(f"http://127.0.0.1:{port}/fhir")
    assert code != 0
    assert f"127.0.0.1:{port}" in said


async def test_a_web_page_is_no_fhir_server() -> None:
    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html><body>Please log in</body></html>", content_type="text/html")

    async with answering(page) as base:
        code, said = await figaro_run(base)
    assert code != 0
    assert "FHIR" in said
    assert "Please log in" not in said


async def test_a_server_of_another_fhir_version_is_refused() -> None:
    async def metadata(_request: web.Request) -> web.Response:
        return web.json_response({"resourceType": "CapabilityStatement", "fhirVersion": "5.0.0"}, content_type="application/fhir+json")

    async with answering(metadata) as base:
        code, said = await figaro_run(base)
    assert code != 0
    assert "5.0.0" in said
    assert "R4" in said


async def test_a_server_that_wants_a_token_says_so() -> None:
    async def closed(_request: web.Request) -> web.Response:
        return web.Response(status=401, text="no")

    async with answering(closed) as base:
        code, said = await figaro_run(base)
    assert code != 0
    assert "token" in said.lower()
