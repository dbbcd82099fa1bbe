"""Access tokens without a user: SMART Backend Services (`client_credentials`), a token given, or none.

Each is an Authority of `shared.fhir.transport`: a FHIR client asks it before each request, and tells it of a 401.
"""

from __future__ import annotations

import math
import time
from typing import Any, Final, NamedTuple, NoReturn

import aiohttp
import msgspec
import structlog
from authlib.oauth2.rfc6749.parameters import prepare_token_request
from yarl import URL

from shared.fhir.outcome import FigaroError, Refused, ServerAnswer, Unauthorised
from shared.fhir.transport import Authority
from shared.smart.assertion import TOLERANCE, authenticated
from shared.smart.clients import Bearer, ClientSecret, Open, PrivateKeyJwt, Role
from shared.smart.discovery import NEGATIVE, Discovery
from shared.smart.exchange import Clock, Said, endpoint, exchange
from shared.smart.issuers import Issuer
from shared.smart.once import Once
from shared.smart.scopes import missing
from shared.smart.secrets import Secret

DEFAULT_LIFE: Final = 300.0  # seconds, where the server does not say; never for ever (SM-33)
EARLY: Final = 60.0  # seconds before its end that a token is renewed, or a fifth of its life where that is less

_log = structlog.get_logger("figaro.smart")


