"""Writes each change to the FHIR server and tells Figaro of it as HAPI does, unless its notification is to be lost on the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

import aiohttp

from benchmarks.load.hospital import Change
from services.ingest.channels import key

Json = dict[str, Any]
ISSUER: Final = "default"  # what the one server of FIGARO_FHIR_BASE is called
CHANNEL: Final = "load"
AGAIN: Final = 0.25  # seconds until a refused notification is sent again
LATE: Final = 40  # a reordered notification comes after so many later ones
FHIR: Final = {"Content-Type": "application/fhir+json", "Prefer": "return=representation"}


def endpoint(ingest: str, secret: str) -> str:
    """The address of our channel, as `figaro subscribe` would write it into a Subscription."""
    return f"{ingest}/notifications/{ISSUER}/{CHANNEL}/{key(secret, ISSUER, CHANNEL)}"


class Told(Counter[str]):
    """What was counted: changes by their fate, notifications that were accepted, attempts that were not."""


class Sender:
    """Tells of changes, `at_once` at a time. `accepted` and `written` are the last instants of each patient, in seconds since 1970."""

    def __init__(self, session: aiohttp.ClientSession, base: str, endpoint: str, secret: str) -> None:
        self._session = session
        self._base = base
        self._endpoint = endpoint
        self._headers = {"Content-Type": "application/fhir+json;charset=UTF-8", "Authorization": f"Bearer {secret}"}
        self.told = Told()
        self.took: list[float] = []
        self.accepted: dict[str, float] = {}
        self.written: dict[str, float] = {}
        self.untold: set[str] = set()
        self._held: list[tuple[int, Json]] = []
        self._done = 0

    async def run(self, changes: Iterable[Change], *, at_once: int, seen: Callable[[int], None]) -> float:
        """All of them; returns the seconds it took."""
        begun, rest = time.monotonic(), iter(changes)
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._work(rest, seen))
        for _, resource in self._held:
            await self.tell(resource)
        return time.monotonic() - begun

    async def _work(self, rest: Iterator[Change], seen: Callable[[int], None]) -> None:
        for change in rest:
            resource = await self.write(change.resource)
            await self._notify(change, resource)
            self._done += 1
            seen(self._done)

    async def _notify(self, change: Change, resource: Json) -> None:
        self.told[change.fate] += 1
        (self.untold.add if change.fate == "dropped" else self.untold.discard)(change.patient)
        match change.fate:
            case "doubled":
                await asyncio.gather(self.tell(resource), self.tell(resource))
            case "reordered":
                self._held.append((self._done + LATE, resource))
            case "once":
                await self.tell(resource)
        while self._held and self._held[0][0] <= self._done:
            await self.tell(self._held.pop(0)[1])

    async def write(self, resource: Json) -> Json:
        """Puts a resource on the FHIR server, again while that is away; returns it as it stands there."""
        url = f"{self._base}/{resource['resourceType']}/{resource['id']}"
        while True:
            with suppress(aiohttp.ClientError):
                async with self._session.put(url, data=json.dumps(resource), headers=FHIR) as answer:
                    if answer.status < 300:
                        stands: Json = await answer.json(content_type=None)
                        self.written[_who(stands)] = datetime.fromisoformat(stands["meta"]["lastUpdated"]).timestamp()
                        return stands
            await asyncio.sleep(AGAIN)

    async def tell(self, resource: Json) -> None:
        """One notification, sent until it is accepted: a queue on the other side does not give up either."""
        body = json.dumps(resource).encode()
        while True:
            begun = time.monotonic()
            status = await self.ring(resource, body)
            if status == 200:
                self.took.append(time.monotonic() - begun)
                self.accepted[_who(resource)] = time.time()
                self.told["accepted"] += 1
                return
            self.told["refused and sent again"] += 1
            await asyncio.sleep(AGAIN)

    async def ring(self, resource: Json, body: bytes) -> int:
        """One attempt: the status, or 0 where nobody answered."""
        url = f"{self._endpoint}/{resource['resourceType']}/{resource['id']}"
        with suppress(aiohttp.ClientError, OSError):
            async with self._session.put(url, data=body, headers=self._headers) as answer:
                await answer.read()
                return answer.status
        return 0


def _who(resource: Json) -> str:
    return str(resource.get("subject", {}).get("reference", f"Patient/{resource['id']}")).removeprefix("Patient/")
