"""A clinician's decision on a real FHIR server: in her plan, once, with her name, and never over what somebody else wrote."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest
from aiohttp.web import Request, StreamResponse
from pydantic import SecretStr

from services.recommend.acts import accepted
from services.recommend.app import create
from services.recommend.clinician import timely, write
from services.recommend.publish import Publication
from services.recommend.settings import RecommendSettings
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, Refused, Unauthorised, Unavailable
from shared.fhir.r4 import complaints
from shared.oncology.act import Act, Acted, Author
from shared.service.access import SERVICE
from shared.service.serving import served
from tests.contracts.test_publish import Chart
from tests.contracts.test_validation import errors
from tests.peers.faults import Proxy, answered, faulty, lost_reply, passed, reset

Json = dict[str, Any]
SECRET = SecretStr("a service secret of this test")
AT = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
OWN = ("https://figaro.example/",)  # our own extension and code systems, which this server does not hold
HOSTILE = '<script>alert(1)</script> & "because" ]]>\x00'


@pytest.fixture
async def server(fhir_base: str) -> AsyncIterator[FhirClient]:
    async with FhirClient(fhir_base) as client:
        yield client


class Board:
    """A published plan, and a clinician before it."""

    def __init__(self, chart: Chart, plan: Publication, practitioner: str) -> None:
        self.chart, self.plan, self.practitioner = chart, plan, practitioner
        self.server = chart.server

    def act(self, act: Any = "accept", **more: Any) -> Act:
        given = {"regimen": "pembrolizumab-cisplatin-paclitaxel", "version": self.plan.version, "decision": self.plan.decision} | more
        author = Author(self.practitioner, "Dr Synthetic Example")
        named = {"id": uuid4().hex, "patient": self.chart.patient, "careplan": self.plan.careplan, "author": author, "at": AT}
        return Act(act=act, **(named | given))

    async def write(self, act: Act, hers: FhirClient | None = None) -> Acted:
        return await write(hers or self.server, self.server, act)

    async def now(self) -> Json:
        return await self.chart.read(self.plan.careplan)

    async def told(self) -> list[Json]:
        """What clinicians' Provenances say of the plan."""
        found = await self.server.search("Provenance", {"target": str(self.plan.careplan)})
        said = [json.loads(bytes(entry.resource or b"{}")) for entry in found]
        return [one for one in said if "clinician-decision" in json.dumps(one)]


async def boarded(server: FhirClient) -> Board:
    chart = await Chart(server, "ivb-cps-10").load()
    made = await server.create({"resourceType": "Practitioner", "name": [{"family": "Example", "text": "Dr Synthetic Example"}]})
    return Board(chart, await chart.publish(), made.reference)


@pytest.fixture
async def board(server: FhirClient) -> Board:
    return await boarded(server)


async def test_an_accepted_regimen_makes_the_plan_active_and_nothing_an_order(board: Board) -> None:
    before = await board.chart.count()
    act = board.act(text="As the board agreed.")
    done = await board.write(act)
    plan = await board.now()
    assert (done.written, done.version) == (True, plan["meta"]["versionId"])
    assert (plan["status"], plan["intent"], accepted(plan)) == ("active", "proposal", act.regimen)
    note = plan["note"][-1]
    assert (note["authorReference"]["reference"], note["time"]) == (board.practitioner, AT)
    assert note["text"].startswith("Accepted: ")
    assert note["text"].endswith("As the board agreed.")
    assert "A clinician has decided." in plan["text"]["div"]
    assert complaints(json.dumps(plan).encode()) == []
    assert await board.chart.count() == before
    for kind in ("MedicationRequest", "ServiceRequest", "RequestGroup", "Observation"):
        for entry in await board.server.search(kind, {"patient": board.chart.patient}):
            one = json.loads(bytes(entry.resource or b"{}"))
            if "AIAST" in json.dumps(one.get("meta")):
                assert (one["status"], one.get("intent")) in (("draft", "option"), ("draft", "proposal"), ("preliminary", None))


async def test_the_clinician_is_the_author_in_the_provenance_and_figaro_only_the_hand(board: Board) -> None:
    await board.write(board.act())
    [told] = await board.told()
    agents = {one["type"]["coding"][0]["code"]: one["who"]["reference"] for one in told["agent"]}
    assert agents["author"] == board.practitioner
    assert agents["assembler"].startswith("Device/")
    assert told["entity"][0]["role"] == "revision"
    assert told["target"][0]["reference"].startswith(str(board.plan.careplan))
    assert "signature" not in told


