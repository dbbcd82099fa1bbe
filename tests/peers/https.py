"""An application over https, with a certificate of the test: what a browser asks of a page in another site's frame."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import trustme
import uvicorn


@asynccontextmanager
async def over_https(app: object, port: int, certificate: trustme.LeafCert, folder: Path) -> AsyncIterator[None]:
    """Serves it on loopback for as long as the block lasts; the certificate is kept in the folder."""
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "figaro.pem")
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, ssl_certfile=str(folder / "figaro.pem")))  # type: ignore[arg-type]
    server.capture_signals = nullcontext  # type: ignore[assignment,method-assign]
    task = asyncio.create_task(server.serve())
    while not server.started and not task.done():  # noqa: ASYNC110 -- uvicorn tells by an attribute only
        await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await task
