"""Servers that are started, and servers that end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest
from yarl import URL

from shared.fhir.outcome import Refused, Unavailable
from shared.service.app import create_app
from shared.service.connection import LARGEST, Impatient
from shared.service.embedded import embedded_fhir_server
from shared.service.serving import run, served

PARENT = """
import sys, time
from shared.service.embedded import embedded_fhir_server
with embedded_fhir_server() as base_url:
    print(base_url, flush=True)
    time.sleep(60)
"""
SERVICE = """
from shared.service.app import create_app
from shared.service.serving import run
run(create_app("a service"), port={port})
print("ended well", flush=True)
"""


def answers(base_url: str) -> bool:
    try:
        urllib.request.urlopen(base_url, timeout=5).close()
        return True
    except OSError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def within(seconds: float, condition: object) -> bool:
    late = time.monotonic() + seconds
    while time.monotonic() < late:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def test_the_embedded_server_ends_with_its_block_also_after_an_error() -> None:
    seen = []

    def use() -> None:
        with embedded_fhir_server() as base_url:
            seen.append((base_url, answers(f"{base_url}/metadata")))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    ((base_url, answered),) = seen
    assert answered
    assert not answers(f"{base_url}/metadata")


def test_the_embedded_server_ends_and_leaves_nothing_when_its_parent_is_killed(tmp_path: Path) -> None:
    surroundings = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=surroundings) as parent:
        assert parent.stdout is not None
        base_url = parent.stdout.readline().strip()
        assert answers(f"{base_url}/metadata")
        parent.kill()
    assert within(10, lambda: not answers(f"{base_url}/metadata"))
    assert within(10, lambda: not any(tmp_path.iterdir()))


def test_an_embedded_server_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sekmet", None)
    with pytest.raises(Refused, match=r"figaro-fhir\[demo\]"), embedded_fhir_server():
        pass


def test_an_embedded_server_that_does_not_start_says_so() -> None:
    with pytest.raises(Unavailable, match="did not start"), embedded_fhir_server(patience=0):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_stops_when_told(number: signal.Signals) -> None:
    port = free_port()
    command = [sys.executable, "-c", SERVICE.format(port=port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        assert within(20, lambda: answers(f"http://127.0.0.1:{port}/health/live"))
        os.kill(service.pid, number)
        printed, errors = service.communicate(timeout=20)
    assert "Traceback" not in errors
    assert (printed.strip(), service.returncode) == ("ended well", 0)
    assert all(json.loads(line)["event"] for line in errors.splitlines())


@pytest.mark.slow
async def test_a_connection_that_has_idled_for_some_seconds_loses_no_request() -> None:
    """uvicorn ends idle connections after 5 s unless told otherwise, and a POST on its way then is lost: a client cannot send it again."""

    async def asked_again(url: str, idle: float) -> int:
        async with aiohttp.ClientSession() as session:
            for pause in (idle, 0):
                async with session.post(f"{url}/health/live") as answer:
                    await answer.read()
                await asyncio.sleep(pause)
            return answer.status

    async with served(create_app("a service")) as url:
        found = await asyncio.gather(*(asked_again(url, 4.9 + number / 1000) for number in range(200)), return_exceptions=True)
    assert set(found) == {405}


ASKED: Final = b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POSTED: Final = b"POST /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n"


async def sent(url: str, *parts: bytes, pause: float = 0) -> bytes:
    """What is answered to these bytes until the connection is ended; within 5 s it has to be."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    try:
        async with asyncio.timeout(5):
            try:
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause)
                return await reader.read()
            except ConnectionError:
                return b""
    finally:
        writer.close()


async def test_an_answer_on_a_connection_that_is_kept_does_not_wait_for_the_one_who_asks() -> None:
    """Nagle's algorithm holds the body until the headers are acknowledged, and that takes 40 ms."""
    took = []
    async with served(create_app("a service")) as url, aiohttp.ClientSession() as session:
        for _ in range(20):
            before = time.perf_counter()
            async with session.get(f"{url}/health/live") as answer:
                await answer.read()
            took.append(time.perf_counter() - before)
    assert sorted(took)[6] < 0.03


@pytest.mark.parametrize("header", [b"a: b\r\n", b"a: " + b"b" * 1_000 + b"\r\n"])
async def test_api4_a_megabyte_of_headers_is_cut_off(header: bytes) -> None:
    """OWASP API4: one connection with 60 MB of them took 1.5 GB of memory."""
    async with served(create_app("a service")) as url:
        answered = await sent(url, ASKED, header * (1_000_000 // len(header)), b"\r\n")
        assert answered.partition(b"\r\n")[0] in (b"HTTP/1.1 400 Bad Request", b"")
        whole = ASKED + b"Connection: close\r\nCookie: " + b"c" * (LARGEST // 2) + b"\r\n\r\n"
        assert (await sent(url, whole)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "parts",
    [(), (ASKED,), (ASKED, *[b"a"] * 40), (ASKED + b"\r\n", ASKED, *[b"a"] * 40), (POSTED, *[b"x"] * 40)],
    ids=["nothing", "no end of the headers", "headers by drops", "the second request by drops", "a body by drops that nobody reads"],
)
async def test_api4_a_connection_that_comes_to_no_end_is_ended(parts: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """OWASP API4: also where something still drops in; what is never ended holds a place for ever."""
    monkeypatch.setattr(Impatient, "patience", 0.3)
    async with served(create_app("a service")) as url:
        before = time.monotonic()
        await sent(url, *parts, pause=0.05)
        assert time.monotonic() - before < 2.5


async def test_a_connection_that_idles_between_requests_is_not_taken_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Impatient, "patience", 0.2)
    async with served(create_app("a service")) as url:
        last = ASKED + b"Connection: close\r\n\r\n"
        assert (await sent(url, ASKED + b"\r\n", last, pause=0.6)).count(b"HTTP/1.1 200") == 2


async def test_api4_beyond_so_many_connections_the_answer_is_503_and_below_them_200_again() -> None:
    """OWASP API4."""
    async with served(create_app("a service"), connections=10) as url, aiohttp.ClientSession() as session:
        held = [await asyncio.open_connection("127.0.0.1", URL(url).port) for _ in range(10)]
        async with session.get(f"{url}/health/live", headers={"Connection": "close"}) as answer:
            assert answer.status == 503
        for _, writer in held:
            writer.close()
            await writer.wait_closed()
        await asyncio.sleep(0.2)
        async with session.get(f"{url}/health/live") as answer:
            assert answer.status == 200


def test_an_address_in_use_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(Refused, match="FIGARO_PORT"):
        run(create_app("a service"), port=taken.getsockname()[1])


def test_a_service_that_refuses_to_begin_says_why_in_a_sentence_and_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    @asynccontextmanager
    async def refusing(_: object) -> AsyncIterator[None]:
        raise Refused("FIGARO_X is missing: set it.")
        yield

    with pytest.raises(Refused, match="FIGARO_X is missing"):
        run(create_app("a service", lifespan=refusing), port=free_port())
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err
