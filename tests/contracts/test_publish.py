"""Writing the CarePlan on a real FHIR server: once, replaced when the record changes, left alone when a person has touched it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from aiohttp.web import Request, StreamResponse

from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.decision import Answer
from services.recommend.library import library
from services.recommend.publish import Publication, publish
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Unavailable
from shared.fhir.reader import read_resources
from tests import synthetic
from tests.peers.faults import Proxy, answered, faulty, lost_reply, passed

Json = dict[str, Any]
WRITTEN = ("CarePlan", "RequestGroup", "MedicationRequest", "ServiceRequest", "DetectedIssue", "Observation")


@pytest.fixture
async def server(fhir_base: str) -> AsyncIterator[FhirClient]:
    async with FhirClient(fhir_base) as client:
        yield client


class Chart:
    """One synthetic patient on a server, under ids of her own."""

    def __init__(self, server: FhirClient, case: str) -> None:
        self.server = server
        self.bundle = synthetic.renamed(case, f"t{uuid4().hex[:8]}")
        self.patient = next(e["request"]["url"] for e in self.bundle["entry"] if e["request"]["url"].startswith("Patient/"))

    async def load(self) -> Chart:
        await self.server.transaction(self.bundle)
        return self

    async def answer(self) -> Answer:
        raw = []
        for kind in ("Condition", "Observation", "Procedure", "MedicationAdministration"):
            raw += [bytes(e.resource) for e in await self.server.search(kind, {"patient": self.patient}) if e.resource is not None]
        name = self.patient.partition("/")[2]
        record = read_resources(self.patient, [await self.server.read("Patient", name), *raw])
        staging = stage(record, rules())
        return Answer(record, staging, recommend(record, staging, library()))

    async def publish(self, at: str = "2026-11-22T12:00:00Z") -> Publication:
        return await publish(self.server, await self.answer(), drugs(library()), at=at, software="0.1.0")

    async def count(self) -> dict[str, int]:
        return {kind: len(await self.server.search(kind, {"patient": self.patient})) for kind in WRITTEN}

    async def read(self, reference: str | None) -> Json:
        assert reference is not None
        kind, _, name = reference.partition("/")
        return json.loads(await self.server.read(kind, name))  # type: ignore[no-any-return]

    async def change(self, name: str, **elements: Any) -> None:
        [resource] = [e["resource"] for e in self.bundle["entry"] if e["resource"]["id"].endswith(name)]
        await self.server.update({**resource, **elements})


@pytest.fixture
async def chart(server: FhirClient) -> Chart:
    return await Chart(server, "ivb-cps-10").load()


async def test_a_careplan_is_written_whole_and_its_references_resolve(chart: Chart) -> None:
    done = await chart.publish()
    plan = await chart.read(done.careplan)
    assert done.written
    assert (plan["status"], plan["intent"]) == ("draft", "proposal")
    group = await chart.read(plan["activity"][0]["reference"]["reference"])
    for action in group["action"][0]["action"]:
        for inner in action["action"]:
            assert (await chart.read(inner["resource"]["reference"]))["intent"] == "option"
    assert "urn:uuid" not in json.dumps([plan, group])


async def test_writing_the_same_decision_again_writes_nothing_new(chart: Chart) -> None:
    first, before = await chart.publish(), await chart.count()
    again = await chart.publish(at="2026-11-23T08:00:00Z")
    assert (again.careplan, again.version, again.written) == (first.careplan, first.version, False)
    assert await chart.count() == before


async def test_stage_categories_and_sites_stand_on_the_server_and_lead_to_each_other_and_to_the_record(chart: Chart) -> None:
    done = await chart.publish()
    plan = await chart.read(done.careplan)
    about = [await chart.read(r["reference"]) for r in plan["supportingInfo"]]
    ours = [o for o in about if "AIAST" in str(o.get("meta"))]
    [stage] = [o for o in ours if "mcode-cancer-stage" in str(o["meta"])]
    sites = [o for o in ours if o["code"]["coding"][0]["code"] == "site-of-spread"]
    assert stage["valueCodeableConcept"]["text"] == "IVB"
    assert sites
    members = [await chart.read(member["reference"]) for member in stage["hasMember"]]
    assert members
    for derived in (stage, *sites, *members):
        for source in derived.get("derivedFrom", ()):
            assert "AIAST" not in str((await chart.read(source["reference"])).get("meta"))


async def test_what_we_wrote_is_no_evidence_for_the_next_answer(chart: Chart) -> None:
    before = (await chart.answer()).staging
    await chart.publish()
    assert (await chart.answer()).staging == before


async def test_a_changed_record_gives_a_new_draft_that_replaces_and_revokes_the_old_one(chart: Chart) -> None:
    old = await chart.publish()
    await chart.change("-ecog", valueInteger=3, interpretation=[])
    new = await chart.publish()
    assert new.written
    assert new.careplan != old.careplan
    assert (await chart.read(new.careplan))["replaces"][0]["reference"] == old.careplan
    revoked = await chart.read(old.careplan)
    assert revoked["status"] == "revoked"
    assert (await chart.read(revoked["activity"][0]["reference"]["reference"]))["status"] == "revoked"


async def test_a_careplan_that_a_person_touched_is_left_alone(chart: Chart, server: FhirClient) -> None:
    old = await chart.publish()
    touched = {**await chart.read(old.careplan), "status": "active", "intent": "plan"}
    await server.update(touched)
    await chart.change("-ecog", valueInteger=3, interpretation=[])
    new = await chart.publish()
    assert (await chart.read(old.careplan))["status"] == "active"
    assert (await chart.read(new.careplan))["replaces"][0]["reference"] == old.careplan


async def test_a_comment_by_a_person_is_a_touch_although_the_plan_is_still_a_draft(chart: Chart, server: FhirClient) -> None:
    old = await chart.publish()
    plan = await chart.read(old.careplan)
    await server.update({**plan, "note": [*plan["note"], {"text": "Discuss with radiotherapy first."}]})
    await chart.change("-ecog", valueInteger=3, interpretation=[])
    await chart.publish()
    kept = await chart.read(old.careplan)
    assert kept["status"] == "draft"
    assert len(kept["note"]) == len(plan["note"]) + 1


async def test_a_patient_outside_the_scope_gets_nothing_written(server: FhirClient) -> None:
    chart = await Chart(server, "carcinoma-in-situ").load()
    before = await chart.count()
    done = await chart.publish()
    assert done.careplan is None
    assert await chart.count() == before
    assert sum(before.values()) == before["Observation"]


FISTULA = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "N82.0"}], "text": "Vesicovaginal fistula"}


async def test_a_decision_that_comes_back_is_written_again_and_not_answered_with_the_revoked_plan(chart: Chart, server: FhirClient) -> None:
    first = await chart.publish()
    fistula = {"resourceType": "Condition", "id": f"{chart.patient.partition('/')[2]}-fistula", "code": FISTULA}
    fistula |= {"subject": {"reference": chart.patient}, "recordedDate": "2026-07-10"}
    await server.update(fistula)
    second = await chart.publish()
    wrong = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "entered-in-error"}]}
    await server.update({**fistula, "verificationStatus": wrong})
    third = await chart.publish()
    assert third.decision == first.decision != second.decision
    assert third.written
    assert (await chart.read(third.careplan))["status"] == "draft"
    assert (await chart.read(third.careplan))["replaces"][0]["reference"] == second.careplan
    assert (await chart.read(second.careplan))["status"] == "revoked"
    again = await chart.publish()
    assert (again.careplan, again.written) == (third.careplan, False)


async def test_a_plan_that_a_person_revoked_is_not_written_again(chart: Chart, server: FhirClient) -> None:
    plan = await chart.publish()
    await server.update({**await chart.read(plan.careplan), "status": "revoked"})
    again = await chart.publish()
    assert (again.careplan, again.written) == (plan.careplan, False)


async def test_when_the_diagnosis_is_refuted_the_untouched_draft_and_its_options_are_withdrawn(chart: Chart, server: FhirClient) -> None:
    plan = await chart.publish()
    refuted = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "refuted"}]}
    await chart.change("-primary", verificationStatus=refuted)
    done = await chart.publish()
    assert (done.careplan, done.written) == (None, False)
    assert (await chart.read(plan.careplan))["status"] == "revoked"
    options = [json.loads(bytes(e.resource or b"{}")) for e in await server.search("MedicationRequest", {"patient": chart.patient})]
    assert {o["status"] for o in options} == {"cancelled"}


async def test_fc07_a_transaction_whose_reply_is_lost_is_found_again_and_sent_once(sekmet: str) -> None:
    async with faulty(sekmet) as proxy, FhirClient(proxy.base_url) as server:
        chart = await Chart(server, "ivb-cps-10").load()
        await server.offer()
        answer = await chart.answer()
        proxy.seen.clear()

        async def lost(proxy: Proxy, request: Request) -> StreamResponse:
            return await (lost_reply if request.method == "POST" else passed)(proxy, request)

        proxy.plan(*[lost] * 50)
        done = await publish(server, answer, drugs(library()), at="2026-11-22T12:00:00Z", software="0.1.0")
        assert done.written
        assert [seen.method for seen in proxy.seen].count("POST") == 1
        assert (await chart.count())["CarePlan"] == 1
        again = await chart.publish()
        assert (again.careplan, again.written) == (done.careplan, False)


async def test_the_mode_is_the_transaction_where_the_server_takes_all_of_it(chart: Chart) -> None:
    assert (await chart.publish()).mode == "transaction"


async def test_fc12_where_transactions_are_shut_off_the_same_stands_there_written_in_order(fhir_base: str) -> None:
    async def no_transaction(proxy: Proxy, request: Request) -> StreamResponse:
        shut = request.method == "POST" and request.path == "/fhir"
        return await (answered(404) if shut else passed)(proxy, request)

    async with FhirClient(fhir_base) as open_door, faulty(fhir_base) as proxy, FhirClient(proxy.base_url) as server:
        whole = await Chart(open_door, "iva-bladder-mucosa").load()
        await whole.publish()
        chart = await Chart(open_door, "iva-bladder-mucosa").load()
        chart.server = server
        proxy.plan(*[no_transaction] * 1_000)
        done = await chart.publish()
        assert (done.mode, done.written) == ("ordered", True)
        assert await chart.count() == await whole.count()
        sent = [seen.method for seen in proxy.seen].count("POST")
        again = await chart.publish(at="2026-11-23T08:00:00Z")
        assert (again.careplan, again.version, again.written) == (done.careplan, done.version, False)
        assert [seen.method for seen in proxy.seen].count("POST") == sent
        [said] = await server.search("Provenance", {"target": str(done.careplan)})
        assert str(done.careplan) in bytes(said.resource or b"").decode()
        await chart.change("-ecog", valueInteger=3, interpretation=[])
        new = await chart.publish()
        assert (await chart.read(done.careplan))["status"] == "revoked"
        assert (await chart.read(new.careplan))["replaces"][0]["reference"] == done.careplan


async def test_where_others_write_at_the_same_moment_it_is_tried_again_until_there_is_room(sekmet: str) -> None:
    """Whose transactions all create the same Device loses with 409 to whoever came first; HAPI says so to several in a row."""
    async with FhirClient(sekmet) as open_door, faulty(sekmet) as proxy, FhirClient(proxy.base_url) as server:
        chart = await Chart(open_door, "iva-bladder-mucosa").load()
        chart.server = server
        lost = 3

        async def crowded(proxy: Proxy, request: Request) -> StreamResponse:
            nonlocal lost
            if request.method == "POST" and lost:
                lost -= 1
                return await answered(409)(proxy, request)
            return await passed(proxy, request)

        proxy.plan(*[crowded] * 1_000)
        done = await chart.publish()
        assert done.written
        assert (await chart.count())["CarePlan"] == 1
        lost = 1_000
        await chart.change("-ecog", valueInteger=3, interpretation=[])
        with pytest.raises(Unavailable, match="others write") as raised:
            await chart.publish()
        assert (raised.value.code, raised.value.outcome_unknown) == ("transient", False)


async def test_where_our_device_stands_twice_every_patient_is_answered_all_the_same(server: FhirClient) -> None:
    """A conditional create that several resources match is refused with 412: for every patient, and for ever."""
    await (await Chart(server, "iva-bladder-mucosa").load()).publish()
    identifier = "https://figaro.example/fhir/sid/device|figaro-0.1.0"
    [first, *_] = await server.find("Device", identifier)
    device = json.loads(bytes(first.resource or b""))
    await server.create({name: value for name, value in device.items() if name not in ("id", "meta")})
    twice = {one.reference for one in await server.find("Device", identifier)}
    chart = await Chart(server, "ivb-cps-10").load()
    done = await chart.publish()
    assert done.written
    assert {one.reference for one in await server.find("Device", identifier)} == twice
    assert (await chart.read(done.careplan))["author"]["reference"] in twice
