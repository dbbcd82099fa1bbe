"""Who may ask a service: its own kind by a secret, those who run it by a bearer, and web pages of others never."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import SecretStr
from starlette.routing import Mount
from yarl import URL

from services.ingest.app import create as create_ingest
from services.ingest.neighbours import Neighbours
from services.ingest.settings import IngestSettings
from services.recommend.app import create as create_recommend
from services.recommend.settings import RecommendSettings
from services.staging.app import create as create_staging
from services.staging.settings import StagingSettings
from services.together import TogetherSettings, create_together, together
from shared.fhir.outcome import Refused, Unavailable, Unreadable
from shared.service.access import SERVICE
from shared.service.serving import served
from shared.service.settings import Settings, load
from tests import synthetic

SECRET: Final = "one secret of this test"
KNOWN: Final = SecretStr(SECRET)
API: Final = "another secret of this test"
NOBODY: Final = "http://127.0.0.1:9/fhir"
JSON: Final = {"Content-Type": "application/json"}
ACTS: Final = ("/careplans", "/decisions")
FUNCTIONS: Final = [("POST", "/recommend"), ("POST", "/drugs"), ("GET", "/regimens"), ("GET", "/regimens/cisplatin-paclitaxel")]
STAGING: Final = [("POST", "/stage"), ("POST", "/fhir/$stage"), ("GET", "/editions")]
IN_PUBLIC: Final[list[dict[str, Any]]] = [
    {"host": "0.0.0.0"},
    {"host": ""},
    {"public_url": "https://figaro.example/ingest"},
    {"public_url": "http://127.0.0.1.evil.example"},
    {"trusted_proxies": ("127.0.0.1",)},
]
AT_HOME: Final[list[dict[str, Any]]] = [{}, {"host": "localhost"}, {"host": "::1"}, {"public_url": "http://127.0.0.1:8000/ingest"}]


async def asked(url: str, method: str = "POST", **headers: str) -> tuple[int, str]:
    """Status and words of the answer to an empty body of JSON."""
    headers = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with aiohttp.ClientSession() as session, session.request(method, url, data=b"{}", headers=headers) as answer:
        return answer.status, await answer.text()


@pytest.fixture
async def guarded() -> AsyncIterator[str]:
    """Recommend as a hospital runs it, behind a proxy."""
    settings = RecommendSettings(fhir_base=NOBODY, service_secret=KNOWN, trusted_proxies=("127.0.0.1",))
    async with served(create_recommend(settings)) as address:
        yield address


@pytest.fixture
async def at_home() -> AsyncIterator[str]:
    """Recommend on a developer's machine, told nothing."""
    async with served(create_recommend(RecommendSettings(fhir_base=NOBODY))) as address:
        yield address


@pytest.mark.parametrize("told", IN_PUBLIC, ids=str)
@pytest.mark.parametrize(("kind", "name"), [(StagingSettings, "SERVICE"), (RecommendSettings, "SERVICE"), (IngestSettings, "API")])
def test_api8_no_service_starts_open_to_others_without_its_secret(kind: type[Settings], name: str, told: dict[str, Any]) -> None:
    """OWASP API8, API2: also where it listens on this machine alone and others come through a proxy."""
    with pytest.raises(Refused, match=f"FIGARO_{name}_SECRET is not set"):
        load(kind, **told)
    assert load(kind, **told, service_secret=KNOWN, api_secret=API).public


@pytest.mark.parametrize("told", AT_HOME, ids=str)
def test_on_this_machine_alone_no_secret_is_needed(told: dict[str, Any]) -> None:
    for kind in (StagingSettings, RecommendSettings, IngestSettings, TogetherSettings):
        assert not load(kind, **told).public


def test_all_three_in_one_process_have_a_secret_that_no_other_process_has() -> None:
    one, other = TogetherSettings().service_secret, TogetherSettings().service_secret
    assert one is not None
    assert other is not None
    assert one.get_secret_value() != other.get_secret_value()
    assert len(one.get_secret_value()) > 40
    assert one.get_secret_value() not in repr(TogetherSettings(service_secret=one))


