"""Whether a CDS client is who it says: the JWT that comes with every call of CDS Hooks 2.0 (CH-50 to CH-52).

Every refusal is an Unauthorised that says what is wrong with the token and repeats nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple

import aiohttp
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, extract_compact

from shared.fhir.outcome import Refused, Unauthorised
from shared.smart.exchange import Clock
from shared.smart.hook_client import HookClient
from shared.smart.issuers import Issuer, Issuers
from shared.smart.key_sets import KeySet, PublicKey, keys_of_file

SKEW: Final = 60  # seconds by which a client's clock may be off
LONGEST: Final = 600  # seconds from `iat` to `exp`
SIZE: Final = 8_192  # characters of a token

# Keeps a token from being used twice: told a hash of it and the second until when it could be. False where it has been told that before.
Unseen = Callable[[str, float], Awaitable[bool]]


class Caller(NamedTuple):
    """A CDS client that has shown who it is, and the issuer whose patients it asks about."""

    issuer: Issuer
    client: HookClient

    @property
    def name(self) -> str:
        """How it is called in the ledger."""
        return f"{self.issuer.id} {self.client.named}"


class Trust:
    """The CDS clients of the issuers. `public_url` is the address by which they call us: the audience of their tokens.

    Raises Refused where that is needed and missing, and where clients without a token could call from elsewhere.
    """

    def __init__(
        self,
        issuers: Issuers,
        session: aiohttp.ClientSession,
        unseen: Unseen,
        *,
        public_url: str | None,
        loopback: bool,
        clock: Clock = time.time,
    ) -> None:
        self._callers = [Caller(issuer, client) for issuer in issuers for client in issuer.hooks]
        self._public_url = (public_url or "").rstrip("/")
        self._unseen = unseen
        self._clock = clock
        self._sets = {url: KeySet(url, session) for _, client in self._callers if (url := client.jwks_url)}
        self.origins = frozenset(origin for _, client in self._callers for origin in client.origins)
        if not self._public_url and any(client.auth == "jwt" for _, client in self._callers):
            raise Refused("CDS clients are registered, and FIGARO_PUBLIC_URL is not set: their tokens name it as their audience.")
        if not loopback and any(client.auth == "none" for _, client in self._callers):
            through = "FIGARO_HOST, FIGARO_PUBLIC_URL or FIGARO_TRUSTED_PROXIES"
            raise Refused(f"A CDS client has `auth: none`, and {through} lets others in: give it `iss` and its keys.")

    async def caller(self, authorization: str | None, path: str) -> Caller:
        """Who calls `path` ("/cds-services/x"). Raises Unauthorised; Unavailable while a client's keys cannot be had."""
        if not authorization:
            return self._nameless()
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or len(token) > SIZE:
            raise _no("send the client's JWT as `Authorization: Bearer …`")
        header, iss, tenant = _looked_at(token)
        caller = self._named(iss, tenant)
        claims = await self._verified(token, header, caller.client)
        self._check(claims, path)
        held = sha256(f"{iss}\n{claims['jti']}".encode()).hexdigest()
        if not await self._unseen(held, claims["exp"] + SKEW):
            raise _no("it was used before, each is good for one call (`jti`)")
        return caller

    def _nameless(self) -> Caller:
        found = next((caller for caller in self._callers if caller.client.auth == "none"), None)
        if found is None:
            raise _no("there is none; send the client's JWT as `Authorization: Bearer …`")
        return found

    def _named(self, iss: Any, tenant: Any) -> Caller:
        """The client of that `iss`, of several the one of that `tenant`."""
        known = [caller for caller in self._callers if caller.client.iss is not None and caller.client.iss == iss]
        found = [caller for caller in known if caller.client.tenant in (None, tenant)]
        if not known:
            raise _no("its `iss` is not registered here")
        if not found:
            raise _no("its `tenant` is not the registered one")
        return max(found, key=lambda caller: caller.client.tenant is not None)

    async def _verified(self, token: str, header: dict[str, Any], client: HookClient) -> dict[str, Any]:
        algorithm, kid = header.get("alg"), header.get("kid")
        if algorithm not in client.algorithms:
            raise _no(f"its `alg` is none of {', '.join(client.algorithms)}")
        if str(header.get("typ", "")).upper() != "JWT" or not isinstance(kid, str):
            raise _no("its header needs `typ` JWT and a `kid`")
        if "jku" in header and header["jku"] != (client.jku or client.jwks_url):
            raise _no("its `jku` is not the registered one")
        registry = JWSRegistry(algorithms=[algorithm], strict_check_header=False)
        for key in _fitting(await self._keys(client, kid), algorithm):
            try:
                return jwt.decode(token, key, algorithms=[algorithm], registry=registry).claims
            except (JoseError, ValueError):
                continue
        raise _no("its signature fits no key of that client with that `kid`")

    async def _keys(self, client: HookClient, kid: str) -> tuple[PublicKey, ...]:
        if client.jwks_url is not None:
            return await self._sets[client.jwks_url].named(kid)
        return await asyncio.to_thread(keys_of_file, client.keys or "", kid)

    def _check(self, claims: dict[str, Any], path: str) -> None:
        now, audience = self._clock(), claims.get("aud")
        expires: Any = claims.get("exp")
        issued: Any = claims.get("iat")
        if not _number(expires) or not _number(issued) or not isinstance(claims.get("jti"), str) or not claims["jti"]:
            raise _no("it needs `exp`, `iat` and `jti`")
        if not _is_text(claims["jti"]):
            raise _no("its `jti` is no text")
        if f"{self._public_url}{path}" not in (audience if isinstance(audience, list) else [audience]):
            raise _no(f"its `aud` is not the address called, {self._public_url}{path}")
        if expires <= now - SKEW:
            raise _no("it has expired: compare the two clocks")
        if issued > now + SKEW or ("nbf" in claims and not (_number(claims["nbf"]) and claims["nbf"] <= now + SKEW)):
            raise _no("it is of the future: compare the two clocks")
        if not 0 < expires - issued <= LONGEST:
            raise _no(f"it is good for longer than {LONGEST} s")


def _looked_at(token: str) -> tuple[dict[str, Any], Any, Any]:
    """Header, `iss` and `tenant` of a token that nothing has been verified of yet."""
    try:
        seen = extract_compact(token.encode("ascii"))
        claims = json.loads(seen.payload)
    except (JoseError, ValueError, RecursionError):
        raise _no("it is no signed JWT") from None
    if not isinstance(claims, dict):
        raise _no("it is no signed JWT")
    return dict(seen.protected), claims.get("iss"), claims.get("tenant")


def _fitting(keys: tuple[PublicKey, ...], algorithm: str) -> Iterator[PublicKey]:
    for key in keys:
        if key.key_type == ("EC" if algorithm.startswith("ES") else "RSA") and key.as_dict().get("alg", algorithm) == algorithm:
            yield key


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: str) -> bool:
    """JSON can escape half of a character, which no encoding has."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no(why: str) -> Unauthorised:
    return Unauthorised(f"The CDS client's token is not accepted: {why}.")
