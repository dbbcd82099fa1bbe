"""Hung on a FHIR server: what changes there is answered there, by itself, with sekmet-fhir and with HAPI."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.ingest.subscription_resource import wishes
from shared.fhir.client import FhirClient
from tests.conftest import a_hapi
from tests.ingest.patients import SYNTHETIC, bundle, cervical_cancer, concept, ecog, extent, patient
from tests.journeys.figaro import Cases, Process, until
from tests.journeys.test_kill import free_port

pytestmark = pytest.mark.slow
Json = dict[str, Any]
SECRET = "a secret of this journey"
ALL = len(wishes({}))
SOON = {"drain_seconds": 1, "debounce_seconds": 0.5, "poll_seconds": 0.05}


class Ward:
    """A FHIR server, and a Figaro that is subscribed to it."""

    def __init__(self, base: str, process: Process, settings: dict[str, object]) -> None:
        self.base, self.process = base, process
        self.settings = settings
        self.cases = Cases(f"{process.url}/ingest")

    def subscribe(self, *options: str) -> subprocess.CompletedProcess[str]:
        """The command, as an operator gives it."""
        told = {f"FIGARO_{name.upper()}": str(value) for name, value in self.settings.items()}
        command = [sys.executable, "-c", "from services.cli import main; main()", "subscribe", self.base, *options]
        return subprocess.run(command, env={**os.environ, **told}, capture_output=True, text=True, timeout=120, check=False)

    def restart(self, **more: object) -> None:
        """Kills it; what is started next has other settings."""
        self.process.kill()
        self.process = Process(None, int(self.process.url.rpartition(":")[2]), self.process.log, **{**self.settings, **more})

    async def write(self, *resources: Json) -> None:
        async with FhirClient(self.base) as server:
            await server.transaction(bundle(list(resources)))

    async def plans(self, who: str) -> list[Json]:
        async with FhirClient(self.base) as server:
            found = await server.search("CarePlan", {"patient": who})
        return [json.loads(bytes(entry.resource)) for entry in found if entry.resource is not None]

    async def drafts(self, who: str) -> list[str]:
        return [plan["id"] for plan in await self.plans(who) if plan["status"] == "draft"]

    async def another_draft(self, who: str, than: list[str], seconds: float = 150) -> list[str]:
        """Once exactly one draft stands, and it is a new one."""
        drafts: list[str] = []

        async def there() -> bool:
            nonlocal drafts
            drafts = await self.drafts(who)
            return len(drafts) == 1 and drafts != than

        try:
            await until(there, seconds=seconds)
        except TimeoutError:
            raise AssertionError(f"drafts {drafts}; the log ends with:\n{self.process.log.read_text()[-4000:]}") from None
        return drafts

    async def count(self, who: str) -> int:
        """How many cases she has had."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.cases.url}?limit=1000") as answer:
            return sum(case["patient"] == f"Patient/{who}" for case in (await answer.json())["cases"])


@pytest.fixture(scope="module")
def hapi() -> Iterator[str]:
    """One of its own: what other tests have written to a shared one, and subscribed to there, has kept it from notifying in time."""
    yield from a_hapi()


@pytest.fixture
async def ward(fhir_base: str, tmp_path: Path) -> AsyncIterator[Ward]:
    port = free_port()
    settings = {
        "fhir_base": fhir_base,
        "public_url": f"http://127.0.0.1:{port}/ingest",
        "notification_secret": SECRET,
        "data_directory": tmp_path,
        "sweep_seconds": 0,
        **SOON,
    }
    it = Ward(fhir_base, Process(None, port, tmp_path / "log", **settings), settings)
    try:
        await it.process.start()
        yield it
        it.subscribe("--remove")
    finally:
        it.process.stop()


def topic(name: str, kind: str) -> Json:
    """A topic that fires at every change of a type, as `Basic` with the extensions of R5."""
    url = "http://hl7.org/fhir/5.0/StructureDefinition/extension-SubscriptionTopic"
    trigger = [
        {"url": "resource", "valueUri": f"http://hl7.org/fhir/StructureDefinition/{kind}"},
        {"url": "supportedInteraction", "valueCode": "create"},
        {"url": "supportedInteraction", "valueCode": "update"},
    ]
    return {
        "resourceType": "Basic",
        "id": name,
        "meta": SYNTHETIC,
        "code": concept("http://hl7.org/fhir/fhir-types", "SubscriptionTopic"),
        "extension": [
            {"url": f"{url}.url", "valueUri": f"https://ehr.example/topics/{name}"},
            {"url": f"{url}.resourceTrigger", "extension": trigger},
        ],
    }


