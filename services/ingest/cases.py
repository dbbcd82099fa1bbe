"""The routes of cases: open, list, show, follow, try again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from services.ingest.access import permitted
from services.ingest.erasing import erase
from services.ingest.limiting import limited, limited_for
from services.ingest.pull import patient_reference
from services.ingest.running import Ingest, ingest_of
from services.ingest.tables import DONE, Answer, Case, InHand, State, expanded
from shared.service.access import JSON, taking
from shared.service.body import described, small

router = APIRouter(prefix="/cases", tags=["cases"], dependencies=[Depends(permitted)])
_WRITES = [Depends(limited("cases")), Depends(taking(JSON))]  # and before these the secret
_LOOK_AGAIN = 0.25  # seconds; the ledger is asked, because another process may be doing the work


class Opening(msgspec.Struct, forbid_unknown_fields=True):
    """A case to open. `base` is needed only where more than one FHIR server is in the settings."""

    patient: Annotated[str, msgspec.Meta(examples=["Patient/17"])]
    base: str | None = None
    as_of: date | None = None


Running = Annotated[Ingest, Depends(ingest_of)]


async def _case(case_id: str, ingest: Running) -> Case:
    return await asyncio.to_thread(ingest.ledger.case, case_id)


Asked = Annotated[Case, Depends(_case)]


@router.post("", status_code=202, dependencies=_WRITES, openapi_extra=described(Opening))
async def open_case(request: Request, ingest: Running) -> Response:
    """Opens a case for one patient and answers at once; follow it at its Location."""
    opening = await small(request, Opening)
    base = ingest.servers.base(opening.base)
    limited_for(request, "cases", ingest.servers.issuer(base).id)
    as_of = opening.as_of.isoformat() if opening.as_of else None
    case = await ingest.conductor.open(base, patient_reference(opening.patient), as_of=as_of)
    return _accepted(request, case)


@router.get("")
async def list_cases(
    ingest: Running, state: State | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100, before: str | None = None
) -> Response:
    """Cases, the newest first, and how many stand in each state; `before` is the last id of the page before."""
    counts = await asyncio.to_thread(ingest.ledger.counts)
    cases = await asyncio.to_thread(ingest.ledger.cases, state=state, limit=limit, before=before)
    return _json({"counts": counts, "cases": [_short(case) for case in cases]})


class Erasing(msgspec.Struct, forbid_unknown_fields=True):
    """Whom to forget. `base` is needed only where more than one FHIR server is in the settings."""

    patient: Annotated[str, msgspec.Meta(examples=["Patient/17"])]
    base: str | None = None


@router.post("/erase", dependencies=_WRITES, openapi_extra=described(Erasing))
async def erase_patient(request: Request, ingest: Running) -> Response:
    """Forgets one patient: her cases and answers, what was read of her and decided on her. Nothing on the FHIR server is changed."""
    erasing = await small(request, Erasing)
    base = ingest.servers.base(erasing.base)
    return _json({"erased": await erase(ingest.ledger, ingest.conductor, ingest.grants, base, patient_reference(erasing.patient))})


@router.get("/{case_id}")
async def show_case(case: Asked, ingest: Running) -> Response:
    """One case with all that is known of it: staging, recommendation, where the CarePlan is, and why it is stuck."""
    answer = await asyncio.to_thread(ingest.ledger.answer, case.answer) if case.answer else None
    in_hand = await asyncio.to_thread(ingest.ledger.in_hand, case.id)
    return _json(_short(case) | _long(in_hand or answer))


@router.get("/{case_id}/events", response_class=EventSourceResponse)
async def follow_case(case: Asked, ingest: Running) -> AsyncIterator[ServerSentEvent]:
    """The case as it changes, as server-sent events named `state`, until it is answered or stuck."""
    said = None
    while True:
        if (case.state, case.attempts) != said:
            said = (case.state, case.attempts)
            yield ServerSentEvent(event="state", raw_data=msgspec.json.encode(_short(case)).decode(), id=case.updated)
        if case.state in DONE:
            return
        await asyncio.sleep(_LOOK_AGAIN)
        case = await asyncio.to_thread(ingest.ledger.case, case.id)


@router.post("/{case_id}/retry", status_code=202)
async def retry_case(case: Asked, request: Request, ingest: Running) -> Response:
    """Tries a stuck case again, from the pull."""
    return _accepted(request, await ingest.conductor.retry(case.id))


def _accepted(request: Request, case: Case) -> Response:
    place = f"{request.scope.get('root_path', '')}/cases/{case.id}"
    return _json(_short(case), status=202, headers={"Location": place})


def _short(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "base": case.base,
        "patient": case.patient,
        "as_of": case.as_of,
        "state": case.state,
        "opened": case.opened,
        "updated": case.updated,
        "attempts": case.attempts,
        "retry_at": case.retry_at,
        "outcome": _raw(case.outcome.encode()) if case.outcome else None,
    }


def _long(source: Answer | InHand | None) -> dict[str, Any]:
    answer = source if isinstance(source, Answer) else None
    return {
        "digest": source and source.digest,
        "staging": _blob(source.staging) if source else None,
        "recommendation": _blob(source.recommendation) if source else None,
        "careplan": _careplan(answer) if answer and answer.careplan else None,
        "left_open": (answer.left_open or "").split() if answer else None,
        "decision": answer and answer.decision,
        "mode": answer and answer.mode,
        "answered": answer and answer.answered,
        "knowledge": answer and {"staging": answer.staging_knowledge, "recommend": answer.recommend_knowledge},
    }


def _careplan(answer: Answer) -> dict[str, str | None]:
    return {"reference": answer.careplan, "version": answer.careplan_version, "status": answer.careplan_status}


def _blob(column: bytes | None) -> msgspec.Raw | None:
    return _raw(expanded(column)) if column else None


def _raw(data: bytes) -> msgspec.Raw:
    return msgspec.Raw(data)


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json", headers=headers)
