"""Runs an ASGI application on uvicorn: until told to stop, or for as long as a block of code lasts."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from shared.fhir.outcome import FigaroError, Refused, Unavailable
from shared.service import log
from shared.service.connection import LARGEST, Impatient

# What is under way when a stop is asked for gets this long, in seconds.
GRACE = 10
# An idle connection is ended by the client (aiohttp after 15 s, proxies after up to 60 s): ended here, the next request could be lost.
IDLE = 75
# Connections at once, below what a process may usually open (1024 files). Beyond it the answer is 503.
CONNECTIONS = 800


def run(
    app: Any,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    log_level: str = "INFO",
    trusted_proxies: Iterable[str] = (),
    connections: int = CONNECTIONS,
) -> None:
    """Serves until SIGINT or SIGTERM, lets requests under way end, and returns. All logs of the process go through `shared.service.log`.

    What `trusted_proxies` (addresses, or networks as CIDR) say of a client's address and scheme is believed, and nobody else's word.
    Beyond so many `connections` at once the answer is 503.
    Raises Refused when the address cannot be taken, Unavailable when the application does not start.
    """
    log.configure(log_level)
    with _listen(host, port) as listener:
        server = _Ending(_config(app, trusted_proxies, connections))
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_serve(server, listener))


@asynccontextmanager
async def served(
    app: Any, *, host: str = "127.0.0.1", port: int = 0, trusted_proxies: Iterable[str] = (), connections: int = CONNECTIONS
) -> AsyncIterator[str]:
    """Yields the base URL of the application, served by this event loop on a free port; ends it on leaving."""
    with _listen(host, port) as listener:
        server = _Quiet(_config(app, trusted_proxies, connections))
        task = asyncio.create_task(_serve(server, listener))
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 -- uvicorn tells by an attribute only
                await asyncio.sleep(0.01)
            if not server.started:
                await task
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await asyncio.wait([task])


class _Starting:
    """The application, and the error with which its lifespan refused to begin: that is told in a sentence, and not as a traceback."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.refused: FigaroError | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: dict[str, Any]) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, FigaroError):
                self.refused = error
                message = {**message, "message": ""}
            await send(message)

        await self._app(scope, receive, told if scope["type"] == "lifespan" else send)


class _Ending(uvicorn.Server):
    """A server that returns when told to stop; uvicorn's own lets the signal end the process before the caller has tidied up."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Quiet(uvicorn.Server):
    """A server inside somebody else's process, whose signals are not its to take."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit as error:  # uvicorn's way of saying that the lifespan failed
        raise server.config.app.refused or Unavailable("The service did not start: its log tells why.") from error  # type: ignore[union-attr]


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=2048)
        # asyncio sets it for sockets that say they are TCP, which those of `create_server` do not; without it an answer waits 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except OSError as error:
        raise Refused(f"{host}:{port} cannot be listened on ({error.strerror}): choose another FIGARO_HOST or FIGARO_PORT.") from error


def _config(app: Any, trusted_proxies: Iterable[str], connections: int) -> uvicorn.Config:
    proxies = list(trusted_proxies)
    return uvicorn.Config(
        _Starting(app),
        http=Impatient,
        h11_max_incomplete_event_size=LARGEST,
        limit_concurrency=connections,
        ws="none",  # nobody speaks it here, and its handshake would go by these limits
        log_config=None,
        access_log=False,  # our own writes the path's template; uvicorn's would write queries with codes and tokens (LG-03)
        server_header=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=GRACE,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies,
    )
