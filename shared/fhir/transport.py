"""One HTTP exchange with a FHIR server, within limits: time, size, number at once, repetitions. The only user of aiohttp in `shared/fhir`.

Reads are repeated after a refused or reset connection and after 429, 502, 503 and 504, with growing waits or the server's Retry-After.
Writes are sent once: whether a lost one arrived is the caller's to look up (FC-06, FC-07).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
import stamina
import structlog
from yarl import URL

from shared.fhir.answer import from_outcome
from shared.fhir.guard import fhir_base
from shared.fhir.outcome import FigaroError, NotFhir, Unavailable

FHIR_JSON: Final = "application/fhir+json"
Token = str | Callable[[], Awaitable[str]]


@dataclass(frozen=True)
class Limits:
    """Bounds of one client: seconds, bytes, pages. `total` spans an operation with its repetitions, `search` all pages of one."""

    connect: float = 5
    read: float = 30
    total: float = 120
    search: float = 600
    retry_after: float = 30
    size: int = 50_000_000
    pages: int = 1_000


@dataclass(frozen=True)
class Reply:
    """What came back with a status below 300. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Ask:
    """One request; `what` names it in errors."""

    method: str
    url: URL
    what: str
    body: bytes | None
    headers: Mapping[str, str]
    writing: bool = False