async def test_a_declined_regimen_is_a_note_with_its_reason_and_the_plan_stays_a_draft(board: Board) -> None:
    await board.write(board.act("decline", text=HOSTILE))
    plan = await board.now()
    assert plan["status"] == "draft"
    assert plan["note"][-1]["text"].endswith('Reason: <script>alert(1)</script> & "because" ]]>')
    assert "<script>" not in plan["text"]["div"]
    assert "&lt;script&gt;" in plan["text"]["div"]


async def test_a_plan_declined_as_a_whole_is_revoked_and_closed(board: Board) -> None:
    done = await board.write(board.act("decline", regimen=None, text="She wants no further treatment."))
    assert (await board.now())["status"] == "revoked"
    with pytest.raises(Refused, match="closed"):
        await board.write(board.act("comment", regimen=None, text="And yet.", version=done.version))
    again = await board.chart.publish()
    assert (again.careplan, again.written) == (board.plan.careplan, False)


async def test_a_comment_changes_nothing_but_the_notes_and_the_narrative(board: Board) -> None:
    before = await board.now()
    await board.write(board.act("comment", regimen=None, text="Ask the radiotherapists first."))
    after = await board.now()
    assert {key for key in after if after[key] != before.get(key)} <= {"meta", "note", "text"}
    assert after["note"][-1]["text"] == "Comment: Ask the radiotherapists first."


async def test_the_accepted_regimen_declined_afterwards_puts_the_plan_on_hold(board: Board) -> None:
    first = await board.write(board.act())
    second = await board.write(board.act("decline", text="Her creatinine has risen.", version=first.version))
    assert ((await board.now())["status"], accepted(await board.now())) == ("on-hold", None)
    await board.write(board.act(version=second.version))
    assert (await board.now())["status"] == "active"


async def test_fc08_a_plan_that_changed_since_it_was_shown_is_not_written_to(board: Board) -> None:
    plan = await board.now()
    await board.server.update({**plan, "note": [*plan["note"], {"text": "Another's word."}]})
    with pytest.raises(Conflict, match="changed since it was shown"):
        await board.write(board.act())
    assert (await board.now())["note"][-1]["text"] == "Another's word."
    assert await board.told() == []


async def test_fc08_another_writer_between_our_look_and_our_write_wins(fhir_base: str) -> None:
    async with FhirClient(fhir_base) as server, faulty(fhir_base) as proxy, FhirClient(proxy.base_url) as hers:
        board = await boarded(server)
        await hers.offer()

        async def overtaken(proxy: Proxy, request: Request) -> StreamResponse:
            if request.method == "POST":
                plan = await board.now()
                await server.update({**plan, "note": [*plan["note"], {"text": "Another's word."}]})
            return await passed(proxy, request)

        proxy.plan(*[overtaken] * 10)
        with pytest.raises(Conflict):
            await board.write(board.act(), hers)
        assert ((await board.now())["status"], (await board.now())["note"][-1]["text"]) == ("draft", "Another's word.")
        assert await board.told() == []


async def test_the_same_act_twice_is_written_once(board: Board) -> None:
    act = board.act()
    first, again = await board.write(act), await board.write(act)
    assert (first.written, again.written) == (True, False)
    assert again.version == first.version
    assert len(await board.told()) == 1


async def test_a_later_answer_of_the_machine_leaves_the_accepted_plan_alone_and_links_to_it(board: Board) -> None:
    await board.write(board.act())
    before = await board.now()
    await board.chart.change("-ecog", valueInteger=3, interpretation=[])
    new = await board.chart.publish()
    assert new.careplan != board.plan.careplan
    assert await board.now() == before
    assert (await board.chart.read(new.careplan))["replaces"][0]["reference"] == board.plan.careplan
    group = await board.chart.read(before["activity"][0]["reference"]["reference"])
    assert group["status"] == "draft"


