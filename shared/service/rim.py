"""The outermost layer of each service: request id, size of the body, access log, metrics, safe headers, and the last word on an error."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.fhir.outcome import FigaroError, Refused, to_bytes

FHIR_JSON = "application/fhir+json"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_ID, _NOTED = "figaro.request_id", "figaro.noted"  # what an application and those mounted in it tell one another of a request
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SAFE = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "content-security-policy": "frame-ancestors 'none'",
}
_log = structlog.get_logger()


class Meters:
    """Requests by path template, method and status; seconds by path template."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("figaro_requests", "Requests answered", ["path", "method", "status"], registry=registry)
        self.seconds = Histogram("figaro_request_seconds", "Seconds until the last byte was sent", ["path"], registry=registry)


@dataclass
class _Answer:
    """What has been sent so far."""

    request_id: str
    status: int = 0
    since: float = field(default_factory=time.perf_counter)


class Rim:
    """ASGI middleware around one service."""

    def __init__(self, app: ASGIApp, *, meters: Meters, body_limit: int, body_seconds: float) -> None:
        self.app = app
        self.meters = meters
        self.body_limit = body_limit
        self.body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = _Answer(scope.setdefault(_ID, _request_id(headers.get("x-request-id", ""))))
        with structlog.contextvars.bound_contextvars(request_id=answer.request_id):
            sending = _sending(answer, send)
            try:
                if _declared(headers) > self.body_limit:
                    await respond(sending, self._too_large())
                else:
                    await self.app(scope, self._receiving(receive), sending)
            except Exception as error:
                await self._last_word(answer, sending, error)
            finally:
                self._note(scope, answer)

    def _receiving(self, receive: Receive) -> Receive:
        size, arriving = 0, True
        until = asyncio.get_running_loop().time() + self.body_seconds

        async def receiving() -> Message:
            nonlocal size, arriving
            try:
                # After the body comes only the end of the connection, and that may be waited for.
                async with asyncio.timeout_at(until if arriving else None):
                    message = await receive()
            except TimeoutError:
                text = f"The body did not arrive within {self.body_seconds:g} s."
                raise HTTPException(408, text, headers={"Connection": "close"}) from None
            arriving = message.get("more_body", False)
            size += len(message.get("body", b""))
            if size > self.body_limit:
                raise HTTPException(413, self._too_large().text)
            return message

        return receiving

    def _too_large(self) -> Refused:
        return Refused(f"The body is larger than {self.body_limit} bytes: send it in parts.", status=413, code="too-long")

    async def _last_word(self, answer: _Answer, send: Send, error: Exception) -> None:
        _log.error("unexpected", exc_info=error)
        if not answer.status:
            text = f"Something went wrong here, and it is ours to mend; tell us the request id {answer.request_id}."
            await respond(send, FigaroError(text))

    def _note(self, scope: Scope, answer: _Answer) -> None:
        path = _template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        seconds = time.perf_counter() - answer.since
        self.meters.requests.labels(path, method, answer.status).inc()
        self.meters.seconds.labels(path).observe(seconds)
        if scope.setdefault(_NOTED, self) is not self:  # by the service that is mounted here
            return
        # Probes come every few seconds and tell nothing when they succeed.
        level = "debug" if path.startswith(("/health", "/metrics")) and answer.status < 400 else "info"
        getattr(_log, level)("request", method=method, path=path, status=answer.status, ms=round(seconds * 1000, 1))


def _template(scope: Scope) -> str:
    """The path of the route that answered, as it is written there. FastAPI tells that of routes of its own kind, and /docs is none."""
    route = scope.get("route")
    if route is None and "endpoint" in scope:
        route = next((one for one in scope["app"].routes if getattr(one, "endpoint", None) is scope["endpoint"]), None)
    return str(getattr(route, "path", "unmatched"))


async def respond(send: Send, error: FigaroError) -> None:
    """Sends an error as its OperationOutcome."""
    body = to_bytes(error)
    headers = [(b"content-type", FHIR_JSON.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _sending(answer: _Answer, send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = answer.request_id
            for name, value in _SAFE.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def _request_id(given: str) -> str:
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0
