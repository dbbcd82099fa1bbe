"""Patients of a bulk file become due, a batch at a time, so that a hospital's whole cohort does not stand before the patient of today.

They go the way of every notification: marked in the ledger, looked at by the drain of the running service, and opened as a case where
staging finds a cancer of the cervix. Killed and begun again, nobody is answered twice.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

from sqlmodel import col, select

from services.ingest.instants import now
from services.ingest.ledger import Ledger, mark
from services.ingest.tables import DONE, Case, Due
from shared.fhir.outcome import Unavailable

LOOK_AGAIN: Final = 1.0  # seconds
PATIENCE: Final = 120.0  # seconds
SLICE: Final = 500  # patients in one question to the ledger


class BulkCases:
    """Cases for many patients of one FHIR server, at most `at_once` of them under way. `debounce`: the service's own, in seconds."""

    def __init__(self, ledger: Ledger, base: str, *, at_once: int, debounce: float, patience: float = PATIENCE) -> None:
        self._ledger = ledger
        self._base = base
        self._at_once = at_once
        self._debounce = debounce
        self._patience = patience

    async def open(self, patients: Sequence[str], *, since: str | None = None, seen: Callable[[int], None]) -> Counter[str]:
        """How many were `answered`, are `stuck`, got `no case`, or were `answered before`: since the instant the file is of.

        `seen` is told how many are done. Raises Unavailable where nobody works on them.
        """
        before = await asyncio.to_thread(self.answered_since, patients, since) if since else set()
        waiting = (patient for patient in patients if patient not in before)
        ended, under_way, moved = Counter({"answered before": len(before)}), dict[str, str](), time.monotonic()
        begun = now()
        while True:
            if batch := list(islice(waiting, self._at_once - len(under_way))):
                await asyncio.to_thread(self._mark, batch)
                under_way.update(dict.fromkeys(batch, "due"))
            if not under_way:
                return +ended
            await asyncio.sleep(LOOK_AGAIN)
            still = await asyncio.to_thread(self._under_way, under_way)
            if done := under_way.keys() - still.keys():
                ended += await asyncio.to_thread(self._ended, done, begun)
                seen(ended.total())
            if still != under_way:
                under_way, moved = still, time.monotonic()
            self._check(still, time.monotonic() - moved)

    def _check(self, under_way: dict[str, str], quiet: float) -> None:
        """A case may wait for a neighbour for minutes, with the repetitions of a step; a mark that nobody takes waits for a service."""
        if quiet > self._patience * (1 if set(under_way.values()) <= {"due"} else 8):
            raise Unavailable(
                f"{len(under_way)} patients wait, and nothing has moved for {quiet:.0f} s: is `figaro serve` running, with the same "
                "database? Those who are marked keep their place; the same command goes on with the others.",
                code="timeout",
            )

    def answered_since(self, patients: Iterable[str], since: str) -> set[str]:
        """Those whose record was pulled, and answered, after the instant: the file says nothing new of them."""
        try:
            instant = datetime.fromisoformat(since)
        except ValueError:  # then all are asked again
            return set()
        at = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
        found, rest = set[str](), iter(patients)
        with self._ledger.transaction() as session:
            while some := list(islice(rest, SLICE)):
                asked = select(Case.patient).where(Case.base == self._base, col(Case.patient).in_(some), Case.state == "answered")
                found.update(session.exec(asked.where(Case.opened >= at.replace("+00:00", "Z"))))
        return found

    def _mark(self, patients: Iterable[str]) -> None:
        # They have waited long enough: no notification more is coming that would make one case of two.
        since = now(-timedelta(seconds=self._debounce))
        with self._ledger.transaction() as session:
            mark(self._ledger, session, [{"base": self._base, "patient": who, "marked": since, "marks": 1} for who in patients])

    def _under_way(self, patients: Iterable[str]) -> dict[str, str]:
        """Who is still `due`, or in which state her case is."""
        asked, found = iter(patients), dict[str, str]()
        with self._ledger.transaction() as session:
            while some := list(islice(asked, SLICE)):
                due = select(Due.patient).where(Due.base == self._base, col(Due.patient).in_(some))
                found.update(dict.fromkeys(session.exec(due).all(), "due"))
                cases = select(Case.patient, Case.state).where(Case.base == self._base, col(Case.patient).in_(some))
                found.update(session.exec(cases.where(col(Case.state).not_in(DONE))).all())
        return found

    def _ended(self, patients: Iterable[str], begun: str) -> Counter[str]:
        """How the newest case of each since then has ended."""
        asked, last = iter(patients), dict[str, str]()
        with self._ledger.transaction() as session:
            while some := list(islice(asked, SLICE)):
                last.update(dict.fromkeys(some, "no case"))
                cases = select(Case.patient, Case.state).where(Case.base == self._base, col(Case.patient).in_(some), Case.updated >= begun)
                last.update(session.exec(cases.order_by(Case.id)).all())
        return Counter(last.values())
