"""HAPI and topics: no Subscription without a filter, no call of an endpoint before the first notification, and a Bundle for a Bundle."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from services.ingest.instants import now
from services.ingest.lookup import patient_of
from services.ingest.notification import Change
from services.ingest.settings import IngestSettings
from services.ingest.subscription_resource import BACKPORT, resource, topical, topics_by_type, wishes
from services.subscribing import subscribe
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Rejected
from tests.conftest import a_hapi
from tests.ingest.doorbell import SECRET as RUNG
from tests.ingest.doorbell import ringing
from tests.ingest.patients import cervical_cancer, patient
from tests.journeys.figaro import until
from tests.journeys.test_subscription import SECRET, topic

pytestmark = pytest.mark.hapi
Json = dict[str, Any]
NAME = "every-condition"
NOBODY = "http://127.0.0.1:9/ingest"  # nobody listens there


@pytest.fixture(scope="module")
def hapi() -> Iterator[str]:
    """One of its own: a Subscription that is removed is tried by HAPI for a while, and here its endpoint is gone by then."""
    yield from a_hapi()


def as_hapi_reads_it(made: Json) -> Json:
    """Its trigger in the extension of R4B, and its type by name."""
    trigger = made["extension"][1]
    trigger["url"] = trigger["url"].replace("/5.0/", "/4.3/")
    trigger["extension"][0]["valueUri"] = trigger["extension"][0]["valueUri"].rpartition("/")[2]
    return made


async def test_su_15_su_17_a_topic_of_hapi_is_done_without_and_nothing_waits_for_a_handshake(hapi: str) -> None:
    """SU-15: where it has a topic, its Subscriptions are by criteria all the same. SU-17: active, though nobody answers at the endpoint."""
    settings = IngestSettings(fhir_base=hapi, public_url=NOBODY, notification_secret=SecretStr(SECRET))
    async with FhirClient(hapi) as server:
        await server.update(as_hapi_reads_it(topic(NAME, "Condition")))
        try:
            with pytest.raises(Rejected):
                await subscribe(hapi, settings, remove=False, topics=["https://ehr.example/topics/nobody-has-this"])
            stands = await subscribe(hapi, settings, remove=False, topics=())
            assert {one.status for one in stands} == {"active"}
            assert [(one.channel, one.criteria) for one in sorted(stands)] == sorted((one.channel, one.criteria) for one in wishes({}))
            again = await subscribe(hapi, settings, remove=False, topics=())
            assert {one.done for one in again} == {"kept"}
            assert {one.reference for one in again} == {one.reference for one in stands}
        finally:
            await subscribe(hapi, settings, remove=True, topics=())
            await server.delete("Basic", NAME)


async def test_su_12_su_16_a_topic_of_hapi_that_is_named_fires_and_each_notification_comes_once(hapi: str, tmp_path: Path) -> None:
    """SU-16, SU-20, SU-23 to SU-25 as HAPI really sends them: ids only, a date for an instant, no `request` on the status."""
    made = as_hapi_reads_it(topic("filtered-condition", "Condition"))
    canonical = "https://ehr.example/topics/filtered-condition"
    assert topics_by_type([made]) == {"Condition": canonical}
    async with FhirClient(hapi) as server, ringing(tmp_path, hapi) as one:
        bell = one.at(topical(canonical).channel)
        settings = IngestSettings(fhir_base=hapi, public_url=bell.url, notification_secret=SecretStr(RUNG))
        await server.update(made)
        await asyncio.sleep(2.5)  # until HAPI has read it
        try:
            [stands] = await subscribe(hapi, settings, remove=False, topics=[canonical])
            assert (stands.criteria, stands.status, stands.done) == (canonical, "active", "created")
            [again] = await subscribe(hapi, settings, remove=False, topics=[canonical])
            assert (again.reference, again.done) == (stands.reference, "kept")
            assert json.loads(await server.read(*stands.reference.split("/")))["_criteria"]["extension"] == [
                {"url": f"{BACKPORT}/backport-filter-criteria", "valueString": "Condition?"}
            ]
            await server.update(patient("topical"))
            await server.update(cervical_cancer("topical-c", "Patient/topical"))
            await until(lambda: rung(bell, 1))
            assert bell.notices() == {"Condition/topical-c"}
            await asyncio.sleep(4)  # HAPI repeats what it has not understood the answer to
            assert (await counted(bell)) == 1
            [notice] = bell.ingest.inbox.notices(now())
            found = await patient_of(server, notice.reference)
            assert isinstance(found, Change)
            bell.ingest.inbox.take(bell.base, [found], settled=[notice])
            assert bell.due() == {"Patient/topical": 1}
        finally:
            await subscribe(hapi, settings, remove=True, topics=())
            await server.delete("Basic", "filtered-condition")


async def test_su_11_su_12_a_transaction_of_hapi_comes_once(hapi: str, tmp_path: Path) -> None:
    """SU-11: a Subscription with payload search criteria posts a transaction, and HAPI wants one answered."""
    async with FhirClient(hapi) as server, ringing(tmp_path, hapi) as bell:
        asked = resource(wishes({})[1], bell.endpoint, RUNG, "2027-01-01T00:00:00Z") | {"criteria": "Condition?"}
        searched = "Condition?_id=${matched_resource_id}&_include=Condition:subject"
        asked["extension"] = [
            {"url": "http://hapifhir.io/fhir/StructureDefinition/subscription-payload-search-criteria", "valueString": searched}
        ]
        there = await server.create(asked)
        try:
            await until(lambda: active(server, there.id))
            await server.update(patient("bundled"))
            await server.update(cervical_cancer("bundled-c", "Patient/bundled"))
            await until(lambda: rung(bell, 1))
            assert "Patient/bundled" in bell.due()
            await asyncio.sleep(4)
            assert (await counted(bell)) == 1
        finally:
            await server.delete("Subscription", there.id)


async def active(server: FhirClient, id: str) -> bool:
    return b'"active"' in await server.read("Subscription", id)


async def counted(bell: Any) -> int:
    """How often a notification was accepted."""
    async with bell.session.get(f"{bell.url}/metrics") as answer:
        text = await answer.text()
    found = [line for line in text.splitlines() if line.startswith("figaro_requests_total") and "/notifications/" in line]
    return sum(int(float(line.rpartition(" ")[2])) for line in found)


async def rung(bell: Any, times: int) -> bool:
    return await counted(bell) >= times
