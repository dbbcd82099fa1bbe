"""What Figaro writes where a server answers something other than what was asked, forgets, or is late: never to another patient's plan."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from services.recommend.replaced import without_doubles
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, FigaroError, NotFhir, Stuck, Unauthorised, Unavailable
from shared.fhir.transport import Limits
from tests import synthetic
from tests.contracts.test_publish import Chart
from tests.contracts.test_write_modes import ORDERED, WORSE, answer, opened, published
from tests.peers.faults import FHIR_JSON, Proxy, answered, faulty, passed
from tests.peers.small_server import Small, Switches

pytestmark = pytest.mark.server
Json = dict[str, Any]
HER, OTHER = "iva-bladder-mucosa", "ivb-cps-10"
PLAIN = Switches(transactions=False, conditional=False)
PUMP = {"resourceType": "Device", "id": "pump-7", "status": "active", "identifier": [{"system": "urn:ward", "value": "pump 7"}]}


class Ignoring(Proxy):
    """Searches of one kind as if one parameter had not been asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kind, self.parameter = "", ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method != "GET" or request.path != f"/fhir/{self.kind}" or self.parameter not in request.query:
            return await super().handle(request)
        self.seen.append((request.method, request.raw_path, {}))  # type: ignore[arg-type]
        async with self.session.get(f"{self.upstream}/{self.kind}", params={"_count": "200"}) as answer:
            body = (await answer.read()).replace(self.upstream.encode(), self.base_url.encode())
            return web.Response(body=body, content_type=FHIR_JSON)


