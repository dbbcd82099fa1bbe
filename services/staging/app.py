"""Staging over HTTP: a Record in, a Staging out; or FHIR in, FHIR out. Reaches no network, keeps nothing, holds no secret."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response

from services.staging.knowledge import Rules, rules
from services.staging.settings import StagingSettings
from services.staging.stage import stage
from shared.fhir.outcome import FigaroError, Refused, Unreadable, to_bytes
from shared.fhir.reader import read_bundle
from shared.fhir.stage_observation import stage_observation
from shared.oncology.record import Record, encode
from shared.service.app import create_app
from shared.service.rim import FHIR_JSON

NDJSON = "application/x-ndjson"
_RECORD = msgspec.json.Decoder(Record)


def create(_settings: StagingSettings) -> FastAPI:
    """The service with its rules read; raises KnowledgeError where a rule file is refused."""
    return create_app("Figaro staging", routers=[_routes(rules())])


def _routes(known: Rules) -> APIRouter:
    router = APIRouter(tags=["staging"])

    @router.post("/stage")
    async def stage_record(request: Request) -> Response:
        """A Record in, its Staging out; with `application/x-ndjson` one line each, in the same order."""
        body = await request.body()
        if NDJSON in request.headers.get("content-type", ""):
            return Response(b"\n".join(_lines(body, known)) + b"\n", media_type=NDJSON)
        return Response(encode(stage(_record(body), known)), media_type="application/json")

    @router.post("/fhir/$stage")
    async def stage_bundle(request: Request) -> Response:
        """A FHIR Bundle of one patient in, a Bundle of the derived stage Observations out (one an edition)."""
        record = read_bundle(await request.body())
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


def _record(body: bytes) -> Record:
    try:
        return _RECORD.decode(body)
    except msgspec.DecodeError as error:
        raise Unreadable(f"The body is not a Record: {error}.", where="the body") from error


def _lines(body: bytes, known: Rules) -> Iterator[bytes]:
    """One answer a line; a line that cannot be read is answered with an OperationOutcome, and the others are answered."""
    for line in body.splitlines():
        if line.strip():
            try:
                yield encode(stage(_record(line), known))
            except FigaroError as error:
                yield to_bytes(error)
