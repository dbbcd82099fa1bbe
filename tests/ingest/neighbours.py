"""Neighbours that answer over HTTP what a test says, to see what ingest makes of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgspec
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from shared.fhir.outcome import FigaroError, to_bytes
from shared.oncology.recommendation import Recommendation, Situation
from shared.oncology.record import encode
from shared.oncology.stage import Knowledge, Oligometastatic, Primary, Staging

KNOWLEDGE = Knowledge("test", "0")


class StubNeighbours:
    """Staging at /staging and recommend at /recommend. `fail[route]` holds errors to answer with, the first one first."""

    def __init__(self, fhir_base: str | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.request_ids: set[str] = set()
        self.fail: dict[str, list[FigaroError]] = {}
        self.order: list[tuple[str, str]] = []
        self.records: list[Any] = []
        self.held: dict[str, asyncio.Event] = {}
        self.ours: Callable[[str], bool] = lambda _: True
        self._fhir = fhir_base
        app = web.Application(client_max_size=50_000_000)
        app.router.add_get("/{service}/health/ready", self._ready)
        app.router.add_post("/staging/stage", self._stage)
        app.router.add_post("/recommend/recommend", self._recommend)
        app.router.add_post("/recommend/careplans", self._publish)
        self._server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.close()

    def url(self, name: str) -> str:
        return str(self._server.make_url(f"/{name}"))

    def hold(self, route: str) -> None:
        """Leaves the route without an answer until `release`."""
        self.held[route] = asyncio.Event()

    def release(self) -> None:
        for event in self.held.values():
            event.set()

    async def _asked(self, request: web.Request) -> Any:
        route = request.path.rpartition("/")[2]
        self.calls[route] += 1
        self.request_ids.add(request.headers.get("X-Request-Id", ""))
        body = await request.json()
        self.order.append((route, body.get("patient") or body["record"]["patient"]))
        if event := self.held.get(route):
            await event.wait()
        if errors := self.fail.get(route):
            error = errors.pop(0)
            raise _Answer(to_bytes(error), error.status)
        return body

    async def _ready(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ready"})

    async def _stage(self, request: web.Request) -> web.Response:
        try:
            record = await self._asked(request)
            self.records.append(record)
        except _Answer as answer:
            return answer.response
        few = Oligometastatic(definition="x", reference="y")
        staging = Staging(
            patient=record["patient"], primary=Primary(applies=self.ours(record["patient"])), oligometastatic=few, knowledge=KNOWLEDGE
        )
        return web.Response(body=encode(staging), content_type="application/json")

    async def _recommend(self, request: web.Request) -> web.Response:
        try:
            asked = await self._asked(request)
        except _Answer as answer:
            return answer.response
        situation = Situation(setting=None, stage=None, line=None)
        recommendation = Recommendation(patient=asked["record"]["patient"], situation=situation, knowledge=KNOWLEDGE)
        return web.Response(body=encode(recommendation), content_type="application/json")

    async def _publish(self, request: web.Request) -> web.Response:
        try:
            asked = await self._asked(request)
        except _Answer as answer:
            return answer.response
        decision = msgspec.json.encode(asked["recommendation"]).hex()[:32]
        plan = {
            "resourceType": "CarePlan",
            "status": "draft",
            "intent": "proposal",
            "subject": {"reference": asked["record"]["patient"]},
            "identifier": [{"system": "urn:figaro:decision", "value": f"{asked['record']['patient']}{decision}"}],
        }
        condition = {"If-None-Exist": f"identifier=urn:figaro:decision|{asked['record']['patient']}{decision}"}
        async with ClientSession() as session, session.post(f"{asked['fhir_base']}/CarePlan", json=plan, headers=condition) as written:
            made = await written.json()
        place = {"careplan": f"CarePlan/{made['id']}", "version": made["meta"]["versionId"]}
        return web.json_response(place | {"decision": decision, "written": written.status == 201})


class _Answer(Exception):
    def __init__(self, body: bytes, status: int) -> None:
        self.response = web.Response(body=body, status=status, content_type="application/fhir+json")
