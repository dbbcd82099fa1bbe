"""A pretend EHR: a SMART authorization server as strict as the specification, with a FHIR server behind it; and it misbehaves as told.

async with smart_server(upstream) as ehr:            # `upstream` is the base of an open FHIR server
    ehr.register("figaro-app", redirects=[...], jwks=...)
    url = ehr.launch_url("https://figaro.example/launch", patient="17")
    ehr.bend.claims = lambda claims: claims | {"nonce": "another"}

Its user is pretended: /authorize asks nothing and sends the browser back at once.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode

import aiohttp
from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import KeySet, RSAKey

from shared.smart.scopes import Granted

Json = dict[str, Any]
Form = Mapping[str, str]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_PARAMETERS = {"response_type", "client_id", "redirect_uri", "scope", "state", "aud", "code_challenge", "code_challenge_method"}


@dataclass
class Client:
    """A registered app: by its keys, by its secret, or public."""

    redirects: list[str]
    jwks: Json | None = None
    secret: str | None = None


@dataclass
class Bend:
    """What it does wrong. `error`: how /authorize answers; `claims`, `header`: of the id_token; `answer`: of the token endpoint.

    `held`: FHIR is answered once this is set.
    """

    error: str | None = None
    back: Callable[[dict[str, str]], Mapping[str, str] | str] = lambda query: query
    claims: Callable[[Json], Json] = lambda claims: claims
    signed: str = "RS256"
    kid: str | None = ""
    answer: Callable[[Json], Json] = lambda answer: answer
    token_page: bool = False
    token_status: tuple[int, Json] | None = None
    slow: float = 0
    unauthorised: int = 0
    forbidden: tuple[str, ...] = ()
    held: asyncio.Event | None = None


@dataclass
class Sign:
    """One sign-in, from its code to its last token."""

    client_id: str
    redirect_uri: str
    scope: tuple[str, ...]
    challenge: str
    nonce: str | None
    patient: str | None
    encounter: str | None
    used: bool = False
    access: set[str] = field(default_factory=set)
    refresh: str | None = None
    spent: set[str] = field(default_factory=set)
    dead: bool = False


class Ehr:
    """`asked` are the authorization requests, `forms` the token requests, `fhir` the FHIR requests as (method, path, status)."""

    def __init__(self, root: str, upstream: str) -> None:
        self.root = root
        self.upstream = upstream
        self.base_url = f"{root}/fhir"
        self.issuer = root
        self.user = "Practitioner/syn-clinician"
        self.subject = "clinician-1"
        self.chosen: str | None = None
        self.grants: Callable[[list[str]], list[str]] = lambda scopes: scopes
        self.life: Any = 3600
        self.banner: bool | None = None
        self.backend: str | None = None  # the bearer token of a client that may do everything
        self.bend = Bend()
        self.asked: list[dict[str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.revoked: list[str] = []
        self.revoking: list[str] = []
        self.fhir: list[tuple[str, str, int]] = []
        self.discoveries = 0
        self.problems: list[str] = []
        self.key = RSAKey.generate_key(2048)
        self.key.ensure_kid()
        self.configuration: Json = {
            "issuer": root,
            "jwks_uri": f"{root}/jwks",
            "authorization_endpoint": f"{root}/authorize",
            "token_endpoint": f"{root}/token",
            "revocation_endpoint": f"{root}/revoke",
            "introspection_endpoint": f"{root}/introspect",
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "capabilities": [
                "launch-ehr", "launch-standalone", "client-public", "client-confidential-symmetric", "client-confidential-asymmetric",
                "sso-openid-connect", "context-banner", "context-ehr-patient", "context-standalone-patient", "permission-online",
                "permission-patient", "permission-v1", "permission-v2",
            ],
        }  # fmt: skip
        self._clients: dict[str, Client] = {}
        self._launches: dict[str, tuple[str | None, str | None]] = {}
        self._codes: dict[str, Sign] = {}
        self._signs: list[Sign] = []
        self._jtis: set[str] = set()

    def register(self, client_id: str, *, redirects: list[str], jwks: Json | None = None, secret: str | None = None) -> None:
        self._clients[client_id] = Client(redirects, jwks, secret)

    def launch(self, patient: str | None, encounter: str | None = None) -> str:
        """An opaque launch parameter for a chart that is open."""
        made = secrets.token_urlsafe(24)
        self._launches[made] = (patient, encounter)
        return made

    def launch_url(self, launch: str, patient: str | None, encounter: str | None = None) -> str:
        """Where the EHR sends the browser to open an app for a chart."""
        return f"{launch}?{urlencode({'iss': self.base_url, 'launch': self.launch(patient, encounter)})}"

    @property
    def live(self) -> list[str]:
        """Every access token that is good now."""
        return [token for sign in self._signs if not sign.dead for token in sign.access]

    def kill_tokens(self) -> None:
        """The access tokens are good no more; the refresh tokens are."""
        for sign in self._signs:
            sign.access.clear()

    async def discover(self, _: web.Request) -> web.Response:
        self.discoveries += 1
        return web.json_response(self.configuration)

    async def keys(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet([self.key]).as_dict(private=False))

    async def chart(self, request: web.Request) -> web.Response:
        """The EHR's own page, with the app in a frame."""
        src = escape(self.launch_url(request.query["app"], request.match_info["patient"]))
        page = f'<!doctype html><title>Pretend EHR</title><h1>Pretend EHR, synthetic patients</h1><iframe id="app" src="{src}"'
        return web.Response(text=f'{page} style="width:100%;height:85vh;border:0"></iframe>', content_type="text/html")

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        given = request.query if request.method == "GET" else await request.post()
        asked = {name: str(value) for name, value in given.items()}
        self.asked.append(asked)
        wrong = self._wrong_question(asked, len(given))
        if wrong:
            self.problems.append(wrong)
            return web.Response(status=400, text=wrong)
        back = {"state": asked["state"]}
        if self.bend.error:
            back |= {"error": self.bend.error, "error_description": "<script>canary()</script>"}
        else:
            patient, encounter = self._launches.pop(asked["launch"]) if "launch" in asked else (self.chosen, None)
            scope = tuple(self.grants(asked["scope"].split()))
            sign = Sign(asked["client_id"], asked["redirect_uri"], scope, asked["code_challenge"], asked.get("nonce"), patient, encounter)
            code = secrets.token_urlsafe(24)
            self._codes[code] = sign
            self._signs.append(sign)
            back |= {"code": code, "iss": self.issuer}
        bent = self.bend.back(back)
        query = bent if isinstance(bent, str) else urlencode(bent)
        raise web.HTTPFound(f"{asked['redirect_uri']}?{query}")

    def _wrong_question(self, asked: dict[str, str], count: int) -> str | None:
        client = self._clients.get(asked.get("client_id", ""))
        scopes = asked.get("scope", "").split()
        checks = {
            "a parameter is missing or doubled": set(asked) >= _PARAMETERS and count == len(asked),
            "client or redirect_uri is not registered": client is not None and asked.get("redirect_uri") in client.redirects,
            "response_type is not code": asked.get("response_type") == "code",
            "aud is not this FHIR base": asked.get("aud", "").rstrip("/") == self.base_url,
            "PKCE is not S256": asked.get("code_challenge_method") == "S256"
            and re.fullmatch(r"[A-Za-z0-9_-]{43}", asked.get("code_challenge", "")) is not None,
            "state is guessable": len(asked.get("state", "")) >= 22,
            "launch is unknown or without its scope": "launch" not in asked or (asked["launch"] in self._launches and "launch" in scopes),
            "the scope launch without a launch": "launch" in asked or "launch" not in scopes,
            "openid without nonce": "openid" not in scopes or bool(asked.get("nonce")),
        }
        return next((name for name, holds in checks.items() if not holds), None)

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.forms.append(form)
        if self.bend.slow:
            await asyncio.sleep(self.bend.slow)
        if self.bend.token_page:
            return web.Response(text="<!doctype html><title>Log in</title>", content_type="text/html")
        if self.bend.token_status:
            status, body = self.bend.token_status
            return web.json_response(body, status=status)
        client_id = self._client(form, request, f"{self.root}/token")
        if client_id is None:
            return web.json_response({"error": "invalid_client", "error_description": "canary"}, status=401)
        match form.get("grant_type"):
            case "authorization_code":
                sign = self._of_code(form, client_id)
            case "refresh_token":
                sign = self._of_refresh(form, client_id)
            case _:
                return web.json_response({"error": "unsupported_grant_type"}, status=400)
        if sign is None:
            return web.json_response({"error": "invalid_grant", "error_description": "canary"}, status=400)
        return web.json_response(self.bend.answer(self._answer(sign, first=form["grant_type"] == "authorization_code")))

    def _of_code(self, form: Form, client_id: str) -> Sign | None:
        sign = self._codes.get(form.get("code", ""))
        if sign is None or sign.client_id != client_id or sign.redirect_uri != form.get("redirect_uri"):
            return None
        if sign.used:  # a code that comes twice has been stolen: all that came of it ends (RFC 6749, 4.1.2)
            sign.dead = True
            self.problems.append("a code came twice")
            return None
        sign.used = True
        verifier = form.get("code_verifier", "")
        digest = _base64(hashlib.sha256(verifier.encode()).digest())
        return sign if re.fullmatch(r"[A-Za-z0-9\-._~]{43,128}", verifier) and digest == sign.challenge else None

    def _of_refresh(self, form: Form, client_id: str) -> Sign | None:
        given = form.get("refresh_token", "")
        for sign in self._signs:
            if given in sign.spent:
                sign.dead = True
                self.problems.append("a refresh token came twice")
                return None
            if given == sign.refresh and sign.client_id == client_id and not sign.dead:
                return sign
        return None

    def _answer(self, sign: Sign, *, first: bool) -> Json:
        access = secrets.token_urlsafe(24)
        sign.access.add(access)
        answer: Json = {"access_token": access, "token_type": "Bearer", "expires_in": self.life, "scope": " ".join(sign.scope)}
        if sign.patient:
            answer["patient"] = sign.patient
        if sign.encounter:
            answer["encounter"] = sign.encounter
        if self.banner is not None:
            answer["need_patient_banner"] = self.banner
        if {"online_access", "offline_access"} & set(sign.scope):
            if sign.refresh:
                sign.spent.add(sign.refresh)
            sign.refresh = answer["refresh_token"] = secrets.token_urlsafe(24)
        if first and "openid" in sign.scope:
            answer["id_token"] = self._id_token(sign, access)
        return answer

    def _id_token(self, sign: Sign, access: str) -> str:
        now = int(time.time())
        half = _base64(hashlib.sha256(access.encode()).digest()[:16])
        claims = {"iss": self.issuer, "sub": self.subject, "aud": sign.client_id, "exp": now + 300, "iat": now, "at_hash": half}
        claims |= {"nonce": sign.nonce, "fhirUser": f"{self.base_url}/{self.user}"}
        header = {"alg": self.bend.signed, "typ": "JWT"}
        if self.bend.kid is not None:
            header["kid"] = self.bend.kid or str(self.key.kid)
        claims = self.bend.claims(claims)
        if self.bend.signed in ("none", "HS256"):  # no library helps with these: unsigned, or by the public key as if it were a secret
            signed = f"{_base64(json.dumps(header).encode())}.{_base64(json.dumps(claims).encode())}"
            mac = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256") if self.bend.signed == "HS256" else b""
            return f"{signed}.{_base64(mac)}"
        return jwt.encode(header, claims, self.key, algorithms=[self.bend.signed])

    def _client(self, form: Form, request: web.Request, endpoint: str) -> str | None:
        if "client_assertion" in form:
            return self._asserted(form, endpoint)
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            name, _, secret = base64.b64decode(credentials).decode("ascii").partition(":")
            known = self._clients.get(unquote_plus(name))
            return unquote_plus(name) if known and known.secret and known.secret == unquote_plus(secret) else None
        known = self._clients.get(form.get("client_id", ""))
        return form["client_id"] if known and known.secret is None and known.jwks is None else None

    def _asserted(self, form: Form, endpoint: str) -> str | None:
        if form.get("client_assertion_type") != ASSERTION:
            return None
        header = dict(jws.extract_compact(form["client_assertion"].encode()).headers())
        for client_id, client in self._clients.items():
            fit = [key for key in KeySet.import_key_set(client.jwks).keys if key.kid == header.get("kid")] if client.jwks else []  # type: ignore[arg-type]
            if len(fit) == 1:
                claims = jwt.decode(form["client_assertion"], fit[0], algorithms=["RS384", "ES384"]).claims
                fresh, self._jtis = claims["jti"] not in self._jtis, self._jtis | {claims["jti"]}
                mine = claims["iss"] == claims["sub"] == client_id and claims["aud"] == endpoint
                return client_id if fresh and mine and time.time() < claims["exp"] <= time.time() + 300 else None
        return None

    async def revoke(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        if self._client(form, request, f"{self.root}/revoke") is None:
            return web.json_response({"error": "invalid_client"}, status=401)
        self.revoking.append(form.get("token_type_hint", ""))
        for sign in self._signs:
            if form.get("token") in (sign.refresh, *sign.access):
                self.revoked.append(form["token"])
                sign.dead = form["token"] == sign.refresh or sign.dead
                sign.access.discard(form["token"])
        return web.Response()

    async def introspect(self, request: web.Request) -> web.Response:
        token = str((await request.post()).get("token", ""))
        sign = next((one for one in self._signs if token in one.access and not one.dead), None)
        if sign is None:
            return web.json_response({"active": False})
        return web.json_response({"active": True, "scope": " ".join(sign.scope), "client_id": sign.client_id, "patient": sign.patient})

    async def proxy(self, request: web.Request) -> web.StreamResponse:
        """FHIR, for whom the token allows it."""
        body, path = await request.read(), request.match_info["path"]
        if self.bend.held:
            await self.bend.held.wait()
        status = self._denied(request, path, body)
        self.fhir.append((request.method, path, status or 200))
        if status:
            return web.json_response({"resourceType": "OperationOutcome", "issue": []}, status=status, content_type="application/fhir+json")
        headers = {
            name: value for name, value in request.headers.items() if name.lower() in ("accept", "content-type", "prefer", "if-match")
        }
        url = f"{self.upstream}/{path}{'?' + request.query_string if request.query_string else ''}"
        async with aiohttp.ClientSession() as session, session.request(request.method, url, data=body or None, headers=headers) as answer:
            said = (await answer.read()).replace(self.upstream.encode(), self.base_url.encode())
            kept = {name: value for name, value in answer.headers.items() if name in ("ETag", "Location", "Last-Modified")}
            kept = {name: value.replace(self.upstream, self.base_url) for name, value in kept.items()}
            return web.Response(body=said, status=answer.status, headers=kept, content_type=answer.content_type)

    def _denied(self, request: web.Request, path: str, body: bytes) -> int | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if path == "metadata" or (self.backend and token == self.backend):
            return None
        sign = next((one for one in self._signs if token in one.access and not one.dead), None)
        if self.bend.unauthorised:
            self.bend.unauthorised -= 1
            return 401
        if sign is None:
            return 401
        kind = path.partition("/")[0]
        posted = path.endswith("/_search")
        reading = request.method == "GET" or posted
        letter = ("r" if "/" in path and not posted else "s") if reading else {"PUT": "u", "PATCH": "u"}.get(request.method, "c")
        if kind in self.bend.forbidden or (kind and Granted(sign.scope).reach(kind, letter) == "none"):
            return 403
        of = parse_qs(request.query_string).get("patient", []) + (parse_qs(body.decode()).get("patient", []) if posted else [])
        return 403 if any(one.removeprefix("Patient/") != sign.patient for one in of) else None


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@asynccontextmanager
async def smart_server(upstream: str, *, name: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Ehr]:
    """The pretend EHR on a free port of this machine, called `name` in its own addresses; over https where `tls` is given."""
    listener = socket.create_server(("127.0.0.1", 0))
    ehr = Ehr(f"{'https' if tls else 'http'}://{name}:{listener.getsockname()[1]}", upstream)
    app = web.Application(client_max_size=50_000_000)
    app.router.add_get("/fhir/.well-known/smart-configuration", ehr.discover)
    app.router.add_get("/jwks", ehr.keys)
    app.router.add_get("/chart/{patient}", ehr.chart)
    app.router.add_route("GET", "/authorize", ehr.authorize)
    app.router.add_route("POST", "/authorize", ehr.authorize)
    app.router.add_post("/token", ehr.token)
    app.router.add_post("/revoke", ehr.revoke)
    app.router.add_post("/introspect", ehr.introspect)
    app.router.add_route("*", "/fhir/{path:.*}", ehr.proxy)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener, ssl_context=tls).start()
    try:
        yield ehr
    finally:
        await runner.cleanup()
