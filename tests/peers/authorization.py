"""An authorization server as strict as the SMART specification, with a FHIR server of one patient behind it; and it fails as told.

async with authorization() as peer:
    peer.register("figaro-read", jwks=...)
    peer.plan(login_page)          # what befalls the next token requests; afterwards everything is as it should be
"""

from __future__ import annotations

import base64
import email.utils
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import KeySet

Form = Mapping[str, str]
Answer = Callable[["Authorization", web.Request], web.StreamResponse]
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Authorization:
    """`requests` are the forms of all token requests, `asked` counts the smart-configuration, `seen` has the FHIR requests' tokens."""

    def __init__(self, base_url: str) -> None:
        self.root = base_url
        self.base_url = f"{base_url}/fhir"
        self.requests: list[Form] = []
        self.headers: list[Mapping[str, str]] = []
        self.assertions: list[tuple[dict[str, Any], dict[str, Any]]] = []
        self.asked = 0
        self.seen: list[str | None] = []
        self.life: Any = 300
        self.granted: str | None = None
        self.skew = 0.0
        self.made = 0
        self.issued: set[str] = set()
        self.configuration: dict[str, Any] = {
            "token_endpoint": f"{base_url}/token",
            "grant_types_supported": ["client_credentials"],
            "capabilities": ["client-confidential-asymmetric"],
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        }
        self.configured: Answer | None = None
        self._clients: dict[str, Any] = {}
        self._jtis: set[str] = set()
        self._plan: deque[Answer] = deque()

    def register(self, client_id: str, *, jwks: dict[str, Any] | None = None, secret: str | None = None) -> None:
        self._clients[client_id] = KeySet.import_key_set(jwks) if jwks else secret  # type: ignore[arg-type]

    def plan(self, *answers: Answer) -> None:
        self._plan = deque(answers)

    @property
    def now(self) -> float:
        return time.time() + self.skew

    async def discover(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return self.configured(self, request) if self.configured else web.json_response(self.configuration)

    async def token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append(form)
        self.headers.append(request.headers.copy())
        if self._plan:
            return self._plan.popleft()(self, request)
        wrong = self._wrong(form, request)
        if wrong:
            return self._dated(web.json_response({"error": wrong, "error_description": "canary"}, status=401))
        made = f"token-{self.made}"
        self.made += 1
        self.issued.add(made)
        scope = form.get("scope", "") if self.granted is None else self.granted
        return self._dated(
            web.json_response({"access_token": made, "token_type": "BEARER", "expires_in": self.life, "scope": scope}, status=200)
        )

    async def fhir(self, request: web.Request) -> web.StreamResponse:
        header = request.headers.get("Authorization")
        self.seen.append(header)
        if (header or "").removeprefix("Bearer ") not in self.issued:
            return web.Response(status=401, text="no")
        return web.json_response({"resourceType": "Patient", "id": "1"}, content_type="application/fhir+json")

    def _dated(self, response: web.Response) -> web.Response:
        response.headers["Date"] = email.utils.formatdate(self.now, usegmt=True)
        return response

    def _wrong(self, form: Form, request: web.Request) -> str | None:
        if form.get("grant_type") != "client_credentials":
            return "unsupported_grant_type"
        if "client_assertion" not in form:
            scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Basic":
                return "invalid_request"
            name, _, secret = base64.b64decode(credentials).decode("ascii").partition(":")
            known = self._clients.get(unquote_plus(name))
            return None if isinstance(known, str) and known == unquote_plus(secret) else "invalid_client"
        if form.get("client_assertion_type") != ASSERTION or request.headers.get("Authorization"):
            return "invalid_request"
        return self._wrong_assertion(form["client_assertion"])

    def _wrong_assertion(self, assertion: str) -> str | None:
        header = dict(jws.extract_compact(assertion.encode()).headers())
        if header.get("typ") != "JWT" or header.get("alg") not in ("RS384", "ES384") or not header.get("kid"):
            return "invalid_client"
        for client_id, keys in self._clients.items():
            fit = [key for key in keys.keys if key.kid == header["kid"]] if isinstance(keys, KeySet) else []
            if len(fit) == 1:
                claims = jwt.decode(assertion, fit[0], algorithms=["RS384", "ES384"]).claims
                self.assertions.append((header, claims))
                return None if self._holds(client_id, claims) else "invalid_client"
        return "invalid_client"

    def _holds(self, client_id: str, claims: dict[str, Any]) -> bool:
        fresh, self._jtis = claims["jti"] not in self._jtis, self._jtis | {claims["jti"]}
        return (
            fresh
            and claims["iss"] == claims["sub"] == client_id
            and claims["aud"] == f"{self.root}/token"
            and self.now < claims["exp"] <= self.now + 300
            and claims.get("iat", 0) <= self.now
            and len(claims["jti"]) <= 151
        )


@asynccontextmanager
async def authorization() -> AsyncIterator[Authorization]:
    """The peer on a free port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    peer = Authorization(f"http://127.0.0.1:{listener.getsockname()[1]}")
    app = web.Application()
    app.router.add_get("/fhir/.well-known/smart-configuration", peer.discover)
    app.router.add_post("/token", peer.token)
    app.router.add_get("/fhir/Patient/1", peer.fhir)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    try:
        yield peer
    finally:
        await runner.cleanup()


def login_page(_peer: Authorization, _request: web.Request) -> web.StreamResponse:
    """HTML, with a status that says that all is well."""
    return web.Response(text="<!doctype html><title>Log in</title>", content_type="text/html")


def said(status: int, body: dict[str, Any] | None = None, **headers: str) -> Answer:
    """This JSON. Header names with _ for -."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _peer, _request: web.json_response(body or {}, status=status, headers=named)
