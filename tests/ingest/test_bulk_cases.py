"""Patients of a bulk file become cases in batches, so that nobody who comes meanwhile waits behind a whole hospital."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.doors import bulk_data
from services.ingest.doors.bulk_data import BulkCases
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from shared.fhir.outcome import Unavailable

BASE = "http://127.0.0.1/fhir"
PATIENTS = [f"Patient/{n:03}" for n in range(25)]


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_data, "LOOK_AGAIN", 0.02)


@pytest.fixture
def ledger(database: str) -> Any:
    found = Ledger(database)
    yield found
    found.close()


@asynccontextmanager
async def a_service(ledger: Ledger, debounce: float) -> AsyncIterator[list[int]]:
    """What a running service does to the ledger: takes who is due, dismisses every fifth, gets every sixth stuck, answers the others."""
    waiting: list[int] = []

    def once() -> None:
        due = ledger.due(now(-timedelta(seconds=debounce)))
        open_ = [case for case in ledger.cases(limit=1000) if case.state == "opened"]
        waiting.append(len(due) + len(open_))
        for case in open_:
            ledger.stuck(case.id, b"{}") if int(case.patient[-3:]) % 6 == 0 else answered(ledger, case.id, case.patient)
        for one in due:
            ledger.dismiss_due(one) if int(one.patient[-3:]) % 5 == 0 else ledger.open_due([one])

    async def on() -> None:
        while True:
            await asyncio.to_thread(once)
            await asyncio.sleep(0.01)

    task = asyncio.create_task(on())
    try:
        yield waiting
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def answered(ledger: Ledger, case: str, patient: str) -> None:
    from services.ingest.tables import Answer

    empty: Any = dict.fromkeys(("raw", "record", "staging", "recommendation"), b"")
    ledger.answered(
        Answer(case=case, base=BASE, patient=patient, answered=now(), digest="d", staging_knowledge="", recommend_knowledge="", **empty)
    )


async def test_never_more_are_under_way_than_allowed_and_each_ends_once(ledger: Ledger) -> None:
    seen: list[int] = []
    async with a_service(ledger, 60) as waiting:
        ended = await BulkCases(ledger, BASE, at_once=4, debounce=60).open(PATIENTS, seen=seen.append)
    assert max(waiting) <= 4
    dismissed = [n for n in range(25) if n % 5 == 0]
    stuck = [n for n in range(25) if n % 6 == 0 and n % 5]
    assert ended == {"no case": len(dismissed), "stuck": len(stuck), "answered": 25 - len(dismissed) - len(stuck)}
    assert (seen[-1], seen) == (25, sorted(seen))
    assert len(ledger.cases(limit=1000)) == 20


async def test_bd_07_whoever_was_answered_since_the_file_was_made_is_not_asked_again(ledger: Ledger) -> None:
    before = now()
    async with a_service(ledger, 60):
        doors = BulkCases(ledger, BASE, at_once=50, debounce=60)
        first = await doors.open(PATIENTS, since=before, seen=lambda _: None)
        again = await doors.open(PATIENTS, since=before, seen=lambda _: None)
        later = await doors.open(PATIENTS, since=now(), seen=lambda _: None)
    assert again["answered before"] == first["answered"] > 0
    assert again["answered"] == 0
    assert later == first


async def test_nobody_is_waited_for_for_ever_where_no_service_runs(ledger: Ledger) -> None:
    with pytest.raises(Unavailable, match=r"4 patients wait, .* is `figaro serve` running"):
        await BulkCases(ledger, BASE, at_once=4, debounce=60, patience=0.2).open(PATIENTS, seen=lambda _: None)
    assert len(ledger.due(now())) == 4