async def test_a_declined_draft_too_is_left_alone_by_a_later_answer(board: Board) -> None:
    await board.write(board.act("decline", text="Not for her."))
    before = await board.now()
    await board.chart.change("-ecog", valueInteger=3, interpretation=[])
    await board.chart.publish()
    assert await board.now() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"regimen": "made-up"}, "not among the options"),
        ({"regimen": None}, "Name one regimen"),
        ({"act": "decline"}, "needs words"),
        ({"act": "comment", "text": " "}, "needs words"),
        ({"author": Author("Patient/1")}, "no practitioner"),
        ({"author": Author("https://ehr.example/fhir/RelatedPerson/1")}, "no practitioner"),
        ({"patient": "Patient/somebody-else"}, "another patient's"),
    ],
)
async def test_what_nobody_may_do_or_what_says_too_little_is_refused(board: Board, change: Json, words: str) -> None:
    with pytest.raises(Refused, match=words):
        await board.write(msgspec.structs.replace(board.act(), **change))
    assert (await board.now())["meta"]["versionId"] == board.plan.version


async def test_a_plan_that_is_not_ours_is_not_touched(board: Board) -> None:
    theirs = {"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": {"reference": board.chart.patient}}
    made = await board.server.create(theirs)
    with pytest.raises(Refused, match="none of ours"):
        await board.write(board.act(careplan=made.reference, version=made.version))


async def test_sm34_a_token_that_may_not_write_is_told_as_such_and_nothing_is_written(sekmet: str) -> None:
    async def reading_only(proxy: Proxy, request: Request) -> StreamResponse:
        return await (answered(403) if request.method in ("POST", "PUT") else passed)(proxy, request)

    async with FhirClient(sekmet) as server, faulty(sekmet) as proxy, FhirClient(proxy.base_url) as hers:
        board = await boarded(server)
        proxy.plan(*[reading_only] * 50)
        with pytest.raises(Unauthorised):
            await board.write(board.act(), hers)
        assert (await board.now())["meta"]["versionId"] == board.plan.version


async def test_fc07_a_decision_whose_reply_is_lost_is_found_again_and_sent_once(sekmet: str) -> None:
    async def lost(proxy: Proxy, request: Request) -> StreamResponse:
        return await (lost_reply if request.method == "POST" else passed)(proxy, request)

    async with FhirClient(sekmet) as server, faulty(sekmet) as proxy, FhirClient(proxy.base_url) as hers:
        board = await boarded(server)
        await hers.offer()
        proxy.seen.clear()
        proxy.plan(*[lost] * 50)
        assert (await board.write(board.act(), hers)).written
        assert [seen.method for seen in proxy.seen].count("POST") == 1
        assert len(await board.told()) == 1


async def test_fc07_a_decision_that_never_arrived_is_said_to_be_unknown_and_can_be_sent_again(sekmet: str) -> None:
    async def cut(proxy: Proxy, request: Request) -> StreamResponse:
        return await (reset if request.method == "POST" else passed)(proxy, request)

    async with FhirClient(sekmet) as server, faulty(sekmet) as proxy, FhirClient(proxy.base_url) as hers:
        board = await boarded(server)
        await hers.offer()
        proxy.plan(*[cut] * 50)
        act = board.act()
        with pytest.raises(Unavailable) as lost:
            await board.write(act, hers)
        assert lost.value.outcome_unknown
        proxy.plan()
        assert (await board.write(act, hers)).written
        assert len(await board.told()) == 1


async def test_fc12_without_transactions_the_provenance_follows_the_plan_and_is_made_up_for_where_it_was_cut_off(sekmet: str) -> None:
    writes: list[str] = []

    async def no_transaction(proxy: Proxy, request: Request) -> StreamResponse:
        if request.method == "POST" and request.path == "/fhir":
            return await answered(404)(proxy, request)
        if request.method in ("POST", "PUT"):
            writes.append(request.path)
            if len(writes) == 2:
                return await answered(403)(proxy, request)
        return await passed(proxy, request)

    async with FhirClient(sekmet) as server, faulty(sekmet) as proxy, FhirClient(proxy.base_url) as hers:
        board = await boarded(server)
        proxy.plan(*[no_transaction] * 100)
        act = board.act()
        first = await board.write(act, hers)
        assert (first.written, first.provenance) == (True, False)
        again = await board.write(act, hers)
        assert (again.written, again.provenance) == (False, True)
        assert (await board.write(act, hers)).provenance
        assert [path.split("/")[2] for path in writes] == ["CarePlan", "Provenance", "Provenance"]
        assert len(await board.told()) == 1


