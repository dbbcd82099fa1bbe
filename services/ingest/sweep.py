"""Asks a FHIR server what has changed since it was last asked, and so finds whatever no notification has told (SU-03, SU-46).

The cursor of each type stands in the ledger and is moved only when all before it is marked, so a crash repeats and never skips. Each sweep
looks back behind the cursor; what was marked before is known by its version. Instants are those of the server's clock.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from urllib.parse import urlencode

import structlog

from services.ingest.inbox import Inbox
from services.ingest.instants import now
from services.ingest.notification import SUBJECTS, Change, change
from services.ingest.searches import OPTIONAL, Search, changes_of
from services.ingest.settings import IngestSettings
from shared.fhir.audit import Auditor, Deed
from shared.fhir.capability import Capabilities
from shared.fhir.client import FhirClient
from shared.fhir.incomplete import Incomplete
from shared.fhir.outcome import FigaroError, NotFhir, Rejected, ServerAnswer, Unavailable
from shared.fhir.paging import Entry

WINDOW: Final = timedelta(hours=6)  # a server that was not asked for days is asked in parts, and the cursor moves after each
PASSES: Final = 5
VERSIONS: Final = 1_000  # of a page of a history: some servers go through all of it for each page
EVERY: Final = 300.0  # seconds, where notifications are accepted and nothing else is set
_ELEMENTS: Final = ("_elements", "identifier,subject,patient,meta")
_PAGE: Final = ("_count", "200")
log = structlog.get_logger("figaro.ingest")


class _Sweep(NamedTuple):
    """One sweep of one server, up to `at` of its clock; what was asked, and whom the answers were about."""

    server: FhirClient
    offered: Capabilities
    at: datetime
    queries: dict[str, None]
    patients: set[str]

    def kinds(self) -> Iterator[str]:
        """The types to ask for: all that are offered, and what a server keeps silent about unless a record does without it."""
        for kind in SUBJECTS:
            if self.offered.allows(kind, "search-type") or (self.offered.of(kind) is None and kind not in OPTIONAL):
                yield kind


class Sweeper:
    """Sweeps the servers that are watched: `watched` says which, by base."""

    def __init__(
        self,
        inbox: Inbox,
        server: Callable[[str], FhirClient],
        auditor: Auditor,
        settings: IngestSettings,
        watched: Callable[[], Iterable[str]],
    ) -> None:
        self._auditor = auditor
        self._inbox = inbox
        self._server = server
        self._settings = settings
        self._watched = watched

    async def pending(self) -> list[str]:
        """The servers whose time has come, or that somebody wants asked."""
        rows = await asyncio.to_thread(self._inbox.sweeps)
        every = EVERY if self._settings.sweep_seconds is None else self._settings.sweep_seconds
        old, waited = now(-timedelta(seconds=every)), now(-timedelta(seconds=self._settings.debounce_seconds))
        found = []
        for base in self._watched():
            row = rows.get(base)
            wanted = bool(row and row.wanted and row.wanted <= waited)
            if wanted or (every > 0 and (row is None or row.swept is None or row.swept <= old)):
                found.append(base)
        return found

    async def sweep(self, base: str) -> int:
        """One sweep of one server, to its end or until the server refuses; returns how many changes nobody had told us of."""
        started, failed, broken, found = now(), None, False, 0
        await asyncio.to_thread(self._inbox.begun, base, started)
        try:
            server = self._server(base)
            offered = await server.capabilities()
            at = datetime.now(UTC) + timedelta(seconds=server.skew or 0)
            one = _Sweep(server, offered, at, {}, set())
            try:
                for kind in one.kinds():
                    try:
                        found += await self._type(one, kind)
                    except (ServerAnswer, Incomplete) as error:  # the other types are still asked for
                        failed, broken = f"{kind}: {error.status}", broken or isinstance(error, Incomplete)
                        log.warning("sweep_refused", type=kind, status=error.status)
            finally:
                if one.queries:
                    await self._auditor.tell(server, Deed("search", tuple(sorted(one.patients)), queries=tuple(one.queries)))
            if self._settings.recheck_days:
                await asyncio.to_thread(self._inbox.recheck, base, now(-timedelta(days=self._settings.recheck_days)))
        except FigaroError as error:
            failed, broken = error.kind, True
            log.warning("sweep_failed", error=error.kind, status=error.status)
        await asyncio.to_thread(self._inbox.swept, base, started, failed, broken=broken)
        if found:
            log.info("sweep_found", changes=found)
        return found

    async def _type(self, one: _Sweep, kind: str) -> int:
        """All windows of one type up to `one.at`; the first sweep ever begins there."""
        base, at = one.server.base_url, one.at
        cursor = await asyncio.to_thread(self._inbox.until, base, kind)
        until, found = datetime.fromisoformat(cursor) if cursor else at, 0
        overlap = timedelta(seconds=self._settings.sweep_overlap_seconds)
        first = until - overlap
        while True:
            begin = until - overlap
            until = min(until + WINDOW, at)
            last = until >= at
            for search in changes_of(kind):
                found += await self._settle(one, search, begin, None if last else until)
            if self._settings.sweep_deletions and last and one.offered.allows(kind, "history-type"):
                await self._deletions(one, kind, first)
            await asyncio.to_thread(self._inbox.advance, base, kind, until.isoformat())
            if last:
                return found

    async def _settle(self, one: _Sweep, search: Search, begin: datetime, end: datetime | None) -> int:
        """Repeats a search of several pages until it finds nothing new: pages shift while resources change."""
        found = 0
        for _ in range(PASSES):
            pages, new = await self._pass(one, search, begin, end)
            found += new
            if pages == 1 or not new:
                break
        return found

    async def _pass(self, one: _Sweep, search: Search, begin: datetime, end: datetime | None) -> tuple[int, int]:
        between = [("_lastUpdated", f"ge{_instant(begin)}"), *([("_lastUpdated", f"lt{_instant(end)}")] if end else [])]
        asked = (*search.params, *between, ("_sort", "_lastUpdated"), _PAGE)
        for attempt in ((*asked, _ELEMENTS), asked):
            pages = new = 0
            try:
                async for page in one.server.search_pages(search.type, attempt, post=True):
                    pages += 1
                    one.queries[f"{search.type}?{urlencode(attempt, safe=':,/')}"] = None
                    new += await self._mark(one, page.entries, begin)
            except Rejected:  # it knows no _elements, or not this search
                if attempt is asked and not search.optional:
                    raise
                continue
            return pages, new
        return 1, 0

    async def _mark(self, one: _Sweep, entries: Iterable[Entry], begin: datetime) -> int:
        changes = [
            said
            for entry in entries
            if entry.resource is not None and entry.mode == "match" and not _older(entry, begin)
            for said in [change(json.loads(bytes(entry.resource)), one.server.base_url)]
            if isinstance(said, Change)
        ]
        one.patients.update(said.about for said in changes if said.about.startswith("Patient/"))
        return (await asyncio.to_thread(self._inbox.take, one.server.base_url, changes)).new if changes else 0

    async def _deletions(self, one: _Sweep, kind: str, begin: datetime) -> None:
        """Deleted resources, by their addresses; the rest of the history is what the searches have found already, and what we wrote."""
        gone: list[str] = []
        try:
            async for page in one.server.history_pages(kind, since=_instant(begin), count=VERSIONS):
                gone += [entry.reference for entry in page.entries if entry.deleted]
                if any(_older(entry, begin) for entry in page.entries):
                    break
        except Unavailable:
            raise
        except (NotFhir, Rejected) as error:
            log.warning("deletions_not_told", type=kind, error=error.kind)
            return
        one.queries[f"{kind}/_history?_since={_instant(begin)}"] = None
        if gone:
            await asyncio.to_thread(self._inbox.take, one.server.base_url, map(Change, gone))


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _older(entry: Entry, begin: datetime) -> bool:
    """Whether a server that ignores `_lastUpdated` sent what was not asked for."""
    try:
        return datetime.fromisoformat(entry.last_updated or "") < begin
    except (ValueError, TypeError):
        return False
