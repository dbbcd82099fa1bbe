"""Forgets one patient: every row that names her, and the workflows of her cases. What stands on the FHIR server is not touched.

A patient who is still there comes back with her next change: erase her there first. Notices that nobody has looked up yet name a resource
and no patient; they go by themselves within the hour.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

import msgspec
import structlog
from sqlalchemy import Table
from sqlmodel import SQLModel, col, select

from services.ingest.store import Store
from services.ingest.tables import Answer, Case, InHand, Notice, expanded
from shared.oncology.record import Record

log = structlog.get_logger("figaro.ingest")
_SESSIONS: Final = "launch_session"


class Workflows(Protocol):
    """What carries the cases."""

    async def drop(self, runs: list[str]) -> None:
        """Stops these attempts and forgets them."""


class Sessions(Protocol):
    """The launches of clinicians."""

    async def forget(self, base: str, patient: str) -> int:
        """Ends those with this patient, and gives their tokens back; how many there were."""


async def erase(store: Store, workflows: Workflows, sessions: Sessions, base: str, patient: str) -> dict[str, int]:
    """How many rows of each table are gone. Safe to repeat; what is under way is stopped, and leaves nothing behind."""
    ended = await sessions.forget(base, patient)
    gone, runs = await asyncio.to_thread(_rows, store, base, patient)
    await workflows.drop(runs)
    await asyncio.to_thread(store.scrub)
    if ended:  # with those that began in between
        gone[_SESSIONS] = gone.get(_SESSIONS, 0) + ended
    log.info("patient_erased", rows=sum(gone.values()))
    return gone


def _rows(store: Store, base: str, patient: str) -> tuple[dict[str, int], list[str]]:
    gone: dict[str, int] = {}
    with store.transaction() as session:
        hers = session.exec(select(Case).where(Case.base == base, Case.patient == patient)).all()
        ids = [case.id for case in hers]
        records = [*session.exec(select(InHand.record).where(col(InHand.case).in_(ids)))]
        records += session.exec(select(Answer.record).where(Answer.base == base, Answer.patient == patient))
        told = {patient, *(finding.source for held in records for finding in _RECORD.decode(expanded(held)).findings)}
        for table in SQLModel.metadata.sorted_tables:
            found = _of(table, base, patient, ids)
            if table.name == Notice.__tablename__:
                found = [table.c.base == base, table.c.reference.in_(told)]
            if found and (count := session.execute(table.delete().where(*found)).rowcount):  # type: ignore[attr-defined]
                gone[table.name] = count
    return gone, [f"{case.id}.{attempt}" for case in hers for attempt in range(1, case.attempts + 1)]


_RECORD = msgspec.json.Decoder(Record)


def _of(table: Table, base: str, patient: str, cases: list[str]) -> list[Any]:
    """The condition under which a row is about her; none where the table is about nobody."""
    if {"base", "patient"} <= {*table.c.keys()}:
        return [table.c.base == base, table.c.patient == patient]
    return [table.c.case.in_(cases)] if "case" in table.c else []
