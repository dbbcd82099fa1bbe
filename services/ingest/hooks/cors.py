"""Which pages may call CDS Hooks from a browser: those that a CDS client of the issuers file names, and no other route (CH-60)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/cds-services"


class HookCors(CORSMiddleware):
    """CORS without credentials, for the addresses below /cds-services. `origins` is asked at each call: they are known once we run."""

    def __init__(self, app: ASGIApp, origins: Callable[[], Collection[str]]) -> None:
        super().__init__(app, allow_methods=("GET", "POST"), allow_headers=("Authorization", "Content-Type"), max_age=600)
        self._origins = origins

    def is_allowed_origin(self, origin: str) -> bool:
        return origin in self._origins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope.get("path", "")).removeprefix(scope.get("root_path", ""))
        if path == PATH or path.startswith(f"{PATH}/"):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)
