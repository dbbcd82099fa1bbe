"""SMART App Launch 2.2: from the EHR to the page of one patient, and out again.

`/launch` and `/callback` are the two addresses that change something on GET; a state, good once and bound to the browser, guards them.
After the callback nothing of the exchange is in the address (SE-05). What fails is a page (`launch_errors`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, Final

import structlog
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.routing import APIRoute

from services.ingest.doors.launch_errors import declined, failed, framed, here, of
from services.ingest.grants import give_back
from services.ingest.launched import Begun
from services.ingest.launches import SIGN_IN_LIFE
from services.ingest.limiting import limited
from services.ingest.pages.errors import PAGES, PageError, error_page
from services.ingest.pages.headers import page_headers
from services.ingest.running import Ingest, ingest_of
from services.ingest.seal import fingerprint
from services.ingest.sessions import MOST, Cookie, Guarded, cookies, held, set_cookie, under_way
from services.ingest.tables import SignIn
from shared.fhir.outcome import FigaroError
from shared.smart.app import App
from shared.smart.authorization import Question, origin_of
from shared.smart.code import Grant
from shared.smart.identity import Identity
from shared.smart.launch import NEEDED
from shared.smart.scopes import Granted

LONGEST: Final = 16_384  # characters of `iss`, `launch`, `code` or `state`; real launch parameters have a few thousand (SM-10)
_SCRIPT: Final = 'document.getElementById("onward").submit();\n'
log = structlog.get_logger("figaro.ingest")


class _Paged(APIRoute):
    """A route whose every error is a page."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def paged(request: Request) -> Response:
            try:
                return await handler(request)
            except PageError:
                raise
            except FigaroError as error:
                raise here(error) from error

        return paged


router = APIRouter(tags=["launch"], route_class=_Paged)


@router.get("/launch", response_class=HTMLResponse, dependencies=[Depends(limited("launch"))])
async def from_ehr(request: Request) -> Response:
    """The EHR opens Figaro for the chart on its screen: `iss` and `launch`, once each."""
    iss, launch = _single(request, "iss"), _single(request, "launch")
    if iss is None or launch is None:
        raise failed("launch-incomplete")
    app = ingest_of(request).grants.apps.at(iss)
    if app is None:
        log.warning("launch_from_unknown_issuer")
        raise failed("issuer-unknown")
    with framed(app):
        return await _sent_on(request, app, iss, launch)


@router.get("/launch/onward.js", include_in_schema=False)
async def onward() -> Response:
    """Submits the form of a posted authorization request."""
    return Response(_SCRIPT, media_type="text/javascript")


@router.get("/launch/{issuer}", response_class=HTMLResponse, dependencies=[Depends(limited("launch"))])
async def standalone(request: Request, issuer: str) -> Response:
    """Figaro is opened by itself; the EHR asks for the patient."""
    app = ingest_of(request).grants.apps.named(issuer)
    if app is None:
        raise failed("standalone-unknown")
    with framed(app):
        return await _sent_on(request, app, app.issuer.base, None)


@router.get("/callback/{issuer}", response_class=HTMLResponse, dependencies=[Depends(limited("callback"))])
async def back(request: Request, issuer: str) -> Response:
    """The browser comes back from the sign-in of that issuer."""
    ingest = ingest_of(request)
    app, state = ingest.grants.apps.named(issuer), _single(request, "state")
    if state is None:
        raise failed("callback-incomplete")
    base = app.issuer.base if app else ""  # nobody's: the state is burned all the same
    known = await asyncio.to_thread(_began, ingest, state)
    with framed(known):
        begun = await asyncio.to_thread(ingest.launches.take, state, list(cookies(request, under_way(state))), base)
        if app is None or not isinstance(begun, Begun) or not any(cookies(request, "figaro-signin")):
            log.warning("sign_in_refused", why=begun if isinstance(begun, str) else "elsewhere")
            raise failed(f"state-{begun}" if isinstance(begun, str) else "state-elsewhere")
        code = _code(request, begun)
        grant = await _redeemed(app, begun, code)
        try:
            user = await _who(app, begun, grant)
            _let_in(app, user)
            response = await _entered(request, ingest, app, grant, user)
        except FigaroError:
            await give_back(app, grant.access_token, grant.refresh_token)
            raise
        response.headers.append("Set-Cookie", _cookie(request, under_way(state), "", app.launch.embedded))
        return response


@router.post("/app/{launch}/logout", response_class=HTMLResponse)
async def logout(request: Request, session: Guarded) -> Response:
    """Ends this launch: its tokens are forgotten and revoked. Other launches of the browser go on."""
    ingest = ingest_of(request)
    await ingest.grants.end(session.id)
    log.info("session_ended", issuer=session.issuer)
    response = error_page(
        "You have signed out",
        "Figaro has forgotten this launch. What was decided stays on record.",
        "You can close this page.",
        status=200,
        frames=session.frame_origins,
    )
    mine = [launch for one in held(request) for launch in await asyncio.to_thread(ingest.launches.of_browser, one)]
    if not mine:  # the next sign-in of this browser makes another session cookie, which nobody has seen yet
        response.headers.append("Set-Cookie", _cookie(request, "figaro-signin", secrets.token_urlsafe(32), session.embedded))
        response.headers.append("Set-Cookie", _cookie(request, "figaro", "", session.embedded))
    return response


