"""A user's grant while her session lasts: a token that is always good, renewed by one process at a time, and given back in the end."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Final, NoReturn

import structlog

from services.ingest.launched import Held, Tokens
from services.ingest.launches import CLAIM_LIFE, Launches
from shared.fhir.client import FhirClient
from shared.fhir.outcome import FigaroError, Stuck, Unavailable
from shared.smart.app import App, Apps
from shared.smart.code import SessionOver
from shared.smart.servers import Servers

BACK_OFF: Final = timedelta(seconds=10)  # before a token endpoint that did not answer is asked again (SM-62)
_LOOK_AGAIN: Final = 0.1  # seconds; another process may be renewing
_log = structlog.get_logger("figaro.ingest")


class Grants:
    """The grants of all sessions."""

    def __init__(self, launches: Launches, apps: Apps, servers: Servers) -> None:
        self.apps = apps
        self._launches = launches
        self._servers = servers

    def authority(self, launch: str) -> UserToken:
        """The right of a session's user, for a FhirClient: for one piece of work, and never kept."""
        return UserToken(launch, self._launches, self.apps)

    async def reader(self, launch: str) -> tuple[FhirClient, tuple[str, ...]]:
        """The server as the user of a session sees it, and the scopes granted. Raises Stuck when the session has ended."""
        held = await asyncio.to_thread(self._launches.held, launch)
        if held is None:
            over()
        return self._servers.on_behalf(held.base, self.authority(launch)), held.scopes

    async def end(self, launch: str) -> None:
        """Ends a session: its tokens are forgotten here, and then revoked there (SM-64, SM-66)."""
        ended = await asyncio.to_thread(self._launches.end, launch)
        if ended is None or ended[1] is None or (app := self.apps.of(ended[0])) is None:
            return
        tokens = (("refresh_token", ended[1].refresh), ("access_token", ended[1].access))
        try:
            await app.tokens.revoke(await app.configuration(), tuple((hint, token) for hint, token in tokens if token))
        except FigaroError as error:
            _log.warning("token_not_revoked", issuer=app.issuer.id, error=type(error).__name__)

    async def tidy(self) -> None:
        """Ends the sessions whose time is over."""
        for launch in await asyncio.to_thread(self._launches.over):
            await self.end(launch)


class UserToken:
    """An Authority of `shared.fhir.transport`: the access token of a session, decrypted for each request and kept nowhere else."""

    def __init__(self, launch: str, launches: Launches, apps: Apps) -> None:
        self._launch = launch
        self._launches = launches
        self._apps = apps
        self._refused: str | None = None
        self._once = False

    async def header(self) -> str:
        """`Bearer …`. Raises Stuck when the session has ended, Unavailable while its token cannot be renewed."""
        late = time.monotonic() + CLAIM_LIFE.total_seconds()
        while True:
            held = await asyncio.to_thread(self._launches.held, self._launch)
            if held is None:
                over()
            usable = self._usable(held.tokens)
            if usable and time.time() < held.tokens.renew:
                return f"Bearer {held.tokens.access}"
            if held.tokens.refresh is None or (app := self._apps.of(held.base)) is None:
                return f"Bearer {held.tokens.access}" if usable else over()
            if await asyncio.to_thread(self._launches.claim, self._launch, held.turn):
                await self._renew(held, held.tokens.refresh, app, usable)
            elif usable:  # somebody else sees to it
                return f"Bearer {held.tokens.access}"
            elif time.monotonic() > late:
                raise Unavailable("The token of this session is being renewed, and that takes too long.", retry_after=10)
            else:
                await asyncio.sleep(_LOOK_AGAIN)

    async def refused(self, header: str | None = None) -> None:
        """The token is renewed once for a 401, and not again (SM-63)."""
        if not self._once and header is not None:
            self._refused, self._once = header.removeprefix("Bearer "), True

    def _usable(self, tokens: Tokens) -> bool:
        return time.time() < tokens.until and tokens.access != self._refused

    async def _renew(self, held: Held, refresh: str, app: App, usable: bool) -> None:
        try:
            grant = await app.tokens.refresh(await app.configuration(), refresh, held.scopes)
        except SessionOver:
            await asyncio.to_thread(self._launches.end, self._launch)
            _log.info("session_over", issuer=app.issuer.id)
            over()
        except FigaroError:
            await asyncio.to_thread(self._launches.yield_claim, self._launch, held.turn, after=BACK_OFF)
            if not usable:
                raise
            return
        self._refused = None
        _log.info("token_renewed", issuer=app.issuer.id)
        await asyncio.to_thread(self._launches.renewed, self._launch, held.turn, Tokens.of(grant, refresh), grant.scopes)


def over() -> NoReturn:
    """Raises Stuck: without a session nothing more can be read."""
    raise Stuck("The clinician's session has ended, and with it the right to read: launch again from the patient's chart.")
