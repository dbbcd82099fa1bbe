"""A case from the door to the answer: the real ingest over HTTP, a real FHIR server, neighbours that answer what the test says."""

from __future__ import annotations

import asyncio
import binascii
import io
import json
import socket
import sqlite3
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tblib import pickling_support  # type: ignore[import-untyped]

from services.ingest.app import create
from services.ingest.searches import searches_for
from services.ingest.settings import IngestSettings
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Refused, Unavailable
from shared.fhir.r4 import complaints
from shared.service.embedded import embedded_fhir_server
from shared.service.log import configure
from shared.service.serving import served
from tests.ingest.conftest import new_database
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import bundle, cervical_cancer, ecog, metastatic, patient
from tests.journeys.figaro import Cases, until
from tests.peers.faults import answered, faulty

Json = dict[str, Any]


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest.fixture
async def neighbours() -> AsyncIterator[StubNeighbours]:
    async with StubNeighbours() as stubs:
        yield stubs


class Ingest(Cases):
    """A running ingest, asked over HTTP."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(url)
        self.session = session

    async def post(self, path: str, body: Json | None = None) -> tuple[int, Json]:
        async with self.session.post(f"{self.base}{path}", json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str) -> Json:
        async with self.session.get(f"{self.base}{path}") as answer:
            shown: Json = await answer.json(content_type=None)
            return shown


def settings(folder: Path, fhir: str, neighbours: StubNeighbours, **more: Any) -> IngestSettings:
    return IngestSettings(
        fhir_base=fhir,
        staging_url=neighbours.url("staging"),
        recommend_url=neighbours.url("recommend"),
        data_directory=folder,
        poll_seconds=0.05,
        step_wait_seconds=0.05,
        step_attempts=3,
        **more,
    )


@asynccontextmanager
async def running(given: IngestSettings) -> AsyncIterator[Ingest]:
    async with served(create(given)) as url, aiohttp.ClientSession() as session:
        yield Ingest(url, session)


@pytest.fixture
async def ingest(tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> AsyncIterator[Ingest]:
    async with running(settings(tmp_path, fhir, neighbours)) as it:
        yield it


def bytes_of(folder: Path, pattern: str) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob(pattern))


async def put(fhir: str, *resources: Json) -> None:
    async with FhirClient(fhir) as server:
        await server.transaction(bundle(list(resources)))


async def test_a_case_is_pulled_staged_recommended_and_published(ingest: Ingest, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("a1"))
    case_id = await ingest.open("Patient/a1")
    case = await ingest.done(case_id)
    assert case["state"] == "answered", case
    assert case["staging"]["patient"] == case["recommendation"]["patient"] == "Patient/a1"
    assert case["careplan"]["reference"].startswith("CarePlan/")
    assert case["knowledge"] == {"staging": "test/0", "recommend": "test/0"}
    assert neighbours.calls == {"stage": 1, "recommend": 1, "careplans": 1}
    assert neighbours.request_ids == {case_id}, "each call carries the case as its request id"


async def test_lg05_what_a_case_reads_is_told_to_the_server_that_it_was_read_from(ingest: Ingest, fhir: str) -> None:
    """LG-05: from the door to the AuditEvent, with the patient, every search that was made, and the case."""
    await put(fhir, *metastatic("told"))
    case_id = await ingest.open("Patient/told")
    assert (await ingest.done(case_id))["state"] == "answered"
    async with FhirClient(fhir) as server:
        [entry] = await server.search("AuditEvent", {"entity": "Patient/told"})
    event = json.loads(bytes(entry.resource or b""))
    assert complaints(json.dumps(event).encode()) == []
    assert (event["action"], event["subtype"][0]["code"], event["outcome"]) == ("E", "search", "0")
    asked = {b64decode(it["query"]).decode().removeprefix(f"{fhir}/") for it in event["entity"] if "query" in it}
    assert {query.partition("?")[0] for query in asked} == {"Patient/told", *(search.type for search in searches_for("told"))}
    assert [query for query in asked - {"Patient/told"} if "patient=told" not in query] == []
    assert case_id in [it.get("what", {}).get("identifier", {}).get("value") for it in event["entity"]]


async def test_the_same_record_again_writes_nothing_new(ingest: Ingest, fhir: str) -> None:
    await put(fhir, *metastatic("a2"))
    first = await ingest.done(await ingest.open("Patient/a2"))
    second = await ingest.done(await ingest.open("a2"))
    assert first["id"] != second["id"]
    assert all(first[key] == second[key] for key in ("careplan", "decision", "digest", "answered"))
    await put(fhir, ecog("a2-later", "Patient/a2", 2))
    third = await ingest.done(await ingest.open("a2"))
    assert third["digest"] != first["digest"]


async def test_a_neighbour_that_is_away_for_a_moment_is_waited_for(ingest: Ingest, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("a3"))
    neighbours.fail["stage"] = [Unavailable("Not yet."), Unavailable("Not yet.")]
    case = await ingest.done(await ingest.open("Patient/a3"))
    assert case["state"] == "answered"
    assert neighbours.calls["stage"] == 3


async def test_a_neighbour_that_stays_away_makes_the_case_stuck_for_a_time(ingest: Ingest, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("a4"))
    neighbours.fail["recommend"] = [Unavailable("Away.") for _ in range(3)]
    case = await ingest.done(await ingest.open("Patient/a4"))
    assert case["state"] == "stuck"
    assert case["retry_at"] is not None
    assert case["outcome"]["issue"][0]["details"]["text"] == "Away."
    assert case["staging"] is not None, "what is known so far is shown"
    assert [c["id"] for c in (await ingest.get("/cases?state=stuck"))["cases"]] == [case["id"]]
    assert (await ingest.post(f"/cases/{case['id']}/retry"))[0] == 202
    assert (await ingest.done(case["id"]))["state"] == "answered"


async def test_a_fhir_server_that_is_down_is_named_and_tried_again_later(tmp_path: Path, neighbours: StubNeighbours) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        base = f"http://127.0.0.1:{nobody.getsockname()[1]}/fhir"
    async with running(settings(tmp_path, base, neighbours)) as ingest:
        case = await ingest.done(await ingest.open("Patient/1"))
    assert (case["state"], case["retry_at"] is not None) == ("stuck", True)
    text = case["outcome"]["issue"][0]["details"]["text"]
    assert "refuses connections" in text or "left alone" in text


async def test_a_refusal_is_not_repeated(ingest: Ingest, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("a5"))
    neighbours.fail["careplans"] = [Refused("That server takes no CarePlan.")]
    case = await ingest.done(await ingest.open("Patient/a5"))
    assert (case["state"], case["retry_at"]) == ("stuck", None)
    assert neighbours.calls["careplans"] == 1
    status, refused = await ingest.post("/cases/nobody/retry")
    assert (status, refused["resourceType"]) == (404, "OperationOutcome")
    await ingest.post(f"/cases/{case['id']}/retry")
    again = await ingest.done(case["id"])
    assert (again["state"], again["attempts"]) == ("answered", 2)
    assert (await ingest.post(f"/cases/{case['id']}/retry"))[0] == 409


async def test_an_unknown_patient_is_stuck_with_a_clear_outcome(ingest: Ingest) -> None:
    case = await ingest.done(await ingest.open("Patient/nobody"))
    assert case["state"] == "stuck"
    assert "no such patient" in case["outcome"]["issue"][0]["details"]["text"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"patient": "Patient/1/2"}, 422),
        ({"patient": "Patient/1", "base": "http://127.0.0.1:1/fhir"}, 403),
        ({"patient": "Patient/1", "base": "file:///etc/passwd"}, 422),
        ({"patient": "Patient/1", "as_of": "yesterday"}, 422),
        ({"patients": ["Patient/1"]}, 422),
    ],
)
async def test_what_cannot_become_a_case_is_refused(ingest: Ingest, body: Json, status: int) -> None:
    got, outcome = await ingest.post("/cases", body)
    assert (got, outcome["resourceType"]) == (status, "OperationOutcome")
    assert (await ingest.get("/cases"))["cases"] == []


async def test_a_case_is_followed_by_server_sent_events_until_it_is_done(ingest: Ingest, fhir: str) -> None:
    await put(fhir, *metastatic("a6"))
    case_id = await ingest.open("Patient/a6")
    async with asyncio.timeout(20), ingest.session.get(f"{ingest.url}/{case_id}/events") as answer:
        assert answer.content_type == "text/event-stream"
        text = (await answer.read()).decode()
    states = [line.partition('"state":"')[2].partition('"')[0] for line in text.splitlines() if line.startswith("data:")]
    assert states[-1] == "answered"
    assert states == sorted(states, key=["opened", "pulled", "staged", "answered"].index)


async def test_cases_of_one_patient_are_done_one_after_another_in_order(ingest: Ingest, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("b1"), *metastatic("b2"))
    ids = [await ingest.open(f"Patient/{who}") for _ in range(4) for who in ("b1", "b2")]
    cases = [await ingest.done(case_id) for case_id in ids]
    for who in ("Patient/b1", "Patient/b2"):
        calls = [route for route, patient in neighbours.order if patient == who]
        assert calls == ["stage", "recommend", "careplans"] * 4
        mine = [case for case in cases if case["patient"] == who]
        assert [c["updated"] for c in mine] == sorted(c["updated"] for c in mine)


async def test_patients_who_are_due_become_cases_by_themselves(tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("d1"))
    given = settings(tmp_path, fhir, neighbours, drain_seconds=1, debounce_seconds=0)
    app = create(given)
    async with served(app) as url, aiohttp.ClientSession() as session:
        ingest = Ingest(url, session)
        for _ in range(10):
            app.state.ingest.ledger.mark_due(fhir, ["Patient/d1"])

        async def answered() -> bool:
            return bool((await ingest.get("/cases?state=answered"))["cases"])

        await until(answered)
        assert len((await ingest.get("/cases"))["cases"]) == 1


async def test_a_stop_in_the_middle_is_taken_up_at_the_next_start(tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> None:
    await put(fhir, *metastatic("e1"))
    neighbours.fail["stage"] = [Unavailable("Away.") for _ in range(3)]
    async with running(settings(tmp_path, fhir, neighbours).model_copy(update={"step_wait_seconds": 30.0})) as ingest:
        case_id = await ingest.open("Patient/e1")

        async def asked() -> bool:
            return neighbours.calls["stage"] > 0

        await until(asked)
    neighbours.fail.clear()
    async with running(settings(tmp_path, fhir, neighbours)) as ingest:
        assert (await ingest.done(case_id))["state"] == "answered"


async def test_a_round_that_takes_longer_than_its_interval_is_not_begun_again_beside_itself(
    tmp_path: Path, fhir: str, neighbours: StubNeighbours
) -> None:
    """Else every tick queues the same backlog once more, and each round makes the others slower."""
    under_way, most, rounds = 0, 0, 0

    async def slow() -> None:
        nonlocal under_way, most, rounds
        under_way, rounds = under_way + 1, rounds + 1
        most = max(most, under_way)
        await asyncio.sleep(2.5)
        under_way -= 1

    async def twice() -> bool:
        return rounds >= 2

    app = create(settings(tmp_path, fhir, neighbours, drain_seconds=1))
    async with served(app):
        app.state.ingest.rounds.drain = slow
        await until(twice)
    assert most == 1


async def test_a_case_that_broke_off_is_tried_again_by_itself(tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> None:
    """The workflow failed outside of its steps, as when what it had come to could not be recorded: nobody would take it up again."""
    app = create(settings(tmp_path, fhir, neighbours, drain_seconds=1))

    async def broken(_name: str, _case_id: str) -> tuple[str | None, bool]:
        raise RecursionError

    async with served(app) as url:
        app.state.ingest.conductor._run = broken
        cases = Cases(url)
        case = await cases.done(await cases.open("Patient/broken-off"))
    assert case["state"] == "stuck"
    assert "broke off" in case["outcome"]["issue"][0]["details"]["text"]
    assert case["retry_at"] is not None


async def test_a_case_that_was_never_queued_is_found_and_done(tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> None:
    """A crash between the ledger's write and the queue's loses nothing."""
    await put(fhir, *metastatic("u1"))
    app = create(settings(tmp_path, fhir, neighbours, drain_seconds=1))
    async with served(app) as url, aiohttp.ClientSession() as session:
        case = app.state.ingest.ledger.open(fhir, "Patient/u1")
        assert (await Ingest(url, session).done(case.id))["state"] == "answered"


async def test_no_log_and_no_workflow_store_holds_anything_of_a_patient(tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> None:
    """LG-01: a marked name, id and value go through a case that is answered and one that fails, and turn up in the ledger only."""
    marked = patient("Zxq1", name=[{"family": "Zxqname"}])
    odd = ecog("Zxqecog", "Patient/Zxq1", 1) | {"note": [{"text": "Zxqnote"}]}
    await put(fhir, marked, cervical_cancer("Zxqcancer", "Patient/Zxq1"), odd)
    stream = io.StringIO()
    configure("DEBUG", stream)
    neighbours.fail["stage"] = [Refused("No.")]
    neighbours.fail["recommend"] = [Unavailable("Away.")]
    async with running(settings(tmp_path, fhir, neighbours)) as ingest:
        case_id = await ingest.open("Patient/Zxq1")
        assert (await ingest.done(case_id))["state"] == "stuck"
        await ingest.post(f"/cases/{case_id}/retry")
        assert (await ingest.done(case_id))["state"] == "answered"
        await ingest.post("/cases", {"patient": "Zxq1/.."})
    assert case_id in stream.getvalue()
    assert "Zxq" not in stream.getvalue()
    store = workflows(tmp_path)
    assert case_id.encode() in store
    assert b"Zxq" not in store


def workflows(folder: Path) -> bytes:
    """All that DBOS has stored, what it had packed unpacked."""
    with closing(sqlite3.connect(folder / "workflows.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        cells = [cell for table in tables for row in database.execute(f'SELECT * FROM "{table}"') for cell in row]
    found = b""
    for cell in filter(None, cells):
        told = str(cell).encode()
        with suppress(binascii.Error):
            told += b64decode(told, validate=True)
        found += told + b"\n"
    return found


async def test_lg01_the_workflow_store_holds_what_failed_and_nothing_that_led_to_it(
    tmp_path: Path, fhir: str, neighbours: StubNeighbours
) -> None:
    """LG-01: neither the server's own words, which may name a patient, nor frames. Where dask is installed, pint loads tblib, and with that
    an exception is pickled with all that led to it: a deep one not at all, and then its workflow broke off.
    """
    pickling_support.install()
    words = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "transient", "diagnostics": "Zxqname is locked"}]}
    await put(fhir, patient("Zxq2"))
    async with faulty(fhir) as proxy:
        app = create(settings(tmp_path, proxy.base_url, neighbours, drain_seconds=1, case_attempts=1))
        proxy.plan(*[answered(500, json.dumps(words).encode())] * 1_000)

        def deep(levels: int = 900) -> None:
            if levels == 0:
                raise RuntimeError("Zxqvalue is wrong")
            deep(levels - 1)

        async def failing() -> None:
            deep()

        async with served(app) as url:
            cases = Cases(url)
            case = await cases.done(await cases.open("Patient/Zxq2"))
            app.state.ingest.rounds.drain = failing
            await until(lambda: asyncio.to_thread(lambda: b"Figaro failed (RuntimeError)" in workflows(tmp_path)))
    assert case["state"] == "stuck"
    store = workflows(tmp_path)
    assert b"Unavailable" in store
    assert b"Zxq" not in store


@pytest.mark.postgres
async def test_one_case_is_the_same_on_postgresql(tmp_path: Path, fhir: str, neighbours: StubNeighbours, postgres: str) -> None:
    await put(fhir, *metastatic("g1"))
    async with running(settings(tmp_path, fhir, neighbours, database_url=new_database(postgres))) as ingest:
        case = await ingest.done(await ingest.open("Patient/g1"))
    assert (case["state"], case["attempts"]) == ("answered", 1)
    assert bytes_of(tmp_path, "*") == b"", "nothing is kept in files"


async def test_ready_says_who_is_missing(ingest: Ingest, tmp_path: Path, fhir: str, neighbours: StubNeighbours) -> None:
    ready = await ingest.get("/health/ready")
    assert (ready["status"], ready["cases"]["stuck"]) == ("ready", 0)
    async with ingest.session.get(f"{ingest.base}/metrics") as answer:
        assert 'figaro_cases{issuer="default",state="stuck"} 0.0' in await answer.text()
    await neighbours.__aexit__(None, None, None)
    outcome = await ingest.get("/health/ready")
    assert "staging and recommend" in outcome["issue"][0]["details"]["text"]
