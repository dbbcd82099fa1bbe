"""Who looked at whom through a launch: a line of the audit log at once, and an AuditEvent where the FHIR server takes it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Final, Literal

from sqlmodel import col, or_, update

from services.ingest.launched import Session
from services.ingest.store import Store
from services.ingest.tables import Answer, LaunchSession
from shared.fhir.audit import Auditor, Deed, Person
from shared.smart.servers import Servers

_LAST: Final = 5.0  # seconds that what is still being sent is waited for at the end


class Trail:
    """Made in the event loop that the FHIR clients live in; its methods may be called from any thread, and none of them fails or waits."""

    def __init__(self, store: Store, auditor: Auditor, servers: Servers) -> None:
        self._store = store
        self._auditor = auditor
        self._servers = servers
        self._loop = asyncio.get_running_loop()
        self._sending: set[Future[bool]] = set()

    def tell(self, launch: Session, act: Literal["sign-in", "view", "source", "print", "decide"], *what: str) -> None:
        """What the user of a launch has done; `what` are references of resources that she opened."""
        user = launch.user
        who = Person(user.issuer, user.subject, user.fhir_user) if user else Person(launch.base, "", None)
        deed = Deed(act, launch.patient, written=what, user=who, case=launch.case)
        self._auditor.note(launch.base, deed)
        # By our own right, which reaches where a user's seldom does; the page does not wait for it.
        sending = asyncio.run_coroutine_threadsafe(self._auditor.send(self._servers(launch.base), deed), self._loop)
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    def viewed(self, launch: Session, answer: Answer) -> None:
        """The page of a launch shows this answer: told the first time. Blocks: call it in a thread."""
        first = or_(col(LaunchSession.viewed).is_(None), col(LaunchSession.viewed) != answer.id)
        with self._store.transaction() as session:
            mark = update(LaunchSession).where(col(LaunchSession.id) == launch.id, first).values(viewed=answer.id)
            told = session.exec(mark).rowcount == 1
        if told:
            self.tell(launch, "view", *([answer.careplan] if answer.careplan else []))

    async def close(self) -> None:
        """Waits a moment for what is still being sent."""
        if self._sending:
            await asyncio.wait([asyncio.wrap_future(one) for one in self._sending], timeout=_LAST)