class Standing:
    """A bearer token from outside, read anew each time: it may be replaced in its file while we run."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def header(self) -> str:
        return f"Bearer {self._token.read()}"

    async def refused(self, header: str | None = None) -> None:
        """Nothing to be done: it is read again anyway."""


class _Held(NamedTuple):
    header: str
    renew: float  # instants of time.monotonic()
    until: float


class _Answer(msgspec.Struct):
    access_token: str = ""
    token_type: str = ""
    expires_in: float | str | None = None
    scope: str = ""
    error: str = ""


class ClientCredentials:
    """The token of one client at one issuer (SM-80): asked for once by however many wait for it, renewed ahead of its end."""

    def __init__(
        self, issuer: Issuer, client: ClientSecret | PrivateKeyJwt, session: aiohttp.ClientSession, *, clock: Clock = time.time
    ) -> None:
        self._issuer = issuer
        self._client = client
        self._session = session
        self._clock = clock
        self._discovery = Discovery(issuer.url(), session)
        self._once = Once[_Held]()
        self._held: _Held | None = None
        self._failed: tuple[FigaroError, float] | None = None
        self._patient_until = 0.0

    async def header(self) -> str:
        now = time.monotonic()
        if self._held is not None and now < max(self._held.renew, min(self._patient_until, self._held.until)):
            return self._held.header
        if self._failed is not None and now < self._failed[1]:
            raise self._failed[0].with_traceback(None)
        try:
            return (await self._once(self._fetch)).header
        except FigaroError:
            # What we hold is good for a while yet: the server has that long to come back.
            if self._held is None or time.monotonic() >= self._held.until:
                raise
            self._patient_until = time.monotonic() + NEGATIVE
            _log.warning("token_not_renewed", issuer=self._issuer.id)
            return self._held.header

    async def refused(self, header: str | None = None) -> None:
        """A new token next time. Of many requests under way only the first to come back has the token replaced (SM-63)."""
        if self._held is not None and header in (None, self._held.header):
            self._held = None

    async def _fetch(self) -> _Held:
        try:
            self._held, self._failed = await self._asked(), None
            return self._held
        except (ServerAnswer, Refused) as error:
            self._failed = (error, time.monotonic() + NEGATIVE)
            self._discovery.forget()
            raise

    async def _asked(self) -> _Held:
        url, algorithms = await self._endpoint()
        form = prepare_token_request("client_credentials", scope=" ".join(self._client.scopes))
        headers, body = authenticated(self._client, url, form, algorithms=algorithms, clock=self._clock)
        said = await exchange(self._session, "POST", url, what="The token endpoint", body=body, headers=headers, clock=self._clock)
        return self._read(said, f"The token endpoint of {self._issuer.id} ({URL(url, encoded=True).host_port_subcomponent})")

    async def _endpoint(self) -> tuple[str, tuple[str, ...]]:
        base = self._issuer.url()
        if self._client.token_endpoint is not None:
            return endpoint(base, self._client.token_endpoint, self._issuer.hosts), ()
        found = await self._discovery()
        if not found.token_endpoint:
            raise Unauthorised(f"The smart-configuration of {self._issuer.id} names no token_endpoint: give it in the issuers file.")
        return endpoint(base, found.token_endpoint, self._issuer.hosts), found.token_endpoint_auth_signing_alg_values_supported

    def _read(self, said: Said, place: str) -> _Held:
        if said.skew is not None and abs(said.skew) > TOLERANCE:
            _log.warning("clock_skew", issuer=self._issuer.id, seconds=round(said.skew))
        try:
            answer = msgspec.json.decode(said.body, type=_Answer)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            kind = "a web page" if "html" in said.media else "something that is no token"
            raise Unauthorised(f"{place} answered {said.status} with {kind}: is that its address, and not that of a login page?") from None
        if said.status >= 300 or answer.error:
            _refuse(place, answer.error, said, self._client)
        if not answer.access_token.isprintable() or not answer.access_token or answer.token_type.lower() != "bearer":
            raise Unauthorised(f"{place} answered with no bearer token: Figaro can use no other kind.")
        life = _seconds(answer.expires_in)
        if life <= 0:
            raise Unauthorised(f"{place} gave a token that had expired when it came.")
        lacking = missing(self._client.scopes, answer.scope.split()) if answer.scope else ()
        if lacking:
            _log.warning("scopes_not_granted", issuer=self._issuer.id, scopes=list(lacking))
        if lacking and len(lacking) == len(self._client.scopes):
            raise Unauthorised(f"{place} grants none of the scopes asked for: {', '.join(lacking)}.", status=403, code="forbidden")
        _log.info("token_issued", issuer=self._issuer.id, seconds=round(life))
        now = time.monotonic()
        return _Held(f"Bearer {answer.access_token}", now + life - min(EARLY, life / 5), now + life)


def authority(issuer: Issuer, role: Role, session: aiohttp.ClientSession) -> Authority | None:
    """Who we are at an issuer, to read or to write there; None where it asks for nothing. Raises Refused where we are nobody there."""
    match issuer.client(role):
        case Open():
            return None
        case Bearer(token):
            return Standing(token)
        case ClientSecret() | PrivateKeyJwt() as client:
            return ClientCredentials(issuer, client, session)
        case _:
            raise Refused(f"Nothing is written to {issuer.id}: its write_mode is page.", status=403, code="forbidden")


_ADVICE: Final = {
    "invalid_client": "it does not know this client, its key or its secret: compare client_id, and what `figaro keys jwks` prints, with "
    "what is registered there",
    "invalid_scope": "a scope is not allowed to this client: ask for it there, or take it out of `scopes`",
    "unauthorized_client": "this client may not ask for tokens by itself, or has no background user there",
    "unsupported_grant_type": "it gives no tokens without a user: it does not support SMART Backend Services",
    "invalid_grant": "it does not take our assertion: compare the key with what is registered there",
    "invalid_request": "it does not understand the request: it may want another kind of client authentication",
}


def _refuse(place: str, error: str, said: Said, client: Any) -> NoReturn:
    """The error codes of RFC 6749, 5.2; the server's own description is not repeated, because some quote the request."""
    advice = _ADVICE.get(error)
    if advice is None:
        raise Unauthorised(f"{place} answered {said.status} without a reason: is that its address, and is this client registered there?")
    if said.skew is not None and abs(said.skew) > TOLERANCE and isinstance(client, PrivateKeyJwt):
        way = "ahead of" if said.skew < 0 else "behind"
        advice = f"our clock is {abs(said.skew) / 60:.0f} minutes {way} its own, so no assertion is valid: set the time of this machine"
    status = 403 if error == "invalid_scope" else 401
    raise Unauthorised(f"{place} refuses with {error}: {advice}.", status=status, code="forbidden" if status == 403 else "login")


def _seconds(expires_in: float | str | None) -> float:
    try:
        seconds = DEFAULT_LIFE if expires_in is None else float(expires_in)
    except ValueError:
        return DEFAULT_LIFE
    return seconds if math.isfinite(seconds) else DEFAULT_LIFE
