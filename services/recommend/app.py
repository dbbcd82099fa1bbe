"""Recommend over HTTP: Record and Staging in, Recommendation out; and the one act, writing the CarePlan. Keeps nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response

from services.recommend import units
from services.recommend.candidates import recommend
from services.recommend.decision import Answer
from services.recommend.library import Library, library
from services.recommend.options import Drug
from services.recommend.publish import publish
from services.recommend.settings import RecommendSettings
from shared import VERSION
from shared.fhir.client import FhirClient
from shared.fhir.guard import fhir_base
from shared.fhir.outcome import NotFound, Refused
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Record, encode
from shared.oncology.stage import Staging
from shared.service.app import create_app, each_line

NDJSON = "application/x-ndjson"


class Staged(msgspec.Struct, frozen=True):
    """What a recommendation is made from."""

    record: Record
    staging: Staging


class Decided(msgspec.Struct, frozen=True):
    """What a CarePlan is written from, and where to."""

    record: Record
    staging: Staging
    recommendation: Recommendation
    fhir_base: str | None = None


_STAGED = msgspec.json.Decoder(Staged)
_DECIDED = msgspec.json.Decoder(Decided)


def drugs(known: Library) -> dict[str, Drug]:
    """The codes of every drug, by its id."""
    return {drug.id: Drug(drug.name, drug.rxnorm, drug.atc) for drug in known.book.drugs}


def create(settings: RecommendSettings) -> FastAPI:
    """The service with its knowledge read; raises KnowledgeError where a file is refused."""
    known = library()
    units.load()
    servers: dict[str, FhirClient] = {}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            for base in [b for b in (settings.fhir_base, *settings.fhir_bases) if b]:
                token = settings.fhir_write_token if base == settings.fhir_base else None
                client = FhirClient(base, token=token.get_secret_value() if token else None)
                servers[client.base_url] = await client.__aenter__()
            yield
        finally:
            for client in servers.values():
                await client.__aexit__(None, None, None)

    async def ready() -> dict[str, object]:
        return {"knowledge": knowledge(known, datetime.now(UTC).date().isoformat())}

    return create_app("Figaro recommend", routers=[_routes(settings, known, servers)], lifespan=lifespan, ready=ready)


def knowledge(known: Library, today: str) -> dict[str, object]:
    """Which knowledge answers, how much of it nobody has signed, and what is past its review date on that day."""
    return {
        "edition": known.knowledge.edition,
        "digest": known.knowledge.digest,
        "unsigned": known.drafts,
        "next_review": known.next_review,
        "overdue": known.overdue(today),
    }


def _routes(settings: RecommendSettings, known: Library, servers: dict[str, FhirClient]) -> APIRouter:
    router = APIRouter(tags=["recommend"])
    codes = drugs(known)

    def answer(body: bytes) -> bytes:
        staged = _STAGED.decode(body)
        region: Any = settings.region
        return encode(recommend(staged.record, staged.staging, known, policy=settings.policy, region=region))

    @router.post("/recommend")
    async def recommend_record(request: Request) -> Response:
        """Record and Staging in, Recommendation out; with `application/x-ndjson` one line each, in the same order."""
        body = await request.body()
        if NDJSON in request.headers.get("content-type", ""):
            return Response(await asyncio.to_thread(each_line, body, answer), media_type=NDJSON)
        return Response(await asyncio.to_thread(answer, body), media_type="application/json")

    @router.post("/careplans")
    async def write_careplan(request: Request) -> Response:
        """Record, Staging and Recommendation in; the CarePlan is written once; its reference and version out."""
        decided = _DECIDED.decode(await request.body())
        base = decided.fhir_base or settings.fhir_base
        server = servers.get(str(fhir_base(base))) if base else None
        if server is None:
            raise Refused("CarePlans are not written to this server: name it in FIGARO_FHIR_BASE or FIGARO_FHIR_BASES of recommend.")
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        done = await publish(server, Answer(decided.record, decided.staging, decided.recommendation), codes, at=at, software=VERSION)
        return Response(msgspec.json.encode(done), media_type="application/json", status_code=201 if done.written else 200)

    @router.get("/regimens")
    async def regimens() -> list[dict[str, str]]:
        """Every regimen that is known: id, title and intent."""
        return [{"id": r.id, "title": r.title, "intent": r.intent} for r in known.regimens.values()]

    @router.get("/regimens/{name}")
    async def regimen(name: str) -> Response:
        """One regimen, as its file says it."""
        found = known.regimens.get(name)
        if found is None:
            raise NotFound("There is no regimen of this name; GET /regimens lists them.")
        return Response(encode(found), media_type="application/json")

    return router
