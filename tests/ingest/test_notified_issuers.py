"""Notifications of several FHIR servers: each with secrets of its own, from a file of issuers (SE-11)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import aiohttp

from services.ingest.app import create
from services.ingest.channels import PUSH, key
from services.ingest.running import Ingest
from services.ingest.settings import IngestSettings
from shared.service.log import configure
from shared.service.serving import served
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import cervical_cancer, patient
from tests.journeys.figaro import until
from tests.peers.small_server import Small, small_server

NORTH, SOUTH, NEWER = "the secret of the north", "the secret of the south", "the next secret of the south"
NOBODY = "http://127.0.0.1:9"


class Two:
    """An ingest with two issuers, `north` and `south`; of the second the secret is being replaced."""

    def __init__(self, url: str, ingest: Ingest, session: aiohttp.ClientSession) -> None:
        self.url, self.ingest, self.session = url, ingest, session

    async def push(self, issuer: str, of: str, secret: str, patient: str = "1") -> int:
        """The status of a pushed Condition at the address of `issuer` that the secret `of` makes, with `secret` in its header."""
        address = f"{self.url}/notifications/{issuer}/{PUSH}/{key(of, issuer, PUSH)}"
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/fhir+json"}
        async with self.session.post(address, json=cervical_cancer("c1", f"Patient/{patient}"), headers=headers) as answer:
            return answer.status

    def due(self) -> set[tuple[str, str]]:
        """Who is marked, and at which server."""
        return {(self.ingest.servers.issuers.name(due.base), due.patient) for due in self.ingest.ledger.due("9999")}


@asynccontextmanager
async def two(folder: Path, north: str, south: str, **more: Any) -> AsyncIterator[Two]:
    (folder / "north").write_text(NORTH + "\n")
    (folder / "south").write_text(NEWER + "\n")
    (folder / "south-before").write_text(SOUTH + "\n")
    file = folder / "issuers.yaml"
    file.write_text(f"""\
issuers:
  - {{id: north, base: "{north}", write_mode: page, subscription: {{secrets: [{{file: north}}]}}}}
  - {{id: south, base: "{south}", write_mode: page, subscription: {{secrets: [{{file: south}}, {{file: south-before}}]}}}}
  - {{id: mute, base: "{NOBODY}/mute", write_mode: page}}
""")
    given: dict[str, Any] = {"drain_seconds": 59, "debounce_seconds": 3600, "sweep_seconds": 0}
    app = create(IngestSettings(issuers=file, data_directory=folder, **{**given, **more}))
    async with served(app) as url, aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield Two(url, app.state.ingest, session)


async def test_se_11_su_40_each_issuer_is_let_in_by_its_own_secret_alone(tmp_path: Path) -> None:
    """SE-11, SU-40: neither the secret of another issuer, nor an address made from it, nor one without any secret."""
    async with two(tmp_path, f"{NOBODY}/north", f"{NOBODY}/south") as here:
        assert await here.push("north", NORTH, NORTH) == 200
        assert here.due() == {("north", "Patient/1")}
        for issuer, of, secret in [
            ("north", NORTH, NEWER),
            ("north", NEWER, NEWER),
            ("south", NORTH, NORTH),
            ("south", NEWER, NORTH),
            ("mute", NORTH, NORTH),
            ("nobody", NORTH, NORTH),
        ]:
            assert await here.push(issuer, of, secret, "2") == 401, (issuer, of, secret)
        assert here.due() == {("north", "Patient/1")}


async def test_su_40_while_a_secret_is_replaced_both_are_taken_each_at_its_own_address(tmp_path: Path) -> None:
    async with two(tmp_path, f"{NOBODY}/north", f"{NOBODY}/south") as here:
        assert [await here.push("south", NEWER, NEWER, "new"), await here.push("south", SOUTH, SOUTH, "old")] == [200, 200]
        assert await here.push("south", NEWER, SOUTH, "mixed") == 401
        assert here.due() == {("south", "Patient/new"), ("south", "Patient/old")}
        issuer = here.ingest.servers.issuer(f"{NOBODY}/south")
        assert here.ingest.channels.path(issuer, PUSH).endswith(key(NEWER, "south", PUSH))  # what is newly made uses the newest


async def test_a_secret_in_a_file_is_read_at_each_notification(tmp_path: Path) -> None:
    """So that it is replaced without a restart."""
    async with two(tmp_path, f"{NOBODY}/north", f"{NOBODY}/south") as here:
        (tmp_path / "north").write_text("another one, as of now")
        assert await here.push("north", NORTH, NORTH) == 401
        assert await here.push("north", "another one, as of now", "another one, as of now") == 200


async def test_a_secret_that_cannot_be_read_is_told_at_the_start_and_stops_no_other_server(tmp_path: Path) -> None:
    async with two(tmp_path, f"{NOBODY}/north", f"{NOBODY}/south"):
        pass
    (tmp_path / "north").unlink()
    log = StringIO()
    configure("ERROR", log)
    async with served(create(IngestSettings(issuers=tmp_path / "issuers.yaml", data_directory=tmp_path, sweep_seconds=0))):
        [line] = [json.loads(line) for line in log.getvalue().splitlines() if "notifications_refused" in line]
    assert line["issuer"] == "north"
    assert "north" in line["advice"]


def loaded(small: Small) -> None:
    small.load({"resourceType": "Bundle", "entry": [{"resource": patient("1")}, {"resource": cervical_cancer("c1", "Patient/1")}]})


async def test_se_11_a_case_belongs_to_the_issuer_that_told_of_it(tmp_path: Path) -> None:
    """SE-11: two servers have a patient of one id; row, metric and every request are those of the one that notified."""
    async with small_server() as north, small_server() as south, StubNeighbours() as stubs:
        loaded(north)
        loaded(south)
        urls = {"staging_url": stubs.url("staging"), "recommend_url": stubs.url("recommend")}
        async with two(tmp_path, north.base_url, south.base_url, debounce_seconds=0, drain_seconds=1, **urls) as here:
            assert await here.push("south", NEWER, NEWER) == 200

            async def opened() -> bool:
                return bool(here.ingest.ledger.cases())

            await until(opened)
            assert [(case.base, case.patient) for case in here.ingest.ledger.cases()] == [(south.base_url, "Patient/1")]
            assert north.asked == []
            async with here.session.get(f"{here.url}/metrics") as answer:
                counted = [
                    line for line in (await answer.text()).splitlines() if line.startswith("figaro_cases{") and not line.endswith("0.0")
                ]
            assert len(counted) == 1
            assert 'issuer="south"' in counted[0]
