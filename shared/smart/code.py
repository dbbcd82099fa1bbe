"""Tokens for a user: a code redeemed once, a refresh token replaced at each use, both given back at the end (SM-31 to 36, SM-60 to 64).

Sources: RFC 6749, 4.1.3, 5 and 6; RFC 7009; SMART App Launch 2.2.
"""

from __future__ import annotations

import math
import re
import time
from typing import Any, Final
from urllib.parse import urlencode

import aiohttp
import msgspec
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from shared.fhir.outcome import FigaroError, Unauthorised, Unavailable
from shared.smart.assertion import TOLERANCE, authenticated
from shared.smart.discovery import SmartConfiguration
from shared.smart.exchange import Clock, Said, endpoint, exchange
from shared.smart.issuers import Issuer, app_client
from shared.smart.launch import Launch

DEFAULT_LIFE: Final = 300.0  # seconds, where the server does not say; never for ever (SM-33)
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_log = structlog.get_logger("figaro.smart")


class SessionOver(Unauthorised):
    """The grant has ended: only a new launch helps (SM-62)."""


class ContextItem(msgspec.Struct, frozen=True):
    """One item of `fhirContext`; a `role` that is absent is `launch` (SM-36)."""

    reference: str | None = None
    canonical: str | None = None
    identifier: Any = None
    type: str | None = None
    role: str = "launch"


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a token endpoint gave. `life` is in seconds, `patient` and `encounter` are FHIR ids, `scopes` as granted.

    `smart_style_url` and whatever else is sent is not read: nothing is ever fetched from there (SM-37).
    """

    access_token: str
    life: float
    scopes: tuple[str, ...]
    id_token: str | None = None
    refresh_token: str | None = None
    patient: str | None = None
    encounter: str | None = None
    need_patient_banner: bool = True
    intent: str | None = None
    context: tuple[ContextItem, ...] = ()


class _Answer(msgspec.Struct):
    access_token: str = ""
    token_type: str = ""
    scope: str | None = None
    expires_in: float | str | None = None
    id_token: str | None = None
    refresh_token: str | None = None
    patient: str | None = None
    encounter: str | None = None
    need_patient_banner: bool | str | None = None
    intent: str | None = None
    context: tuple[ContextItem, ...] = msgspec.field(name="fhirContext", default=())
    error: str = ""


class TokenEndpoint:
    """The token endpoint of one issuer, as one app: what it is asked, it is asked once (SM-32)."""

    def __init__(self, issuer: Issuer, app: Launch, session: aiohttp.ClientSession, *, clock: Clock = time.time) -> None:
        self._issuer = issuer
        self._app = app
        self._session = session
        self._clock = clock

    async def redeem(self, said: SmartConfiguration, url: str, *, code: str, redirect_uri: str, verifier: str) -> Grant:
        """What a code is worth. Raises Unauthorised where it is worth nothing, Unavailable where nobody can say: never to be repeated."""
        form = prepare_token_request("authorization_code", redirect_uri=redirect_uri, code=code, code_verifier=verifier)
        answer = await self._post(said, url, form)
        try:
            if answer.scope is None:
                raise Unauthorised(f"The token endpoint of {self._issuer.id} does not say which scopes it grants.")
            return _grant(answer, tuple(answer.scope.split()), self._issuer.id)
        except Unauthorised:  # what is not used is given back
            tokens = (("refresh_token", answer.refresh_token), ("access_token", answer.access_token))
            await self.revoke(said, tuple((hint, token) for hint, token in tokens if token))
            raise

    async def refresh(self, said: SmartConfiguration, refresh_token: str, scopes: tuple[str, ...]) -> Grant:
        """New tokens for an old one. Raises SessionOver, and Unavailable where the old one may still be good."""
        url = endpoint(self._issuer.url(), said.token_endpoint or "", self._issuer.hosts)
        answer = await self._post(said, url, prepare_token_request("refresh_token", refresh_token=refresh_token))
        # Without `scope` it is what was granted before (RFC 6749, 6). Who the user is does not change: a new id_token is not read (SM-55).
        return _grant(answer, tuple(answer.scope.split()) if answer.scope else scopes, self._issuer.id)

    async def revoke(self, said: SmartConfiguration, tokens: tuple[tuple[str, str], ...]) -> None:
        """Gives tokens back, (hint, token) each, the refresh token first. Never fails: that is only logged (SM-64)."""
        if not said.revocation_endpoint:
            return
        for hint, token in tokens:
            try:
                url = endpoint(self._issuer.url(), said.revocation_endpoint, self._issuer.hosts)
                headers, body = self._authenticated(said, url, prepare_form(token=token, token_type_hint=hint))
                answer = await exchange(self._session, "POST", url, what="The revocation endpoint", body=body, headers=headers)
                if answer.status >= 300:
                    _log.warning("token_not_revoked", issuer=self._issuer.id, status=answer.status)
            except FigaroError as error:
                _log.warning("token_not_revoked", issuer=self._issuer.id, error=type(error).__name__)

    async def _post(self, said: SmartConfiguration, url: str, form: str) -> _Answer:
        headers, body = self._authenticated(said, url, form)
        answer = await exchange(self._session, "POST", url, what="The token endpoint", body=body, headers=headers, clock=self._clock)
        return self._read(answer)

    def _authenticated(self, said: SmartConfiguration, url: str, form: str) -> tuple[dict[str, str], str]:
        client = app_client(self._app)
        if client is None or self._app.send_client_id:
            form = f"{form}&{prepare_form(client_id=self._app.client_id)}"
        if client is None:
            return {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}, form
        algorithms = said.token_endpoint_auth_signing_alg_values_supported
        return authenticated(client, url, form, algorithms=algorithms, clock=self._clock)

    def _read(self, said: Said) -> _Answer:
        place = f"The token endpoint of {self._issuer.id}"
        if said.skew is not None and abs(said.skew) > TOLERANCE:
            _log.warning("clock_skew", issuer=self._issuer.id, seconds=round(said.skew))
        try:
            answer = msgspec.json.decode(said.body, type=_Answer)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            kind = "a web page" if "html" in said.media else "something that is no token"
            raise Unauthorised(f"{place} answered {said.status} with {kind}.", status=502) from None
        if said.status >= 300 or answer.error:
            _refuse(place, answer.error, said.status, self._issuer.id)
        if answer.token_type.lower() != "bearer" or not answer.access_token or not answer.access_token.isascii():
            raise Unauthorised(f"{place} gave no bearer token.", status=502)
        if not answer.access_token.isprintable() or " " in answer.access_token:
            raise Unauthorised(f"{place} gave a token that no header can carry.", status=502)
        return answer


def prepare_form(**fields: str) -> str:
    """Fields as application/x-www-form-urlencoded."""
    return urlencode(fields)


def _refuse(place: str, error: str, status: int, issuer: str) -> None:
    """RFC 6749, 5.2. The server's own description is never repeated."""
    if error == "invalid_grant":
        raise SessionOver(f"{place} says that the sign-in is over.")
    if error in ("invalid_client", "unauthorized_client"):
        _log.error("app_not_known", issuer=issuer, error_code=error)  # nobody can sign in until somebody mends it
        raise Unauthorised(f"{place} does not know this app, its key or its secret.", status=502)
    if error == "temporarily_unavailable":
        raise Unavailable(f"{place} is not ready.", retry_after=10)
    known = error if error in ("invalid_request", "invalid_scope", "unsupported_grant_type", "server_error") else f"status {status}"
    raise Unauthorised(f"{place} refuses: {known}.", status=502)


def _grant(answer: _Answer, scopes: tuple[str, ...], issuer: str) -> Grant:
    life = _seconds(answer.expires_in)
    if life <= 0:
        raise Unauthorised(f"The token endpoint of {issuer} gave a token that had expired when it came.", status=502)
    for name in (answer.patient, answer.encounter):
        if name is not None and (not _ID.fullmatch(name) or name in (".", "..")):  # ids by the letter, and a way out of the path
            raise Unauthorised(f"The token endpoint of {issuer} names a patient or encounter that is no FHIR id.", status=502)
    return Grant(
        access_token=answer.access_token,
        life=life,
        scopes=scopes,
        id_token=answer.id_token,
        refresh_token=answer.refresh_token or None,
        patient=answer.patient,
        encounter=answer.encounter,
        # Absent means that nobody said whose chart is open, so we do (SM-15); some servers write it as text.
        need_patient_banner=answer.need_patient_banner not in (False, "false"),
        intent=answer.intent,
        context=answer.context,
    )


def _seconds(expires_in: float | str | None) -> float:
    try:
        seconds = DEFAULT_LIFE if expires_in is None else float(expires_in)
    except ValueError:
        return DEFAULT_LIFE
    return seconds if math.isfinite(seconds) else DEFAULT_LIFE
