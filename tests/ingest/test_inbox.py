"""What has been marked, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from services.ingest.inbox import Inbox
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from services.ingest.notification import Change, Notification
from services.ingest.store import Transaction
from services.ingest.tables import Answer, compressed
from tests.ingest.conftest import new_database

BASE, OTHER = "http://127.0.0.1:1/fhir", "http://127.0.0.1:2/fhir"


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    yield ledger
    ledger.close()


def pushed(*changes: Change) -> Notification:
    return Notification(changes=changes)


def test_a_version_marks_once_for_each_server(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    one = pushed(Change("Patient/1", "v1"), Change("Condition/c", "v2"), Change("Patient/1", "v3"))
    assert inbox.accept(BASE, "condition", one)[:2] == (3, 0)
    assert inbox.accept(BASE, "condition", one)[:2] == (0, 3)
    assert inbox.accept(OTHER, "condition", one)[:2] == (3, 0), "SE-11: another server's version is another"
    assert [(due.base, due.patient) for due in ledger.due(now())] == [(BASE, "Patient/1"), (OTHER, "Patient/1")]
    assert [notice.reference for notice in inbox.notices(now())] == ["Condition/c", "Condition/c"]
    assert inbox.waiting() == {BASE: 2, OTHER: 2}


def test_a_change_without_version_marks_each_time(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    for _ in range(2):
        assert inbox.take(BASE, [Change("Patient/1")]).new == 1
    assert [due.marks for due in ledger.due(now())] == [2]


def test_a_look_up_passes_on_since_when_it_has_waited(ledger: Ledger) -> None:
    """A patient who was told of by an id alone is not made to wait twice."""
    inbox = Inbox(ledger)
    inbox.take(BASE, [Change("Condition/c")])
    (notice,) = inbox.notices(now())
    inbox.take(BASE, [Change("Patient/1", "v1")], settled=[notice])
    assert [due.marked for due in ledger.due(now())] == [notice.marked]
    assert inbox.notices(now()) == []


def test_many_at_once_lose_nothing(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    failures: list[Exception] = []

    def send(number: int) -> None:
        try:
            for round_ in range(5):
                inbox.accept(
                    BASE,
                    "condition",
                    pushed(Change(f"Patient/{round_}", f"v{number}-{round_}"), Change("Patient/all", f"a{number}-{round_}")),
                )
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert {due.patient: due.marks for due in ledger.due(now())} == {**{f"Patient/{n}": 6 for n in range(5)}, "Patient/all": 30}


def test_writers_of_one_process_take_turns_and_never_meet_in_sqlite(tmp_path: Path) -> None:
    """Whoever meets another there sleeps: with notifications and cases together, one in twenty waited 150 ms for that."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    event.listen(ledger._engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0"))
    ledger._engine.dispose()  # the connections that were made before
    test_many_at_once_lose_nothing(ledger)
    ledger.close()


def test_a_wish_that_comes_during_a_sweep_is_still_to_be_fulfilled(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    inbox.want_sweep(BASE)
    started = now()
    inbox.swept(BASE, started, None)
    assert inbox.sweeps()[BASE].wanted is None
    inbox.want_sweep(BASE)
    inbox.swept(BASE, started, "unavailable")
    sweep = inbox.sweeps()[BASE]
    assert sweep.wanted is not None
    assert (sweep.swept, sweep.failed) == (started, "unavailable")


def test_su_45_a_ping_during_the_sweep_that_an_earlier_one_asked_for_is_another_wish(ledger: Ledger) -> None:
    """What it tells of may be behind where that sweep is; where sweeps are made on wish alone nobody would ever ask for it."""
    inbox = Inbox(ledger)
    ping = Notification(kind="ping", vague=True)
    inbox.accept(BASE, "condition", ping)
    first = inbox.sweeps()[BASE].wanted
    started = now()
    inbox.begun(BASE, started)
    inbox.accept(BASE, "condition", ping)
    second = inbox.sweeps()[BASE].wanted
    inbox.accept(BASE, "condition", ping)
    inbox.swept(BASE, started, None)
    assert first is not None
    assert first < (inbox.sweeps()[BASE].wanted or "") == second


def test_a_sweep_that_broke_off_leaves_its_wish(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    inbox.swept(BASE, now(), "unavailable", broken=True)
    assert inbox.sweeps()[BASE].wanted is None, "nobody had asked for it"
    inbox.want_sweep(BASE)
    inbox.swept(BASE, now(), "unavailable", broken=True)
    assert inbox.sweeps()[BASE].wanted is not None


@pytest.mark.postgres
def test_notifications_of_one_channel_do_not_wait_for_one_another(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose commit takes long holds up no other, of other patients. SQLite has one writer in any case."""
    ledger = Ledger(new_database(postgres))
    inbox, ready, go_on, commit = Inbox(ledger), threading.Event(), threading.Event(), Transaction.commit
    inbox.accept(BASE, "condition", pushed(Change("Patient/1", "v1")))

    def slowly(self: Transaction) -> None:
        if threading.current_thread().name == "slow":
            ready.set()
            go_on.wait(30)
        commit(self)

    monkeypatch.setattr(Transaction, "commit", slowly)
    slow, other = (
        threading.Thread(target=inbox.accept, args=(BASE, "condition", pushed(Change(f"Patient/{name}", name))), name=name)
        for name in ("slow", "other")
    )
    slow.start()
    ready.wait(30)
    other.start()
    other.join(10)
    stored = {due.patient for due in ledger.due(now())}
    go_on.set()
    slow.join()
    other.join()
    assert stored == {"Patient/1", "Patient/other"}
    ledger.close()


def test_who_has_a_careplan_and_no_case_for_long_is_looked_at_again(ledger: Ledger) -> None:
    """SU-46: the deep check."""
    inbox = Inbox(ledger)
    for who, careplan in (("Patient/1", "CarePlan/1"), ("Patient/2", None)):
        case = ledger.open(BASE, who)
        blobs = {name: compressed(b"{}") for name in ("raw", "record", "staging", "recommendation")}
        answer = Answer(
            case=case.id, base=BASE, patient=who, answered=now(), digest="d", staging_knowledge="k", recommend_knowledge="k", **blobs
        )
        answer.careplan = careplan
        ledger.answered(answer)
    assert inbox.recheck(BASE, now(-timedelta(days=7))) == 0
    assert inbox.recheck(BASE, now()) == 1
    assert [due.patient for due in ledger.due(now())] == ["Patient/1"]
    assert inbox.recheck(BASE, now()) == 0, "who is due already is not marked again"


def test_cursors_are_kept_for_each_server_and_type(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    assert inbox.until(BASE, "Condition") is None
    inbox.advance(BASE, "Condition", "2026-01-01T00:00:00+00:00")
    inbox.advance(BASE, "Condition", "2026-01-02T00:00:00+00:00")
    assert inbox.until(BASE, "Condition") == "2026-01-02T00:00:00+00:00"
    assert inbox.until(BASE, "Observation") is inbox.until(OTHER, "Condition") is None


def test_what_the_server_says_of_a_subscription_is_written_to_its_channel(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    inbox.checked(BASE, {"condition": {"subscription": "Subscription/1", "status": "active", "ends": None}})
    inbox.checked(BASE, {"procedure": {"subscription": "Subscription/2", "status": "error", "ends": None}})
    assert {channel.name: channel.status for channel in inbox.channels(BASE)} == {"condition": "missing", "procedure": "error"}
