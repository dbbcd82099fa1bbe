"""Who may open and see cases over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from services.ingest.app import create
from services.ingest.settings import IngestSettings
from shared.fhir.outcome import Refused
from shared.service.body import LIMIT
from shared.service.serving import served
from shared.service.settings import load

SECRET = "a secret of this test only"
ROUTES = [
    ("POST", "/cases"),
    ("GET", "/cases"),
    ("GET", "/cases/x"),
    ("GET", "/cases/x/events"),
    ("POST", "/cases/x/retry"),
    ("POST", "/cases/erase"),
]

OPENING = ["/cases", "/cases/erase"]
JSON = {"Content-Type": "application/json"}
KNOWN = {"Authorization": f"Bearer {SECRET}", **JSON}
ELSEWHERE = (  # where senders of notifications may have theirs
    {"Authorization": f"Basic {base64.b64encode(f'user:{SECRET}'.encode()).decode()}"},
    {"verification-token": SECRET},
)


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[str]:
    settings = IngestSettings(fhir_base="http://127.0.0.1:9/fhir", data_directory=tmp_path, api_secret=SECRET)
    async with served(create(settings)) as url:
        yield url


async def test_api1_no_route_of_cases_answers_without_the_secret(guarded: str) -> None:
    """OWASP API1, API2: neither without one, nor with another, nor with one in the address."""
    async with aiohttp.ClientSession() as session:
        for method, route in ROUTES:
            for headers in ({}, {"Authorization": "Bearer another"}, {"Authorization": f"Bearer {SECRET}x"}, *ELSEWHERE):
                async with session.request(method, f"{guarded}{route}?api_secret={SECRET}", headers=headers) as answer:
                    assert answer.status == 401, route
                    assert (await answer.json(content_type=None))["resourceType"] == "OperationOutcome"


async def test_with_the_secret_they_answer_and_health_needs_none(guarded: str) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{guarded}/cases", headers={"Authorization": f"Bearer {SECRET}"}) as answer:
            assert answer.status == 200
        async with session.get(f"{guarded}/cases/x", headers={"Authorization": f"Bearer {SECRET}"}) as answer:
            assert answer.status == 404
        async with session.get(f"{guarded}/health/live") as answer:
            assert answer.status == 200


async def posted(url: str, data: object, headers: dict[str, str]) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.post(url, data=data, headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("route", OPENING)
async def test_se12_api4_the_secret_is_asked_for_before_the_body_is_read(guarded: str, route: str) -> None:
    """SE-12, OWASP API2, API4: whoever has none is told so at once, also where the body never ends, and whatever it is."""

    async def endless() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.sleep(60)

    for body in (b"{", b"[]", b"", b"[" * 100_000):
        assert (await posted(guarded + route, body, JSON))[0] == 401
    async with asyncio.timeout(5):
        assert (await posted(guarded + route, endless(), JSON))[0] == 401


@pytest.mark.parametrize("route", OPENING)
async def test_se12_the_rate_is_looked_at_before_the_body_is_read(tmp_path: Path, route: str) -> None:
    """SE-12: of both routes."""
    settings = IngestSettings(fhir_base="http://127.0.0.1:9/fhir", data_directory=tmp_path, api_secret=SECRET, rate_cases="1/minute")
    async with served(create(settings)) as url:
        assert [(await posted(url + route, b"{", KNOWN))[0] for _ in range(2)] == [422, 429]


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("route", OPENING)
async def test_api4_a_body_of_more_than_a_patient_is_a_413(guarded: str, route: str, declared: bool) -> None:
    """OWASP API4: 48 MB of empty lists took 1.4 GB to understand."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"[]," * 1_000

    status, said = await posted(guarded + route, b"[]," * LIMIT if declared else chunks(), KNOWN)
    assert (status, f"{LIMIT} bytes" in said) == (413, True)


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b"{}", "patient"),
        (b'{"patient": 17}', "$.patient"),
        (b'{"patient": "Patient/17", "whom": "canary"}', "whom"),
        (b'{"patient": "Patient/17", "base": ["canary"]}', "$.base"),
        (b'{"patient": "\xff"}', "the body"),
        (b"canary", "The body"),
    ],
)
@pytest.mark.parametrize("route", OPENING)
async def test_a_body_that_is_no_case_is_a_422_that_names_the_place_and_no_value(guarded: str, route: str, body: bytes, place: str) -> None:
    status, said = await posted(guarded + route, body, KNOWN)
    assert (status, place in said, "canary" in said) == (422, True, False)


def test_the_description_shows_what_a_body_is_made_of(tmp_path: Path) -> None:
    paths = create(IngestSettings(fhir_base="http://127.0.0.1:9/fhir", data_directory=tmp_path)).openapi()["paths"]
    for route, names in (("/cases", {"patient", "base", "as_of"}), ("/cases/erase", {"patient", "base"})):
        schema = paths[route]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert (set(schema["properties"]), schema["required"]) == (names, ["patient"])
        assert "$ref" not in json.dumps(schema)


@pytest.mark.parametrize("route", OPENING)
async def test_a_body_that_is_not_called_json_is_answered_with_what_to_call_it(guarded: str, route: str) -> None:
    """`curl -d` calls it a form."""
    headers = {"Authorization": f"Bearer {SECRET}", "Content-Type": "application/x-www-form-urlencoded"}
    async with aiohttp.ClientSession() as session, session.post(guarded + route, data='{"patient": "17"}', headers=headers) as answer:
        assert answer.status == 415
        assert "Content-Type application/json" in await answer.text()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.5", "figaro.example"])
def test_api8_ingest_does_not_start_open_to_others_without_a_secret(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OWASP API8: it says which variable is missing, and never a value."""
    monkeypatch.setenv("FIGARO_HOST", host)
    with pytest.raises(Refused, match="FIGARO_API_SECRET"):
        load(IngestSettings)
    monkeypatch.setenv("FIGARO_API_SECRET", "short")
    with pytest.raises(Refused, match="FIGARO_API_SECRET") as refused:
        load(IngestSettings)
    assert "short'" not in str(refused.value)
    monkeypatch.setenv("FIGARO_API_SECRET", SECRET)
    assert load(IngestSettings).host == host


@pytest.mark.parametrize(
    ("name", "value"), [("PUBLIC_URL", "https://figaro.example"), ("PUBLIC_URL", "figaro.example"), ("TRUSTED_PROXIES", '["127.0.0.1"]')]
)
def test_api8_behind_a_proxy_the_address_it_listens_on_lets_nobody_in(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OWASP API8: a proxy on this machine leaves it 127.0.0.1, and brings everybody."""
    monkeypatch.setenv(f"FIGARO_{name}", value)
    with pytest.raises(Refused, match="FIGARO_API_SECRET is not set"):
        load(IngestSettings)
    monkeypatch.setenv("FIGARO_API_SECRET", SECRET)
    assert load(IngestSettings).public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_alone_none_is_asked_for(host: str) -> None:
    assert IngestSettings(host=host).api_secret is None
