"""Who the user is: an id_token held against what we know, and never against what it says of itself (SM-50 to SM-53, AU-07, AU-08)."""

from __future__ import annotations

import re
import time
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError

from shared.fhir.outcome import FigaroError, Unauthorised
from shared.smart.discovery import SmartConfiguration
from shared.smart.exchange import Clock, endpoint, exchange
from shared.smart.issuers import Issuer
from shared.smart.key_sets import PublicKey, usable
from shared.smart.launch import Launch

LEEWAY: Final = 90  # seconds that two clocks may differ
TTL: Final = 900.0  # seconds that keys are used before they are fetched again
AGAIN: Final = 60.0  # seconds between two fetches for a key that is not known (SM-52)
_USER: Final = re.compile(
    r"(?:https?://[A-Za-z0-9.\-\[\]:]+/(?:[^\s?#@/]+/)*)?(?:Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}"
)


class Identity(NamedTuple):
    """`issuer` and `subject` together name a user for ever. `fhir_user` is relative where it is below the FHIR base, else as it came."""

    issuer: str
    subject: str
    fhir_user: str | None


class _Openid(msgspec.Struct):
    issuer: str = ""
    jwks_uri: str = ""


class Identities:
    """The users of one issuer. Keeps its keys for a while."""

    def __init__(self, issuer: Issuer, app: Launch, session: aiohttp.ClientSession, *, clock: Clock = time.time) -> None:
        self._issuer = issuer
        self._app = app
        self._session = session
        self._clock = clock
        self._keys: tuple[tuple[PublicKey, ...], float] | None = None
        self._asked_again = -AGAIN

    async def __call__(self, said: SmartConfiguration, id_token: str, *, nonce: str | None, access_token: str) -> Identity:
        """The user an id_token names. Raises Unauthorised where any part of it does not hold, and what fetching keys raises."""
        expected = self._app.issuer or said.issuer
        if not expected:
            raise Unauthorised(f"{self._issuer.id} does not say who issues its id_tokens: give `issuer` under `launch`.", status=502)
        claims = self._checked(await self._decoded(said, id_token, expected), expected, nonce, access_token)
        return Identity(expected, claims["sub"], self._fhir_user(claims.get("fhirUser")))

    async def _decoded(self, said: SmartConfiguration, id_token: str, expected: str) -> jwt.Token:
        try:
            header = jws.extract_compact(id_token.encode()).headers()
        except (JoseError, ValueError, UnicodeError):
            raise self._wrong("cannot be read") from None
        # From our own list, never from the token or from the server's document (AU-08).
        if header.get("alg") not in self._app.id_token_algorithms:
            raise self._wrong("is signed in a way that is not allowed")
        keys = await self._fitting(said, expected, header)
        try:
            return jwt.decode(id_token, keys, algorithms=list(self._app.id_token_algorithms))
        except (JoseError, ValueError, TypeError):
            raise self._wrong("has a signature that does not hold") from None

    async def _fitting(self, said: SmartConfiguration, expected: str, header: Any) -> PublicKey:
        """The one key that the token may be signed with; fetched again where none fits, once a minute (SM-52)."""
        for last in (False, True):
            kid, kind = header.get("kid"), "EC" if header["alg"].startswith("ES") else "RSA"
            fit = [key for key in await self._known(said, expected) if key.key_type == kind and kid in (None, key.kid)]
            if len(fit) == 1:
                return fit[0]
            if last or time.monotonic() - self._asked_again < AGAIN:
                break
            self._asked_again, self._keys = time.monotonic(), None
        raise self._wrong("is signed with a key that the issuer does not publish")

    async def _known(self, said: SmartConfiguration, expected: str) -> tuple[PublicKey, ...]:
        if self._keys is None or time.monotonic() > self._keys[1]:
            found = usable(await self._get(said.jwks_uri or await self._of_openid(expected), "The key set"))
            if found is None:
                raise Unauthorised(f"The keys of {self._issuer.id} cannot be read.", status=502)
            self._keys = (found, time.monotonic() + TTL)
        return self._keys[0]

    async def _of_openid(self, expected: str) -> str:
        body = await self._get(f"{expected.rstrip('/')}/.well-known/openid-configuration", "The openid-configuration")
        try:
            found = msgspec.json.decode(body, type=_Openid)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            found = _Openid()
        if found.issuer != expected or not found.jwks_uri:
            raise Unauthorised(f"The openid-configuration of {self._issuer.id} is another issuer's, or names no keys.", status=502)
        return found.jwks_uri

    async def _get(self, link: str, what: str) -> bytes:
        url = endpoint(self._issuer.url(), link, self._issuer.hosts)
        said = await exchange(self._session, "GET", url, what=what, headers={"Accept": "application/json"})
        if said.status != 200:
            raise Unauthorised(f"{what} of {self._issuer.id} cannot be read (status {said.status}).", status=502)
        return said.body

    def _checked(self, token: jwt.Token, expected: str, nonce: str | None, access_token: str) -> dict[str, Any]:
        me = self._app.client_id
        options = {"iss": {"essential": True, "value": expected}, "aud": {"essential": True, "value": me}, "sub": {"essential": True}}
        params = {"client_id": me, "access_token": access_token, "nonce": nonce}
        now = int(self._clock())
        try:
            CodeIDToken(token.claims, token.header, options, params).validate(now=now, leeway=LEEWAY)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise self._wrong(f"does not hold ({getattr(error, 'claim', None) or type(error).__name__})") from None
        claims = dict(token.claims)
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        # What Authlib leaves open: several audiences without azp, a list where a text belongs, an iat that lies ahead (SM-51).
        if me not in audience or (len(audience) > 1 and claims.get("azp") != me):
            raise self._wrong("is for another app")
        if not isinstance(claims["sub"], str) or not claims["sub"] or claims["iss"] != expected or (nonce and claims.get("nonce") != nonce):
            raise self._wrong("does not hold")
        if not isinstance(claims["iat"], int | float) or claims["iat"] > now + LEEWAY or claims["exp"] <= now - LEEWAY:
            raise self._wrong("is not of this time")
        return claims

    def _fhir_user(self, said: Any) -> str | None:
        """Relative to the base where it is below it, None where nothing is said. One on another host is kept and never fetched (SM-53).

        Raises Unauthorised for what is no person's address: nobody is let in for something that we do not understand.
        """
        if said is None:
            return None
        if not isinstance(said, str) or len(said) > 512 or not _USER.fullmatch(said) or said.endswith(("/.", "/..")):
            raise self._wrong("names no person as its user")
        return said.removeprefix(f"{self._issuer.base}/")

    def _wrong(self, how: str) -> FigaroError:
        return Unauthorised(f"The id_token of {self._issuer.id} {how}.", status=502)