@pytest.mark.parametrize("act", ACTS)
async def test_api5_an_act_is_for_our_own_services_only(guarded: str, act: str) -> None:
    """OWASP API5: neither without the secret, nor with another, nor with it in another place."""
    wrong: list[dict[str, str]] = [{}, {SERVICE: ""}, {SERVICE: SECRET + "x"}, {SERVICE: API}, {"Authorization": f"Bearer {SECRET}"}]
    for headers in wrong:
        status, said = await asked(f"{guarded}{act}?{SERVICE}={SECRET}", **headers)
        assert (status, "FIGARO_SERVICE_SECRET" in said, SECRET in said) == (403, True, False)
    status, _ = await asked(f"{guarded}{act}", **{SERVICE: SECRET, "Authorization": "Bearer hers"})
    assert status == 422


@pytest.mark.parametrize("act", ACTS)
async def test_an_act_is_refused_on_this_machine_too_and_says_what_to_set(at_home: str, act: str) -> None:
    status, said = await asked(at_home + act, Authorization="Bearer hers")
    assert status == 403
    assert "FIGARO_SERVICE_SECRET is not set: give ingest and recommend the same one" in said


@pytest.mark.parametrize(("method", "route"), FUNCTIONS)
async def test_a_function_is_for_our_own_services_where_others_come_in(guarded: str, at_home: str, method: str, route: str) -> None:
    assert (await asked(guarded + route, method))[0] == 403
    assert (await asked(guarded + route, method, **{SERVICE: SECRET}))[0] in (200, 422)
    assert (await asked(at_home + route, method))[0] in (200, 422)


@pytest.mark.parametrize(("method", "route"), STAGING)
async def test_a_function_of_staging_is_too(method: str, route: str) -> None:
    async with served(create_staging(StagingSettings(service_secret=KNOWN, trusted_proxies=("127.0.0.1",)))) as guarded:
        assert (await asked(guarded + route, method))[0] == 403
        assert (await asked(guarded + route, method, **{SERVICE: SECRET}))[0] in (200, 422)
    async with served(create_staging(StagingSettings())) as open_here:
        assert (await asked(open_here + route, method))[0] in (200, 422)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
async def test_what_a_web_page_may_send_unasked_is_no_body(at_home: str, kind: str) -> None:
    """A browser sends these to any address, and asks nobody before."""
    async with served(create_staging(StagingSettings())) as staging:
        for url in (f"{at_home}/recommend", f"{at_home}/drugs", f"{staging}/stage", f"{staging}/fhir/$stage"):
            assert (await asked(url, **{"Content-Type": kind}))[0] == 415
    app = create_recommend(RecommendSettings(fhir_base=NOBODY, service_secret=KNOWN))
    async with served(app) as address:
        assert [(await asked(address + act, **{"Content-Type": kind, SERVICE: SECRET}))[0] for act in ACTS] == [415, 415]


async def test_a_web_page_of_another_origin_is_not_answered_on_this_machine(at_home: str) -> None:
    for foreign in ("https://evil.example", "null", "http://127.0.0.1:1"):
        assert (await asked(f"{at_home}/recommend", Origin=foreign))[0] == 403
    assert (await asked(f"{at_home}/recommend", Origin=at_home))[0] == 422


async def test_a_name_that_was_turned_to_this_machine_is_not_answered(at_home: str, guarded: str) -> None:
    """DNS rebinding: the page says its own name, and reads nothing; where a secret is asked for, any name is right."""
    for name in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "xn--", "127.0.0.1@evil.example"):
        for route in ("/regimens", "/health/live", "/docs", "/metrics"):
            assert (await asked(at_home + route, "GET", Host=name))[0] == 421
    port = at_home.rpartition(":")[2]
    for name in ("127.0.0.1", f"localhost:{port}", f"[::1]:{port}"):
        assert (await asked(f"{at_home}/regimens", "GET", Host=name))[0] == 200
    assert (await asked(f"{guarded}/regimens", "GET", Host="figaro.example", **{SERVICE: SECRET}))[0] == 200


FORWARDED: Final = [
    {"X-Forwarded-For": "203.0.113.9"},
    {"x-forwarded-host": "figaro.example"},
    {"X-Forwarded-Proto": "https"},
    {"X-Real-IP": "203.0.113.9"},
    {"Forwarded": "for=203.0.113.9"},
    {"Via": "1.1 proxy"},
]