async def test_se10_the_token_is_in_no_log_and_goes_nowhere_but_to_its_server(sekmet: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with FhirClient(sekmet) as server, faulty(sekmet) as proxy, FhirClient(proxy.base_url, token="canary-token-7") as hers:
        board = await boarded(server)
        await board.write(board.act(), hers)
        assert {seen.headers.get("Authorization") for seen in proxy.seen} == {"Bearer canary-token-7"}
    assert "canary-token-7" not in caplog.text


@pytest.mark.hapi
async def test_an_accepted_and_a_declined_plan_and_their_provenances_are_valid_r4_to_hapi(hapi: str) -> None:
    async with FhirClient(hapi) as server:
        board = await boarded(server)
        accepted_in = await board.write(board.act(text=HOSTILE))
        await board.write(board.act("decline", regimen=None, text="She wants no further treatment.", version=accepted_in.version))
        found = [await board.now(), *await board.told()]
    assert len(found) == 3
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": f"{hapi}/x/{n}", "resource": r} for n, r in enumerate(found)],
    }
    complained = await errors(hapi, bundle)
    assert [text for text in complained if not any(known in text for known in OWN)] == []


@pytest.fixture
async def recommend(fhir_base: str) -> AsyncIterator[str]:
    async with served(create(RecommendSettings(fhir_base=fhir_base, service_secret=SECRET))) as address:
        yield f"{address}/decisions"


@pytest.mark.parametrize("header", [None, "", "Basic abc", "Bearer", "Bearer a b", "Bearer \u00e9"])
async def test_without_the_users_own_token_nothing_is_done(recommend: str, board: Board, header: str | None) -> None:
    status, said = await posted(recommend, msgspec.json.encode(board.act()), header)
    assert status == 401
    assert "own token" in said
    assert (await board.now())["status"] == "draft"


@pytest.mark.parametrize("at", ["2026-11-22", "2026-11-22T12:30:00", "soon", "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
async def test_a_decision_is_of_now_or_of_the_last_days(recommend: str, board: Board, at: str) -> None:
    """Not of the future, and not of a time at which nobody can say any more who was there."""
    status, said = await posted(recommend, msgspec.json.encode(msgspec.structs.replace(board.act(), at=at)), "Bearer t")
    assert status == 422
    assert "decide again" in said or "time zone" in said
    assert (await board.now())["status"] == "draft"


@pytest.mark.parametrize(("off", "right"), [(-7, True), (-7.01, False), (4 / 1440, True), (6 / 1440, False)])
def test_a_decision_is_written_within_seven_days_and_five_minutes_of_a_clock(off: float, right: bool) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    at = (now + timedelta(days=off)).isoformat()
    act = Act(id="x" * 8, act="comment", patient="Patient/1", careplan="CarePlan/1", version="1", decision="d", author=Author("x"), at=at)
    with nullcontext() if right else pytest.raises(Refused, match="decide again"):
        timely(act, now)


async def test_se10_a_server_that_is_not_on_the_list_never_gets_the_token(recommend: str, board: Board) -> None:
    for base in ("https://ehr.example.org.evil.test/fhir", "http://169.254.169.254/fhir"):
        act = msgspec.structs.replace(board.act(), fhir_base=base)
        status, said = await posted(recommend, msgspec.json.encode(act), "Bearer t")
        assert (status, "not in the settings" in said) == (403, True)


@pytest.mark.parametrize("change", [{"act": "order"}, {"careplan": "Patient/1"}, {"patient": "Patient/../x"}, {"id": "x"}, {"more": 1}])
async def test_an_act_that_is_none_is_refused_before_anything_is_asked(recommend: str, board: Board, change: Json) -> None:
    body = msgspec.to_builtins(board.act()) | change
    status, said = await posted(recommend, json.dumps(body).encode(), "Bearer t")
    assert status == 422
    assert "cannot be read" in said


async def test_over_http_an_act_is_written_once_and_told_as_an_access(recommend: str, board: Board) -> None:
    body = msgspec.json.encode(board.act())
    assert (await posted(recommend, body, "Bearer t"))[0] == 201
    assert (await posted(recommend, body, "bearer t"))[0] == 200
    events = [bytes(entry.resource or b"") for entry in await board.server.search("AuditEvent", {"entity": str(board.plan.careplan)})]
    assert any(b'"update"' in event for event in events)


async def posted(url: str, body: bytes, header: str | None) -> tuple[int, str]:
    headers = {"Content-Type": "application/json", SERVICE: SECRET.get_secret_value()}
    headers |= {"Authorization": header} if header is not None else {}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()
