"""From what was marked to cases: fetches events that did not come, looks up whose a resource is, opens a case for each patient of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from services.ingest.inbox import Inbox
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from services.ingest.lookup import is_ours, patient_of, query
from services.ingest.neighbours import Neighbours
from services.ingest.notification import Change, notification
from services.ingest.settings import IngestSettings
from services.ingest.tables import Channel, Due, Notice
from shared.fhir.audit import Auditor, Deed
from shared.fhir.client import FhirClient
from shared.fhir.outcome import FigaroError, Refused, ServerAnswer, Unauthorised, Unavailable

PATIENCE: Final = timedelta(hours=1)  # an engine may tell of a resource before the server has it
TOLD: Final = 100  # patients in one AuditEvent
T = TypeVar("T")
log = structlog.get_logger("figaro.ingest")


class Drain:
    """One round is one call. What a server or a neighbour that is away leaves undone stays marked for the next round."""

    def __init__(
        self,
        ledger: Ledger,
        inbox: Inbox,
        server: Callable[[str], FhirClient],
        neighbours: Neighbours,
        auditor: Auditor,
        settings: IngestSettings,
    ) -> None:
        self._ledger = ledger
        self._inbox = inbox
        self._server = server
        self._neighbours = neighbours
        self._auditor = auditor
        self._debounce = timedelta(seconds=settings.debounce_seconds)

    async def __call__(self) -> None:
        """Recovers, looks up, opens."""
        channels = await asyncio.to_thread(self._inbox.channels)
        await _each([one for one in channels if one.missing is not None and one.subscription], self._recover)
        before = now(-self._debounce)
        await self._open_known(before)  # whose draft may be wrong by now waits for no stranger
        await _each(await asyncio.to_thread(self._inbox.notices, before), self._look_up)
        await self._decide_all(await self._open_known(before))
        await asyncio.to_thread(self._ledger.reopen_waiting)

    async def _open_known(self, before: str) -> list[Due]:
        """A case for each who is known; returns the others."""
        due = await asyncio.to_thread(self._ledger.due, before)
        known = await self._known(due)
        await asyncio.to_thread(self._ledger.open_due, known)
        return [one for one in due if one not in known]

    async def _recover(self, channel: Channel) -> None:
        """The events that did not come, by `$events`; else a sweep (SU-27)."""
        try:
            server = self._server(channel.base)
            params = {"eventsSinceNumber": str(channel.missing), "content": "id-only"}
            said = notification(await server.operation(*(channel.subscription or "").split("/"), "$events", params=params), channel.base)
        except Unavailable:
            return
        except FigaroError:
            await asyncio.to_thread(self._inbox.want_sweep, channel.base)
        else:
            log.info("events_recovered", channel=channel.name, events=len(said.events), changes=len(said.changes))
            await asyncio.to_thread(self._inbox.take, channel.base, said.changes)
            if said.vague or not said.events:
                await asyncio.to_thread(self._inbox.want_sweep, channel.base)
        await asyncio.to_thread(self._inbox.recovered, channel)

    async def _look_up(self, notice: Notice) -> None:
        listed = True
        try:
            found = await patient_of(self._server(notice.base), notice.reference)
        except Unavailable:
            return
        except Refused:  # its issuer has been taken off the list
            found, listed = "not hers", False
        except ServerAnswer as error:
            log.warning("look_up_refused", type=notice.reference.partition("/")[0], status=error.status)
            found = "not there"
        if found == "not there" and notice.marked > now(-PATIENCE):
            return
        if isinstance(found, str):
            log.info("notice_without_patient", why=found)
        # Gone, or nobody's any more: whose answer rests on it, the ledger may know.
        said = found if isinstance(found, Change) else Change("", None, notice.reference)
        await asyncio.to_thread(self._inbox.take, notice.base, [said] if listed else [], settled=[notice])

    async def _known(self, due: Sequence[Due]) -> list[Due]:
        """Those who have a CarePlan of ours, or a case under way."""
        known = {}
        for base in {one.base for one in due}:
            known[base] = await asyncio.to_thread(self._ledger.known, base, [one.patient for one in due if one.base == base])
        return [one for one in due if one.patient in known[one.base]]

    async def _decide_all(self, due: Sequence[Due]) -> None:
        """Each of them; in the audit trail they are told of together."""
        looked_at: dict[str, list[str]] = {}
        try:
            await _each(due, lambda one: self._decide(one, looked_at))
        finally:
            for base, patients in looked_at.items():
                for start in range(0, len(patients), TOLD):
                    some = tuple(sorted(patients[start : start + TOLD]))
                    await self._auditor.tell(self._server(base), Deed("search", some, queries=tuple(map(query, some))))

    async def _decide(self, due: Due, looked_at: dict[str, list[str]]) -> None:
        """A case for a patient with a cervical cancer, and no further look at any other."""
        try:
            server = self._server(due.base)
            ours = await is_ours(server, self._neighbours, due.patient)
            looked_at.setdefault(due.base, []).append(due.patient)
        except (Unavailable, Unauthorised):
            return
        except Refused:
            ours = False
        if ours:
            await asyncio.to_thread(self._ledger.open_due, [due])
        else:
            await asyncio.to_thread(self._ledger.dismiss_due, due)


async def _each(given: Iterable[T], doing: Callable[[T], Awaitable[None]]) -> None:
    """All at once; the pace of each server bounds what reaches it."""
    async with asyncio.TaskGroup() as group:
        for one in given:
            group.create_task(_coroutine(doing, one))


async def _coroutine(doing: Callable[[T], Awaitable[None]], one: T) -> None:
    try:
        await doing(one)
    except Exception as error:  # it stays marked, and keeps nobody else from her case
        log.exception("drain_failed", error=type(error).__name__)
