"""How one server is asked: so many requests at once, so many a second, and not at all for a while after it has failed in a row (FC-06)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.fhir.outcome import FigaroError, Unavailable


class Pace:
    """One for each server and process: clients with different tokens for one server share it.

    `per_second` spaces the requests out; after `failures` failures in a row nothing is sent for `rest` seconds, then one request tries.
    """

    def __init__(self, *, concurrency: int = 8, per_second: float | None = None, failures: int = 8, rest: float = 30) -> None:
        self._places = asyncio.Semaphore(concurrency)
        self._apart = 1 / per_second if per_second else 0.0
        self._next = 0.0
        self._limit = failures
        self._rest = rest
        self._failed = 0
        self._until = 0.0

    @asynccontextmanager
    async def turn(self, place: str) -> AsyncIterator[None]:
        """The right to send one request. Raises Unavailable at once while the server rests; `place` names it."""
        async with self._places:
            self._check(place)
            await self._spaced()
            try:
                yield
            except Unavailable as error:
                if error.code in ("transient", "timeout"):  # who asks us to slow down, or stumbles over one question, is there
                    self._failed += 1
                    self._until = time.monotonic() + self._rest
                raise
            except FigaroError:
                self._failed = 0
                raise
            self._failed = 0

    def _check(self, place: str) -> None:
        if self._failed < self._limit:
            return
        left = self._until - time.monotonic()
        if left > 0:
            text = f"{place} has failed {self._failed} times in a row and is left alone for {left:.0f} s: look whether it is up."
            raise Unavailable(text, code="exception", retry_after=left)
        self._until = time.monotonic() + self._rest  # this one tries; the others wait for what comes of it

    async def _spaced(self) -> None:
        if self._apart:
            now = time.monotonic()
            self._next = max(now, self._next)
            wait, self._next = self._next - now, self._next + self._apart
            await asyncio.sleep(wait)
