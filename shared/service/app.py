"""What every service has: health, metrics, documentation, and errors as FHIR OperationOutcome."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException

from shared.fhir.outcome import FigaroError, NotFound, OutcomeIssue, Refused, Unavailable, Unreadable, to_bytes
from shared.service.access import Access, HereOnly, access_of, operating, operator
from shared.service.rim import FHIR_JSON, Meters, Rim

log = structlog.get_logger("figaro.service")
Ready = Callable[[], Awaitable[Mapping[str, object] | None]]


def create_app(
    title: str,
    *,
    routers: Iterable[APIRouter] = (),
    lifespan: Any = None,
    ready: Ready | None = None,
    version: str = "0.1.0",
    body_limit: int = 50_000_000,
    body_seconds: float = 60,
    access: Access = Access(),  # noqa: B008 -- a frozen value
) -> FastAPI:
    """One service. `ready` raises Unavailable, saying what is missing, while the service cannot work; what it returns is shown.

    `body_limit` is in bytes; `body_seconds` is how long a body may take to arrive. `access` says who may ask; unless it is given,
    nobody but this machine.
    `app.state.registry` takes further metrics.
    """
    # Without an openapi_url there is no /docs either: its scripts come from elsewhere, and belong on no address of a hospital.
    openapi = None if access.public else "/openapi.json"
    app = FastAPI(title=title, version=version, lifespan=lifespan, redoc_url=None, openapi_url=openapi, redirect_slashes=False)
    app.state.access = access
    app.state.registry = CollectorRegistry()
    if not access.public:
        app.add_middleware(HereOnly)
    app.add_middleware(Rim, meters=Meters(app.state.registry), body_limit=body_limit, body_seconds=body_seconds)
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.include_router(_health(app, ready))
    for router in routers:
        app.include_router(router)
    return app


def answer(error: FigaroError) -> Response:
    """The HTTP answer for an error."""
    headers = {}
    if isinstance(error, Unavailable) and error.retry_after is not None:
        headers["Retry-After"] = str(max(0, round(error.retry_after)))
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 15.5.2
    return Response(to_bytes(error), status_code=error.status, media_type=FHIR_JSON, headers=headers)


def _health(app: FastAPI, ready: Ready | None) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/health/live")
    async def live() -> dict[str, str]:
        """The process runs."""
        return {"status": "live"}

    @router.get("/health/ready")
    async def is_ready(request: Request) -> dict[str, object]:
        """The service can do its work; what it says of itself is for those who run it."""
        details = await ready() if ready is not None else None
        return {"status": "ready", **((operator(request) and details) or {})}

    @router.get("/openapi.json", include_in_schema=False, dependencies=[Depends(operating)])
    async def openapi() -> Response:
        return JSONResponse(app.openapi())

    @router.get("/metrics", include_in_schema=False, dependencies=[Depends(operating)])
    async def metrics() -> Response:
        return Response(generate_latest(app.state.registry), media_type=CONTENT_TYPE_LATEST)

    return router


async def _ours(_request: Request, error: Exception) -> Response:
    return answer(error if isinstance(error, FigaroError) else FigaroError("Something went wrong here."))


async def _http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    listed = "" if access_of(request).public else "; /docs lists what there is"
    if status == HTTPStatus.NOT_FOUND:
        response = answer(NotFound(f"There is nothing at this address{listed}."))
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        response = answer(Refused(f"This address does not take that method{listed}.", status=status, code="not-supported"))
    else:
        response = answer(Refused(str(getattr(error, "detail", "")) or HTTPStatus(status).phrase, status=status, code="processing"))
    response.headers.update(headers or {})
    return response


async def _validation(_request: Request, error: Exception) -> Response:
    wrong = error.errors() if isinstance(error, RequestValidationError) else []
    places = [".".join(map(str, one["loc"])) for one in wrong]
    issues = tuple(
        OutcomeIssue(severity="error", code="required" if one["type"] == "missing" else "value", expression=(place,))
        for one, place in zip(wrong, places, strict=True)
    )
    text = f"The request cannot be understood; look at: {', '.join(places)}."
    return answer(Unreadable(text, where=places[0] if places else None, outcome=issues))


def undecodable(error: Exception, where: str = "the body") -> Unreadable:
    """The error for JSON that is not what was asked for, without the sender's own words (which the decoder quotes)."""
    said = re.sub(r" '[^']*'", "", str(error))
    return Unreadable(f"{where[0].upper()}{where[1:]} cannot be read: {said}.", where=where)


def each_line(body: bytes, answering: Callable[[bytes], bytes]) -> bytes:
    """NDJSON in, NDJSON out, in the same order: a line that cannot be answered has an OperationOutcome in its place."""
    answers = []
    for number, line in enumerate(body.splitlines(), 1):
        if not line.strip():
            continue
        try:
            answers.append(answering(line))
        except FigaroError as error:
            answers.append(to_bytes(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            answers.append(to_bytes(undecodable(error, f"line {number}")))
        except Exception as error:
            log.exception("line_failed", line=number, error=type(error).__name__)
            answers.append(to_bytes(FigaroError(f"Line {number} could not be answered, and that is ours to mend: see the log.")))
    return b"\n".join(answers) + b"\n"


async def _undecodable(_request: Request, error: Exception) -> Response:
    return answer(undecodable(error))


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    FigaroError: _ours,
    HTTPException: _http,
    RequestValidationError: _validation,
    msgspec.DecodeError: _undecodable,
    UnicodeDecodeError: _undecodable,
    RecursionError: _undecodable,
}
