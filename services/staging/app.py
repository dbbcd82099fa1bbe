"""Staging over HTTP: a Record in, a Staging out; or FHIR in, FHIR out. Reaches no network, keeps nothing, holds no secret."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response

from services.staging.knowledge import Rules, rules
from services.staging.settings import StagingSettings
from services.staging.stage import stage
from shared.fhir.outcome import Refused
from shared.fhir.reader import read_bundle
from shared.fhir.stage_observation import stage_observation
from shared.oncology.record import Record, encode
from shared.service.app import create_app, each_line
from shared.service.rim import FHIR_JSON

NDJSON = "application/x-ndjson"
_RECORD = msgspec.json.Decoder(Record)


def create(_settings: StagingSettings) -> FastAPI:
    """The service with its rules read; raises KnowledgeError where a rule file is refused."""
    return create_app("Figaro staging", routers=[_routes(rules())])


def _routes(known: Rules) -> APIRouter:
    router = APIRouter(tags=["staging"])

    def answer(body: bytes) -> bytes:
        return encode(stage(_RECORD.decode(body), known))

    @router.post("/stage")
    async def stage_record(request: Request) -> Response:
        """A Record in, its Staging out; with `application/x-ndjson` one line each, in the same order."""
        body = await request.body()
        if NDJSON in request.headers.get("content-type", ""):
            return Response(await asyncio.to_thread(each_line, body, answer), media_type=NDJSON)
        return Response(await asyncio.to_thread(answer, body), media_type="application/json")

    @router.post("/fhir/$stage")
    async def stage_bundle(request: Request) -> Response:
        """A FHIR Bundle of one patient in, a Bundle of the derived stage Observations out (one an edition)."""
        record = await asyncio.to_thread(read_bundle, await request.body())
        staging = stage(record, known)
        if not staging.primary.applies:
            raise Refused(f"No stage is derived: {staging.primary.why_not}.", code="business-rule")
        observations = [stage_observation(record, staging, edition) for edition in staging.editions]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": o} for o in observations]}
        return Response(msgspec.json.encode(bundle), media_type=FHIR_JSON)

    @router.get("/editions")
    async def editions() -> dict[str, object]:
        """The editions in force, and the knowledge that answers."""
        tables = [reader.table for reader in known.tables.values()]
        return {
            "editions": [{"id": t.edition, "title": t.title, "from": t.in_force.since, "to": t.in_force.to} for t in tables],
            "knowledge": {"edition": known.knowledge.edition, "digest": known.knowledge.digest},
        }

    return router