async def test_a_condition_is_answered_a_changed_finding_replaces_the_answer_and_nothing_echoes(ward: Ward, fhir_base: str) -> None:
    """SU-01, SU-11, SU-12, SU-28, SU-47: subscribe; a CarePlan appears; it is replaced; a restart loses nothing; remove."""
    first = ward.subscribe()
    assert first.returncode == 0, first.stderr + first.stdout
    assert first.stdout.count("created") == first.stdout.count("active") == ALL
    again = ward.subscribe()
    assert (again.returncode, again.stdout.count("kept"), again.stdout.count("created")) == (0, ALL, 0)

    who = f"journey-{free_port()}"
    me = f"Patient/{who}"
    organ = concept("http://snomed.info/sct", "39607008")
    await ward.write(patient(who), extent(f"{who}-p", me, "parametrium", True), ecog(f"{who}-e", me, 1))
    await ward.write(cervical_cancer(f"{who}-c", me), extent(f"{who}-m", me, "distant-organ", False))
    plan = await ward.another_draft(who, [])

    before = await ward.count(who)
    await asyncio.sleep(4)
    assert await ward.count(who) == before, "our own output sets nothing going"

    await ward.write(extent(f"{who}-m", me, "distant-organ", True) | {"bodySite": organ})
    replaced = await ward.another_draft(who, plan)
    old = next(one for one in await ward.plans(who) if one["id"] == plan[0])
    assert old["status"] == "revoked"

    # A server that could not deliver may give its Subscription up: from here on sweeps make sure.
    ward.restart(sweep_seconds=2)
    await ward.process.start()
    await ward.write(ecog(f"{who}-e", me, 4))
    await ward.another_draft(who, replaced)

    gone = ward.subscribe("--remove")
    assert (gone.returncode, gone.stdout.count("removed")) == (0, ALL)
    async with FhirClient(fhir_base) as server:
        assert not [
            entry for entry in await server.search("Subscription", {"_count": "200"}) if SECRET.encode() in bytes(entry.resource or b"")
        ]


async def test_su_22_where_the_server_has_a_topic_it_is_used(sekmet: str, tmp_path: Path) -> None:
    """SU-20 to SU-23: handshake and id-only events from a real server; without Figaro the handshake fails, and that is told."""
    port = free_port()
    settings = {
        "fhir_base": sekmet,
        "public_url": f"http://127.0.0.1:{port}/ingest",
        "notification_secret": SECRET,
        "data_directory": tmp_path,
        "sweep_seconds": 0,
        **SOON,
    }
    it = Ward(sekmet, Process(None, port, tmp_path / "log", **settings), settings)
    await it.write(topic("every-condition", "Condition"), topic("every-observation", "Observation"))
    failed = it.subscribe("--topic", "https://ehr.example/topics/every-condition")
    assert failed.returncode == 1
    assert "error" in failed.stdout
    try:
        await it.process.start()
        done = it.subscribe()
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("https://ehr.example/topics/every-") == 2
        who = f"topic-{free_port()}"
        await it.write(
            patient(who), cervical_cancer(f"{who}-c", f"Patient/{who}"), extent(f"{who}-p", f"Patient/{who}", "parametrium", True)
        )
        await it.another_draft(who, [])
        it.subscribe("--remove")
    finally:
        it.process.stop()
        async with FhirClient(sekmet) as server:
            for name in ("every-condition", "every-observation"):
                await server.delete("Basic", name)


async def test_without_any_subscription_a_sweep_answers_what_changed_while_we_were_away(sekmet: str, tmp_path: Path) -> None:
    """SU-03, SU-46: nobody notifies; Figaro is down while the record changes."""
    settings = {"fhir_base": sekmet, "data_directory": tmp_path, "sweep_seconds": 1, **SOON}
    it = Ward(sekmet, Process(None, free_port(), tmp_path / "log", **settings), settings)
    who = f"swept-{free_port()}"
    try:
        await it.process.start()
        async with aiohttp.ClientSession() as session:

            async def swept() -> bool:
                async with session.get(f"{it.process.url}/health/ready") as answer:
                    return '"swept":"' in await answer.text()

            await until(swept)
        it.process.kill()
        await it.write(
            patient(who), cervical_cancer(f"{who}-c", f"Patient/{who}"), extent(f"{who}-p", f"Patient/{who}", "parametrium", True)
        )
        await it.process.start()
        await it.another_draft(who, [])
    finally:
        it.process.stop()
