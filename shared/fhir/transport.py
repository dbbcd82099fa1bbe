"""One HTTP exchange with a FHIR server, within limits: time, size, number at once, repetitions.

Reads are repeated after a refused or reset connection and after 429, 502, 503 and 504, with growing waits or the server's Retry-After.
Writes are sent once: whether a lost one arrived is the caller's to look up (FC-06, FC-07). Two exceptions: a 401 is answered by a second
try with a fresh token, because what was refused was not done; and aiohttp sends a PUT or DELETE again on a kept connection that turns out
to be dead, as RFC 9110, 9.2.2 allows, which is why every update of ours has an If-Match or a content that is always the same.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Protocol, Self, runtime_checkable

import aiohttp
import stamina
import structlog
from yarl import URL

from shared.fhir.guard import Reach, below, fhir_base
from shared.fhir.outcome import NotFhir, Unavailable
from shared.fhir.pace import Pace
from shared.fhir.reach import guarded
from shared.fhir.refusal import Reply, no_fhir, refusal, unreached

FHIR_JSON: Final = "application/fhir+json"
# What is asked of a server where no patient is spoken of, by `what`.
_OF_NOBODY: Final = re.compile(r"metadata$|(create|read|update|delete|search) Subscription(Topic)?\b")


@runtime_checkable
class Authority(Protocol):
    """What gives a client its right to ask, for instance a SMART backend service; it keeps and renews its token itself."""

    async def header(self) -> str | None:
        """The value of the Authorization header, such as "Bearer …", or None. Asked before every request."""

    async def refused(self, header: str | None = None) -> None:
        """Told that the server answered 401 to this header: the next one shall be another, if there can be one."""


Token = str | Callable[[], Awaitable[str]] | Authority


class _Bearer:
    """A token that somebody else looks after."""

    def __init__(self, token: str | Callable[[], Awaitable[str]]) -> None:
        self._token = token

    async def header(self) -> str | None:
        return f"Bearer {self._token if isinstance(self._token, str) else await self._token()}"

    async def refused(self, header: str | None = None) -> None:
        return


def authority_of(token: Token | None) -> Authority | None:
    """Whatever a caller gave as its token, as an Authority; None for none."""
    return token if token is None or isinstance(token, Authority) else _Bearer(token)


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
class _Ask:
    """One request; `what` names it in errors."""

    method: str
    url: URL
    what: str
    body: bytes | None
    headers: Mapping[str, str]
    writing: bool = False


class Transport:
    """Sends requests to one FHIR base. The session given is used and left open; else one is made, that connects only within `reach`.

    `skew` is by how many seconds the server's clock is ahead of ours, as far as its last Date tells (FC-17).
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None,
        session: aiohttp.ClientSession | None,
        reach: Reach | None,
        limits: Limits,
        pace: Pace,
        retries: int,
    ) -> None:
        self.base = fhir_base(base_url, with_token=token is not None)
        self.limits = limits
        self.skew: float | None = None
        self._authority = authority_of(token)
        self._session = session
        self._own = session is None
        self._reach = reach or Reach(bases=[self.base])
        self._pace = pace
        self._attempts = retries + 1

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = guarded(self._reach)
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
        place = self._place(ask)
        async with self._pace.turn(place), self._within_total(ask):
            reply = await self._exchange(ask, place)
            if reply.status >= 300:
                raise refusal(reply, place, writing=ask.writing, quotable=bool(_OF_NOBODY.match(ask.what)))
        if reply.body and not reply.is_json:
            raise no_fhir(reply, place)
        return reply

    @asynccontextmanager
    async def _within_total(self, ask: _Ask) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self.limits.total):
                yield
        except TimeoutError as error:
            late = f"{self._place(ask)} gave no whole answer within {self.limits.total:g} s: it is overloaded or the question too large."
            raise Unavailable(late, code="timeout", outcome_unknown=ask.writing) from error

    async def _exchange(self, ask: _Ask, place: str) -> Reply:
        # No token goes outside the base that it is for (SE-10).
        authority = self._authority if below(self.base, ask.url) else None
        header = await authority.header() if authority else None
        reply = await self._once(ask, place, header)
        if authority and header and reply.status == 401:
            await authority.refused(header)
            if (fresh := await authority.header()) != header:
                return await self._once(ask, place, fresh)
        return reply

    async def _once(self, ask: _Ask, place: str, authorization: str | None) -> Reply:
        if self._session is None:
            raise RuntimeError("a FhirClient is opened with `async with`")
        limits = self.limits
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=limits.connect, sock_read=limits.read)
        headers = _headers(ask.headers, authorization)
        request = self._session.request(ask.method, ask.url, data=ask.body, headers=headers, allow_redirects=False, timeout=timeout)
        try:
            async with request as response:
                received = {name.lower(): value for name, value in response.headers.items()}
                reply = Reply(response.status, received, await self._body(response, place))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unreached(error, place, connect=limits.connect, read=limits.read, writing=ask.writing) from error
        if reply.date:
            self.skew = (reply.date - datetime.now(UTC)).total_seconds()
        return reply

    async def _body(self, response: aiohttp.ClientResponse, place: str) -> bytes:
        chunks = bytearray()
        async for chunk in response.content.iter_chunked(1 << 16):
            chunks += chunk
            if len(chunks) > self.limits.size:
                raise NotFhir(f"{place} answered with more than {self.limits.size // 1_000_000} MB: ask for smaller pages.")
        return bytes(chunks)

    def _place(self, ask: _Ask) -> str:
        return f"The FHIR server at {self.base} ({ask.what})"


def _headers(more: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    headers = {"Accept": FHIR_JSON, "Cache-Control": "no-cache", **more}
    if authorization:
        headers["Authorization"] = authorization
    if request_id := structlog.contextvars.get_contextvars().get("request_id"):
        headers["X-Request-Id"] = str(request_id)
    return headers
