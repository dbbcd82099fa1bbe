"""kill -9 in each step of a case: the next start finishes it, and nothing is doubled."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from tests.ingest.conftest import new_database, postgres
from tests.ingest.patients import bundle, metastatic
from tests.journeys.figaro import Cases, Json, Process, until
from tests.journeys.gate import Gate, When, gate

__all__ = ["postgres"]
pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
WRITTEN = ("CarePlan", "RequestGroup", "MedicationRequest", "ServiceRequest", "DetectedIssue", "Observation", "Condition")

# Where the request passes that is held while the process is killed: at the FHIR server's gate, or at that of the two neighbours.
STEPS: dict[str, tuple[str, Callable[[web.Request], bool]]] = {
    "pull": ("fhir", lambda request: request.method == "GET" and request.path.endswith("/AllergyIntolerance")),
    "stage": ("neighbours", lambda request: request.path.endswith("/stage")),
    "recommend": ("neighbours", lambda request: request.path.endswith("/recommend/recommend")),
    "publish": ("neighbours", lambda request: request.path.endswith("/careplans")),
    "write": ("fhir", lambda request: request.method == "POST" and not request.path.endswith("/_search")),
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


class Ward:
    """A FHIR server and Figaro, with a gate before each."""

    def __init__(self, fhir: Gate, neighbours: Gate, processes: list[Process], base: str) -> None:
        self.gates: dict[str, Gate] = {"fhir": fhir, "neighbours": neighbours}
        self.processes = processes
        self.base = base
        self.cases = Cases(processes[0].url + ("/ingest" if len(processes) == 1 else ""))

    async def start(self) -> None:
        for process in self.processes:
            await process.start()

    def kill(self) -> None:
        for process in self.processes:
            process.kill()

    async def open_and_hold(self, patient: str, step: str, when: When) -> str:
        """Opens a case, and returns when it hangs in that step."""
        where, which = STEPS[step]
        self.gates[where].hold(which, when)
        case_id = await self.cases.open(f"Patient/{patient}")
        async with asyncio.timeout(30):
            await self.gates[where].reached.wait()
        return case_id

    def open_gates(self) -> None:
        for one in self.gates.values():
            one.open()

    async def admit(self, patient: str) -> None:
        async with FhirClient(self.base) as server:
            await server.transaction(bundle(metastatic(patient)))

    async def answered(self, case_id: str) -> None:
        """Returns when it is: one that waits for a neighbour comes again by itself after a minute."""
        case: Json = {}

        async def is_answered() -> bool:
            nonlocal case
            case = await self.cases.show(case_id)
            assert case["state"] != "stuck" or case["retry_at"], case["outcome"]
            return bool(case["state"] == "answered")

        await until(is_answered, seconds=180)

    async def resources_of(self, patient: str) -> Counter[str]:
        """How many resources of each type the FHIR server holds of a patient."""
        counts: Counter[str] = Counter()
        async with FhirClient(self.base) as server:
            for kind in WRITTEN:
                counts[kind] = len(await server.search(kind, {"patient": patient}))
        return counts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ward(fhir: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    """All of Figaro in one process, on SQLite; started once, and again after each kill."""
    port, folder = free_port(), tmp_path_factory.mktemp("ward")
    async with AsyncExitStack() as stack:
        to_fhir = await stack.enter_async_context(gate(fhir.removesuffix("/fhir")))
        to_neighbours = await stack.enter_async_context(gate(f"http://127.0.0.1:{port}"))
        settings = {
            "fhir_base": f"{to_fhir.url}/fhir",
            "staging_url": f"{to_neighbours.url}/staging",
            "recommend_url": f"{to_neighbours.url}/recommend",
            "data_directory": folder,
            "poll_seconds": 0.05,
            "drain_seconds": 1,
            "recoveries": 2,
        }
        it = Ward(to_fhir, to_neighbours, [Process(None, port, folder / "log", **settings)], fhir)
        stack.callback(it.kill)
        await it.start()
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def undisturbed(ward: Ward) -> Counter[str]:
    """What the FHIR server holds of such a patient when nobody kills anything."""
    await ward.admit("calm")
    assert (await ward.cases.done(await ward.cases.open("Patient/calm")))["state"] == "answered"
    return await ward.resources_of("calm")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_case_killed_in_a_step_is_finished_and_nothing_is_doubled(
    ward: Ward, undisturbed: Counter[str], step: str, when: When
) -> None:
    """Killed before the step's request arrived, or when it was answered and nobody had heard."""
    patient = f"{step}-{when}"
    await ward.admit(patient)
    case_id = await ward.open_and_hold(patient, step, when)
    ward.kill()
    ward.open_gates()
    await ward.start()
    case = await ward.cases.done(case_id)
    assert (case["state"], case["attempts"]) == ("answered", 1), case["outcome"]
    counts = await ward.resources_of(patient)
    assert counts == undisturbed
    assert counts["CarePlan"] == 1


