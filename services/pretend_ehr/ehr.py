"""The list of synthetic patients, and the sign-in of a pretended clinician: an EHR as far as SMART App Launch needs one.

    sign-in ─► list of patients ─► /open/{patient} ─► Figaro's /launch ─► /authorize ─► Figaro's /callback ─► /token

Nobody is asked who she is. It starts in the demo and on this machine only.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Form, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.middleware.trustedhost import TrustedHostMiddleware
from yarl import URL

from shared.fhir.guard import is_loopback
from shared.fhir.outcome import NotFound, Refused
from shared.service.app import create_app
from shared.service.settings import Settings
from shared.smart.pretend import PretendSignIn, proves

CLIENT: Final = "figaro-demo"
CLINICIAN: Final = {
    "resourceType": "Practitioner",
    "id": "pretend-clinician",
    "name": [{"family": "Pretend", "given": ["Clinician"], "text": "Dr Pretend Clinician (demo)"}],
}
FOLDER: Final = Path(__file__).parent
_PAGES: Final = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_COOKIE: Final = "pretend-ehr"


class Listed(NamedTuple):
    """A patient as the list shows her; `stage` is empty where there is none."""

    id: str
    name: str
    stage: str
    could_be: str
    sites: str
    first: str


class Asked(NamedTuple):
    """What an authorization request asked for, until its code is redeemed."""

    redirect_uri: str
    challenge: str
    nonce: str
    scope: str
    patient: str


class PretendEhr:
    """One at `root`, with the FHIR server at `base`, for Figaro's ingest at `figaro`. All three are addresses of this machine.

    `style` is the address of Figaro's style sheet. Raises Refused outside the demo.
    """

    def __init__(self, settings: Settings, *, root: str, base: str, figaro: str, style: str) -> None:
        if not settings.demo or not all(is_loopback(URL(one)) for one in (root, base, figaro)):
            raise Refused("The pretend EHR lets everybody in: it starts in the demo only, and on this machine only.")
        self.root, self.base, self.figaro, self.style = root, base, figaro, style
        self.sign_in = PretendSignIn(root, f"{base}/Practitioner/{CLINICIAN['id']}")
        self.patients: Sequence[Listed] = ()
        self.launches: dict[str, str] = {}
        self.codes: dict[str, Asked] = {}

    def launch(self, patient: str) -> str:
        """Where the browser goes to open Figaro for a patient's chart."""
        if patient not in {one.id for one in self.patients}:
            raise NotFound("There is no such synthetic patient.")
        opaque = secrets.token_urlsafe(16)
        self.launches[opaque] = patient
        return f"{self.figaro}/launch?{urlencode({'iss': self.base, 'launch': opaque})}"

    def authorized(self, asked: dict[str, str]) -> str:
        """Where the browser goes back to with a code. Raises Refused for what is not Figaro's question."""
        expected = {"response_type": "code", "client_id": CLIENT, "aud": self.base, "code_challenge_method": "S256"}
        expected["redirect_uri"] = f"{self.figaro}/callback/demo"
        needed = {"state", "scope", "nonce", "code_challenge", "launch"}
        if any(asked.get(name) != value for name, value in expected.items()) or not needed <= set(asked):
            raise Refused("That is not a question of the Figaro of this demo.")
        patient = self.launches.pop(asked["launch"], None)
        if patient is None:
            raise Refused("That launch was used before: open Figaro from the list of patients again.")
        code = secrets.token_urlsafe(16)
        self.codes[code] = Asked(asked["redirect_uri"], asked["code_challenge"], asked["nonce"], asked["scope"], patient)
        return f"{asked['redirect_uri']}?{urlencode({'state': asked['state'], 'code': code})}"


def create(ehr: PretendEhr) -> FastAPI:
    """The application, to be served at its `root`."""
    app = create_app("Pretend EHR", routers=[router])
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1"])
    app.state.ehr = ehr
    return app


router = APIRouter()


@router.get("/", response_class=HTMLResponse)
async def patients(request: Request) -> Response:
    """The list, after the pretend sign-in."""
    return _page(request, "list.html") if _COOKIE in request.cookies else _page(request, "sign-in.html", back="/")


@router.get("/pretend.css")
async def style() -> Response:
    return Response((FOLDER / "pretend.css").read_text(), media_type="text/css")


@router.post("/sign-in")
async def signed_in(back: Annotated[str, Form()] = "/") -> Response:
    """Signs the pretended clinician in, and goes on to where she wanted to go here."""
    response = RedirectResponse(back if back.startswith("/authorize?") else "/", status_code=303)
    response.set_cookie(_COOKIE, "pretended", httponly=True, samesite="lax")
    return response


@router.get("/open/{patient}")
async def opened(request: Request, patient: str) -> Response:
    """Opens Figaro for a patient's chart."""
    return RedirectResponse(_ehr(request).launch(patient), status_code=303)


@router.get("/authorize")
async def authorize(request: Request) -> Response:
    """Figaro asks who is there; whoever has not pretended yet does it first."""
    if _COOKIE not in request.cookies:
        return _page(request, "sign-in.html", back=f"/authorize?{request.url.query}")
    return RedirectResponse(_ehr(request).authorized(dict(request.query_params)), status_code=303)


@router.post("/token")
async def token(
    request: Request,
    grant_type: Annotated[str, Form()],
    code: Annotated[str, Form()],
    redirect_uri: Annotated[str, Form()],
    client_id: Annotated[str, Form()],
    code_verifier: Annotated[str, Form()],
) -> Response:
    """A code for tokens, once."""
    ehr = _ehr(request)
    asked = ehr.codes.pop(code, None)
    if asked is None or (grant_type, redirect_uri, client_id) != ("authorization_code", asked.redirect_uri, CLIENT):
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    if not proves(code_verifier, asked.challenge):
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    answer = ehr.sign_in.tokens(client=CLIENT, scope=asked.scope, nonce=asked.nonce, patient=asked.patient)
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.get("/jwks")
async def jwks(request: Request) -> Response:
    return JSONResponse(_ehr(request).sign_in.key_set())


def _ehr(request: Request) -> PretendEhr:
    ehr: PretendEhr = request.app.state.ehr
    return ehr


def _page(request: Request, template: str, **context: str) -> Response:
    ehr = _ehr(request)
    figaro = URL(ehr.figaro).origin()
    # A form's redirects count as its targets: from the sign-in it goes on to Figaro.
    policy = f"default-src 'none'; style-src 'self' {figaro}; img-src data:; form-action 'self' {figaro}; frame-ancestors 'none'"
    html = _PAGES.get_template(template).render(ehr=ehr, clinician=CLINICIAN["name"][0]["text"], **context)  # type: ignore[index]
    return HTMLResponse(html, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
