"""The clinician's page: the answer for the patient of a launch, how far it is, and the resources it rests on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from yarl import URL

from services.ingest.decided import AGAIN, WHY, seen
from services.ingest.ledger import Ledger
from services.ingest.limiting import Places
from services.ingest.pages.answer_page import answer_page
from services.ingest.pages.decision_view import decision_view
from services.ingest.pages.errors import PageError
from services.ingest.pages.headers import page_headers
from services.ingest.pages.progress import Progress, progress
from services.ingest.pages.rendering import Place, render, static
from services.ingest.pages.resource_view import resource, view
from services.ingest.pages.view import Viewer
from services.ingest.running import ingest_of
from services.ingest.sessions import Session, Visited
from services.ingest.shown import Shown, shown
from services.ingest.tables import DONE, Case, expanded
from shared.fhir.outcome import NotFound

_LOOK_AGAIN: Final = 0.25  # seconds; the ledger is asked, because another process may be doing the work
_STILL_THERE: Final = 2.0  # seconds after which it is looked whether the session has ended meanwhile
_LONGEST: Final = 900.0  # seconds that one browser is told of one case; it asks again by itself
_STREAMS: Final = Places(5)

router = APIRouter(tags=["page"])


@router.get("/app/static/{file}", include_in_schema=False)
async def static_file(file: str) -> Response:
    """A style sheet or script. Its name has a hash of its bytes, so a browser may keep it for ever."""
    found = static().get(file)
    if found is None:
        raise NotFound("There is no such file.")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(found[0], media_type=found[1], headers=headers)


@router.get("/app/{launch}", response_class=HTMLResponse)
async def show(request: Request, session: Visited) -> Response:
    """The answer; an earlier one while the record is being read; how far it is where there is none yet."""
    found, place = await _shown(request, session), _place(request, session)
    case = found.case
    state = _progress(case)
    if found.answer is None:
        return _page(session, render("progress.html", progress=state, place=place, viewer=_viewer(session, found)))
    decided = [decision_view(one, WHY.get(one.why or "", ""), again=one.state == "kept" and one.why in AGAIN) for one in found.decisions]
    under_way = state if case is None or case.state != "answered" else None
    await asyncio.to_thread(ingest_of(request).trail.viewed, session, found.answer)
    html = await asyncio.to_thread(answer_page, found.answer, place, _viewer(session, found), under_way, decided)
    return _page(session, html)


async def _listening(session: Visited) -> AsyncIterator[None]:
    """A place among the streams of one launch in this process, until the answer is over (SE-12)."""
    if not _STREAMS.take(session.id):
        raise PageError(
            "Figaro is open too often",
            "This launch is being followed by as many pages as may follow one.",
            "Close some of them, or load this page again to see how far it is.",
            status=429,
            retry_after=60,
            frames=session.frame_origins,
        )
    try:
        yield
    finally:
        _STREAMS.leave(session.id)


@router.get("/app/{launch}/events", response_class=EventSourceResponse, dependencies=[Depends(_listening)])
async def follow(request: Request, session: Visited) -> AsyncIterator[ServerSentEvent]:
    """The state of the case as it changes, as server-sent events named `state`; nothing of the patient is in them."""
    said, until, check = None, time.monotonic() + _LONGEST, 0.0
    ingest = ingest_of(request)
    while time.monotonic() < until and not await request.is_disconnected():
        state = await asyncio.to_thread(_state, ingest.ledger, session)
        if state != said or time.monotonic() > check:
            # Not as a visit: a page that is only left open keeps no session alive.
            if await asyncio.to_thread(ingest.launches.held, session.id) is None:
                return
            check = time.monotonic() + _STILL_THERE
        if state != said:
            yield ServerSentEvent(event="state", raw_data=msgspec.json.encode({"state": state}).decode())
            said = state
        if state in DONE:
            return
        await asyncio.sleep(_LOOK_AGAIN)


@router.get("/app/{launch}/source/{kind}/{name}", response_class=HTMLResponse)
async def source(request: Request, session: Visited, kind: str, name: str) -> Response:
    """A resource that the answer rests on, as it was pulled."""
    found = await _shown(request, session)
    raw = await asyncio.to_thread(_resource, found, kind, name)
    if raw is None:
        raise PageError(
            "That resource is not part of this answer",
            "It was not among what was read of this patient, or a newer answer has taken the place of the one that you came from.",
            "Go back to the answer and load it again.",
            status=404,
            frames=session.frame_origins,
        )
    ingest_of(request).trail.tell(session, "source", f"{kind}/{name}")
    return _page(session, render("source.html", view=view(raw), place=_place(request, session), viewer=_viewer(session, found)))


def _state(ledger: Ledger, session: Session) -> str:
    try:
        return ledger.case(session.case or "").state
    except NotFound:
        return "stuck"


async def _shown(request: Request, session: Session) -> Shown:
    return await asyncio.to_thread(shown, ingest_of(request).ledger, session)


def _resource(found: Shown, kind: str, name: str) -> bytes | None:
    return resource(expanded(found.answer.raw), kind, name) if found.answer else None


def _progress(case: Case | None) -> Progress:
    if case is None:
        return progress("stuck", outcome=None)
    return progress(case.state, outcome=case.outcome, retry_at=case.retry_at)


def _viewer(session: Session, found: Shown) -> Viewer:
    return Viewer(session.csrf, seen(found.decisions), session.may_decide, session.need_patient_banner)


def _place(request: Request, session: Session) -> Place:
    root = URL(request.app.state.settings.public_url or "").path.rstrip("/")
    return Place(f"{root}/app/{session.id}", root)


def _page(session: Session, html: str) -> HTMLResponse:
    return HTMLResponse(html, headers=page_headers(frames=session.frame_origins))
