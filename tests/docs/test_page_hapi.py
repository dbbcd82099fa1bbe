"""docs/hapi.md and docs/connect-a-server.md followed word for word, at a HAPI FHIR server of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from examples.resources import key_of
from examples.synthetic_patients import patients
from shared.fhir.client import FhirClient
from tests.conftest import a_hapi
from tests.docs.following import Page, Terminal
from tests.journeys.figaro import Cases, until
from tests.journeys.test_kill import free_port

pytestmark = [pytest.mark.hapi, pytest.mark.server, pytest.mark.slow]
Json = dict[str, Any]
SEVERAL = ("syn-001", "syn-101", "syn-123", "syn-126")  # of the 88 that the page has written: what more there are only take longer
HER, ANOTHER = "syn-126", "syn-123"


@pytest.fixture(scope="module")
def hapi() -> Iterator[str]:
    """As `make hapi` starts it, at a free port: the pages run over all patients of a server, so over no other test's."""
    yield from a_hapi()


def chart(who: str) -> Json:
    """The transaction that puts a synthetic patient on a server."""
    return next(one for one in patients() if key_of(one) == who)


async def plans(base: str, *who: str) -> dict[str, tuple[str, str]]:
    """Status and version of each CarePlan of theirs, by id."""
    async with FhirClient(base) as server:
        found = [json.loads(bytes(one.resource or b"")) for each in who for one in await server.search("CarePlan", {"patient": each})]
    return {plan["id"]: (plan["status"], plan["meta"]["versionId"]) for plan in found}


async def test_the_page_of_hapi_followed_word_for_word_leads_to_careplans(hapi: str, tmp_path: Path) -> None:
    """`make hapi` is the fixture's work; of the patients that are written four are loaded."""
    page, terminal = Page("hapi.md", {"http://127.0.0.1:8080/fhir": hapi}), Terminal(tmp_path)
    make, load = page.blocks("Start it")
    assert not page.left
    assert make.splitlines()[0] == f"make hapi                # {hapi}"
    write, rest = load.split("\n", 1)
    terminal.run(write)
    files = list((tmp_path / "var/patients").iterdir())
    assert len(files) == 88
    for file in files:
        if file.stem not in SEVERAL:
            file.unlink()
    shown = terminal.run(rest).stdout
    assert all(who in shown for who in SEVERAL)
    assert "stuck" not in shown
    for who in SEVERAL:
        assert len(await plans(hapi, who)) == 1


class Ward:
    """The page, with HAPI and two of its patients for the placeholders, and ports of this machine."""

    def __init__(self, hapi: str, folder: Path) -> None:
        self.base = hapi
        self.ports = {port: free_port() for port in (8000, 8001, 8002)}
        self.url = f"http://127.0.0.1:{self.ports[8000]}"
        self.page = Page(
            "connect-a-server.md",
            {
                "http://127.0.0.1:8080/fhir": hapi,
                "http://127.0.0.1:8000": self.url,
                **{f"FIGARO_PORT={port}": f"FIGARO_PORT={here}" for port, here in self.ports.items()},
                "--patient 17 --patient 18": f"--patient {HER} --patient {ANOTHER}",
                "Patient/17": f"Patient/{HER}",
            },
        )
        neighbours = {name: f"http://127.0.0.1:{self.ports[port]}" for name, port in (("STAGING", 8001), ("RECOMMEND", 8002))}
        self.apart = Terminal(folder, **{f"FIGARO_{name}_URL": url for name, url in neighbours.items()})
        self.first, self.other = Terminal(folder, FIGARO_PORT=str(self.ports[8000])), Terminal(folder)

    async def ask(self, place: str, method: str = "GET") -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.request(method, f"{self.url}{place}") as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def ward(hapi: str, tmp_path: Path) -> Ward:
    async with FhirClient(hapi) as server:
        for who in (HER, ANOTHER):
            await server.transaction(chart(who))
    return Ward(hapi, tmp_path)