async def test_a_case_that_takes_the_service_down_each_time_is_given_up_and_named(ward: Ward, undisturbed: Counter[str]) -> None:
    """After so many recoveries as the settings allow (here 2) the case is stuck, and the others go on."""
    await ward.admit("poison")
    case_id = await ward.open_and_hold("poison", "stage", "before")
    for _ in range(3):
        ward.kill()
        await ward.start()
        await asyncio.sleep(1.5)
    ward.open_gates()
    case = await ward.cases.done(case_id)
    assert case["state"] == "stuck"
    assert "crashed" in case["outcome"]["issue"][0]["details"]["text"]


async def test_a_case_accepted_just_before_the_kill_is_not_lost(ward: Ward) -> None:
    """What POST /cases has accepted is answered, also when nothing of it had begun."""
    patients = [f"lost-{number}" for number in range(4)]
    for patient in patients:
        await ward.admit(patient)
    ids = [await ward.cases.open(f"Patient/{patient}") for patient in patients]
    ward.kill()
    await ward.start()
    for patient, case_id in zip(patients, ids, strict=True):
        assert (await ward.cases.done(case_id))["state"] == "answered"
        assert (await ward.resources_of(patient))["CarePlan"] == 1


@pytest.mark.postgres
async def test_processes_on_postgresql_share_the_work_and_survive_the_kill_of_one(fhir: str, tmp_path: Path, postgres: str) -> None:
    """Each service a process of its own, ingest two of them on PostgreSQL; one is killed while its answer is being written."""
    ports = {name: free_port() for name in ("ingest", "ingest-2", "staging", "recommend")}
    async with AsyncExitStack() as stack:
        to_fhir = await stack.enter_async_context(gate(fhir.removesuffix("/fhir")))
        settings = {
            "fhir_base": f"{to_fhir.url}/fhir",
            "staging_url": f"http://127.0.0.1:{ports['staging']}",
            "recommend_url": f"http://127.0.0.1:{ports['recommend']}",
            "database_url": new_database(postgres),
            "service_secret": "by which these processes know one another",
            "poll_seconds": 0.05,
        }
        processes = [Process(name.removesuffix("-2"), port, tmp_path / name, executor=name, **settings) for name, port in ports.items()]
        ward = Ward(to_fhir, to_fhir, processes, fhir)
        stack.callback(ward.kill)
        await ward.start()
        patients = [f"shared-{number}" for number in range(6)]
        for patient in patients:
            await ward.admit(patient)
        to_fhir.hold(STEPS["write"][1], "after")
        ids = [await ward.cases.open(f"Patient/{patient}") for patient in patients]
        async with asyncio.timeout(30):
            await to_fhir.reached.wait()
        processes[0].kill()
        to_fhir.open()
        await processes[0].start()
        for patient, case_id in zip(patients, ids, strict=True):
            await ward.answered(case_id)
            assert (await ward.resources_of(patient))["CarePlan"] == 1
