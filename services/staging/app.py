"""Staging over HTTP: a Record in, a Staging out; or FHIR in, FHIR out. Reaches no network, keeps nothing, holds no secret of others."""

from __future__ import annotations

import asyncio

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from services.staging.knowledge import Rules, rules
from services.staging.operation import gives_json, input_bundle, takes_json
from services.staging.settings import StagingSettings
from services.staging.stage import stage
from shared.fhir.derived import collection
from shared.fhir.reader import read_bundle
from shared.oncology.record import Record, encode
from shared.service.access import JSON, NDJSON, Access, asking, taking
from shared.service.app import create_app, each_line
from shared.service.rim import FHIR_JSON

_RECORD = msgspec.json.Decoder(Record)


def create(settings: StagingSettings) -> FastAPI:
    """The service with its rules read; raises KnowledgeError where a rule file is refused, Refused for a definition that is none."""
    known = rules()
    known.oligometastasis(settings.oligometastasis)
    return create_app("Figaro staging", routers=[_routes(known, settings.oligometastasis)], access=Access.of(settings))


def _routes(known: Rules, few: str) -> APIRouter:
    router = APIRouter(tags=["staging"], dependencies=[Depends(asking)])

    def answer(body: bytes) -> bytes:
        return encode(stage(_RECORD.decode(body), known, few))

    def derived(body: bytes) -> bytes:
        record = read_bundle(input_bundle(body))
        return msgspec.json.encode(collection(record, stage(record, known, few)))

    @router.post("/stage", dependencies=[Depends(taking(JSON, NDJSON))])
    async def stage_record(request: Request) -> Response:
        """A Record in, its Staging out; with `application/x-ndjson` one line each, in the same order."""
        body = await request.body()
        if NDJSON in request.headers.get("content-type", ""):
            return Response(await asyncio.to_thread(each_line, body, answer), media_type=NDJSON)
        return Response(await asyncio.to_thread(answer, body), media_type="application/json")

    @router.post("/fhir/$stage")
    async def stage_bundle(request: Request) -> Response:
        """A FHIR Bundle of one patient in, bare or as the one parameter of Parameters; a Bundle of what is derived from it out.

        The stage of each edition with its T, N and M, the sites of spread, and a DetectedIssue for what is to be looked at: also where
        FIGO does not apply, which is an answer and no error. Everything is preliminary, and labelled as asserted by a machine.
        """
        takes_json(request.headers.get("content-type"))
        gives_json(request.headers.get("accept"), request.query_params.get("_format"))
        return Response(await asyncio.to_thread(derived, await request.body()), media_type=FHIR_JSON)

    @router.get("/editions")
    async def editions() -> dict[str, object]:
        """The editions in force, and the knowledge that answers."""
        tables = [reader.table for reader in known.tables.values()]
        return {
            "editions": [{"id": t.edition, "title": t.title, "from": t.in_force.since, "to": t.in_force.to} for t in tables],
            "knowledge": {"edition": known.knowledge.edition, "digest": known.knowledge.digest},
        }

    return router
