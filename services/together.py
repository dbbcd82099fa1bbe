"""All three services in one process, mounted at /ingest, /staging and /recommend. They still meet over HTTP, on this machine's own address.

With `services/cli.py` the only module that may import more than one service.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from pydantic import Field, SecretStr

from services.ingest.app import create as create_ingest
from services.ingest.pages.rendering import static_name
from services.ingest.running import ingest_in
from services.ingest.settings import IngestSettings
from services.recommend.app import create as create_recommend
from services.recommend.settings import RecommendSettings
from services.staging.app import create as create_staging
from services.staging.settings import StagingSettings
from shared.service.access import Access
from shared.service.app import create_app
from shared.service.serving import served


class TogetherSettings(IngestSettings, StagingSettings, RecommendSettings):
    """The settings of all three. `staging_url` and `recommend_url` are this process's own, unless they are given."""

    service_secret: SecretStr | None = Field(default_factory=lambda: SecretStr(secrets.token_urlsafe(32)), min_length=16)
    """Both sides of it are in this process: where none is set it is random, and no other process has it."""


def create_together(settings: TogetherSettings) -> FastAPI:
    """The three services as one application, to be served at `settings.host` and `settings.port`."""
    services = {
        "/ingest": create_ingest(_meeting_here(settings)),
        "/staging": create_staging(settings),
        "/recommend": create_recommend(settings),
    }

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for service in services.values():  # a mounted application's lifespan is nobody's but ours to run
                await stack.enter_async_context(service.router.lifespan_context(service))
            yield

    async def ready() -> dict[str, object]:
        return await ingest_in(services["/ingest"]).check()

    app = create_app("Figaro", lifespan=lifespan, ready=ready, access=Access.of(settings))
    for path, service in services.items():
        app.mount(path, service)
    return app


@asynccontextmanager
async def together(settings: TogetherSettings) -> AsyncIterator[str]:
    """Serves all three for as long as the block lasts; yields the address they are mounted below. Port 0 is any free port."""
    port = settings.port or free_port(settings.host)
    async with served(create_together(settings.model_copy(update={"port": port})), host=settings.host, port=port) as address:
        yield address


def style_sheet(address: str) -> str:
    """Where the style sheet of the pages is, below the address of all three."""
    return f"{address}/ingest/app/static/{static_name('figaro.css')}"


def _meeting_here(settings: TogetherSettings) -> TogetherSettings:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104 -- compared, not bound
    here = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    own: dict[str, str | None] = {"staging_url": f"{here}/staging", "recommend_url": f"{here}/recommend"}
    own = {name: url for name, url in own.items() if name not in settings.model_fields_set}
    if "staging_url" in own:
        own["staging_secret"] = None  # that is for a staging elsewhere
    return settings.model_copy(update=own)


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    with socket.create_server((host, 0)) as listener:
        return int(listener.getsockname()[1])