async def test_the_page_followed_word_for_word_checks_a_server_and_answers_its_patients_once(ward: Ward) -> None:
    """`check`, and each `run`: twice; for those named; as of a day; for one who is not there."""
    page, terminal = ward.page, ward.other
    [check] = page.blocks("")
    lines = terminal.run(check).stdout.splitlines()
    assert [line for line in lines if " yes " not in line] == []
    [runs] = page.blocks("Once, from the command line")
    everyone, named, as_of = runs.splitlines()
    shown = terminal.run(everyone).stdout
    assert HER in shown
    assert ANOTHER in shown
    written = await plans(ward.base, HER, ANOTHER)
    page.says("Run it twice: the second run writes nothing")
    terminal.run(everyone)
    page.says("It leaves with 1 if a patient is stuck, and the table says why.")
    shown = terminal.run(f"{named} --patient nobody", leaves=1).stdout
    assert HER in shown
    assert ANOTHER in shown
    assert "Patient/nobody is stuck: " in shown
    assert await plans(ward.base, HER, ANOTHER) == written
    page.says("`--as-of` takes that day for today, and its drafts replace those of today.")
    terminal.run(as_of)
    after = await plans(ward.base, HER, ANOTHER)
    assert {after[id][0] for id in written} == {"revoked"}
    assert sorted(after[id][0] for id in set(after) - set(written)) == ["draft", "draft"]


async def test_the_page_followed_word_for_word_serves_and_follows_a_case(ward: Ward) -> None:
    """All three in one process: the two requests of the page, then every route that it names."""
    page, url = ward.page, ward.url
    serve, asks = page.blocks("As a service")
    opens, lists = asks.splitlines()
    with ward.first.stays(serve, url):
        case = json.loads(ward.other.run(opens).stdout)
        cases = Cases(f"{url}/ingest")
        page.says("`/ingest/cases/{id}` shows one whole, `/ingest/cases/{id}/events` follows it")
        status, events = await ward.ask(f"/ingest/cases/{case['id']}/events")
        assert status == 200
        states = [json.loads(line.removeprefix("data: "))["state"] for line in events.splitlines() if line.startswith("data: ")]
        page.says("A case goes from `opened` over `pulled` and `staged` to `answered`")
        order = ["opened", "pulled", "staged", "answered"]
        assert states == sorted(states, key=order.index)
        assert states[-1] == "answered"
        assert (await cases.show(case["id"]))["careplan"]["reference"].startswith("CarePlan/")
        assert [one["id"] for one in json.loads(ward.other.run(lists).stdout)["cases"]] == [case["id"]]

        page.says("or is `stuck` with an OperationOutcome that says what to do")
        late = await cases.done(await cases.open("Patient/late"))
        assert (late["state"], late["outcome"]["resourceType"]) == ("stuck", "OperationOutcome")
        async with FhirClient(ward.base) as server:
            await server.transaction(json.loads(json.dumps(chart(HER)).replace(HER, "late")))
        page.says("`/ingest/cases/{id}/retry` tries a stuck one again")
        assert (await ward.ask(f"/ingest/cases/{late['id']}/retry", "POST"))[0] == 202
        assert (await cases.done(late["id"]))["state"] == "answered"

        page.says("`/ingest/docs` lists all routes, on this machine only; `/ingest/health/ready` says who is missing; `/ingest/metrics`")
        assert "/cases" in (await ward.ask("/ingest/openapi.json"))[1]
        for place in ("docs", "health/ready", "metrics"):
            assert (await ward.ask(f"/ingest/{place}"))[0] == 200


async def test_the_page_followed_word_for_word_serves_each_service_apart(ward: Ward) -> None:
    """Only the ports are others, so ingest is told of its neighbours'; Ctrl-C and `kill %1 %2` end them."""
    page = ward.page
    [apart] = page.blocks("Each service apart")
    assert page.left == ["", "Once, from the command line", "As a service", "In containers"]  # the last: tests/containers
    page.says("Ctrl-C ends ingest, `kill %1 %2` the others.")
    page.says("Ingest's addresses are then without `/ingest`")
    services = [f"http://127.0.0.1:{port}" for port in ward.ports.values()]
    with ward.apart.stays(apart, *services, then="kill %1 %2\nwait"):

        async def ready() -> bool:
            return (await ward.ask("/health/ready"))[0] == 200

        await until(ready)
        cases = Cases(ward.url)
        found = await cases.done(await cases.open(f"Patient/{HER}"))
        assert (found["state"], found["mode"]) == ("answered", "transaction"), found["outcome"]
