"""The printed sheet of one launch, and the list for the day: the patients of this browser's launches, as pages and as PDF.

A row of the list is shown by the session of its own launch: who did not launch a patient sees nothing of her here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse
from yarl import URL

from services.ingest.decided import WHY
from services.ingest.instants import now
from services.ingest.pages.answer_page import answer_view
from services.ingest.pages.board import BoardRow, board_row
from services.ingest.pages.decision_view import DecisionView, decision_view
from services.ingest.pages.errors import PageError
from services.ingest.pages.headers import page_headers
from services.ingest.pages.rendering import Place, render, static_name
from services.ingest.pages.sheet_page import Paper, paper, sheet_page
from services.ingest.pages.sheet_pdf import pdf
from services.ingest.pages.view import Viewer
from services.ingest.running import ingest_of
from services.ingest.sessions import Session, Visited, counted, held
from services.ingest.shown import Shown, shown
from shared.fhir.words import day

MOST: Final = 40  # patients on one board
_UNREADY: Final = "There is no answer yet for {} of the patients; their pages say how far it is."

router = APIRouter(tags=["board"])


@router.get("/app/board", response_class=HTMLResponse)
async def board(request: Request) -> Response:
    """The list for the day."""
    sessions = await asyncio.to_thread(_launched, request)
    listed = await asyncio.to_thread(_rows, request, sessions)
    here = Place(f"{_root(request)}/app/board", _root(request))
    context = {"rows": listed, "place": here, "viewer": Viewer(), "css": static_name("board.css"), "at": _at(), "most": MOST}
    return _page(sessions[0], render("board.html", **context))


@router.get("/app/board/sheet", response_class=HTMLResponse)
async def board_sheet(request: Request) -> Response:
    """Every sheet of the list, one after another, to be printed."""
    sessions = await asyncio.to_thread(_launched, request)
    return _page(sessions[0], await asyncio.to_thread(_sheets, request, sessions))


@router.get("/app/board.pdf")
async def board_pdf(request: Request) -> Response:
    """The same as PDF."""
    sessions = await asyncio.to_thread(_launched, request)
    return _pdf(sessions[0], await pdf(partial(_sheets, request, sessions), _who(sessions[0])), "figaro-board.pdf")


@router.get("/app/{launch}/sheet", response_class=HTMLResponse)
async def sheet(request: Request, session: Visited) -> Response:
    """The tumour-board sheet of one patient, to be printed."""
    return _page(session, await asyncio.to_thread(_sheet, request, session))


@router.get("/app/{launch}/sheet.pdf")
async def sheet_pdf(request: Request, session: Visited) -> Response:
    """The same as PDF."""
    return _pdf(session, await pdf(partial(_sheet, request, session), _who(session)), "figaro-sheet.pdf")


def _launched(request: Request) -> list[Session]:
    """The live launches of this browser, the newest first: one a patient, all of the newest one's user and FHIR server."""
    launches = ingest_of(request).launches
    mine = [(one, cookie) for cookie in held(request) for one in launches.of_browser(cookie)]
    if mine:
        counted(request, mine[0][0])
    found = [session for one, cookie in mine if (session := launches.session(one, cookie)) is not None]
    if not found:
        raise PageError(
            "There is no board to show",
            "Either you signed out, or every page was open for too long, or it belongs to another browser.",
            "Open Figaro from the chart of each patient of the day; the board then lists them.",
            status=403,
        )
    found.sort(key=lambda session: session.created, reverse=True)
    patients = dict[str, Session]()
    for session in found:
        if _same_user(session, found[0]):
            patients.setdefault(session.patient, session)
    return [*patients.values()][:MOST]


def _same_user(one: Session, first: Session) -> bool:
    """Where the EHR told no user, nobody can tell who launched the others: then each launch stands alone."""
    if one.user is None or first.user is None:
        return one.id == first.id
    return (one.base, one.user.issuer, one.user.subject) == (first.base, first.user.issuer, first.user.subject)


def _who(session: Session) -> str:
    """For whom a document is made: a user, or a launch where the EHR told none."""
    return f"{session.user.issuer} {session.user.subject}" if session.user else session.id


def _rows(request: Request, sessions: Sequence[Session]) -> list[BoardRow]:
    rows = []
    for session in sessions:
        found, place = _shown(request, session), _place(request, session)
        if found.answer is not None:
            ingest_of(request).trail.viewed(session, found.answer)
        view = answer_view(found.answer, place, with_banner=True, plots=False) if found.answer else None
        rows.append(board_row(place.base, view, found.case.state if found.case else None, len(_decided(found))))
    return sorted(rows, key=lambda row: (row.banner is None, row.banner.name.casefold() if row.banner else ""))


def _sheet(request: Request, session: Session) -> str:
    found, place = _shown(request, session), _place(request, session)
    one = _paper(found, place, 1)
    if one is None:
        raise PageError(
            "There is no sheet to print yet",
            "The record is being read, or the case is stuck; the patient's page says which.",
            "Go back to the patient's page, and print the sheet when the answer stands there.",
            status=409,
            frames=session.frame_origins,
        )
    ingest_of(request).trail.tell(session, "print")
    return sheet_page([one], place, _at(), pdf=f"{place.base}/sheet.pdf")


def _sheets(request: Request, sessions: Sequence[Session]) -> str:
    place = Place(f"{_root(request)}/app/board", _root(request))
    found = [_paper(_shown(request, one), _place(request, one), number) for number, one in enumerate(sessions, 1)]
    for session, one in zip(sessions, found, strict=True):
        if one is not None:
            ingest_of(request).trail.tell(session, "print")
    papers = sorted((one for one in found if one is not None), key=lambda one: _name(one).casefold())
    waiting = len(found) - len(papers)
    unready = [_UNREADY.format(waiting)] if waiting else []
    return sheet_page(papers, place, _at(), pdf=f"{_root(request)}/app/board.pdf", unready=unready)


def _paper(found: Shown, place: Place, number: int) -> Paper | None:
    if found.answer is None:
        return None
    checked = found.case is None or found.case.state == "answered"
    notice = "" if checked else "When this was printed, the answer had not been checked against the record of the day."
    return paper(found.answer, place, _decided(found), notice, number)


def _decided(found: Shown) -> list[DecisionView]:
    """What stands; an act that was refused because the plan had changed does not."""
    return [decision_view(one, WHY.get(one.why or "", ""), again=False) for one in found.decisions if one.why != "changed"]


def _name(one: Paper) -> str:
    return one.sheet.page.banner.name if one.sheet.page.banner else ""


def _shown(request: Request, session: Session) -> Shown:
    return shown(ingest_of(request).ledger, session)


def _root(request: Request) -> str:
    return URL(request.app.state.settings.public_url or "").path.rstrip("/")


def _place(request: Request, session: Session) -> Place:
    return Place(f"{_root(request)}/app/{session.id}", _root(request))


def _at() -> str:
    at = now()
    return f"{day(at[:10])}, {at[11:16]} UTC"


def _page(session: Session, html: str) -> HTMLResponse:
    return HTMLResponse(html, headers=page_headers(frames=session.frame_origins))


def _pdf(session: Session, document: bytes, name: str) -> Response:
    """Shown by the browser itself where it can; the name that it may be saved under tells nothing of a patient."""
    headers = page_headers(frames=session.frame_origins) | {"Content-Disposition": f'inline; filename="{name}"'}
    return Response(document, media_type="application/pdf", headers=headers)
