"""Writing the answer to servers that take less than all of it: real small servers, each with something switched off."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal

import pytest

from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.decision import DECISION, Answer
from services.recommend.library import library
from services.recommend.publish import Publication, publish
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Unavailable
from shared.fhir.r4 import complaints
from shared.fhir.reader import read_bundle
from shared.fhir.transport import Limits
from tests import synthetic
from tests.peers.small_server import WRITTEN, Small, Switches, small_server

Json = dict[str, Any]
CASE = "iva-bladder-mucosa"
ORDERED = Switches(transactions=False)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """These servers find at once what they have stored: nobody waits for their index."""
    monkeypatch.setattr("shared.fhir.create_once.PATIENCE", (0.01, 0.01))


@asynccontextmanager
async def opened(switches: Switches, case: str = CASE) -> AsyncIterator[tuple[Small, FhirClient]]:
    async with small_server(switches) as small, FhirClient(small.base_url, limits=Limits(read=2), retries=0) as client:
        small.load(synthetic.bundle(case))
        yield small, client


def answer(case: str = CASE, **changes: Any) -> Answer:
    """The answer to a case; `changes` are elements of its ECOG observation."""
    bundle = synthetic.bundle(case)
    for entry in bundle["entry"]:
        if entry["resource"]["id"].endswith("-ecog"):
            entry["resource"] |= changes
    record = read_bundle(json.dumps(bundle).encode())
    staging = stage(record, rules())
    return Answer(record, staging, recommend(record, staging, library()))


WORSE = {"valueInteger": 3, "interpretation": []}


async def published(client: FhirClient, given: Answer, at: str = "2026-11-22T12:00:00Z") -> Publication:
    return await publish(client, given, drugs(library()), at=at, software="0.1.0")


def ours(small: Small) -> dict[str, int]:
    """How many resources of ours stand there, by kind."""
    kinds = (*WRITTEN, "DocumentReference")
    tagged = {kind: [one for one in small.all(kind) if "figaro" in json.dumps(one) and not one["id"].startswith("syn-")] for kind in kinds}
    return {kind: len(found) for kind, found in tagged.items() if found}


async def test_fc12_without_transactions_the_same_is_written_one_by_one_with_provenance_last() -> None:
    async with opened(ORDERED) as (small, client):
        given = answer()
        done = await published(client, given)
        assert (done.mode, done.written) == ("ordered", True)
        written = [path for method, path in small.asked if method in ("POST", "PUT") and path != "/fhir"]
        assert written[-1].startswith("/fhir/Provenance/figaro-")
        assert len(written) == sum(ours(small).values())
        [plan], [group], [provenance] = small.all("CarePlan"), small.all("RequestGroup"), small.all("Provenance")
        assert plan["activity"][0]["reference"]["reference"] == f"RequestGroup/{group['id']}"
        assert "urn:uuid" not in json.dumps([one for kind in WRITTEN for one in small.all(kind)])
        assert f"CarePlan/{plan['id']}/_history/1" in [target["reference"] for target in provenance["target"]]


async def test_fc07_written_again_in_order_nothing_is_doubled_and_nothing_is_sent() -> None:
    async with opened(ORDERED) as (small, client):
        first = await published(client, answer())
        writes = small.writes
        again = await published(client, answer(), at="2026-11-23T08:00:00Z")
        assert (again.careplan, again.version, again.written) == (first.careplan, first.version, False)
        assert small.writes == writes


SERVERS = {
    "conditional creates": Switches(transactions=False),
    "no conditional create": Switches(transactions=False, conditional=False),
    "ids of its own": Switches(transactions=False, update_create=False),
    "no history": Switches(transactions=False, history=False),
    "no Provenance": Switches(transactions=False, creates=tuple(k for k in WRITTEN if k != "Provenance")),
}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", SERVERS)
async def test_fc07_broken_off_at_a_write_nothing_is_doubled_and_the_rest_follows(name: str, when: Literal["before", "after"]) -> None:
    switches, given = SERVERS[name], answer()
    async with opened(switches) as (small, client):
        await published(client, given)
        whole, writes = ours(small), small.writes
    assert whole["CarePlan"] == 1
    for number in (1, 2, writes // 2, writes - 2, writes - 1, writes):
        async with opened(switches) as (small, client):
            small.break_at = (number, when)
            with suppress(Unavailable):
                await published(client, given)
            await published(client, given, at="2026-11-22T12:05:00Z")
            assert ours(small) == whole, f"broken {when} write {number}"
            assert (await published(client, given)).written is False
            assert ours(small) == whole


async def test_in_order_a_changed_record_replaces_and_withdraws_the_old_draft_the_plan_last() -> None:
    async with opened(ORDERED) as (small, client):
        old = await published(client, answer())
        options = len(small.all("MedicationRequest")) + len(small.all("ServiceRequest"))
        new = await published(client, answer(**WORSE))
        plans = {f"CarePlan/{one['id']}": one for one in small.all("CarePlan")}
        assert plans[str(old.careplan)]["status"] == "revoked"
        assert plans[str(new.careplan)]["replaces"] == [{"reference": old.careplan}]
        puts = [path for method, path in small.asked if method == "PUT" and "Provenance" not in path]
        assert puts[-1] == f"/fhir/{old.careplan}"
        revoked = [one for kind in ("MedicationRequest", "ServiceRequest") for one in small.all(kind) if one["status"] != "draft"]
        assert len(revoked) == options


async def test_in_order_a_withdrawal_that_broke_off_is_finished_by_the_next_run() -> None:
    async with opened(ORDERED) as (small, client):
        old = await published(client, answer())
        first, given = small.writes, answer(**WORSE)
        async with opened(ORDERED) as (other, second):
            await published(second, answer())
            await published(second, given)
            whole = other.writes
        small.break_at = (whole - 2, "busy")
        with pytest.raises(Unavailable):
            await published(client, given)
        assert first < small.writes < whole
        await published(client, given)
        states = {one["status"] for kind in ("MedicationRequest", "ServiceRequest") for one in small.all(kind) if _of(one) == old.decision}
        assert states <= {"cancelled", "revoked"}
        assert (await client.offer()).transactions is False


def _of(resource: Json) -> str | None:
    return next((tag["code"] for tag in resource["meta"].get("tag", ()) if tag["system"] == DECISION), None)


async def test_in_order_a_plan_that_a_person_touched_is_left_alone() -> None:
    async with opened(ORDERED) as (small, client):
        old = await published(client, answer())
        [plan] = small.all("CarePlan")
        await client.update({**plan, "note": [{"text": "Discuss first."}]})
        new = await published(client, answer(**WORSE))
        plans = {f"CarePlan/{one['id']}": one for one in small.all("CarePlan")}
        assert plans[str(old.careplan)]["status"] == "draft"
        assert plans[str(new.careplan)]["replaces"] == [{"reference": old.careplan}]


async def test_two_devices_of_ours_stop_no_plan_and_no_third_is_made() -> None:
    async with opened(Switches(transactions=False, conditional=False)) as (small, client):
        await published(client, answer())
        [device] = small.all("Device")
        small.load({"entry": [{"resource": {**device, "id": "second"}}]})
        await published(client, answer(**WORSE))
        assert len(small.all("Device")) == 2
        assert len([plan for plan in small.all("CarePlan") if plan["status"] == "draft"]) == 1


@pytest.mark.parametrize("lacking", [("RequestGroup",), ("Observation",), ("Device",), ("DetectedIssue", "Task"), WRITTEN[1:]])
async def test_what_a_server_does_not_take_is_left_out_and_the_plan_is_whole_without_it(lacking: tuple[str, ...]) -> None:
    async with opened(Switches(transactions=False, creates=tuple(k for k in WRITTEN if k not in lacking)), "ivb-renal-impairment") as (
        small,
        client,
    ):
        done = await published(client, answer("ivb-renal-impairment"))
        assert done.mode == "ordered"
        assert not set(ours(small)) & set(lacking)
        [plan] = small.all("CarePlan")
        assert complaints(json.dumps(plan).encode()) == []
        assert "cisplatin" in plan["text"]["div"].lower()
        assert ("RequestGroup/" in json.dumps(plan)) == ("RequestGroup" not in lacking)


DOCUMENTS = Switches(creates=("DocumentReference",))


async def test_where_no_careplan_is_taken_a_document_holds_words_and_bundle() -> None:
    async with opened(DOCUMENTS) as (small, client):
        done = await published(client, answer())
        assert (done.mode, done.written) == ("document", True)
        [document] = small.all("DocumentReference")
        assert done.careplan == f"DocumentReference/{document['id']}"
        assert complaints(json.dumps(document).encode()) == []
        assert (document["status"], document["docStatus"]) == ("current", "preliminary")
        text, bundle = (b64decode(content["attachment"]["data"]) for content in document["content"])
        assert text.decode().startswith("Proposed treatment options for the tumour board. Not an order")
        assert "FIGO 2018 IVA" in text.decode()
        assert "<" not in text.decode().replace("< ", "").replace("<=", "")
        collected = json.loads(bundle)
        assert complaints(bundle) == []
        assert {entry["resource"]["resourceType"] for entry in collected["entry"]} >= {"CarePlan", "RequestGroup", "Provenance"}


@pytest.mark.parametrize("conditional", [True, False])
async def test_a_document_is_written_once_also_when_the_reply_is_lost(conditional: bool) -> None:
    async with opened(Switches(creates=("DocumentReference",), conditional=conditional)) as (small, client):
        small.break_at = (1, "after")
        first = await published(client, answer())
        again = await published(client, answer())
        assert (again.careplan, again.written) == (first.careplan, False)
        assert len(small.all("DocumentReference")) == 1


async def test_a_new_document_replaces_the_old_one_which_is_superseded_unless_somebody_touched_it() -> None:
    for touched in (False, True):
        async with opened(DOCUMENTS) as (small, client):
            old = await published(client, answer())
            if touched:
                await client.update({**small.all("DocumentReference")[0], "docStatus": "final"})
            new = await published(client, answer(**WORSE))
            documents = {f"DocumentReference/{one['id']}": one for one in small.all("DocumentReference")}
            assert documents[str(new.careplan)]["relatesTo"] == [{"code": "replaces", "target": {"reference": old.careplan}}]
            assert documents[str(old.careplan)]["status"] == ("current" if touched else "superseded")


@pytest.mark.parametrize(
    "switches", [Switches(creates=()), Switches(creates=("CarePlan", "DocumentReference"), conditional=False, searched=False)]
)
async def test_where_nothing_can_be_written_once_nothing_is_written(switches: Switches) -> None:
    async with opened(switches) as (small, client):
        done = await published(client, answer())
        assert (done.mode, done.careplan, done.written) == ("page", None, False)
        assert done.decision
        assert small.writes == 0


async def test_a_transaction_that_is_offered_and_refused_when_tried_is_not_relied_on() -> None:
    async with opened(Switches(transactions=False)) as (_, client):
        offer = await client.offer()
        assert (offer.said.system("transaction"), offer.transactions) == (False, False)
