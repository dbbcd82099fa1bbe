"""HTTP/1.1 that waits for nobody for ever: uvicorn's own protocol, with a limit to how long a request may take to arrive (OWASP API4).

uvicorn limits how large the headers may be, and only with h11; how long a connection may take to send them it does not limit at all.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

# Bytes of a request line and its headers: more than proxies let through in their default configuration, and no weight on us.
LARGEST: Final = 32_768
# Seconds for a request line and its headers, from the connection or the first byte; the same for what is left of a body nobody reads.
PATIENCE: Final = 10.0


class Impatient(H11Protocol):
    """Ends a connection that is expected to send and does not come to an end. A body that is being read is timed by `Rim`."""

    patience = PATIENCE
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begins to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Goes on waiting where the request is not whole yet, from when that wait began."""
        super().data_received(data)
        if not self._awaited:
            self._waited()
        elif self._late is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Waits no longer."""
        self._waited()
        super().connection_lost(exc)

    @property
    def _awaited(self) -> bool:
        ours, theirs = self.conn.our_state, self.conn.their_state
        return theirs is h11.IDLE or (theirs is h11.SEND_BODY and ours is h11.DONE)

    def _wait(self) -> None:
        self._late = self.loop.call_later(self.patience, self._end)

    def _waited(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._late = None
        if self._awaited and not self.transport.is_closing():
            self.transport.close()
