"""What we advise where a server points elsewhere, so that nobody follows the advice to a place where nothing of ours may go."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from shared.fhir.guard import Reach, on_listed_host, on_same_base
from shared.fhir.outcome import NotFhir, Unavailable
from shared.fhir.reach import guarded
from shared.smart.exchange import endpoint, exchange
from shared.smart.keys import keys_in, new_key, rotate, signing_key
from tests.peers.authorization import Authorization, said
from tests.smart.conftest import Client

BASE = URL("https://fhir.example/r4")
METADATA = ("169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16")
PRIVATE = ("10.20.0.7", "192.168.1.1:8443", "169.254.1.1", "[fe80::1]", "127.0.0.2")


def sentence(asked: Any, place: str) -> str:
    with pytest.raises(NotFhir) as error:
        asked(BASE, f"https://{place}/latest", ())
    return str(error.value)


async def test_se_09_a_redirect_of_the_token_endpoint_is_no_reason_to_change_the_base_url(peer: Authorization, client: Client) -> None:
    peer.plan(said(307, Location="https://evil.test/token"))
    with pytest.raises(NotFhir) as error:
        await client().header()
    assert "base URL" not in str(error.value)
    assert "answered 307: it answers with a redirect to evil.test, which is not followed" in str(error.value)
    assert "`token_endpoint` of the issuer" in str(error.value)


@pytest.mark.parametrize("asked", [on_listed_host, endpoint])
@pytest.mark.parametrize("place", METADATA)
def test_se_09_nobody_is_told_to_list_an_address_of_a_clouds_metadata(asked: Any, place: str) -> None:
    told = sentence(asked, place)
    assert "is never asked" in told
    assert "hosts" not in told
    assert "FIGARO_FHIR_NETWORKS" not in told


@pytest.mark.parametrize("asked", [on_listed_host, endpoint])
@pytest.mark.parametrize("place", PRIVATE)
def test_se_09_an_address_of_a_private_network_is_for_those_who_may_name_it(asked: Any, place: str) -> None:
    told = sentence(asked, place)
    assert "if that is right" not in told
    assert f"only where that network may be named in FIGARO_FHIR_NETWORKS at all, add {place} to `hosts`" in told


@pytest.mark.parametrize("asked", [on_listed_host, endpoint])
@pytest.mark.parametrize("place", ["login.example", "login.example:8443", "8.8.8.8"])
def test_a_name_or_a_public_address_may_be_added_where_it_is_right(asked: Any, place: str) -> None:
    assert f"if that is right, add {place} to `hosts` of the issuer" in sentence(asked, place)


def test_se_10_a_page_at_a_clouds_metadata_is_no_base_url() -> None:
    with pytest.raises(NotFhir) as error:
        on_same_base(BASE, "http://169.254.169.254/latest")
    assert "use the base URL it believes in" not in str(error.value)


@pytest.mark.parametrize(("address", "advised"), [("169.254.169.254", False), ("10.255.255.1", True)])
async def test_se_09_what_is_listed_and_out_of_reach_is_named_in_the_settings_only_where_that_helps(address: str, advised: bool) -> None:
    async with guarded(Reach()) as session:
        with pytest.raises(Unavailable) as error:
            await exchange(session, "GET", f"https://{address}/token", what="The token endpoint")
    assert ("FIGARO_FHIR_NETWORKS" in str(error.value)) is advised
    assert "was not asked" in str(error.value)


def test_no_key_file_begins_with_a_hyphen_and_old_ones_are_read_and_replaced(tmp_path: Path) -> None:
    """A kid may begin with one, and the name would be an option of every command that takes files."""
    folder = tmp_path / "keys"
    key = new_key(folder, "ES384")
    assert not key.file.name.startswith((key.kid, "-"))
    assert key.kid in key.file.name
    assert shlex.quote(key.file.name) == key.file.name
    old = key.file.rename(folder / f"-{key.kid}.json")
    assert signing_key(folder).file == old
    (newer,) = rotate(folder, wait=0)
    assert not newer.file.name.startswith("-")
    assert {one.file for one in keys_in(folder)} == {old, newer.file}
