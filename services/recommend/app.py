"""Recommend over HTTP: Record and Staging in, Recommendation out; and the one act, writing the CarePlan. Keeps nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Request, Response

from services.recommend import units
from services.recommend.candidates import recommend
from services.recommend.clinician import bearer, timely, write
from services.recommend.decision import Answer
from services.recommend.definitions import activities, plan
from services.recommend.library import Library, library
from services.recommend.options import Drug
from services.recommend.publish import publish, unwritten
from services.recommend.settings import RecommendSettings
from shared import VERSION
from shared.fhir.audit import Auditor, Deed
from shared.fhir.client import FhirClient
from shared.fhir.definitions import searchset
from shared.fhir.outcome import NotFound
from shared.oncology.act import Act
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Concept, Record, encode
from shared.oncology.stage import Staging
from shared.service.access import JSON, NDJSON, Access, acting, asking, taking
from shared.service.app import create_app, each_line
from shared.smart.issuers import Issuers, issuers_of
from shared.smart.servers import Servers, reaching

FHIR = "application/fhir+json"
VARY = {"Vary": "Accept"}


class Staged(msgspec.Struct, frozen=True):
    """What a recommendation is made from; with `fhir_base` by the policy of that issuer."""

    record: Record
    staging: Staging
    fhir_base: str | None = None


class Decided(msgspec.Struct, frozen=True):
    """What a CarePlan is written from, and where to; without `write` the answer is to stand on our own page only."""

    record: Record
    staging: Staging
    recommendation: Recommendation
    fhir_base: str | None = None
    write: bool = True


_STAGED = msgspec.json.Decoder(Staged)
_DECIDED = msgspec.json.Decoder(Decided)
_CONCEPTS = msgspec.json.Decoder(tuple[Concept, ...])
_ACT = msgspec.json.Decoder(Act)


def drugs(known: Library) -> dict[str, Drug]:
    """The codes of every drug, by its id."""
    return {drug.id: Drug(drug.name, drug.rxnorm, drug.atc) for drug in known.book.drugs}


def create(settings: RecommendSettings) -> FastAPI:
    """The service with its knowledge read; raises KnowledgeError where a file is refused."""
    known = library(settings.policies)
    known.policy(settings.policy)
    units.load()
    issuers = issuers_of(
        file=settings.issuers, base=settings.fhir_base, bases=settings.fhir_bases, token=settings.fhir_write_token, role="write"
    )
    for issuer in issuers:
        known.policy(issuer.policy or settings.policy)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with reaching(issuers, settings.fhir_networks) as session:
            app.state.servers = Servers(issuers, "write", session)
            yield

    async def ready() -> dict[str, object]:
        return {"knowledge": knowledge(known, datetime.now(UTC).date().isoformat())}

    routers = [_routes(settings, known, issuers)]
    return create_app("Figaro recommend", routers=routers, lifespan=lifespan, ready=ready, access=Access.of(settings))


def knowledge(known: Library, today: str) -> dict[str, object]:
    """Which knowledge answers, how much of it nobody has signed, and what is past its review date on that day."""
    return {
        "edition": known.knowledge.edition,
        "digest": known.knowledge.digest,
        "unsigned": known.drafts,
        "next_review": known.next_review,
        "overdue": known.overdue(today),
    }


def _routes(settings: RecommendSettings, known: Library, issuers: Issuers) -> APIRouter:
    router = APIRouter(tags=["recommend"], dependencies=[Depends(asking)])
    codes = drugs(known)
    auditor = Auditor("recommend", VERSION, settings.audit_key.get_secret_value() if settings.audit_key else None)

    def answer(body: bytes) -> bytes:
        staged = _STAGED.decode(body)
        policy = issuers.policy(staged.fhir_base) or settings.policy
        return encode(recommend(staged.record, staged.staging, known, policy=policy, region=settings.region))

    @router.post("/recommend", dependencies=[Depends(taking(JSON, NDJSON))])
    async def recommend_record(request: Request) -> Response:
        """Record and Staging in, Recommendation out; with `application/x-ndjson` one line each, in the same order."""
        body = await request.body()
        if NDJSON in request.headers.get("content-type", ""):
            return Response(await asyncio.to_thread(each_line, body, answer), media_type=NDJSON)
        return Response(await asyncio.to_thread(answer, body), media_type="application/json")

    @router.post("/careplans", dependencies=[Depends(acting), Depends(taking(JSON))])
    async def write_careplan(request: Request) -> Response:
        """Record, Staging and Recommendation in; the CarePlan is written once; its reference and version out."""
        decided = _DECIDED.decode(await request.body())
        given = Answer(decided.record, decided.staging, decided.recommendation)
        if not decided.write or issuers(decided.fhir_base).write is None:
            return Response(msgspec.json.encode(unwritten(given)), media_type="application/json")
        server: FhirClient = request.app.state.servers(decided.fhir_base)
        at = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        done = await publish(server, given, codes, at=at, software=VERSION)
        if done.written:
            await auditor.tell(server, Deed("create", decided.record.patient, written=(done.versioned,)))
        return Response(msgspec.json.encode(done), media_type="application/json", status_code=201 if done.written else 200)

    @router.post("/decisions", dependencies=[Depends(acting), Depends(taking(JSON))])
    async def write_decision(request: Request) -> Response:
        """What a clinician decided on a CarePlan, written into it with her own token (in `Authorization`, used for this only)."""
        token = bearer(request.headers.get("authorization"))
        act = _ACT.decode(await request.body())
        timely(act, datetime.now(UTC))
        servers: Servers = request.app.state.servers
        ours = servers(act.fhir_base)
        done = await write(servers.on_behalf(act.fhir_base, token), ours, act)
        if done.written:
            place = f"{done.careplan}/_history/{done.version}" if done.version else done.careplan
            await auditor.tell(ours, Deed("update", act.patient, written=(place,)))
        return Response(msgspec.json.encode(done), media_type="application/json", status_code=201 if done.written else 200)

    @router.post("/drugs", dependencies=[Depends(taking(JSON))])
    async def drugs_of(request: Request) -> Response:
        """Medications in, as FHIR CodeableConcepts; of each the ids of the anticancer drugs that it names out, as in `doses[].drug`."""
        named = [[drug.id for drug in known.book.drug_of(concept)] for concept in _CONCEPTS.decode(await request.body())]
        return Response(msgspec.json.encode(named), media_type="application/json")

    @router.get("/regimens")
    async def regimens(request: Request) -> Response:
        """Every regimen: id, title and intent; as FHIR a searchset of PlanDefinitions with their ActivityDefinitions."""
        if _wants_fhir(request):
            found = [plan(regimen, known) for regimen in known.regimens.values()]
            return _fhir(searchset(found, [it for regimen in known.regimens.values() for it in activities(regimen, known, codes)]))
        listed = [{"id": r.id, "title": r.title, "intent": r.intent} for r in known.regimens.values()]
        return Response(msgspec.json.encode(listed), media_type="application/json", headers=VARY)

    @router.get("/regimens/{name}")
    async def regimen(name: str, request: Request) -> Response:
        """One regimen, as its file says it; as FHIR a PlanDefinition."""
        found = known.regimens.get(name)
        if found is None:
            raise NotFound("There is no regimen of this name; GET /regimens lists them.")
        if _wants_fhir(request):
            return _fhir(plan(found, known))
        return Response(encode(found), media_type="application/json", headers=VARY)

    return router


def _wants_fhir(request: Request) -> bool:
    """Whether the caller prefers FHIR: of the JSON types that Accept names, the one of the highest q, and of equals the first."""
    wanted: list[tuple[float, str]] = []
    for part in request.headers.get("accept", "").split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        if kind in (FHIR, "application/json") and quality.replace(".", "", 1).isdecimal():
            wanted.append((float(quality), kind))
    return max(wanted, key=lambda it: it[0])[1] == FHIR if wanted else False


def _fhir(resource: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(resource), media_type=FHIR, headers=VARY)
