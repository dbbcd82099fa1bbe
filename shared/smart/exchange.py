"""One HTTP exchange with an authorization server: https (or this machine), no redirect, little time, a small answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from shared.fhir.guard import fhir_base, is_loopback, listed, listing
from shared.fhir.outcome import NotFhir, Refused
from shared.fhir.refusal import Reply, refusal, unreached

SIZE: Final = 1_000_000  # bytes; a token or a smart-configuration has a few thousand
TOTAL: Final = 20.0  # seconds that one exchange may take in all
_CONNECT: Final = 5.0  # seconds
_REDIRECT: Final = "it answers with a redirect to {host}, which is not followed"
# What is asked here is no FHIR base, except that the smart-configuration stands below it.
_MOVED: Final[Mapping[str, str | None]] = {
    "": f"{_REDIRECT}: ask for its own address.",
    "The token endpoint": f"{_REDIRECT}: ask for its address, `token_endpoint` of the issuer.",
    "The smart-configuration": None,
}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=TOTAL, sock_connect=_CONNECT)

Clock = Callable[[], float]


@dataclass(frozen=True)
class Said:
    """An answer below 300, or a refusal with 4xx. `skew`: seconds by which the server's clock is ahead of ours; None: it told no time.

    `max_age`: seconds for which Cache-Control lets it be kept; None: it does not say.
    """

    status: int
    media: str
    body: bytes
    skew: float | None
    max_age: float | None = None


async def exchange(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    what: str,
    body: str | None = None,
    headers: Mapping[str, str] = {},
    clock: Clock = time.time,
) -> Said:
    """Sends one request; `what` names the peer in errors. Raises Unavailable (worth repeating) and NotFhir (a redirect, too much)."""
    place = f"{what} at {URL(url, encoded=True).host}"
    try:
        request = session.request(method, URL(url, encoded=True), data=body, headers=headers, allow_redirects=False, timeout=_TIMEOUT)
        async with request as answer:
            received = {name.lower(): value for name, value in answer.headers.items()}
            came, skew, kept = await _body(answer, place), _skew(received.get("date"), clock()), _max_age(received.get("cache-control", ""))
            said = Said(answer.status, answer.content_type.lower(), came, skew, kept)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise unreached(error, place, connect=_CONNECT, read=TOTAL, writing=False) from error
    if said.status >= 300 and said.status not in (400, 401, 403, 404):
        raise refusal(Reply(said.status, received, said.body), place, writing=False, moved=_MOVED.get(what, _MOVED[""]))
    return said


def endpoint(base: URL, link: str, hosts: Sequence[str]) -> str:
    """The address of an endpoint that the server at `base` names: on its own host or one of `hosts`, over https (SE-08, SE-09).

    The port counts: it is the base's own, the one that an entry of `hosts` names, or else the usual one. A relative one is resolved
    against the base (SM-05). Raises NotFhir, naming the host.
    """
    try:
        absolute = link if "://" in link else str(URL(f"{base}/").join(URL(link, encoded=True)))
        # As strict as for a base: no user name, no fragment, nothing that two parsers read in two ways. A query may be (RFC 6749, 3.2).
        url = fhir_base(absolute.partition("?")[0] if "#" not in absolute else absolute)
    except (Refused, ValueError):
        raise NotFhir(f"The server at {base.host} names an endpoint that cannot be read as an address.") from None
    if url.scheme != "https" and not is_loopback(url):
        raise NotFhir(f"The server at {base.host} names an endpoint on {url.host} that is plain http, and no secret goes there.")
    if (url.host, url.port) != (base.host, base.port) and not listed(url, hosts):
        where = url.host_port_subcomponent  # without the port, where it is the usual one
        raise NotFhir(f"The server at {base.host} names an endpoint on {where}: {listing(base, url)}.")
    return absolute


async def _body(answer: aiohttp.ClientResponse, place: str) -> bytes:
    chunks = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        chunks += chunk
        if len(chunks) > SIZE:
            raise NotFhir(f"{place} answered with more than {SIZE // 1_000_000} MB: is that the right address?")
    return bytes(chunks)


def _skew(date: str | None, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now


def _max_age(cache_control: str) -> float | None:
    """RFC 9111, 5.2.2; what may not be kept is kept for no second."""
    said = [part.strip().lower() for part in cache_control.split(",")]
    if "no-store" in said or "no-cache" in said:
        return 0.0
    age = next((part[8:].strip('"') for part in said if part.startswith("max-age=")), "")
    return float(age) if age.isdecimal() else None
