"""What docker-compose.yml tells its containers is enough: three processes with that environment answer a case."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from shared.fhir.client import FhirClient
from shared.service.settings import PREFIX
from tests.containers.test_compose import CONTAINERS, OURS, environment
from tests.ingest.conftest import new_database, postgres
from tests.ingest.patients import bundle, metastatic
from tests.journeys.figaro import Cases, Process
from tests.journeys.test_kill import free_port

__all__ = ["postgres"]
PASSWORD = "only-in-this-test"
API = "also-only-in-this-test"


def database_with_password(server: str) -> str:
    """A database of the role `figaro`, who has to give her password; the URL holds none."""
    url = new_database(server)
    with psycopg.connect(server, autocommit=True) as connection:
        (rules,) = connection.execute("SHOW hba_file").fetchone() or ("",)
        file = Path(rules)
        file.write_text(f"local all figaro scram-sha-256\n{file.read_text()}")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(f"CREATE ROLE figaro LOGIN PASSWORD '{PASSWORD}'")
        name = url.partition("?")[0].rpartition("/")[2]
        connection.execute(f"ALTER DATABASE {name} OWNER TO figaro")
    scheme, _, rest = url.partition("://")
    return f"{scheme}://figaro@{rest.partition('@')[2]}"


@pytest.mark.slow
@pytest.mark.postgres
async def test_three_processes_with_the_environment_of_the_containers_answer_a_case(
    sekmet: str, postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the addresses are others: loopback for the containers' names. The database asks for the password that the URL does not hold."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    ports = {name: free_port() for name in OURS}
    here = {
        "http://hapi:8080/fhir": sekmet,
        "http://staging:8000": f"http://127.0.0.1:{ports['staging']}",
        "http://recommend:8000": f"http://127.0.0.1:{ports['recommend']}",
        "postgresql://figaro@postgres:5432/figaro": database_with_password(postgres),
        "0.0.0.0": "127.0.0.1",
        environment(CONTAINERS["ingest"])["FIGARO_FHIR_NETWORKS"]: "[]",
        environment(CONTAINERS["ingest"])["FIGARO_API_SECRET"]: API,
        environment(CONTAINERS["ingest"])["FIGARO_SERVICE_SECRET"]: "by which these processes know one another",
        environment(CONTAINERS["ingest"])["FIGARO_STAGING_SECRET"]: "by which staging knows ingest",
        environment(CONTAINERS["ingest"])["FIGARO_AUDIT_KEY"]: "a key of this test alone",
        environment(CONTAINERS["ingest"])["FIGARO_NOTIFICATION_SECRET"]: "another-one-of-this-test",
        "http://ingest:8000": f"http://127.0.0.1:{ports['ingest']}",
    }
    async with AsyncExitStack() as stack, FhirClient(sekmet) as server:
        for name, port in ports.items():
            ours = {key: value for key, value in environment(CONTAINERS[name]).items() if key.startswith(PREFIX)}
            told = {key.removeprefix(PREFIX).lower(): here[value] for key, value in ours.items()}
            process = Process(name, port, tmp_path / name, **told)
            stack.callback(process.stop)
            await process.start()
        await server.transaction(bundle(metastatic("composed")))
        cases = Cases(f"http://127.0.0.1:{ports['ingest']}", secret=API)
        case = await cases.done(await cases.open("Patient/composed"))
    assert case["state"] == "answered", case["outcome"]
    assert case["careplan"]["reference"].startswith("CarePlan/")
    assert case["staging"]["editions"]["figo-2018"]["stage"] == "IVB"
