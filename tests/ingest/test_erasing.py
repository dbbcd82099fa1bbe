"""One patient is forgotten: nothing of her stays in the ledger's file or in that of the workflows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest
from sqlmodel import SQLModel

from services.ingest.erasing import _of, erase
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from services.ingest.tables import LaunchSession, Notice
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import bundle, metastatic
from tests.ingest.test_cases import Ingest, running, settings
from tests.journeys.figaro import until
from tests.peers.small_server import Small, small_server

HERS = (b"canary-17", b"canary-17-", b"Canary")


def loaded(small: Small) -> None:
    for name in ("canary-17", "stays-18"):
        small.load(bundle(metastatic(name)))
    [her] = [one for one in small.all("Patient") if one["id"] == "canary-17"]
    her["name"] = [{"family": "Canary"}]
    small.load({"resourceType": "Bundle", "entry": [{"resource": her}]})


def found(folder: Path, needles: Iterable[bytes]) -> list[bytes]:
    """Those that stand in a database file or its log."""
    held = b"\0".join(file.read_bytes() for file in sorted(folder.glob("*.db*")))
    return [needle for needle in needles if needle in held]


def packed(folder: Path) -> list[bytes]:
    """Pieces of what is kept of her in compressed columns, as the file has them."""
    with sqlite3.connect(f"file:{folder / 'ledger.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT raw, record FROM answer WHERE patient = 'Patient/canary-17'").fetchall()
    return [blob[start : start + 24] for row in rows for blob in row for start in range(32, len(blob) - 24, 64)]


async def test_erasing_leaves_no_byte_of_her_in_either_file_and_everything_of_others(tmp_path: Path) -> None:
    async with small_server() as small, StubNeighbours() as stubs:
        loaded(small)
        async with running(settings(tmp_path, small.base_url, stubs)) as ingest:
            for name in ("canary-17", "canary-17", "stays-18"):
                assert (await ingest.done(await ingest.open(f"Patient/{name}")))["state"] == "answered"
            stuck = await ingest.open("Patient/nobody")
            await ingest.done(stuck)
            needles = (*HERS, *packed(tmp_path))
            assert len(found(tmp_path, needles)) > len(needles) / 2
            code, said = await ingest.post("/cases/erase", {"patient": "canary-17"})
            assert (code, said) == (200, {"erased": {"answer": 1, "case": 2, "source": 5}})
            assert found(tmp_path, needles) == []
            assert {case["patient"] for case in (await ingest.get("/cases"))["cases"]} == {"Patient/stays-18", "Patient/nobody"}
            assert workflows(tmp_path) == 2
            assert (await ingest.post("/cases/erase", {"patient": "Patient/canary-17"}))[1] == {"erased": {}}
        assert found(tmp_path, needles) == []


def workflows(folder: Path) -> int:
    """The cases that DBOS still knows."""
    with sqlite3.connect(f"file:{folder / 'workflows.db'}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM workflow_status WHERE name = 'case'").fetchone()[0])


async def test_a_case_under_way_is_stopped_and_writes_nothing_back(tmp_path: Path) -> None:
    async with small_server() as small, StubNeighbours() as stubs:
        loaded(small)
        stubs.hold("stage")
        async with running(settings(tmp_path, small.base_url, stubs)) as ingest:
            await ingest.open("Patient/canary-17")

            async def waits() -> bool:
                return stubs.calls["stage"] > 0

            await until(waits)
            code, said = await ingest.post("/cases/erase", {"patient": "canary-17"})
            assert (code, said) == (200, {"erased": {"case": 1, "in_hand": 1, "source": 5}})
            stubs.release()
            await asyncio.sleep(1)
            assert (await ingest.get("/cases"))["cases"] == []
            await reopened(ingest)
        assert found(tmp_path, HERS) == []


async def reopened(ingest: Ingest) -> None:
    """The service goes on: another patient's case is answered."""
    assert (await ingest.done(await ingest.open("Patient/stays-18")))["state"] == "answered"


def test_every_table_that_names_a_patient_is_erased_and_no_other_patient(tmp_path: Path) -> None:
    """Marks, sessions of a launch, and notices of what was read of her too; a table that is added with `base` and `patient` is covered."""
    naming = {table.name for table in SQLModel.metadata.sorted_tables if "patient" in table.c}
    assert naming >= {"case", "answer", "due", "launch_session"}
    assert {table.name for table in SQLModel.metadata.sorted_tables if _of(table, "b", "p", [])} >= naming | {"in_hand"}


@pytest.mark.parametrize("whose", ["Patient/1", "Patient/2"])
async def test_marks_and_sessions_go_too(tmp_path: Path, whose: str) -> None:
    class Nothing:
        async def drop(self, runs: list[str]) -> None:
            assert runs == []

        async def forget(self, base: str, patient: str) -> int:
            return 0

    ledger, base = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}"), "http://127.0.0.1:9/fhir"
    ledger.mark_due(base, ["Patient/1", "Patient/2"])
    with ledger.transaction() as session:
        session.add(Notice(base=base, reference=whose, marked=now()))
        at = now()
        session.add(
            LaunchSession(id="s", browser="b", base=base, patient=whose, scopes="", csrf="c", sealed=b"s", created=at, seen=at, ends=at)
        )
    assert await erase(ledger, Nothing(), Nothing(), base, whose) == {"due": 1, "launch_session": 1, "notice": 1}
    other = "Patient/2" if whose == "Patient/1" else "Patient/1"
    assert [due.patient for due in ledger.due("9999")] == [other]
    ledger.close()