@pytest.mark.parametrize("said", FORWARDED, ids=lambda said: next(iter(said)))
async def test_api2_api8_what_a_proxy_brings_is_not_taken_for_this_machine(said: dict[str, str], at_home: str, guarded: str) -> None:
    """OWASP API2, API8: a proxy here that calls us 127.0.0.1 says by these whom it asks for; told of it we ask for the secret."""
    for route in ("/regimens", "/health/live", "/metrics"):
        status, told = await asked(at_home + route, "GET", **said)
        assert (status, "FIGARO_PUBLIC_URL" in told) == (421, True)
    assert (await asked(f"{guarded}/regimens", "GET", **said, **{SERVICE: SECRET}))[0] == 200


async def test_api2_api8_all_three_in_one_process_open_and_erase_nothing_through_a_proxy_nobody_told_of(tmp_path: Path) -> None:
    async with served(create_together(TogetherSettings(fhir_base=NOBODY, data_directory=tmp_path))) as address:
        for route in ("/ingest/cases", "/ingest/cases/erase", "/staging/stage", "/recommend/recommend"):
            assert [(await asked(address + route, **said))[0] for said in FORWARDED] == [421] * len(FORWARDED)


@pytest.mark.parametrize(
    "told", [{}, {"trusted_proxies": ("127.0.0.1",), "api_secret": API, "service_secret": KNOWN}], ids=["here", "public"]
)
async def test_se05_se07_no_service_redirects_to_where_a_slash_is_right(tmp_path: Path, told: dict[str, Any]) -> None:
    """SE-05, SE-07: the redirect went to the Host that was sent, over http, and took the query with it: `code` and `state` of a sign-in."""
    app = create_together(TogetherSettings(fhir_base=NOBODY, data_directory=tmp_path, **told))
    routes = [f"{place}{route}" for place, one in [("", app), *mounted(app)] for route in one.openapi()["paths"]]
    assert {"/ingest/callback/{issuer}", "/staging/stage", "/recommend/recommend", "/health/live"} <= set(routes)
    async with served(app) as address, aiohttp.ClientSession() as session:
        for route in (*routes, "/ingest", "/ingest/notifications/x/y/z", "/ingest/app/x"):
            url = f"{address}{route.removesuffix('/')}{'' if route.endswith('/') else '/'}?code=A&state=B"
            for method in ("GET", "POST"):
                async with session.request(method, URL(url), data=b"{}", headers=JSON, allow_redirects=False) as answer:
                    assert (answer.status not in range(300, 400), answer.headers.get("Location")) == (True, None), url


def mounted(app: FastAPI) -> list[tuple[str, FastAPI]]:
    return [(route.path, route.app) for route in app.routes if isinstance(route, Mount) and isinstance(route.app, FastAPI)]


async def test_what_tells_of_the_installation_is_for_those_who_run_it(guarded: str) -> None:
    """OWASP API9: no page with scripts from elsewhere, and no list of what there is, for who comes by."""
    known = {"Authorization": f"Bearer {SECRET}"}
    for route in ("/openapi.json", "/metrics"):
        assert (await asked(guarded + route, "GET"))[0] == 401
        assert (await asked(guarded + route, "GET", Authorization="Bearer another"))[0] == 401
        assert (await asked(guarded + route, "GET", **known))[0] == 200
    assert [(await asked(f"{guarded}/docs", "GET", **more))[0] for more in ({}, known)] == [404, 404]
    assert (await asked(f"{guarded}/health/live", "GET"))[0] == 200
    status, said = await asked(f"{guarded}/health/ready", "GET")
    assert (status, json.loads(said)) == (200, {"status": "ready"})
    assert "knowledge" in json.loads((await asked(f"{guarded}/health/ready", "GET", **known))[1])


def test_no_route_of_staging_and_recommend_but_health_answers_everybody() -> None:
    """The list of what is open is this one; a new route is guarded unless it is added here."""
    told: dict[str, Any] = {"service_secret": KNOWN, "trusted_proxies": ("127.0.0.1",)}
    for app in (create_staging(StagingSettings(**told)), create_recommend(RecommendSettings(**told))):
        assert {route for route in routes(app) if "{" not in route and not _needs(app, route)} == {"/health/live", "/health/ready"}


def routes(app: FastAPI) -> set[str]:
    """Every path of an application that is in its description."""
    return set(app.openapi()["paths"])


