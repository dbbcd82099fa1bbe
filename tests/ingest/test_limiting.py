"""How often our own doors may be knocked at (SE-12)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from fastapi import APIRouter, Depends

from services.ingest.limiting import Limits, limited
from services.ingest.settings import IngestSettings
from shared.fhir.outcome import Refused, Unavailable
from shared.service.access import Access
from shared.service.app import create_app
from shared.service.serving import served
from shared.service.settings import load
from tests.ingest.doorbell import SECRET, Bell, ringing
from tests.ingest.patients import cervical_cancer

NOBODY = "http://127.0.0.1:9/fhir"


async def test_se_12_one_notification_too_many_is_answered_429_and_a_sender_may_come_again(tmp_path: Path) -> None:
    async with ringing(tmp_path, NOBODY, rate_notifications="3/minute") as bell:
        codes = [(await bell.ring(cervical_cancer(f"c{n}", f"Patient/p{n}"), f"/Condition/c{n}", method="PUT"))[0] for n in range(3)]
        assert codes == [200, 200, 200]
        headers = {"Authorization": f"Bearer {SECRET}"}
        async with bell.session.post(bell.endpoint, headers=headers) as answer:
            said = await answer.json(content_type=None)
            assert answer.status == 429
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert (said["resourceType"], said["issue"][0]["code"]) == ("OperationOutcome", "throttled")
        assert set(bell.due()) == {"Patient/p0", "Patient/p1", "Patient/p2"}  # what was accepted is stored, and the rest is not


async def test_se_12_a_stranger_uses_up_nothing_that_is_the_server_s(tmp_path: Path) -> None:
    """SE-12: who has not shown the secret counts for his address alone; who has counts for the server too, from wherever."""
    async with ringing(tmp_path, NOBODY, rate_notifications="3/minute") as bell:
        assert [await rung(bell, "127.0.0.2", "another, and as long") for _ in range(4)] == [401, 401, 401, 429]
        assert [await rung(bell, "127.0.0.3", SECRET) for _ in range(2)] == [200, 200]
        assert [await rung(bell, "127.0.0.4", SECRET) for _ in range(2)] == [200, 429]


async def rung(bell: Bell, address: str, secret: str) -> int:
    """The status of a ping from one address of this machine."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    headers = {"Authorization": f"Bearer {secret}"}
    async with aiohttp.ClientSession(connector=connector) as session, session.post(bell.endpoint, headers=headers) as answer:
        return answer.status


async def test_se_12_cases_are_opened_so_fast_and_shown_without_a_limit(tmp_path: Path) -> None:
    async with ringing(tmp_path, NOBODY, rate_cases="2/minute") as bell:
        codes = []
        for number in range(3):
            async with bell.session.post(f"{bell.url}/cases", json={"patient": f"Patient/{number}"}) as answer:
                codes.append(answer.status)
        assert codes == [202, 202, 429]
        for _ in range(5):
            async with bell.session.get(f"{bell.url}/cases") as answer:
                assert answer.status == 200


@asynccontextmanager
async def launching(rate: str, proxies: tuple[str, ...] = ()) -> AsyncIterator[str]:
    router = APIRouter()

    @router.get("/launch", dependencies=[Depends(limited("launch"))])
    async def launch() -> str:
        return "launched"

    @router.get("/callback", dependencies=[Depends(limited("callback"))])
    async def callback() -> str:
        return "back"

    app = create_app("a door", routers=[router], access=Access(public=True))
    app.state.limits = Limits(IngestSettings(rate_launch=rate))
    async with served(app, trusted_proxies=proxies) as url:
        yield url


async def asked(url: str, **headers: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
        return answer.status


async def test_se_12_launch_and_callback_count_by_themselves() -> None:
    async with launching("2/minute") as url:
        assert [await asked(f"{url}/launch") for _ in range(3)] == [200, 200, 429]
        assert [await asked(f"{url}/callback") for _ in range(3)] == [200, 200, 429]


async def test_se_12_the_client_is_whoever_connects_unless_a_trusted_proxy_names_it() -> None:
    """SE-12: a header of its own gives nobody another address."""
    async with launching("1/minute") as url:
        codes = [await asked(f"{url}/launch", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(2)]
        assert codes == [200, 429]
    async with launching("1/minute", ("127.0.0.0/8",)) as url:
        codes = [await asked(f"{url}/launch", **{"X-Forwarded-For": f"203.0.113.{n}"}) for n in (1, 2, 1)]
        assert codes == [200, 200, 429]


async def test_se_12_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    async with launching("1/minute", ("127.0.0.1",)) as url:
        senders = ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1", "::ffff:203.0.113.1", "203.0.113.1")
        codes = [await asked(f"{url}/launch", **{"X-Forwarded-For": sender}) for sender in senders]
        assert codes == [200, 429, 200, 200, 429]


@pytest.mark.parametrize("rate", ["many", "200", "", "1/fortnight"])
def test_a_rate_that_is_none_is_refused_by_the_name_of_its_variable(rate: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGARO_RATE_LAUNCH", rate)
    with pytest.raises(Refused, match="FIGARO_RATE_LAUNCH: a rate is written 200/second"):
        load(IngestSettings)


def test_what_one_uses_up_is_not_taken_from_another() -> None:
    limits = Limits(IngestSettings(rate_hooks="1/minute"))
    limits.knock("hooks", "client 203.0.113.1")
    limits.knock("hooks", "client 203.0.113.2")
    with pytest.raises(Unavailable) as refused:
        limits.knock("hooks", "client 203.0.113.1")
    assert refused.value.retry_after is not None
    assert 1 <= refused.value.retry_after <= 60