class Transport:
    """Sends requests to one FHIR base. The session given is used and left open; else one is made and closed."""

    def __init__(
        self, base_url: str, *, token: Token | None, session: aiohttp.ClientSession | None, limits: Limits, concurrency: int, retries: int
    ) -> None:
        self.base = fhir_base(base_url, with_token=token is not None)
        self.limits = limits
        self._token = token
        self._session = session
        self._own = session is None
        self._places = asyncio.Semaphore(concurrency)
        self._attempts = retries + 1

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._own and self._session is not None:
            await self._session.close()
            self._session = None

    async def read(self, url: URL, *, what: str, form: bytes | None = None, headers: Mapping[str, str] = {}) -> Reply:
        """A request without effect on the server, repeated while that may help; a `form` is posted.

        `what` names it in errors, without ids or values.
        """
        if form is None:
            ask = _Ask("GET", url, what, None, headers)
        else:
            ask = _Ask("POST", url, what, form, {"Content-Type": "application/x-www-form-urlencoded", **headers})
        repetition = stamina.retry_context(on=self._wait, attempts=self._attempts, timeout=self.limits.total, wait_initial=0.2)
        async for attempt in repetition:
            with attempt:
                reply = await self._send(ask)
        if not reply.body:
            raise NotFhir(f"{self._place(ask)} answered {reply.status} with an empty body: is that the FHIR base?")
        return reply

    async def write(self, method: str, url: URL, body: bytes | None, *, what: str, headers: Mapping[str, str] = {}) -> Reply:
        """A request with an effect, sent once. Unavailable with `outcome_unknown` when nobody can say whether it arrived."""
        more = {"Content-Type": FHIR_JSON, "Prefer": "return=representation", **headers}
        return await self._send(_Ask(method, url, what, body, more, writing=True))

    def _wait(self, error: Exception) -> bool | float:
        if not isinstance(error, Unavailable) or error.code not in ("transient", "throttled"):
            return False
        if error.retry_after is None:
            return True
        return min(error.retry_after, self.limits.retry_after) + random.uniform(0, 0.5)  # noqa: S311 -- only spreads the clients

    async def _send(self, ask: _Ask) -> Reply:
        async with self._places, self._within_total(ask):
            reply = await self._exchange(ask)
        if reply.status >= 300:
            raise self._refusal(reply, ask)
        if reply.body and not _is_json(reply):
            raise self._no_fhir(reply, ask)
        return reply

    @asynccontextmanager
    async def _within_total(self, ask: _Ask) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limits.total):
                yield
        except TimeoutError as error:
            late = f"{self._place(ask)} gave no whole answer within {self.limits.total:g} s: it is overloaded or the question too large."
            raise Unavailable(late, code="timeout", outcome_unknown=ask.writing) from error

    async def _exchange(self, ask: _Ask) -> Reply:
        if self._session is None:
            raise RuntimeError("a FhirClient is opened with `async with`")
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect, sock_read=self.limits.read)
        headers = await self._headers(ask.headers)
        request = self._session.request(ask.method, ask.url, data=ask.body, headers=headers, allow_redirects=False, timeout=timeout)
        try:
            async with request as response:
                received = {name.lower(): value for name, value in response.headers.items()}
                return Reply(response.status, received, await self._body(response, ask))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreached(error, ask) from error

    async def _headers(self, more: Mapping[str, str]) -> dict[str, str]:
        headers = {"Accept": FHIR_JSON, "Cache-Control": "no-cache", **more}
        if self._token is not None:
            token = self._token if isinstance(self._token, str) else await self._token()
            headers["Authorization"] = f"Bearer {token}"
        request_id = structlog.contextvars.get_contextvars().get("request_id")
        if request_id:
            headers["X-Request-Id"] = str(request_id)
        return headers

    async def _body(self, response: aiohttp.ClientResponse, ask: _Ask) -> bytes:
        chunks = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            chunks += chunk
            if len(chunks) > self.limits.size:
                raise NotFhir(f"{self._place(ask)} answered with more than {self.limits.size // 1_000_000} MB: ask for smaller pages.")
        return bytes(chunks)

    def _place(self, ask: _Ask) -> str:
        return f"The FHIR server at {self.base} ({ask.what})"

    def _unreached(self, error: Exception, ask: _Ask) -> Unavailable:
        place = self._place(ask)
        match error:
            case aiohttp.ClientConnectorDNSError():
                return Unavailable(f"{place} has a host name that does not resolve: check the base URL and the network.")
            case aiohttp.ClientConnectorSSLError():
                return Unavailable(f"{place} does not speak TLS there: is its address http, or the port another?", code="security")
            case aiohttp.ClientConnectorCertificateError():
                return Unavailable(
                    f"{place} shows a TLS certificate that this machine does not trust: install its issuer.", code="security"
                )
            case aiohttp.ConnectionTimeoutError():
                return Unavailable(f"{place} does not take connections within {self.limits.connect:g} s: check address and firewall.")
            case aiohttp.ClientConnectorError():
                return Unavailable(f"{place} refuses connections: is it running, and is that its port?")
            case TimeoutError():
                late = f"{place} was silent for {self.limits.read:g} s: it is overloaded or the question is too large."
                return Unavailable(late, code="timeout", outcome_unknown=ask.writing)
            case _:
                return Unavailable(f"{place} broke the connection before its answer was complete.", outcome_unknown=ask.writing)

    def _refusal(self, reply: Reply, ask: _Ask) -> FigaroError:
        if reply.status in (400, 404, 405) and "html" in _media(reply):
            return self._no_fhir(reply, ask)
        advice = _ADVICE.get(reply.status) or _ADVICE[reply.status // 100]
        if reply.status < 400:
            advice = advice.format(host=_host(reply.headers.get("location", "")))
        text = f"{self._place(ask)} answered {reply.status}: {advice}"
        error = from_outcome(reply.body, reply.status, retry_after=_seconds(reply.headers.get("retry-after")), text=text)
        if isinstance(error, Unavailable) and reply.status not in (429, 503):
            error.outcome_unknown = ask.writing
            error.code = "transient" if reply.status in (502, 504) else "exception"
        return error

    def _no_fhir(self, reply: Reply, ask: _Ask) -> NotFhir:
        media = _media(reply)
        kind = "a web page" if "html" in media else media or "something unnamed"
        return NotFhir(f"{self._place(ask)} answered with {kind}, not FHIR JSON: is that the FHIR base, which often ends in /fhir or /r4?")


_ADVICE: Final = {
    3: "it sends us on to {host}; use that server's FHIR address as the base URL, we follow no redirects.",
    4: "it refuses the request; its own issues tell why.",
    400: "it does not understand the request; its own issues tell why.",
    401: "the token is missing, spent or unknown to it: sign in again, or check how this client is registered.",
    403: "the token does not reach this far: ask for the scope, or check what this client is allowed.",
    404: "it has no such resource or operation, or does not show it to us.",
    406: "it offers no FHIR JSON here.",
    409: "it holds a newer version or a conflicting resource: read again, then write again.",
    410: "what was asked for is deleted or has expired.",
    412: "it holds a newer version, or several resources match the condition: read again, then write again.",
    413: "the request is too large for it: send fewer resources at once.",
    422: "the resource breaks one of its rules; its own issues tell which.",
    429: "it asks us to slow down: lower the concurrency or try later.",
    5: "it failed; try again later, and look into its log.",
    503: "it is not ready; try again later.",
}


def _media(reply: Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower()


def _is_json(reply: Reply) -> bool:
    media = _media(reply)
    return "json" in media or (not media and reply.body.lstrip()[:1] == b"{")


def _host(location: str) -> str:
    try:
        return URL(location).host or "another path of its own"
    except ValueError:
        return "an address that cannot be read"


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After, as seconds or as an HTTP date, in seconds from now; None when absent or unreadable."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        moment = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment.tzinfo else None