class Late(Proxy):
    """The first CarePlan is stored and its reply lost; for `lag` seconds no search finds it."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.lag, self.stored, self.begun = 1.0, 0.0, asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        careplan = request.path == "/fhir/CarePlan"
        if careplan and request.method == "POST" and not self.stored:
            await self.fetch(request)
            self.stored = time.monotonic()
            self.begun.set()
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        if careplan and request.method == "GET" and self.stored and time.monotonic() < self.stored + self.lag:
            return web.json_response({"resourceType": "Bundle", "type": "searchset", "total": 0}, content_type=FHIR_JSON)
        return await super().handle(request)


@asynccontextmanager
async def ignoring(upstream: str, kind: str, parameter: str) -> AsyncIterator[FhirClient]:
    async with faulty(upstream, Ignoring) as proxy, FhirClient(proxy.base_url, limits=Limits(read=2), retries=0) as client:
        proxy.kind, proxy.parameter = kind, parameter
        yield client


def hers(small: Small, kind: str, case: str = HER) -> list[Json]:
    """What of ours stands there of that kind for the patient of a case."""
    patient = answer(case).record.patient
    of = [(one, one.get("subject") or one.get("patient") or one.get("for") or {}) for one in small.all(kind)]
    return [one for one, about in of if about.get("reference") == patient and "AIAST" in json.dumps(one["meta"])]


def statuses(small: Small, case: str = HER) -> dict[str, set[str]]:
    kinds = ("CarePlan", "RequestGroup", "MedicationRequest", "ServiceRequest")
    return {kind: {one["status"] for one in hers(small, kind, case)} for kind in kinds}


async def test_fc05_a_search_for_her_plans_that_gives_all_patients_is_refused_and_nobodys_plan_is_revoked(sekmet: str) -> None:
    async with FhirClient(sekmet) as server:
        other, chart = await Chart(server, "ivb-cps-10").load(), await Chart(server, "ivb-cps-10").load()
        theirs, old = await other.publish(), await chart.publish()
        await chart.change("-ecog", valueInteger=3, interpretation=[])
        async with ignoring(sekmet, "CarePlan", "patient") as misled:
            chart.server = misled
            with pytest.raises(Stuck, match="with a CarePlan of another"):
                await chart.publish()
        chart.server = server
        assert (await chart.count())["CarePlan"] == 1
        for chart_of, plan in ((other, theirs), (chart, old)):
            draft = await chart_of.read(plan.careplan)
            assert (draft["status"], draft["meta"]["versionId"]) == ("draft", plan.version)


@pytest.mark.parametrize("kind", ["CarePlan", "RequestGroup", "MedicationRequest", "ServiceRequest", "DetectedIssue", "Task"])
async def test_fc05_whatever_is_looked_up_by_patient_and_is_another_patients_stops_the_writing(kind: str) -> None:
    async with opened(ORDERED) as (small, client):
        small.load(synthetic.bundle(OTHER))
        await published(client, answer(OTHER))
        if not small.all(kind):
            whose = {"subject": {"reference": answer(OTHER).record.patient}}
            whose = {{"Task": "for", "DetectedIssue": "patient"}.get(kind, "subject"): whose["subject"]}
            small.load({"entry": [{"resource": {"resourceType": kind, "id": "theirs", "status": "draft", **whose}}]})
        writes = small.writes
        async with ignoring(small.base_url, kind, "patient") as misled:
            with pytest.raises(Stuck, match=f"with a {kind} of another"):
                await published(misled, answer())
        assert small.writes == writes


async def test_fc05_lg06_a_device_that_is_not_figaro_is_never_named_as_the_author(sekmet: str) -> None:
    """SM-83: whoever reads the plan and its Provenance must find the software that wrote it."""
    async with FhirClient(sekmet) as server:
        await server.update(PUMP)
        chart = await Chart(server, "ivb-cps-10").load()
        async with ignoring(sekmet, "Device", "identifier") as misled:
            chart.server = misled
            with pytest.raises(Stuck, match="a Device that does not carry it"):
                await chart.publish()
        chart.server = server
        assert (await chart.count())["CarePlan"] == 0


@pytest.mark.parametrize("kind", ["Device", "Observation", "MedicationRequest", "ServiceRequest", "RequestGroup", "CarePlan"])
async def test_fc05_what_is_found_by_identifier_must_carry_it(kind: str) -> None:
    async with opened(PLAIN) as (small, client):
        small.load(synthetic.bundle(OTHER))
        await published(client, answer(OTHER))
        if kind == "Device":
            small.load({"entry": [{"resource": PUMP}]})
        before = small.all("CarePlan")
        async with ignoring(small.base_url, kind, "identifier") as misled:
            with pytest.raises(Stuck, match=f"a {kind} that does not carry it"):
                await published(misled, answer())
        assert small.all("CarePlan") == before


async def test_what_we_withdrew_ourselves_is_nobodys_word_and_a_decision_that_is_current_again_is_written_anew(fhir_base: str) -> None:
    async with FhirClient(fhir_base) as server:
        chart = await Chart(server, "ivb-cps-10").load()
        first = await chart.publish()
        [primary] = [e["resource"] for e in chart.bundle["entry"] if e["resource"]["id"].endswith("-primary")]
        refuted = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "refuted"}]}
        await chart.change("-primary", verificationStatus=refuted)
        assert (await chart.publish()).careplan is None
        assert (await chart.read(first.careplan))["status"] == "revoked"
        await server.update(primary)
        again = await chart.publish()
        assert (again.written, again.status) == (True, "draft")
        assert again.careplan != first.careplan
        group = await chart.read((await chart.read(again.careplan))["activity"][0]["reference"]["reference"])
        assert group["status"] == "draft"


async def test_the_same_decision_withdrawn_by_us_and_current_again_stands_as_a_draft() -> None:
    """As where another patient's run had withdrawn it: the very hash comes back."""
    async with opened(ORDERED) as (small, client):
        first = await published(client, answer())
        await published(client, answer(HER, **WORSE))
        [new] = [one for one in small.all("CarePlan") if one["status"] == "draft"]
        del small.stored["CarePlan"][new["id"]]  # nothing says any more by what it was replaced
        again = await published(client, answer())
        assert (again.written, again.status, again.decision) == (True, "draft", first.decision)
        assert again.careplan != first.careplan


async def test_a_plan_that_a_person_revoked_after_us_is_her_word_and_is_told_as_revoked() -> None:
    async with opened(ORDERED) as (small, client):
        first = await published(client, answer())
        [plan] = small.all("CarePlan")
        await client.update({**plan, "status": "revoked"})
        again = await published(client, answer())
        assert (again.careplan, again.written, again.status) == (first.careplan, False, "revoked")


async def test_fc07_a_create_whose_reply_is_lost_is_looked_for_until_a_late_index_shows_it() -> None:
    async with opened(PLAIN) as (small, _), faulty(small.base_url, Late) as proxy:
        async with FhirClient(proxy.base_url, limits=Limits(read=2), retries=0) as client:
            await published(client, answer())
        assert len(small.all("CarePlan")) == 1


