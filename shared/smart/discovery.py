"""What a FHIR server says of its authorization: `{base}/.well-known/smart-configuration` (SMART App Launch 2.2, Conformance)."""

from __future__ import annotations

import time
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from shared.fhir.outcome import FigaroError, Unauthorised
from shared.smart.exchange import exchange
from shared.smart.once import Once

TTL: Final = 900.0  # seconds that an answer is used (SM-07)
NEGATIVE: Final = 10.0  # seconds that a refusal is used, so that a queue of cases does not become a queue of requests


class SmartConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """The members we read. Addresses are as the server wrote them: `shared.smart.exchange.endpoint` decides which may be used."""

    token_endpoint: str | None = None
    authorization_endpoint: str | None = None
    introspection_endpoint: str | None = None
    revocation_endpoint: str | None = None
    issuer: str | None = None
    jwks_uri: str | None = None
    grant_types_supported: tuple[str, ...] = ()
    scopes_supported: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    code_challenge_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ()
    token_endpoint_auth_signing_alg_values_supported: tuple[str, ...] = ()


class Discovery:
    """The configuration of one FHIR base, kept for `ttl` seconds; one request at a time."""

    def __init__(self, base: URL, session: aiohttp.ClientSession, *, ttl: float = TTL) -> None:
        self.base = base
        self._session = session
        self._ttl = ttl
        self._once = Once[SmartConfiguration]()
        self._held: tuple[SmartConfiguration | FigaroError, float] | None = None

    async def __call__(self) -> SmartConfiguration:
        """The configuration. Raises Unavailable, and Unauthorised where the server has none that can be read."""
        if self._held is not None and time.monotonic() < self._held[1]:
            held = self._held[0]
            if isinstance(held, FigaroError):
                raise held.with_traceback(None)
            return held
        return await self._once(self._fetch)

    def forget(self) -> None:
        """Asks again next time: an endpoint has moved, or its keys have."""
        self._held = None

    async def _fetch(self) -> SmartConfiguration:
        try:
            found = await self._asked()
        except Unauthorised as error:
            self._held = (error, time.monotonic() + NEGATIVE)
            raise
        self._held = (found, time.monotonic() + self._ttl)
        return found

    async def _asked(self) -> SmartConfiguration:
        # Appended to the whole base, unlike the well-known addresses of RFC 8414 (SM-02).
        url = f"{self.base}/.well-known/smart-configuration"
        said = await exchange(self._session, "GET", url, what="The smart-configuration", headers={"Accept": "application/json"})
        advice = "is that the FHIR base? Where the server has none, give `token_endpoint` in the issuers file"
        if said.status != 200:
            raise Unauthorised(f"The FHIR server at {self.base} has no smart-configuration (it answered {said.status}): {advice}.")
        try:
            return msgspec.json.decode(said.body, type=SmartConfiguration)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            kind = "a web page" if "html" in said.media else "something that cannot be read"
            raise Unauthorised(f"The FHIR server at {self.base} answers for its smart-configuration with {kind}: {advice}.") from None