def _needs(app: FastAPI, route: str) -> bool:
    client = TestClient(app, base_url="http://127.0.0.1")
    method = "get" if "get" in app.openapi()["paths"][route] else "post"
    return client.request(method, route, headers=JSON).status_code in (401, 403)


@pytest.mark.server
async def test_all_three_in_one_process_refuse_whoever_writes_beside_them_and_stage_for_a_developer(tmp_path: Path) -> None:
    """Their own secret is known to nobody, so a forged recommendation or author comes from nobody."""
    settings = TogetherSettings(fhir_base=NOBODY, data_directory=tmp_path, port=0, poll_seconds=0.05)
    async with together(settings) as address:
        for act in ACTS:
            assert (await asked(f"{address}/recommend{act}", Authorization="Bearer hers"))[0] == 403
        fhir, url = {"Content-Type": "application/fhir+json"}, f"{address}/staging/fhir/$stage"
        async with aiohttp.ClientSession(headers=fhir) as session, session.post(url, data=synthetic.raw("ivb-cps-10")) as answer:
            assert answer.status == 200


async def test_the_three_in_one_guard_the_functions_too_where_others_come_in(tmp_path: Path) -> None:
    told: dict[str, Any] = {"api_secret": API, "public_url": "https://figaro.example/ingest", "data_directory": tmp_path}
    async with served(create_together(TogetherSettings(fhir_base=NOBODY, **told))) as address:
        for place in ("", "/ingest", "/staging", "/recommend"):
            assert (await asked(f"{address}{place}/metrics", "GET"))[0] == 401
            assert (await asked(f"{address}{place}/metrics", "GET", Authorization=f"Bearer {API}"))[0] == 200
            assert (await asked(f"{address}{place}/docs", "GET"))[0] == 404
        for method, route in STAGING:
            assert (await asked(f"{address}/staging{route}", method, Authorization=f"Bearer {API}"))[0] == 403
        for method, route in FUNCTIONS:
            assert (await asked(f"{address}/recommend{route}", method))[0] == 403


async def test_ingest_asks_others_for_its_secret_and_on_this_machine_answers_no_foreign_page(tmp_path: Path) -> None:
    async with served(create_ingest(IngestSettings(fhir_base=NOBODY, data_directory=tmp_path))) as address:
        assert (await asked(f"{address}/cases", "GET"))[0] == 200
        assert (await asked(f"{address}/cases", "GET", Origin=address))[0] == 200
        assert (await asked(f"{address}/cases", "GET", Origin="https://evil.example"))[0] == 403
        assert (await asked(f"{address}/cases", "GET", Host="evil.example"))[0] == 421


async def test_ingest_is_told_what_to_set_and_with_the_same_secret_it_is_heard(at_home: str) -> None:
    app = create_recommend(RecommendSettings(fhir_base=NOBODY, service_secret=KNOWN))
    async with aiohttp.ClientSession() as session, served(app) as guarded:
        for address, secret in ((at_home, KNOWN), (guarded, None), (guarded, SecretStr(API))):
            with pytest.raises(Refused, match="FIGARO_SERVICE_SECRET"):
                await _neighbours(session, address, secret).publish(b"{}", b"{}", b"{}", NOBODY)
        with pytest.raises(Unreadable, match="The body cannot be read"):
            await _neighbours(session, guarded, KNOWN).publish(b"{}", b"{}", b"{}", NOBODY)


async def test_the_secret_and_a_clinicians_token_go_to_no_address_that_a_neighbour_names() -> None:
    heard: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.json_response({})

    async def redirected(request: web.Request) -> web.Response:
        raise web.HTTPTemporaryRedirect(str(request.url.with_path("/elsewhere")))

    app = web.Application()
    app.router.add_post("/elsewhere", elsewhere)
    app.router.add_post("/careplans", redirected)
    async with TestServer(app, host="127.0.0.1") as server, aiohttp.ClientSession() as session:
        with pytest.raises(Unavailable):
            await _neighbours(session, str(server.make_url("")), KNOWN).publish(b"{}", b"{}", b"{}", NOBODY)
    assert heard == []


def _neighbours(session: aiohttp.ClientSession, recommend: str, secret: SecretStr | None) -> Neighbours:
    return Neighbours(session, staging_url="http://127.0.0.1:9", recommend_url=recommend, timeout=20, secret=secret)
