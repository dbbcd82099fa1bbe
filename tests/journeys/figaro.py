"""Figaro in processes of its own, as a hospital runs it; to be killed by a test."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]
_FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]


async def until(happened: Callable[[], Awaitable[bool]], *, seconds: float = 20) -> None:
    """Returns when it has happened; a test that waits longer than that fails."""
    async with asyncio.timeout(seconds):
        while not await happened():  # noqa: ASYNC110 -- what is waited for happens in another process
            await asyncio.sleep(0.05)


class Process:
    """`figaro serve`, of one service or (None) of all three. `settings` become its environment."""

    def __init__(self, service: str | None, port: int, log: Path, **settings: object) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._command = [*_FIGARO, "serve", *filter(None, [service])]
        told = {f"FIGARO_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment = {**os.environ, **told, "FIGARO_PORT": str(port)}
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Returns when it answers."""
        self._launch()
        async with aiohttp.ClientSession() as session, asyncio.timeout(60):
            while self._process is not None and self._process.poll() is None:
                try:
                    async with session.get(f"{self.url}/health/live") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        raise AssertionError(f"it ended at its start:\n{self.log.read_text()[-3000:]}")

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._environment, stdout=log, stderr=log)

    def kill(self) -> None:
        """At once, without a word."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator does."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)


class Cases:
    """The cases of an ingest, over HTTP."""

    def __init__(self, url: str, *, secret: str = "") -> None:
        self.base, self.url = url, f"{url}/cases"
        self._headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    async def open(self, patient: str) -> str:
        async with aiohttp.ClientSession(headers=self._headers) as session, session.post(self.url, json={"patient": patient}) as answer:
            assert answer.status == 202, await answer.text()
            return str((await answer.json())["id"])

    async def show(self, case_id: str) -> Json:
        async with aiohttp.ClientSession(headers=self._headers) as session, session.get(f"{self.url}/{case_id}") as answer:
            shown: Json = await answer.json()
            return shown

    async def done(self, case_id: str, *, seconds: float = 60) -> Json:
        """The case once it is answered or stuck."""
        case: Json = {}

        async def is_done() -> bool:
            nonlocal case
            case = await self.show(case_id)
            return case["state"] in ("answered", "stuck")

        await until(is_done, seconds=seconds)
        return case