async def _sent_on(request: Request, app: App, aud: str, launch: str | None) -> Response:
    public = str(request.app.state.settings.public_url).rstrip("/")
    back_to = f"{public}/callback/{app.issuer.id}"
    try:
        asked = await app.question(aud=aud, redirect_uri=back_to, launch=launch)
    except FigaroError as error:
        log.warning("launch_not_possible", issuer=app.issuer.id, why=error.text)
        raise of(error, "discovery") from None
    begun = Begun(asked.verifier, asked.nonce, asked.token_endpoint, back_to, asked.issuer, asked.scopes)
    proof, client = secrets.token_urlsafe(32), request.client.host if request.client else ""
    if not await asyncio.to_thread(ingest_of(request).launches.begin, asked.state, proof, app.issuer.base, begun, client):
        log.warning("too_many_sign_ins", issuer=app.issuer.id)
    response = _posting(asked, app, f"{public}/launch/onward.js") if asked.form else RedirectResponse(asked.url, status_code=303)
    browser = next(cookies(request, "figaro-signin"), None) or secrets.token_urlsafe(32)
    response.headers.append("Set-Cookie", _cookie(request, "figaro-signin", browser, app.launch.embedded))
    lasts = int(SIGN_IN_LIFE.total_seconds())
    response.headers.append("Set-Cookie", _cookie(request, under_way(asked.state), proof, app.launch.embedded, lasts))
    return response


def _cookie(request: Request, name: Cookie, value: str, embedded: bool, seconds: int | None = None) -> str:
    public = str(request.app.state.settings.public_url).rstrip("/")
    return set_cookie(name, value, public_url=public, embedded=embedded, seconds=seconds)


def _began(ingest: Ingest, state: str) -> App | None:
    """The app at which the sign-in of a state began."""
    with ingest.ledger.transaction() as session:
        row = session.get(SignIn, fingerprint(state))
        base = row.base if row else ""
    return ingest.grants.apps.of(base)


def _posting(asked: Question, app: App, script: str) -> Response:
    """A form that submits itself, for a server that takes it and an address that would be too long (SM-14)."""
    shown = PAGES.get_template("onward.html").render(action=asked.url, fields=asked.form, script=script)
    return HTMLResponse(shown, headers=page_headers(frames=app.launch.framed_by, forms=[origin_of(asked.url)]))


def _code(request: Request, begun: Begun) -> str:
    """The code of an answer that holds together (SM-23, SM-30). Nothing is asked of the token endpoint before."""
    query = request.query_params
    error, code = _single(request, "error"), _single(request, "code")
    if any(len(query.getlist(name)) > 1 for name in query) or (error is None) == (code is None):
        raise failed("callback-incomplete")
    if begun.issuer is not None and "iss" in query and query["iss"] != begun.issuer:
        raise failed("issuer-mismatch")
    if code is None:
        raise declined(error or "")
    return code


async def _redeemed(app: App, begun: Begun, code: str) -> Grant:
    try:
        said = await app.configuration()
        return await app.tokens.redeem(said, begun.token_endpoint, code=code, redirect_uri=begun.redirect_uri, verifier=begun.verifier)
    except FigaroError as error:
        log.warning("code_not_redeemed", issuer=app.issuer.id, why=error.text)
        raise of(error, "token-refused") from None


async def _who(app: App, begun: Begun, grant: Grant) -> Identity | None:
    """Who signed in, with a grant that is enough. Raises PageError."""
    granted = Granted(grant.scopes)
    if any(granted.reach(name, letters) == "none" for name, letters in NEEDED):
        log.warning("scopes_not_granted", issuer=app.issuer.id, scopes=list(grant.scopes)[:40])
        raise failed("scope-missing")
    if grant.patient is None:
        raise failed("no-patient")
    if not app.launch.asks_who:
        return None
    if grant.id_token is None:
        raise failed("no-identity")
    try:
        return await app.identities(await app.configuration(), grant.id_token, nonce=begun.nonce, access_token=grant.access_token)
    except FigaroError as error:
        log.warning("identity_refused", issuer=app.issuer.id, why=error.text)
        raise of(error, "no-identity") from None


async def _entered(request: Request, ingest: Ingest, app: App, grant: Grant, user: Identity | None) -> Response:
    public, base, patient = str(request.app.state.settings.public_url).rstrip("/"), app.issuer.base, f"Patient/{grant.patient}"
    if user is not None:
        value = cookie = ingest.launches.seal.cookie(next(cookies(request, "figaro-signin")), user.issuer, user.subject)
    else:  # nobody can tell who comes again: a number for each launch, and those of before beside it, so that no tab ends another (SE-03)
        cookie, before = secrets.token_urlsafe(32), await asyncio.to_thread(ingest.launches.of_nobody, held(request))
        value = ".".join([cookie, *before][:MOST])
    launch = await asyncio.to_thread(ingest.launches.open, base, cookie, grant, patient, user)
    case = await ingest.conductor.open(base, patient, launch=launch)
    await asyncio.to_thread(ingest.launches.opened, launch, case.id)
    log.info("launched", issuer=app.issuer.id, case=case.id)
    if (entered := await asyncio.to_thread(ingest.launches.session, launch, cookie)) is not None:
        ingest.trail.tell(entered, "sign-in")
    response = RedirectResponse(f"{public}/app/{launch}", status_code=303)
    response.headers.append("Set-Cookie", _cookie(request, "figaro", value, app.launch.embedded))
    return response


def _let_in(app: App, user: Identity | None) -> None:
    """Raises PageError for whoever is not to see a patient's page here (SM-54)."""
    name = user.fhir_user if user else None
    if app.launch.lets_in(name):
        return
    log.warning("user_not_let_in", issuer=app.issuer.id, kind=name.split("/")[-2] if name else None)
    raise failed("not-for-patients" if name and name.split("/")[-2] in ("Patient", "RelatedPerson") else "not-a-clinician")


def _single(request: Request, name: str) -> str | None:
    """A parameter that is there once, is not empty, and is no longer than sense allows."""
    values = request.query_params.getlist(name)
    return values[0] if len(values) == 1 and 0 < len(values[0]) <= LONGEST else None
