"""How long a notification takes to be accepted: sent at a fixed rate, whether or not those before are answered; then as fast as it goes."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.load.hospital import changes
from benchmarks.load.ward import Database, Ward, ward
from tests.ingest.patients import ecog

Json = dict[str, Any]
AT_ONCE: Final = 16
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Accepted:
    """Seconds from the instant at which each was due to be sent to its answer; how many were not accepted; `flat_out` a second."""

    rate: float
    took: list[float]
    refused: int
    flat_out: float
    cases: int


async def accept(
    rate: int, seconds: int, say: Say, *, patients: int = 50, database: Database = "sqlite", working: bool = False, apart: bool = False
) -> Accepted:
    """New versions of findings, with Figaro's rounds going on; while it is `working` cases are carried too, as fast as it takes them.

    `apart`: ingest, which accepts them, is a process of its own.
    """
    debounce = 1 if working else 3600
    async with ward(patients, database=database, apart=apart, debounce_seconds=debounce, sweep_seconds=0) as it:
        stream = _versions(patients, rate * (seconds + 10))
        if working:  # each patient is known by then, as in a ward's every day
            await asyncio.gather(*(it.sender.tell(ecog(f"{who}-e", f"Patient/{who}", 1)) for who in it.patients))
            await _answered(it, patients)
        before = await it.answered()
        took, refused = await _open_loop(it, stream, rate, seconds, say)
        cases = await it.answered() - before
        flat_out = await _flat_out(it, stream, rate * 10)
        return Accepted(rate, took, refused, flat_out, cases)


async def _answered(it: Ward, patients: int) -> None:
    while await it.answered() < patients:  # noqa: ASYNC110 -- it happens in another process
        await asyncio.sleep(0.5)


def _versions(patients: int, many: int) -> Iterator[Json]:
    """Findings as a server sends them, each a version that was never there before."""
    for number, change in enumerate(changes(patients, many, 1)):
        meta = {**change.resource["meta"], "versionId": str(number), "lastUpdated": "2026-11-22T10:00:00.000Z"}
        yield change.resource | {"meta": meta}


async def _open_loop(it: Ward, stream: Iterator[Json], rate: int, seconds: int, say: Say) -> tuple[list[float], int]:
    took: list[float] = []
    refused = 0
    begun = time.monotonic()

    async def one(due: float, resource: Json) -> None:
        nonlocal refused
        status = await it.sender.ring(resource, json.dumps(resource).encode())
        took.append(time.monotonic() - due)
        refused += status != 200

    async with asyncio.TaskGroup() as group:
        for number in range(rate * seconds):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(one(due, next(stream)))
            say(f"{rate} notifications a second", number + 1, rate * seconds)
    return took, refused


async def _flat_out(it: Ward, stream: Iterator[Json], many: int) -> float:
    rest = iter(list(itertools.islice(stream, many)))

    async def some() -> None:
        for resource in rest:
            await it.sender.tell(resource)

    begun = time.monotonic()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return many / (time.monotonic() - begun)
