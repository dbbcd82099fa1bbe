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

import aiohttp
import pytest

from shared.fhir.outcome import Refused, Unavailable
from shared.service.app import create_app
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
