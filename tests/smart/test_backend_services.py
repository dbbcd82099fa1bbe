"""SMART Backend Services, against a strict authorization server: the requirements SM-70 to SM-81 and the traps AU-01 to AU-06."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

from shared.fhir.client import FhirClient
from shared.fhir.outcome import FigaroError, NotFhir, Refused, Unauthorised, Unavailable
from shared.smart.clients import ClientSecret
from shared.smart.issuers import Issuer
from shared.smart.keys import jwks, keys_in, new_key, rotate
from shared.smart.secrets import Secret
from shared.smart.tokens import ClientCredentials
from tests.peers.authorization import Authorization, login_page, said
from tests.smart.conftest import Client

pytestmark = pytest.mark.server


async def refusal(client: ClientCredentials, kind: type[FigaroError] = Unauthorised) -> FigaroError:
    with pytest.raises(kind) as refused:
        await client.header()
    return refused.value


async def test_sm70_the_assertion_is_as_the_specification_has_it(peer: Authorization, client: Client, keys: Path) -> None:
    assert await client().header() == "Bearer token-0"
    ((header, claims),) = peer.assertions
    assert header["typ"] == "JWT"
    assert [header["kid"]] == [key.kid for key in keys_in(keys)]
    assert claims["iss"] == claims["sub"] == "figaro-read"
    assert claims["aud"] == f"{peer.root}/token"
    assert peer.requests[0]["grant_type"] == "client_credentials"
    assert peer.requests[0]["scope"] == "system/Patient.rs system/Condition.rs"


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
async def test_sm70_both_algorithms_are_signed_with_whichever_the_server_takes(
    peer: Authorization, client: Client, keys: Path, algorithm: str
) -> None:
    new_key(keys, "RS384")
    peer.configuration["token_endpoint_auth_signing_alg_values_supported"] = ["RS256", algorithm]
    await client().header()
    assert peer.assertions[0][0]["alg"] == algorithm


async def test_sm70_an_algorithm_that_no_key_has_is_told_with_the_command_that_makes_one(peer: Authorization, client: Client) -> None:
    peer.configuration["token_endpoint_auth_signing_alg_values_supported"] = ["RS384"]
    assert "--alg RS384" in (await refusal(client(), Refused)).text


async def test_sm70_each_request_and_each_retry_has_an_assertion_of_its_own(peer: Authorization, client: Client) -> None:
    one = client()
    peer.plan(said(503))
    await refusal(one, Unavailable)
    await one.header()
    assert len({request["client_assertion"] for request in peer.requests}) == 2


async def test_au01_an_assertion_lives_for_five_minutes_at_most(peer: Authorization, client: Client) -> None:
    await client().header()
    claims = peer.assertions[0][1]
    assert claims["exp"] - claims["iat"] <= 300
    assert claims["exp"] <= time.time() + 300


async def test_au02_and_au04_no_jti_comes_twice_from_one_client(peer: Authorization, client: Client) -> None:
    one = client()
    for _ in range(3):
        await one.refused(await one.header())
    ids = [claims["jti"] for _, claims in peer.assertions]
    assert len(set(ids)) == 3
    assert all(len(jti) <= 151 for jti in ids)


async def test_au03_and_au05_no_private_key_leaves_the_machine(peer: Authorization, client: Client, keys: Path) -> None:
    await client().header()
    (key,) = keys_in(keys)
    private = key.file.read_text().partition('"d":"')[2].partition('"')[0]
    sent = f"{peer.requests} {peer.headers}"
    assert "Authorization" not in peer.headers[0]
    assert private
    assert private not in sent
    assert "PRIVATE" not in sent


async def test_au06_and_se10_a_token_goes_to_the_base_it_is_for_and_nowhere_else(peer: Authorization, client: Client) -> None:
    async with FhirClient(peer.base_url, token=client()) as server:
        await server.read("Patient", "1")
    assert peer.seen == ["Bearer token-0"]
    assert all("Authorization" not in headers for headers in peer.headers)


@pytest.mark.parametrize("secret", ["plain", "with:colon", "per%cent", "pl+us and blank", "grün-und-日本"])
async def test_sm72_a_secret_is_form_encoded_before_it_becomes_basic(
    peer: Authorization, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    monkeypatch.setenv("PEER_SECRET", secret)
    peer.register("figaro:read", secret=secret)
    auth = ClientSecret(client_id="figaro:read", secret=Secret(env="PEER_SECRET"), scopes=())
    issuer = Issuer(id="peer", base=peer.base_url, read=auth, write_mode="page")
    assert await ClientCredentials(issuer, auth, session).header() == "Bearer token-0"
    assert "scope" not in peer.requests[0]
    assert "client_id" not in peer.requests[0]
    assert secret not in str(base64.b64decode(peer.headers[0]["Authorization"].partition(" ")[2])) or secret == "plain"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("invalid_client", "compare client_id"),
        ("invalid_scope", "a scope is not allowed"),
        ("unauthorized_client", "background user"),
        ("unsupported_grant_type", "Backend Services"),
        ("invalid_grant", "assertion"),
        ("invalid_request", "another kind"),
        ("made_up", "without a reason"),
    ],
)
async def test_sm74_each_error_of_the_token_endpoint_says_what_to_do_and_repeats_nothing(
    peer: Authorization, client: Client, error: str, told: str
) -> None:
    peer.plan(said(400, {"error": error, "error_description": "canary"}))
    refused = await refusal(client())
    assert told in refused.text
    assert "canary" not in refused.text


async def test_sm74_a_clock_ten_minutes_off_is_told_by_the_date_header(peer: Authorization, client: Client) -> None:
    for skew, told in ((-600, "10 minutes ahead of"), (600, "10 minutes behind")):
        peer.skew = skew
        with capture_logs() as logs:
            assert f"invalid_client: our clock is {told}" in (await refusal(client())).text
        (line,) = [line for line in logs if line["event"] == "clock_skew"]
        assert line["issuer"] == "peer"
        assert abs(line["seconds"] - skew) <= 2


@pytest.mark.parametrize("skew", [-118, 118])
async def test_sm74_a_clock_two_minutes_off_does_no_harm(peer: Authorization, client: Client, skew: float) -> None:
    peer.skew = skew
    assert await client().header() == "Bearer token-0"


async def test_sm74_a_login_page_is_no_token(peer: Authorization, client: Client) -> None:
    """SM-74: and the address that is to be looked at is named."""
    peer.plan(login_page)
    text = (await refusal(client())).text
    assert "web page" in text
    assert peer.root.removeprefix("http://") in text


async def test_se09_a_redirect_of_the_token_endpoint_is_not_followed(peer: Authorization, client: Client) -> None:
    peer.plan(said(307, Location="https://evil.test/token"))
    assert "evil.test" in (await refusal(client(), NotFhir)).text
    assert len(peer.requests) == 1


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("https://evil.test/token", "on evil.test"),
        ("//evil.test/token", "plain http"),
        ("http://evil.test/token", "plain http"),
        ("https://127.0.0.1@evil.test/token", "cannot be read"),
        ("https://127.0.0.1.evil.test/token", "evil.test"),
        ("https://[::ffff:127.0.0.1]/token", "names an endpoint on"),
        ("https://2130706433/token", "names an endpoint on"),
        ("https://login.example\\@127.0.0.1/token", "cannot be read"),
        ("https://login.example/%2e%2e/token", "cannot be read"),
        ("file:///etc/passwd", "cannot be read"),
        ("https://login.example/token#x", "cannot be read"),
    ],
)
async def test_se09_an_endpoint_off_the_host_is_not_asked(peer: Authorization, client: Client, link: str, told: str) -> None:
    peer.configuration["token_endpoint"] = link
    assert told in (await refusal(client(hosts=("login.example",)), NotFhir)).text
    assert peer.requests == []


async def test_se09_an_endpoint_on_a_host_of_the_list_is_asked(peer: Authorization, client: Client) -> None:
    port = peer.root.rpartition(":")[2]
    peer.configuration["token_endpoint"] = f"http://localhost:{port}/token"
    assert "localhost" in (await refusal(client(), NotFhir)).text
    assert f"add localhost:{port} to" in (await refusal(client(hosts=("localhost",)), NotFhir)).text
    await refusal(client(hosts=(f"localhost:{port}",)))  # the peer finds another audience than its own name, and says so
    assert peer.assertions[-1][1]["aud"] == f"http://localhost:{port}/token"


async def test_sm02_and_sm05_a_relative_endpoint_is_resolved_against_the_base(peer: Authorization, client: Client) -> None:
    peer.configuration["token_endpoint"] = "/token"
    assert await client().header() == "Bearer token-0"


async def test_sm06_a_server_without_configuration_is_told_and_can_be_given_its_endpoint(peer: Authorization, client: Client) -> None:
    peer.configured = said(404)
    assert "token_endpoint" in (await refusal(client())).text
    peer.configured = login_page
    assert "web page" in (await refusal(client())).text
    asked = peer.asked
    assert await client(token_endpoint=f"{peer.root}/token").header() == "Bearer token-0"
    assert peer.asked == asked


async def test_sm07_the_configuration_is_asked_for_once(peer: Authorization, client: Client) -> None:
    one = client()
    for _ in range(3):
        await one.refused(await one.header())
    assert peer.asked == 1
    assert len(peer.requests) == 3


async def test_sm07_a_definite_refusal_is_not_asked_for_again_at_once(peer: Authorization, client: Client) -> None:
    one = client()
    peer.configured = said(404)
    for _ in range(3):
        await refusal(one)
    assert peer.asked == 1


async def test_sm80_many_that_wait_for_a_token_ask_for_it_once(peer: Authorization, client: Client) -> None:
    one = client()
    headers = await asyncio.gather(*(one.header() for _ in range(20)))
    assert set(headers) == {"Bearer token-0"}
    assert len(peer.requests) == peer.asked == 1


async def test_sm80_one_who_gives_up_takes_the_token_from_nobody(peer: Authorization, client: Client) -> None:
    one = client()
    hasty, patient = asyncio.create_task(one.header()), asyncio.create_task(one.header())
    await asyncio.sleep(0)
    hasty.cancel()
    assert await patient == "Bearer token-0"
    assert len(peer.requests) == 1


async def test_sm80_a_token_is_renewed_before_it_ends(peer: Authorization, client: Client) -> None:
    one = client()
    peer.life = 1
    assert await one.header() == "Bearer token-0"
    assert await one.header() == "Bearer token-0"
    await asyncio.sleep(0.85)  # a fifth of its life is left
    assert await one.header() == "Bearer token-1"


async def test_sm80_what_is_held_is_used_to_its_end_while_the_server_is_away(peer: Authorization, client: Client) -> None:
    one = client()
    peer.life = 1
    await one.header()
    await asyncio.sleep(0.85)
    peer.plan(said(503), said(503))
    assert await one.header() == "Bearer token-0"
    assert await one.header() == "Bearer token-0"
    assert len(peer.requests) == 2  # and it is not asked at every request
    await asyncio.sleep(0.2)
    await refusal(one, Unavailable)


async def test_sm33_a_token_without_an_end_has_five_minutes_and_one_at_its_end_is_none(peer: Authorization, client: Client) -> None:
    one = client()
    peer.life = None
    await one.header()
    assert 290 < vars(one)["_held"].until - time.monotonic() <= 300
    for life in (0, -5):
        peer.life = life
        assert "expired" in (await refusal(client())).text
    peer.life = "3599"  # as some servers write it
    assert await client().header()


@pytest.mark.parametrize(
    "body", [{"access_token": "x", "token_type": "MAC"}, {"token_type": "bearer"}, {"access_token": "a\nb", "token_type": "bearer"}]
)
async def test_sm33_what_is_no_bearer_token_is_not_used(peer: Authorization, client: Client, body: dict[str, Any]) -> None:
    peer.plan(said(200, body))
    assert "no bearer token" in (await refusal(client())).text


async def test_sm34_and_sm81_a_grant_that_lacks_scopes_names_them(peer: Authorization, client: Client) -> None:
    peer.granted = "system/Patient.read"  # v1 for what was asked in v2
    with capture_logs() as logs:
        assert await client().header()
    assert [line["scopes"] for line in logs if line["event"] == "scopes_not_granted"] == [["system/Condition.rs"]]
    peer.granted = "launch"
    refused = await refusal(client())
    assert refused.status == 403
    assert "system/Patient.rs, system/Condition.rs" in refused.text


async def test_sm63_a_401_brings_one_new_token_and_one_more_try(peer: Authorization, client: Client) -> None:
    async with FhirClient(peer.base_url, token=client()) as server:
        await server.read("Patient", "1")
        peer.issued.clear()  # revoked
        await server.read("Patient", "1")
        assert peer.seen == ["Bearer token-0", "Bearer token-0", "Bearer token-1"]


async def test_sm63_a_server_that_refuses_every_token_is_asked_twice_and_no_more(peer: Authorization, client: Client) -> None:
    async with FhirClient(peer.base_url, token=client()) as server:
        peer.issued = _Nothing()
        with pytest.raises(Unauthorised):
            await server.read("Patient", "1")
    assert len(peer.seen) == 2
    assert len(peer.requests) == 2


class _Nothing(set[str]):
    """However much is added, it has nothing."""

    def add(self, _token: str) -> None:
        return


async def test_sm63_many_401_at_once_bring_one_new_token(peer: Authorization, client: Client) -> None:
    one = client()
    async with FhirClient(peer.base_url, token=one) as server:
        await server.read("Patient", "1")
        peer.issued.clear()
        await asyncio.gather(*(server.read("Patient", "1") for _ in range(8)))
    assert len(peer.requests) == 2


async def test_sm63_a_401_that_comes_late_takes_nothing_from_the_token_that_came_after(peer: Authorization, client: Client) -> None:
    one = client()
    old = await one.header()
    await one.refused(old)
    new = await one.header()
    await one.refused(old)
    assert await one.header() == new != old


async def test_sm71_a_rotation_costs_no_request(peer: Authorization, client: Client, keys: Path) -> None:
    one = client()
    await one.refused(await one.header())
    rotate(keys, wait=1, grace=0)
    await one.refused(await one.header())  # signed with the old key: nobody has seen the new one yet
    peer.register("figaro-read", jwks=jwks(keys_in(keys)))  # as a server does that fetches our JWKS
    await asyncio.sleep(1.05)
    await one.refused(await one.header())
    kids = [header["kid"] for header, _ in peer.assertions]
    assert kids[0] == kids[1] != kids[2]


async def test_lg01_no_token_secret_or_assertion_is_logged(peer: Authorization, client: Client) -> None:
    with capture_logs() as logs:
        one = client()
        await one.refused(await one.header())
        peer.plan(said(400, {"error": "invalid_client", "error_description": "canary"}))
        refused = await refusal(one)
    told = f"{logs} {refused!r} {one!r}"
    assert [line["event"] for line in logs] == ["token_issued"]
    assert logs[0]["issuer"] == "peer"
    for secret in ("token-0", "canary", peer.requests[0]["client_assertion"]):
        assert secret not in told


def test_au09_one_http_stack_goes_out_and_authlib_brings_no_other() -> None:
    """As each of the three services, and each command that asks a server, is when all that it needs is there."""
    parts = "ingest.app", "recommend.app", "staging.app", "check", "importing", "subscribing"
    others, imported = {"httpx", "httpx2", "httpcore", "requests"}, ", ".join(f"services.{part}" for part in parts)
    code = f"import sys, {imported}; print(sorted({others} & set(sys.modules)), 'authlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["[]", "True"]
