"""How often our own doors may be knocked at: by one client address, one FHIR server once it has shown who it is, one session (SE-12).

Each process counts for itself, in memory. What a door turns away with 429 is lost nowhere: a sender tries again after `Retry-After`, and
what it does not send again a sweep finds.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from threading import Lock
from typing import Literal

from fastapi import Request
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from services.ingest.settings import IngestSettings
from shared.fhir.outcome import Unavailable

Door = Literal["notifications", "cases", "launch", "callback", "hooks", "pages"]


class Limits:
    """A moving window for each door and each that knocks. The library's asyncio storage would wait for the threads that the ledger uses."""

    def __init__(self, settings: IngestSettings) -> None:
        self._windows = MovingWindowRateLimiter(MemoryStorage())
        self._rates = {
            "notifications": parse(settings.rate_notifications),
            "cases": parse(settings.rate_cases),
            "launch": parse(settings.rate_launch),
            "callback": parse(settings.rate_launch),
            "hooks": parse(settings.rate_hooks),
            "pages": parse(settings.rate_pages),
        }

    def knock(self, door: Door, who: str) -> None:
        """Counts one. Raises Unavailable (429, with the seconds after which it will do) where it is one too many."""
        rate = self._rates[door]
        if self._windows.hit(rate, door, who):
            return
        free = self._windows.get_window_stats(rate, door, who).reset_time - time.time()
        text = f"Too many requests: this address takes {rate} of each sender (FIGARO_RATE_{_setting(door)}). Try again later."
        raise Unavailable(text, status=429, code="throttled", retry_after=max(1, math.ceil(free)))


def limited(door: Door) -> Callable[[Request], Awaitable[None]]:
    """For `dependencies=[Depends(limited("launch"))]`: so many of one client address, before anything else is looked at."""

    async def knocked(request: Request) -> None:
        _of(request).knock(door, f"client {_network(request)}")

    return knocked


def limited_for(request: Request, door: Door, issuer: str) -> None:
    """So many for one issuer. To be called once it is known for certain, else anyone could use up what is another's. Raises Unavailable."""
    _of(request).knock(door, f"issuer {issuer}")


def limited_in(request: Request, launch: str) -> None:
    """So many pages in one session. To be called once its cookie was there, else anyone could use up hers. Raises Unavailable."""
    _of(request).knock("pages", f"launch {launch}")


class Places:
    """So many at once for each who asks."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = Counter[str]()
        self._lock = Lock()

    def take(self, who: str) -> bool:
        """Whether there was a place; whoever got one leaves it in the end."""
        with self._lock:
            free = self._taken[who] < self._most
            self._taken[who] += free
            return free

    def leave(self, who: str) -> None:
        """Gives a place back, from any thread."""
        with self._lock:
            self._taken[who] -= 1
            self._taken += Counter()  # forgets who has none


def _of(request: Request) -> Limits:
    limits: Limits = request.app.state.limits
    return limits


def _network(request: Request) -> str:
    """The peer's address; of IPv6 its network, because one machine has as many addresses there as it likes."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    mapped = getattr(address, "ipv4_mapped", None) or address
    return str(mapped if mapped.version == 4 else ipaddress.ip_network((mapped, 64), strict=False))


def _setting(door: Door) -> str:
    return "LAUNCH" if door == "callback" else door.upper()
