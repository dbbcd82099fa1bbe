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
_PATIENCE: Final = CLAIM_LIFE.total_seconds()  # until another process has renewed the token, or its claim has ended
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
        await _ended(launch, self._launches, self.apps)

    async def forget(self, base: str, patient: str) -> int:
        """Ends every session with this patient; how many there were."""
        launches = await asyncio.to_thread(self._launches.of_patient, base, patient)
        await asyncio.gather(*map(self.end, launches))
        return len(launches)

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
        late = time.monotonic() + _PATIENCE
        while True:
            held = await asyncio.to_thread(self._launches.held, self._launch)
            if held is None:
                over()
            usable = self._usable(held.tokens)
            if usable and time.time() < held.tokens.renew:
                return f"Bearer {held.tokens.access}"
            if held.tokens.refresh is None or (app := self._apps.of(held.base)) is None:
                return f"Bearer {held.tokens.access}" if usable else over()
            if not held.claimed:
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
        """Renews the tokens, unless another process is about to."""
        try:
            said = await app.configuration()  # before the claim: a claim has time for one call of the token endpoint, and no more
        except FigaroError:
            if await self._claimed(held):
                await self._later(held)
            if not usable:
                raise
            return
        if not await self._claimed(held):
            return
        try:
            grant = await app.tokens.refresh(said, refresh, held.scopes)
        except SessionOver:
            await _ended(self._launch, self._launches, self._apps)
            _log.info("session_over", issuer=app.issuer.id)
            over()
        except FigaroError:
            await self._later(held)
            if not usable:
                raise
            return
        self._refused = None
        _log.info("token_renewed", issuer=app.issuer.id)
        tokens = Tokens.of(grant, refresh)
        kept = await asyncio.to_thread(self._launches.renewed, self._launch, held.turn, tokens, grant.scopes)
        if not kept and await asyncio.to_thread(self._launches.held, self._launch) is None:
            await give_back(app, tokens.access, tokens.refresh)  # it was ended meanwhile

    async def _claimed(self, held: Held) -> bool:
        return await asyncio.to_thread(self._launches.claim, self._launch, held.turn)

    async def _later(self, held: Held) -> None:
        await asyncio.to_thread(self._launches.yield_claim, self._launch, held.turn, after=BACK_OFF)


async def give_back(app: App, access: str, refresh: str | None) -> None:
    """Revokes tokens that nobody will use, the refresh token first (SM-64). Never fails: that is only logged."""
    tokens = (("refresh_token", refresh), ("access_token", access))
    try:
        await app.tokens.revoke(await app.configuration(), tuple((hint, token) for hint, token in tokens if token))
    except FigaroError as error:
        _log.warning("token_not_revoked", issuer=app.issuer.id, error=type(error).__name__)


async def _ended(launch: str, launches: Launches, apps: Apps) -> None:
    ended = await asyncio.to_thread(launches.end, launch)
    if ended is not None and ended[1] is not None and (app := apps.of(ended[0])) is not None:
        await give_back(app, ended[1].access, ended[1].refresh)


def over() -> NoReturn:
    """Raises Stuck: without a session nothing more can be read."""
    raise Stuck("The clinician's session has ended, and with it the right to read: launch again from the patient's chart.")