async def test_fc07_the_next_attempt_waits_for_a_late_index_before_it_creates_the_plan_again() -> None:
    async with opened(PLAIN) as (small, _), faulty(small.base_url, Late) as proxy:
        proxy.lag = 2
        async with FhirClient(proxy.base_url, limits=Limits(read=2), retries=0) as client:
            attempt = asyncio.create_task(published(client, answer()))
            await asyncio.wait_for(proxy.begun.wait(), 20)
            attempt.cancel()
            with suppress(asyncio.CancelledError):
                await attempt
            assert len(small.all("CarePlan")) == 1
            await published(client, answer(), at="2026-11-22T12:01:00Z")
        assert len(small.all("CarePlan")) == 1


async def test_of_two_drafts_under_one_identifier_the_oldest_stays_and_the_other_goes_with_what_is_its_own() -> None:
    async with opened(PLAIN) as (small, client):
        done = await published(client, answer())
        [plan], [group] = small.all("CarePlan"), small.all("RequestGroup")
        later = json.loads(json.dumps({**plan, "id": "later", "created": "2026-11-22T12:00:02Z"}).replace(group["id"], "later-group"))
        small.load({"entry": [{"resource": {**group, "id": "later-group"}}, {"resource": later}]})
        again = await published(client, answer())
        assert (again.careplan, again.written) == (done.careplan, False)
        states = {one["id"]: one["status"] for kind in ("CarePlan", "RequestGroup") for one in small.all(kind)}
        assert states == {plan["id"]: "draft", group["id"]: "draft", "later": "revoked", "later-group": "revoked"}
        assert statuses(small)["MedicationRequest"] | statuses(small)["ServiceRequest"] == {"draft"}
        writes = small.writes
        assert (await published(client, answer())).careplan == done.careplan
        assert small.writes == writes


async def test_of_two_plans_under_one_identifier_the_one_that_a_person_has_touched_stays() -> None:
    async with opened(PLAIN) as (small, client):
        await published(client, answer())
        [plan] = small.all("CarePlan")
        small.load({"entry": [{"resource": {**plan, "id": "later", "created": "2026-11-22T12:00:02Z"}}]})
        await client.update({**plan, "id": "later", "status": "active"})
        again = await published(client, answer())
        assert (again.careplan, again.status) == ("CarePlan/later", "active")
        offer = await client.offer()
        assert await without_doubles(client, offer, answer().record.patient, []) == []
        assert {one["id"]: one["status"] for one in small.all("CarePlan")} == {plan["id"]: "revoked", "later": "active"}


async def test_what_belongs_to_a_plan_that_somebody_deleted_is_withdrawn_when_a_new_one_is_written() -> None:
    async with opened(ORDERED) as (small, client):
        await published(client, answer())
        old = {one["id"] for kind in ("RequestGroup", "MedicationRequest", "ServiceRequest") for one in hers(small, kind)}
        small.stored["CarePlan"].clear()
        await published(client, answer(HER, **WORSE))
        every = [one for kind in ("RequestGroup", "MedicationRequest", "ServiceRequest") for one in hers(small, kind)]
        assert {one["id"] for one in every if one["status"] in ("revoked", "cancelled")} == old
        assert {one["status"] for one in every if one["id"] not in old} == {"draft"}


async def test_a_decision_whose_deleted_plan_left_withdrawn_options_is_written_with_new_ones() -> None:
    async with opened(ORDERED) as (small, client):
        await published(client, answer())
        small.stored["CarePlan"].clear()
        await published(client, answer(HER, **WORSE))
        again = await published(client, answer())
        [plan] = [one for one in small.all("CarePlan") if f"CarePlan/{one['id']}" == again.careplan]
        group = small.stored["RequestGroup"][plan["activity"][0]["reference"]["reference"].partition("/")[2]][-1]
        assert (plan["status"], group["status"]) == ("draft", "draft")


