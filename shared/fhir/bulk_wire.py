"""One HTTP exchange of a Bulk Data export: answers that may be large, kept elsewhere, or without a body.

The token goes to the server's own host and port, and to hosts that its issuer lists; to a file only where the manifest asks for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
from yarl import URL

from shared.fhir.guard import fhir_base, on_listed_host
from shared.fhir.outcome import NotFhir
from shared.fhir.pace import Pace
from shared.fhir.refusal import Reply, refusal, unreached
from shared.fhir.transport import Authority

_REFUSAL: Final = 1_000_000  # bytes of a refusal that are read
_MOVED: Final = "it sends us on to {host}, and redirects are not followed: its operators have to have it name that address itself."


@dataclass(frozen=True)
class BulkLimits:
    """Bounds of an export: seconds, bytes, numbers. `file` and `whole` are as stored, unpacked; `export` is until the manifest is there."""

    connect: float = 5
    read: float = 60
    export: float = 4 * 3600
    transfer: float = 6 * 3600
    shortest: float = 1
    longest: float = 300
    attempts: int = 6
    manifest: int = 50_000_000
    file: int = 20_000_000_000
    whole: int = 200_000_000_000
    files: int = 50_000

    @property
    def repetition(self) -> dict[str, Any]:
        """How stamina repeats what may be repeated."""
        return {"attempts": self.attempts, "timeout": None, "wait_initial": self.shortest / 2, "wait_jitter": self.shortest, "wait_max": 30}

    def clamped(self, seconds: float) -> float:
        """A wait within bounds: some servers send an instant where seconds are meant (BD-04)."""
        return max(self.shortest, min(seconds, self.longest))


class BulkWire:
    """The way to one server and to the hosts that its exports may be on."""

    def __init__(
        self,
        base_url: str,
        *,
        session: aiohttp.ClientSession,
        authority: Authority | None = None,
        hosts: Sequence[str] = (),
        pace: Pace | None = None,
        limits: BulkLimits | None = None,
    ) -> None:
        self.base = fhir_base(base_url, with_token=authority is not None)
        self.limits = limits or BulkLimits()
        self._authority = authority
        self._session = session
        self._hosts = tuple(hosts)
        self._pace = pace or Pace(concurrency=4)

    def admitted(self, link: str) -> URL:
        """An address that the server has named. Raises NotFhir where it is elsewhere."""
        return on_listed_host(self.base, link, self._hosts)

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: URL,
        *,
        what: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        with_token: bool = True,
        raw: bool = False,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body still to come; `raw`: as it is packed. Raises what a status of 300 and above stands for."""
        place = self.place(what)
        async with self._pace.turn(place):
            response = await self._sent(method, url, place, headers, body, with_token, raw)
            try:
                if response.status >= 300:
                    received = {name.lower(): value for name, value in response.headers.items()}
                    said = await self.body(response, place, _REFUSAL, cut=True)
                    moved = None if what == "start an export" else _MOVED
                    raise refusal(Reply(response.status, received, said), place, writing=False, moved=moved)
                yield response
            finally:
                if response.content.at_eof():
                    response.release()
                else:
                    response.close()

    async def chunks(self, response: aiohttp.ClientResponse, place: str) -> AsyncIterator[bytes]:
        """The body piece by piece. Raises Unavailable where the connection breaks."""
        try:
            async for chunk in response.content.iter_chunked(1 << 18):
                yield chunk
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise self._unreached(error, place) from error

    async def body(self, response: aiohttp.ClientResponse, place: str, most: int, *, cut: bool = False) -> bytes:
        """A small body. Raises NotFhir where it is larger than that, unless it may be `cut`."""
        held = bytearray()
        async for chunk in self.chunks(response, place):
            held += chunk
            if len(held) > most:
                if cut:
                    break
                raise NotFhir(f"{place} answered with more than {most // 1_000_000} MB.")
        return bytes(held[:most])

    def place(self, what: str) -> str:
        """The beginning of a sentence on an exchange."""
        return f"The FHIR server at {self.base} ({what})"

    async def _sent(
        self, method: str, url: URL, place: str, headers: Mapping[str, str], body: bytes | None, with_token: bool, raw: bool
    ) -> aiohttp.ClientResponse:
        authority = self._authority if with_token else None
        header = await authority.header() if authority else None
        response = await self._once(method, url, place, _with(headers, header), body, raw)
        if authority and header and response.status == 401:
            await authority.refused(header)
            if (fresh := await authority.header()) != header:
                response.release()
                return await self._once(method, url, place, _with(headers, fresh), body, raw)
        return response

    async def _once(
        self, method: str, url: URL, place: str, headers: Mapping[str, str], body: bytes | None, raw: bool
    ) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect, sock_read=self.limits.read)
        try:
            return await self._session.request(
                method, url, data=body, headers=headers, allow_redirects=False, timeout=timeout, auto_decompress=not raw
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreached(error, place, writing=method == "POST") from error

    def _unreached(self, error: Exception, place: str, *, writing: bool = False) -> Exception:
        return unreached(error, place, connect=self.limits.connect, read=self.limits.read, writing=writing)


def _with(headers: Mapping[str, str], authorization: str | None) -> dict[str, str]:
    return {**headers, **({"Authorization": authorization} if authorization else {})}
