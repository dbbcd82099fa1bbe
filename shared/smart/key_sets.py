"""Other people's public keys: a JWK Set at a registered address, or in a file (CH-52, and RFC 7517)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from shared.fhir.outcome import Refused, Unavailable
from shared.smart.exchange import exchange
from shared.smart.once import Once

PublicKey = RSAKey | ECKey
LIFE: Final = 3600.0  # seconds, where the answer does not say
SHORTEST, LONGEST = 60.0, 24 * 3600.0  # seconds between which Cache-Control is believed
PATIENCE: Final = 3600.0  # seconds that keys are used beyond their time, while their server does not answer
FORCED: Final = 60.0  # seconds between two fetches for a kid that nobody knows
MOST: Final = 100  # keys of one set


class _Set(msgspec.Struct):
    keys: list[dict[str, Any]] = []


class KeySet:
    """The keys at one address: fetched once for all who ask, kept as long as the answer allows, and asked again for an unknown kid."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = url
        self._session = session
        self._once = Once[None]()
        self._keys: tuple[PublicKey, ...] = ()
        self._until = self._forced = float("-inf")

    async def named(self, kid: str) -> tuple[PublicKey, ...]:
        """The keys of that id; none where there is none, even after another look. Raises Unavailable."""
        now = time.monotonic()
        if now >= self._until:
            await self._fetched()
        found = _of(kid, self._keys)
        if not found and now >= self._forced + FORCED:
            self._forced = now
            await self._fetched()
            found = _of(kid, self._keys)
        return found

    async def _fetched(self) -> None:
        try:
            await self._once(self._fetch)
        except Unavailable:
            if not self._keys or time.monotonic() >= self._until + PATIENCE:
                raise

    async def _fetch(self) -> None:
        said = await exchange(self._session, "GET", self._url, what="The JWK Set", headers={"Accept": "application/json"})
        keys = usable(said.body) if said.status == 200 else None
        if keys is None:
            raise Unavailable("The JWK Set of a CDS client cannot be read: look at its `jwks_url` in the issuers file.", retry_after=30)
        life = LIFE if said.max_age is None else min(max(said.max_age, SHORTEST), LONGEST)
        self._keys, self._until = keys, time.monotonic() + life


def keys_of_file(file: str, kid: str) -> tuple[PublicKey, ...]:
    """The keys of that id in a file, read anew each time: a rotation needs no restart. Raises Refused."""
    try:
        keys = usable(Path(file).read_bytes())
    except OSError:
        keys = None
    if keys is None:
        raise Refused("The file of a CDS client's keys cannot be read: `keys` in the issuers file names a JWK Set.", status=503)
    return _of(kid, keys)


def usable(body: bytes) -> tuple[PublicKey, ...] | None:
    """The public signing keys of a JWK Set: EC and RSA of 2048 bits or more, others are passed over. None where it is no JWK Set."""
    try:
        plain = msgspec.json.decode(body, type=_Set).keys[:MOST]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return tuple(key for one in plain if one.get("use", "sig") == "sig" and (key := _key(one)) is not None)


def _key(plain: dict[str, Any]) -> PublicKey | None:
    try:
        if plain.get("kty") == "EC":
            return ECKey.import_key(plain)
        key = RSAKey.import_key(plain) if plain.get("kty") == "RSA" else None
        return key if key is not None and key.raw_value.key_size >= 2048 else None
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _of(kid: str, keys: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
    return tuple(key for key in keys if key.kid == kid)