async def test_an_option_that_a_clinician_made_active_is_a_touch_of_its_plan_and_both_stay() -> None:
    async with opened(ORDERED, OTHER) as (small, client):
        old = await published(client, answer(OTHER))
        option = hers(small, "MedicationRequest", OTHER)[0]
        await client.update({**option, "status": "active"})
        before = {kind: {one["id"]: one for one in hers(small, kind, OTHER)} for kind in ("CarePlan", "RequestGroup", "MedicationRequest")}
        new = await published(client, answer(OTHER, **WORSE))
        assert new.written
        for kind, there in before.items():
            now = {one["id"]: one for one in hers(small, kind, OTHER)}
            assert {name: now[name] for name in there} == there
        assert new.left == (old.careplan,)
        assert (await published(client, answer(OTHER, **WORSE))).left == (old.careplan,)
        [plan] = [one for one in small.all("CarePlan") if f"CarePlan/{one['id']}" == new.careplan]
        assert plan["replaces"] == [{"reference": old.careplan}]


@pytest.mark.slow
async def test_figaro_run_names_the_plan_that_a_persons_touch_left_open(sekmet: str) -> None:
    async with FhirClient(sekmet) as server:
        chart = await Chart(server, OTHER).load()
        await ran(sekmet, chart.patient)
        [plan] = [entry.reference for entry in await server.search("CarePlan", {"patient": chart.patient})]
        options = [
            json.loads(bytes(entry.resource or b"")) for entry in await server.search("MedicationRequest", {"patient": chart.patient})
        ]
        await server.update({**options[0], "status": "active"})
        await chart.change("-ecog", valueInteger=3, interpretation=[])
        assert f"{chart.patient}: {plan} stays open as it is" in await ran(sekmet, chart.patient)
        assert (await chart.read(plan))["status"] == "draft"
        for entry in await server.search("CarePlan", {"patient": chart.patient}):
            await server.update({**json.loads(bytes(entry.resource or b"")), "status": "revoked"})
        said = await ran(sekmet, chart.patient)
        assert "is revoked on the server, by a person" in said


async def ran(base: str, patient: str) -> str:
    """What `figaro run` prints for one patient; it leaves with 0."""
    command = [sys.executable, "-c", "from services.cli import main; main()", "run", base, "--patient", patient]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


REFUSALS = [(403, Unauthorised), (412, Conflict), (422, FigaroError), (503, Unavailable)]


@pytest.mark.parametrize("kind", ["batch-response", "transaction-response"])
@pytest.mark.parametrize(("status", "error"), REFUSALS)
async def test_fc12_an_entry_that_was_refused_refuses_the_whole_with_its_status(
    sekmet: str, kind: str, status: int, error: type[FigaroError]
) -> None:
    async with FhirClient(sekmet) as server, faulty(sekmet, Proxy) as proxy, FhirClient(proxy.base_url) as client:
        chart = await Chart(server, "iva-bladder-mucosa").load()
        chart.server = client

        async def refusing(proxy: Proxy, request: web.Request) -> web.StreamResponse:
            sent = json.loads(await request.read() or b"{}") if request.method == "POST" else {}
            if not sent.get("entry"):
                return await passed(proxy, request)
            entries = [{"response": {"status": "201 Created", "location": "CarePlan/1"}} for _ in sent["entry"]]
            entries[-1] = {"response": {"status": f"{status} Refused"}}
            body = json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}).encode()
            return await answered(200, body)(proxy, request)

        proxy.plan(*[refusing] * 500)
        with pytest.raises(error) as raised:
            await chart.publish()
        assert raised.value.status == status
        assert str(status) in raised.value.text


async def test_fc12_a_batch_in_answer_to_a_transaction_is_no_success(sekmet: str) -> None:
    async with FhirClient(sekmet) as server, faulty(sekmet, Proxy) as proxy, FhirClient(proxy.base_url) as client:
        chart = await Chart(server, "iva-bladder-mucosa").load()
        chart.server = client

        async def apart(proxy: Proxy, request: web.Request) -> web.StreamResponse:
            sent = json.loads(await request.read() or b"{}") if request.method == "POST" else {}
            if not sent.get("entry"):
                return await passed(proxy, request)
            entries = [{"response": {"status": "201 Created", "location": "CarePlan/1"}} for _ in sent["entry"]]
            body = json.dumps({"resourceType": "Bundle", "type": "batch-response", "entry": entries}).encode()
            return await answered(200, body)(proxy, request)

        proxy.plan(*[apart] * 500)
        with pytest.raises(NotFhir, match="batch-response"):
            await chart.publish()
