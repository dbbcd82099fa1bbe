"""Who may call CDS Hooks: CH-50 to CH-52, with real keys, and a wrong token each way."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import ClientSession
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry, serialize_compact
from pydantic import SecretStr

from services.ingest.app import create
from services.ingest.hooks.prefetch import templates
from services.ingest.settings import IngestSettings
from shared.fhir.outcome import Refused, Unavailable
from shared.service.serving import served
from shared.smart.issuers import read_issuers
from shared.smart.key_sets import PATIENCE, KeySet, usable
from tests.docs.markdown import ROOT, blocks
from tests.ingest.hooking import ISS, PUBLIC, Ehr, ehr

pytestmark = pytest.mark.asyncio(loop_scope="module")
HERE = "/cds-services"
NOW = int(time.time())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ehr]:
    async with ehr(tmp_path_factory.mktemp("trust")) as running:
        yield running


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://other.example"},
    "no issuer": {"iss": None},
    "a list of issuers": {"iss": ["https://ehr.example"]},
    "for another service": {"aud": f"{PUBLIC}/cds-services/figaro-patient-view"},
    "for our base only": {"aud": PUBLIC},
    "for nobody": {"aud": None},
    "for the host that was called": {"aud": "http://127.0.0.1/cds-services"},
    "expired": {"exp": NOW - 120, "iat": NOW - 300},
    "without an end": {"exp": None},
    "with an end in words": {"exp": "tomorrow"},
    "with an end that is true": {"exp": True},
    "good for an hour": {"exp": NOW + 3600},
    "good for ever": {"exp": 1e400},
    "without a beginning": {"iat": None},
    "made in the future": {"iat": NOW + 600, "exp": NOW + 900},
    "not good yet": {"nbf": NOW + 600},
    "without an id": {"jti": None},
    "with an empty id": {"jti": ""},
    "with a number for an id": {"jti": 17},
    "without a kid": {"header": {"kid": None}},
    "with a kid nobody knows": {"header": {"kid": "unknown"}},
    "of another type": {"header": {"typ": "at+jwt"}},
    "with a payload that is not encoded": {"header": {"crit": ["b64"], "b64": False}},
    "with another jku": {"header": {"jku": "https://evil.example/jwks.json"}},
    "signed with ES256": {"header": {"alg": "ES256"}, "key": ECKey.generate_key("P-256", parameters={"kid": "k1"})},
    "signed with a secret": {"header": {"alg": "HS256"}, "key": OctKey.generate_key(256)},
    "signed with another key": {"key": ECKey.generate_key("P-384", parameters={"kid": "k1"})},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_ch_50_ch_51_a_token_that_is_wrong_is_not_accepted(peer: Ehr, wrong: dict[str, Any]) -> None:
    """CH-50, CH-51: 401 that says Bearer, and why, without a word of the token."""
    status, said, headers = await peer.call(HERE, token=peer.token(HERE, **wrong))
    assert (status, headers["WWW-Authenticate"], said["resourceType"]) == (401, "Bearer", "OperationOutcome")
    assert "other.example" not in str(said)


async def test_ch_51_half_a_character_for_an_id_is_not_accepted(peer: Ehr) -> None:
    """JSON can escape it, and no encoding has it."""
    now = int(time.time())
    claims = {"iss": ISS, "aud": f"{PUBLIC}{HERE}", "iat": now, "exp": now + 300, "jti": "\ud800x"}
    header, registry = {"alg": "ES384", "kid": "k1", "typ": "JWT"}, JWSRegistry(algorithms=["ES384"])
    token = serialize_compact(header, json.dumps(claims).encode(), peer.key, registry=registry)
    status, said, headers = await peer.call(HERE, token=token)
    assert (status, headers["WWW-Authenticate"], "jti" in str(said)) == (401, "Bearer", True)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "e30.e30.", "x" * 9000, "eyJhbGciOiJub25lIn0.e30."], ids=range(6))
async def test_ch_51_without_a_signed_token_nobody_is_let_in(peer: Ehr, token: str) -> None:
    for path in (HERE, f"{HERE}/figaro-patient-view", f"{HERE}/figaro-patient-view/feedback"):
        status, _, headers = await peer.call(path, {} if path != HERE else None, token=token)
        assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_ch_51_both_algorithms_are_taken_and_an_audience_may_be_one_of_several(peer: Ehr) -> None:
    assert (await peer.call(HERE))[0] == 200
    assert (await peer.call(HERE, token=peer.token(HERE, key=peer.rsa, header={"alg": "RS384", "kid": "r1"})))[0] == 200
    assert (await peer.call(HERE, token=peer.token(HERE, aud=["https://x.example", f"{PUBLIC}{HERE}"])))[0] == 200
    assert (await peer.call(HERE, token=peer.token(HERE, header={"jku": peer.jwks_url})))[0] == 200


async def test_ch_51_the_host_of_a_request_has_no_say_in_the_audience(peer: Ehr) -> None:
    token = peer.token(HERE, aud="https://evil.example/cds-services")
    assert (await peer.call(HERE, token=token, Host="evil.example"))[0] == 401


async def test_ch_51_a_token_is_good_once(peer: Ehr) -> None:
    """Also under another address, which it is not for; and a token of another client may have the same `jti`."""
    token = peer.token(HERE, jti="twice")
    assert (await peer.call(HERE, token=token))[0] == 200
    status, said, _ = await peer.call(HERE, token=token)
    assert (status, "used before" in str(said)) == (401, True)
    assert (await peer.call(HERE, token=peer.token(HERE, jti="twice")))[0] == 401


async def test_ch_51_a_tenant_that_is_registered_is_asked_for(peer: Ehr) -> None:
    """SE-11, and algorithms by configuration: the second client takes RS256, and its tenant must be the registered one."""

    def token(tenant: str | None) -> str:
        return peer.token(HERE, key=peer.old, header={"alg": "RS256", "kid": "r2"}, iss="https://second.example", tenant=tenant)

    assert (await peer.call(HERE, token=token("north")))[0] == 200
    for tenant in ("south", None):
        assert (await peer.call(HERE, token=token(tenant)))[0] == 401


async def test_ch_52_the_keys_are_fetched_once_and_again_for_a_new_one_at_most_once_a_minute(tmp_path: Path) -> None:
    async with ehr(tmp_path) as peer:
        for _ in range(3):
            assert (await peer.call(HERE))[0] == 200
        assert peer.fetched == 1
        new = ECKey.generate_key("P-384", parameters={"kid": "k2"})
        peer.published.append(new)
        assert (await peer.call(HERE, token=peer.token(HERE, key=new, header={"kid": "k2"})))[0] == 200
        assert peer.fetched == 2
        for number in range(5):
            assert (await peer.call(HERE, token=peer.token(HERE, header={"kid": f"x{number}"})))[0] == 401
        assert peer.fetched == 2


async def test_ch_52_while_the_keys_cannot_be_had_it_is_503_and_keys_that_were_had_are_used_on(tmp_path: Path) -> None:
    """The EHR is told to come again; nobody is let in unverified, and a hiccup of its key server stops nobody."""
    async with ehr(tmp_path) as peer:
        peer.broken = True
        status, _, headers = await peer.call(HERE)
        assert (status, "WWW-Authenticate" in headers) == (503, False)
        peer.broken = False
        keys = KeySet(peer.jwks_url, peer.session)
        assert await keys.named("k1")
        peer.broken = True
        keys._until = time.monotonic() - 1
        assert await keys.named("k1")
        keys._until = time.monotonic() - PATIENCE - 1
        with pytest.raises(Unavailable):
            await keys.named("k1")


async def test_se_12_who_calls_too_often_waits(tmp_path: Path) -> None:
    async with ehr(tmp_path, rate_hooks="3/minute") as peer:
        statuses = [(await peer.call(HERE))[0] for _ in range(4)]
        assert statuses == [200, 200, 200, 429]


@pytest.mark.filterwarnings("ignore:Key size")
async def test_weak_keys_and_those_for_encryption_are_passed_over() -> None:
    weak, other = RSAKey.generate_key(1024, parameters={"kid": "w"}), ECKey.generate_key("P-384", parameters={"kid": "e"})
    found = usable(
        json.dumps({"keys": [weak.as_dict(private=False), other.as_dict(private=False) | {"use": "enc"}, {"kty": "oct"}, {}]}).encode()
    )
    assert found == ()
    assert usable(b"<html>") is None


def issuers(folder: Path, hooks: str) -> Path:
    file = folder / "issuers.yaml"
    file.write_text(f"issuers:\n  - id: x\n    base: http://127.0.0.1:9/fhir\n    write_mode: page\n    hooks: [{hooks}]\n")
    return file


@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        ("{iss: 'https://a.example'}", "jwks_url"),
        ("{jwks_url: 'https://a.example/k'}", "iss"),
        ("{iss: 'https://a.example', jwks_url: 'https://a.example/k', keys: k.json}", "one of the two"),
        ("{iss: 'https://a.example', jwks_url: 'http://a.example/k'}", "https"),
        ("{iss: 'https://a.example', keys: k.json, origins: ['https://a.example/path']}", "origins"),
        ("{iss: 'https://a.example', keys: k.json, algorithms: [HS256]}", "line"),
        ("{auth: none, iss: 'https://a.example'}", "no token"),
        ("{iss: 'https://a.example', keys: k.json}, {iss: 'https://a.example', keys: l.json}", "the same"),
    ],
)
async def test_ch_51_an_issuers_file_that_would_let_the_wrong_ones_in_is_refused(tmp_path: Path, hooks: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        read_issuers(issuers(tmp_path, hooks))


async def test_the_file_of_a_clients_keys_is_found_beside_the_issuers_file(tmp_path: Path) -> None:
    (issuer,) = read_issuers(issuers(tmp_path, "{iss: 'https://a.example', keys: k.json}"))
    assert issuer.hooks[0].keys == str(tmp_path / "k.json")


async def test_the_file_that_the_document_shows_is_one(tmp_path: Path) -> None:
    shown, _ = blocks(ROOT / "docs/cds-hooks.md", "yaml")
    (tmp_path / "issuers.yaml").write_text(shown)
    (issuer,) = read_issuers(tmp_path / "issuers.yaml")
    assert [(one.iss, one.tenant, one.algorithms) for one in issuer.hooks] == [
        ("https://ehr.st-elsewhere.example", "north", ("ES384", "RS384"))
    ]


async def test_the_document_prints_the_prefetch_templates_of_the_code() -> None:
    (shown,) = blocks(ROOT / "docs/cds-hooks.md", "json")
    assert json.loads(shown) == templates()


async def test_ch_51_without_a_public_address_there_is_no_audience_and_no_start(tmp_path: Path) -> None:
    file = issuers(tmp_path, "{iss: 'https://a.example', keys: k.json}")
    with pytest.raises(Refused, match="FIGARO_PUBLIC_URL"):
        async with create(IngestSettings(issuers=file, data_directory=tmp_path)).router.lifespan_context(create(IngestSettings())):
            pass


async def test_clients_without_a_token_are_for_this_machine_only(tmp_path: Path) -> None:
    file = issuers(tmp_path, "{auth: none, origins: ['https://ehr.example']}")
    settings = IngestSettings(issuers=file, data_directory=tmp_path)
    async with served(create(settings)) as url, ClientSession() as session:
        callers = [
            ({}, 200),
            ({"Origin": "https://ehr.example"}, 200),
            ({"Origin": "https://evil.example"}, 403),
            ({"Host": "evil.example"}, 421),
        ]
        for headers, wanted in callers:
            async with session.get(f"{url}/cds-services", headers=headers) as answer:
                assert answer.status == wanted
    for told in ({"host": "0.0.0.0"}, {"public_url": PUBLIC}, {"trusted_proxies": ("127.0.0.1",)}):
        open_to_others: dict[str, Any] = {**told, "api_secret": SecretStr("x" * 16)}
        app = create(IngestSettings(issuers=file, data_directory=tmp_path, **open_to_others))
        with pytest.raises(Refused, match="FIGARO_HOST, FIGARO_PUBLIC_URL or FIGARO_TRUSTED_PROXIES"):
            async with app.router.lifespan_context(app):
                pass
