"""What every service has, seen from outside over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import Any

import aiohttp
import msgspec
import pytest
import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from shared.fhir.answer import from_outcome
from shared.fhir.outcome import FigaroError, Stuck, Unavailable, tree
from shared.service import log
from shared.service.app import create_app
from shared.service.serving import served

router = APIRouter()


class Born(BaseModel):
    year: int


class Told(msgspec.Struct):
    year: int


@router.get("/raise/{kind}")
async def raise_(kind: str) -> None:
    raise next(error for error in tree() if error.kind == kind)("A clear sentence.")


@router.get("/patients/{id}")
async def crash(id: str) -> None:
    structlog.get_logger().info("reading", patient=id, token="canary", nested={"name": "canary"}, sent="Bearer canary")
    raise RuntimeError(f"canary {id}")


@router.post("/born")
async def born(born: Born) -> dict[str, int]:
    return {"year": born.year}


@router.post("/told")
async def told(request: Request) -> dict[str, int]:
    return {"year": msgspec.json.decode(await request.body(), type=Told).year}


@router.get("/later")
async def later() -> None:
    raise Unavailable("The FHIR server is not ready.", retry_after=12)


@router.get("/long")
async def long() -> StreamingResponse:
    async def words() -> AsyncIterator[str]:
        for word in ("one", "two", "three", "four"):
            yield f"{word} "
            await asyncio.sleep(0.3)

    return StreamingResponse(words())


@router.get("/request-id")
async def request_id() -> Any:
    return structlog.contextvars.get_contextvars()["request_id"]


@pytest.fixture
def logged() -> Any:
    """What the service logs, as text."""
    root = logging.getLogger()
    before = root.handlers, root.level, structlog.get_config()
    stream = StringIO()
    log.configure("DEBUG", stream)
    yield stream
    root.handlers, root.level = before[:2]
    structlog.configure(**before[2])


@pytest.fixture
async def service() -> AsyncIterator[aiohttp.ClientSession]:
    app = create_app("a service", routers=[router], body_limit=1_000)
    async with served(app) as base_url, aiohttp.ClientSession(base_url) as session:
        yield session


async def outcome(response: aiohttp.ClientResponse) -> dict[str, Any]:
    assert response.content_type == "application/fhir+json"
    body: dict[str, Any] = json.loads(await response.read())
    assert body["resourceType"] == "OperationOutcome"
    return body


async def test_it_is_live_ready_measured_and_documented(service: aiohttp.ClientSession) -> None:
    for path in ("/health/live", "/health/ready", "/docs", "/openapi.json"):
        assert (await service.get(path)).status == 200
    text = await (await service.get("/metrics")).text()
    assert 'figaro_requests_total{method="GET",path="/health/live",status="200"} 1.0' in text


async def test_what_is_not_ready_says_why() -> None:
    async def ready() -> None:
        raise Unavailable("The ledger cannot be reached.", retry_after=3)

    async with served(create_app("a service", ready=ready)) as base_url, aiohttp.ClientSession(base_url) as session:
        response = await session.get("/health/ready")
        assert (response.status, response.headers["Retry-After"]) == (503, "3")
        assert "ledger" in (await outcome(response))["issue"][0]["details"]["text"]
        assert (await session.get("/health/live")).status == 200


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
async def test_each_of_our_errors_is_an_outcome_with_its_status(service: aiohttp.ClientSession, kind: type[FigaroError]) -> None:
    response = await service.get(f"/raise/{kind.kind}")
    assert response.status == kind.status
    back = from_outcome(json.dumps(await outcome(response)).encode(), response.status)
    assert type(back) is kind
    assert str(back) == "A clear sentence."


async def test_retry_after_is_a_header(service: aiohttp.ClientSession) -> None:
    assert (await service.get("/later")).headers["Retry-After"] == "12"


async def test_an_unknown_address_and_a_wrong_method_are_outcomes(service: aiohttp.ClientSession) -> None:
    missing, wrong = await service.get("/nowhere"), await service.put("/born")
    assert (missing.status, wrong.status, wrong.headers["Allow"]) == (404, 405, "POST")
    assert (await outcome(missing))["issue"][0]["code"] == "not-found"
    assert (await outcome(wrong))["issue"][0]["code"] == "not-supported"


@pytest.mark.parametrize("path", ["/born", "/told"])
@pytest.mark.parametrize("body", ['{"year": "canary"}', "{}", "canary", "", '{"year": {"canary": 1}}'])
async def test_a_body_that_cannot_be_read_is_a_422_that_repeats_no_value(service: aiohttp.ClientSession, path: str, body: str) -> None:
    response = await service.post(path, data=body, headers={"Content-Type": "application/json"})
    assert response.status == 422
    assert "canary" not in json.dumps(await outcome(response))


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_over_the_limit_is_a_413_declared_or_not(service: aiohttp.ClientSession, declared: bool) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100

    response = await service.post("/told", data=b" " * 2_000 if declared else chunks())
    assert response.status == 413
    assert "1000 bytes" in (await outcome(response))["issue"][0]["details"]["text"]


async def test_api4_a_body_that_does_not_arrive_is_a_408_and_the_end_of_the_connection() -> None:
    """OWASP API4: also where a byte of it drops in now and then; what answers for longer than that is not cut short."""

    async def drops() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.1)

    app = create_app("a service", routers=[router], body_seconds=0.5)
    async with asyncio.timeout(8), served(app) as base_url, aiohttp.ClientSession(base_url) as session:
        response = await session.post("/told", data=drops())
        assert (response.status, response.headers["Connection"]) == (408, "close")
        assert "0.5 s" in (await outcome(response))["issue"][0]["details"]["text"]
        assert (await (await session.get("/long")).text()).split() == ["one", "two", "three", "four"]


async def test_se05_se07_no_address_is_redirected_to_where_its_slash_is_right(service: aiohttp.ClientSession) -> None:
    """SE-05, SE-07: the redirect would go to the Host that was sent, without https, and with the query."""
    for path in ("/later/", "/health/live/?code=canary"):
        response = await service.get(path, allow_redirects=False, headers={"Host": "localhost"})
        assert (response.status, response.headers.get("Location")) == (404, None)


async def test_a_crash_is_a_500_without_a_trace_and_the_service_lives_on(service: aiohttp.ClientSession, logged: StringIO) -> None:
    response = await service.get("/patients/canary")
    told = json.dumps(await outcome(response))
    assert response.status == 500
    assert response.headers["X-Request-Id"] in told
    assert "canary" not in told
    assert "Traceback" not in told
    assert (await service.get("/health/live")).status == 200
    line = next(json.loads(line) for line in logged.getvalue().splitlines() if "unexpected" in line)
    assert (line["error"], line["at"].split(":")[0]) == ("RuntimeError", "crash")


async def test_lg01_lg03_the_log_holds_the_template_and_neither_path_nor_query_nor_value(
    service: aiohttp.ClientSession, logged: StringIO
) -> None:
    await service.get("/patients/canary?code=canary", headers={"Authorization": "Bearer canary"})
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert "canary" not in logged.getvalue()
    (request,) = [line for line in lines if line["event"] == "request"]
    assert (request["path"], request["status"], request["method"]) == ("/patients/{id}", 500, "GET")
    (reading,) = [line for line in lines if line["event"] == "reading"]
    assert reading["patient"] == reading["token"] == reading["nested"]["name"] == "[left out]"
    assert reading["request_id"] == request["request_id"]


async def test_lg03_what_fastapi_brings_along_has_its_own_path_in_the_log_and_nothing_else_has_a_stranger_s(logged: StringIO) -> None:
    """LG-03: within another application too, and where the method is wrong."""
    whole = create_app("several services")
    whole.mount("/one", create_app("a service", routers=[router]))
    async with served(whole) as base_url, aiohttp.ClientSession(base_url) as session:
        for path in ("/docs", "/openapi.json", "/one/docs", "/one/openapi.json", "/redoc", "/docs/canary", "/one/canary", "/one"):
            await session.get(path)
        await session.put("/docs")
        metrics = await (await session.get("/metrics")).text()
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    paths = [line["path"] for line in lines if line["event"] == "request"]
    assert paths == [*["/docs", "/openapi.json"] * 2, *["unmatched"] * 4, "/docs", "/metrics"]
    assert 'figaro_requests_total{method="GET",path="/docs",status="200"} 2.0' in metrics
    assert "canary" not in logged.getvalue() + metrics


@pytest.mark.parametrize(("given", "kept"), [("abc-1.2_3:4", True), ("a b", False), ("x" * 65, False), ("ü", False), ("", False)])
async def test_lg02_a_request_id_is_kept_when_it_is_one_and_made_otherwise(service: aiohttp.ClientSession, given: str, kept: bool) -> None:
    response = await service.get("/request-id", headers={"X-Request-Id": given})
    answered = response.headers["X-Request-Id"]
    assert await response.json() == answered
    assert (answered == given) is kept
    assert answered


async def test_lg02_a_request_to_a_service_within_another_is_one_line_with_one_id(logged: StringIO) -> None:
    """All three services in one process: whoever counts the lines counts the requests."""
    whole = create_app("several services")
    whole.mount("/one", create_app("a service", routers=[router]))
    async with served(whole) as base_url, aiohttp.ClientSession(base_url) as session:
        response = await session.get("/one/request-id")
        assert await response.json() == response.headers["X-Request-Id"]
        await session.get("/nowhere")
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["path"], line["status"]) for line in lines if line["event"] == "request"] == [("/request-id", 200), ("unmatched", 404)]


async def test_se05_every_answer_carries_the_safe_headers(service: aiohttp.ClientSession) -> None:
    for path in ("/health/live", "/nowhere", "/raise/refused"):
        headers = (await service.get(path)).headers
        assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == "frame-ancestors 'none'"


async def test_a_service_whose_lifespan_fails_is_an_error_and_no_hang() -> None:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        raise Stuck("The knowledge does not load.")
        yield

    with pytest.raises(Stuck, match="does not load"):
        async with served(create_app("a service", lifespan=lifespan)):
            pass
