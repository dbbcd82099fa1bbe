"""`POST /app/{launch}/decisions`: a clinician accepts, declines or comments, on the page of her launch.

The form has `csrf`, `answer`, `seen`, `act`, `regimen` and `reason`. It is answered with 303 back to the page, or with a page that says why
nothing was decided.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from services.ingest.decisions import Form, Stale, again, decide
from services.ingest.pages.errors import error_page
from services.ingest.running import Ingest, ingest_of
from services.ingest.sessions import Guarded, Session
from shared.fhir.outcome import FigaroError, NotFound, Refused

router = APIRouter(prefix="/app/{launch}", tags=["page"], include_in_schema=False)
_FIELDS: Final = ("answer", "seen", "act", "regimen", "reason")
LONGEST: Final = 4000  # characters of a reason, as in `shared.oncology.act`
_BACK: Final = "Go back to the page and load it again."


@router.post("/decisions", response_class=HTMLResponse)
async def decided(request: Request, session: Guarded) -> Response:
    """What she decided; the page then shows it, and whether it is written or only kept."""
    ingest = ingest_of(request)
    try:
        form = await _form(request)
        ingest.trail.tell(session, "decide")  # also where it is refused: she tried
        await decide(ingest, session, ingest.grants.authority(session.id), form)
    except FigaroError as error:
        return await _said(ingest, session, error)
    return _back(request, session)


@router.post("/decisions/{act}/again", response_class=HTMLResponse)
async def sent_again(request: Request, session: Guarded, act: str) -> Response:
    """A decision of hers that is only kept, once more."""
    ingest = ingest_of(request)
    try:
        ingest.trail.tell(session, "decide")
        await again(ingest, session, ingest.grants.authority(session.id), act)
    except FigaroError as error:
        return await _said(ingest, session, error)
    return _back(request, session)


async def _form(request: Request) -> Form:
    """The form, read strictly. Raises Refused for one that is not ours."""
    sent = await request.form()
    values = {name: str(sent[name]) for name in _FIELDS if sent.get(name)}
    if len(values.get("reason", "")) > LONGEST:
        raise Refused(f"Nothing was decided: a reason or comment may have {LONGEST} characters at most.", code="too-long")
    try:
        if any(len(sent.getlist(name)) > 1 for name in _FIELDS) or any("\0" in value for value in values.values()):
            raise ValueError("doubled, or what no database keeps")
        return msgspec.convert(values, Form, strict=False)
    except (msgspec.ValidationError, ValueError):
        raise Refused("Nothing was decided: the form is not whole.") from None


async def _said(ingest: Ingest, session: Session, error: FigaroError) -> Response:
    """The error as a page that says what to do next."""
    title, text, advice, status = "Nothing was decided", error.text, _BACK, error.status
    if isinstance(error, Stale):
        title = "Please look again"
        if error.plan:  # only a new case learns the plan's new version
            case = await ingest.conductor.open(session.base, session.patient, launch=session.id)
            await asyncio.to_thread(ingest.launches.opened, session.id, case.id)
            advice = f"{_BACK} It is being brought up to date."
    elif not isinstance(error, Refused | NotFound):
        title, text, status = "That did not work", "Whether anything was decided stands on the page.", 503
    return error_page(title, text, advice, status=status, frames=session.frame_origins)


def _back(request: Request, session: Session) -> Response:
    public = str(request.app.state.settings.public_url).rstrip("/")
    return RedirectResponse(f"{public}/app/{session.id}#decided", status_code=303)
