"""What the tests of SMART share: the strict authorization server, a folder of keys, and a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from shared.smart.clients import PrivateKeyJwt
from shared.smart.issuers import Issuer
from shared.smart.keys import jwks, keys_in, new_key
from shared.smart.tokens import ClientCredentials
from tests.peers.authorization import Authorization, authorization

SCOPES = ("system/Patient.rs", "system/Condition.rs")
Client = Callable[..., ClientCredentials]


@pytest.fixture
async def peer() -> AsyncIterator[Authorization]:
    async with authorization() as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as opened:
        yield opened


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    new_key(tmp_path / "keys", "ES384")
    return tmp_path / "keys"


@pytest.fixture
def client(peer: Authorization, session: aiohttp.ClientSession, keys: Path) -> Client:
    """Makes a client that is registered with the peer; keyword arguments go to PrivateKeyJwt, `hosts` and `clock` to where they belong."""

    def make(*, hosts: tuple[str, ...] = (), clock: Callable[[], float] | None = None, **more: object) -> ClientCredentials:
        peer.register("figaro-read", jwks=jwks(keys_in(keys)))
        auth = PrivateKeyJwt(**{"client_id": "figaro-read", "scopes": SCOPES, "keys": str(keys), **more})  # type: ignore[arg-type]
        issuer = Issuer(id="peer", base=peer.base_url, read=auth, write_mode="page", hosts=hosts)
        return ClientCredentials(issuer, auth, session, **({"clock": clock} if clock else {}))

    return make
