"""A clinician's decision, from the ledger to her CarePlan: kept first, written with her token, and never from a page that is stale."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
from aiohttp.web import Request, StreamResponse
from pydantic import SecretStr
from sqlmodel import update

from services.ingest.decided import WHY, decisions_of, seen
from services.ingest.decisions import NEEDED, Form, Stale, again, decide
from services.ingest.instants import now
from services.ingest.launched import Session, User
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.tables import Answer, ClinicianDecision, compressed
from services.recommend.app import create
from services.recommend.decision import Answer as Values
from services.recommend.settings import RecommendSettings
from shared.fhir.client import FhirClient
from shared.fhir.outcome import NotFound, Refused, Stuck
from shared.fhir.transport import authority_of
from shared.oncology.record import encode
from shared.service.serving import served
from tests.contracts.test_publish import Chart
from tests.peers.faults import Proxy, answered, faulty, lost_reply, passed

Json = dict[str, Any]
TOKEN = "canary-token-of-the-user"
SECRET = SecretStr("a service secret of this test")
SCOPES = ("launch", "openid", "fhirUser", "patient/*.rs", "patient/CarePlan.crus", "patient/Provenance.c")
REGIMEN = "pembrolizumab-cisplatin-paclitaxel"


class Running(NamedTuple):
    """What decides, as far as a decision knows of it."""

    ledger: Ledger
    neighbours: Neighbours


class Page:
    """An answer on a page of one clinician, before a real recommend and a real FHIR server."""

    def __init__(self, running: Running, chart: Chart, proxy: Proxy, values: Values) -> None:
        self.running, self.chart, self.proxy, self.values = running, chart, proxy, values
        self.authority: Any = authority_of(TOKEN)
        self.session = Session(
            id="launch-1",
            base=proxy.base_url,
            issuer="test",
            patient=chart.patient,
            encounter=None,
            user=User("https://issuer.example", "dr-7", None),
            scopes=SCOPES,
            need_patient_banner=True,
            embedded=False,
            frame_origins=(),
            csrf="c",
            case=None,
            created=now(),
            ends=now(),
        )
        self.answer = 0

    def by(self, fhir_user: str, subject: str = "dr-7") -> Session:
        return dataclasses.replace(self.session, user=User("https://issuer.example", subject, fhir_user))

    def keep(self, careplan: str | None, version: str | None, decision: str | None, **other: Any) -> int:
        """An answer in the ledger, as a case would leave it."""
        case = self.running.ledger.open(self.session.base, self.session.patient)
        record, staging, recommendation = (compressed(encode(value)) for value in self.values)
        blobs = {"raw": compressed(b"{}"), "record": record, "staging": staging, "recommendation": recommendation}
        place = {"careplan": careplan, "careplan_version": version, "decision": decision}
        known = {"digest": "d", "staging_knowledge": "k", "recommend_knowledge": "k"} | blobs | place | other
        answer = Answer(case=case.id, base=case.base, patient=case.patient, answered=now(), **known)
        self.running.ledger.answered(answer)
        found = self.running.ledger.case(case.id).answer
        assert found is not None
        return found

    def decisions(self) -> list[ClinicianDecision]:
        return list(decisions_of(self.running.ledger, self.session.base, self.session.patient))

    def form(self, act: Any = "accept", **more: Any) -> Form:
        return Form(**({"answer": self.answer, "seen": seen(self.decisions()), "act": act, "regimen": REGIMEN} | more))

    async def send(self, form: Form, session: Session | None = None) -> ClinicianDecision:
        return await decide(self.running, session or self.session, self.authority, form)

    async def plan(self) -> Json:
        return await self.chart.read(self.running.ledger.answer(self.answer).careplan)  # type: ignore[union-attr]


def bytes_below(folder: Path) -> bytes:
    """Everything in the files of a folder: for SQLite the database and its log."""
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture
async def page(sekmet: str, ledger: Ledger) -> AsyncIterator[Page]:
    async with FhirClient(sekmet) as server, faulty(sekmet) as proxy, aiohttp.ClientSession() as session:
        chart = await Chart(server, "ivb-cps-10").load()
        made = await server.create({"resourceType": "Practitioner", "name": [{"family": "Example", "text": "Dr Synthetic Example"}]})
        plan = await chart.publish()
        async with served(create(RecommendSettings(fhir_base=proxy.base_url, service_secret=SECRET))) as address:
            neighbours = Neighbours(session, staging_url="http://127.0.0.1:1", recommend_url=address, timeout=20, secret=SECRET)
            found = Page(Running(ledger, neighbours), chart, proxy, await chart.answer())
            found.session = found.by(made.reference)
            found.answer = found.keep(plan.careplan, plan.version, plan.decision)
            case = ledger.answer(found.answer)
            assert case is not None
            found.session = dataclasses.replace(found.session, case=case.case)
            yield found


async def test_an_accepted_candidate_stands_in_the_plan_and_in_the_ledger_with_user_and_time(page: Page) -> None:
    done = await page.send(page.form(reason="As the board agreed."))
    plan = await page.plan()
    assert (done.state, done.why, done.written_version) == ("written", None, plan["meta"]["versionId"])
    assert plan["status"] == "active"
    assert plan["note"][-1]["time"] == done.at
    assert plan["note"][-1]["authorReference"]["reference"] == page.session.user.fhir_user  # type: ignore[union-attr]
    [row] = page.decisions()
    assert (row.act, row.regimen, row.reason, row.user_subject) == ("accept", REGIMEN, "As the board agreed.", "dr-7")
    assert row.display == "Dr Synthetic Example"


async def test_one_decision_after_another_from_pages_that_show_the_one_before(page: Page) -> None:
    await page.send(page.form("comment", regimen=None, reason="Ask radiotherapy."))
    await page.send(page.form("decline", regimen="cisplatin-paclitaxel", reason="Not for her."))
    await page.send(page.form())
    assert [row.state for row in page.decisions()] == ["written"] * 3
    assert len([note for note in (await page.plan())["note"] if "extension" in note]) == 3


async def test_the_same_form_sent_twice_is_one_decision(page: Page) -> None:
    form = page.form()
    first, second = await page.send(form), await page.send(form)
    assert first.id == second.id
    assert len(page.decisions()) == 1
    assert len([note for note in (await page.plan())["note"] if "extension" in note]) == 1


async def test_the_same_form_sent_twice_at_once_is_one_decision_and_written(page: Page) -> None:
    form = page.form()
    done = await asyncio.gather(*[page.send(form) for _ in range(4)])
    assert {row.id for row in done} == {done[0].id}
    [row] = page.decisions()
    assert row.state == "written"
    assert len([note for note in (await page.plan())["note"] if "extension" in note]) == 1


@pytest.mark.parametrize("what", ["newer-answer", "case-under-way", "decided-meanwhile", "another-answer"])
async def test_a_stale_page_decides_nothing_and_asks_to_look_again(page: Page, what: str) -> None:
    form = page.form()
    if what == "newer-answer":
        page.keep("CarePlan/other", "1", "other")
    elif what == "case-under-way":
        page.running.ledger.open(page.session.base, page.session.patient)
    elif what == "decided-meanwhile":
        await page.send(page.form("comment", regimen=None, reason="Wait."), page.by("Practitioner/other", "dr-8"))
    else:
        form = msgspec.structs.replace(form, answer=4711)
    before = page.decisions()
    with pytest.raises(Stale, match="look again"):
        await page.send(form)
    assert page.decisions() == before
    assert (await page.plan())["status"] == "draft"


async def test_a_plan_that_somebody_else_changed_is_not_written_to_and_the_page_is_stale(page: Page) -> None:
    plan = await page.plan()
    await page.chart.server.update({**plan, "note": [*plan["note"], {"text": "Another's word."}]})
    with pytest.raises(Stale):
        await page.send(page.form())
    [row] = page.decisions()
    assert (row.state, row.why) == ("kept", "changed")
    assert (await page.plan())["note"][-1]["text"] == "Another's word."


async def test_a_later_answer_that_differs_only_by_our_own_writing_is_not_stale(page: Page) -> None:
    done = await page.send(page.form("comment", regimen=None, reason="Wait."))
    there = page.running.ledger.answer(page.answer)
    assert there is not None
    page.keep(there.careplan, done.written_version, there.decision)
    assert (await page.send(page.form())).state == "written"


@pytest.mark.parametrize(
    "scopes",
    [
        (),
        ("patient/CarePlan.crus",),
        ("patient/CarePlan.rs", "patient/Provenance.c"),
        ("patient/CarePlan.ru?category=x", "patient/Provenance.c"),
        ("system/*.cruds",),
    ],
)
async def test_sm34_without_the_right_to_write_it_is_kept_and_said(page: Page, scopes: tuple[str, ...]) -> None:
    """SM-41: the CarePlan and the Provenance each need theirs."""
    page.proxy.seen.clear()
    done = await page.send(page.form(), dataclasses.replace(page.session, scopes=scopes))
    assert (done.state, done.why) == ("kept", "no-scope")
    assert "here only" in WHY["no-scope"]
    assert page.proxy.seen == []
    assert len(page.decisions()) == 1


@pytest.mark.parametrize(
    "scopes", [("user/CarePlan.*", "user/Provenance.write"), ("patient/*.*",), ("patient/CarePlan.*", "user/Provenance.c")]
)
def test_sm40_both_spellings_of_a_scope_allow_it(scopes: tuple[str, ...]) -> None:
    session = Session("l", "b", "i", "Patient/1", None, None, scopes, True, False, (), "c", None, "", "")
    assert all(session.may(kind, letters) for kind, letters in NEEDED)


async def test_where_there_is_no_careplan_it_is_kept_and_said(page: Page) -> None:
    page.answer = page.keep(None, None, "decision", digest="e")
    done = await page.send(page.form())
    assert (done.state, done.why) == ("kept", "no-plan")
    page.answer = page.keep("DocumentReference/1", "1", "decision", digest="f")
    assert (await page.send(page.form())).why == "no-plan"


@pytest.mark.parametrize("fhir_user", ["Patient/1", "https://ehr.example/fhir/RelatedPerson/1", "Person/1"])
async def test_sm54_a_patient_or_relative_decides_nothing(page: Page, fhir_user: str) -> None:
    with pytest.raises(Refused) as refused:
        await page.send(page.form(), page.by(fhir_user))
    assert refused.value.status == 403
    with pytest.raises(Refused):
        await page.send(page.form(), dataclasses.replace(page.session, user=None))
    assert page.decisions() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"act": "decline"}, "say why"),
        ({"act": "comment", "reason": "  "}, "say why"),
        ({"regimen": None}, "choose which"),
        ({"regimen": "made-up"}, "not among the candidates"),
    ],
)
async def test_an_act_that_is_not_whole_is_refused_in_plain_words(page: Page, change: Json, words: str) -> None:
    with pytest.raises(Refused, match=words):
        await page.send(msgspec.structs.replace(page.form(), **change))
    assert page.decisions() == []


async def test_a_candidate_that_is_ruled_out_is_accepted_only_with_a_reason(page: Page) -> None:
    ruled_out = next(one.regimen for one in page.values.recommendation.candidates if one.verdict == "ruled-out")
    with pytest.raises(Refused, match="ruled out"):
        await page.send(page.form(regimen=ruled_out))
    assert (await page.send(page.form(regimen=ruled_out, reason="The finding is old."))).state == "written"


async def test_a_crash_between_record_and_write_loses_no_act_and_writes_none_twice(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    class Crash(BaseException):
        pass

    async def crashing(*_: Any) -> None:
        raise Crash

    form = page.form()
    with monkeypatch.context() as patched:
        patched.setattr(Neighbours, "decide", crashing)
        with pytest.raises(Crash):
            await page.send(form)
    [row] = page.decisions()
    assert (row.state, row.why) == ("kept", "pending")
    done = await again(page.running, page.session, page.authority, row.id)
    assert (done.state, (await page.plan())["status"]) == ("written", "active")
    assert (await page.send(form)).number == row.number


async def test_fc07_a_lost_reply_is_asked_again_under_the_same_id_and_found(page: Page) -> None:
    after: list[int] = []

    async def losing(proxy: Proxy, request: Request) -> StreamResponse:
        if request.method == "POST" and b"ifMatch" in await request.read():
            after.append(1)
            return await lost_reply(proxy, request)
        return await (answered(400) if after else passed)(proxy, request)

    page.proxy.plan(*[losing] * 60)
    kept = await page.send(page.form())
    assert kept.state == "kept"
    page.proxy.plan()
    done = await again(page.running, page.session, page.authority, kept.id)
    assert done.state == "written"
    assert len([note for note in (await page.plan())["note"] if "extension" in note]) == 1


class SignedOut:
    """The right of a session that has ended."""

    async def header(self) -> str:
        raise Stuck("The session has ended.")

    async def refused(self, header: str | None = None) -> None: ...


async def moves_on(page: Page, kept: ClinicianDecision, what: str) -> None:
    """What makes a page stale after its decision was kept."""
    if what == "case-under-way":
        page.running.ledger.open(page.session.base, page.session.patient)
    elif what == "newer-answer":
        page.keep(kept.careplan, kept.careplan_version, "another", digest="another record")
    else:
        done = await page.send(page.form("decline", reason="New neuropathy."), page.by("Practitioner/other", "dr-8"))
        assert done.why == "signed-out", "kept as well, so that the plan is still of the version that was seen"


@pytest.mark.parametrize("what", ["case-under-way", "newer-answer", "decided-meanwhile"])
@pytest.mark.parametrize("way", ["again", "the same form"])
async def test_a_kept_decision_that_has_become_stale_is_not_written_when_it_is_sent_again(page: Page, what: str, way: str) -> None:
    form, hers = page.form(reason="On the old record."), page.authority
    page.authority = SignedOut()
    kept = await page.send(form)
    assert (kept.state, kept.why) == ("kept", "signed-out")
    await moves_on(page, kept, what)
    page.authority = hers
    for _ in range(2):
        with pytest.raises(Stale, match="look again"):
            await (again(page.running, page.session, hers, kept.id) if way == "again" else page.send(form))
    assert [row.why for row in page.decisions() if row.id == kept.id] == ["changed"]
    assert (await page.plan())["status"] == "draft"


async def test_fc07_a_decision_that_was_written_and_whose_reply_was_lost_is_found_although_the_page_is_stale_by_now(page: Page) -> None:
    form = page.form()
    done = await page.send(form)
    page.running.ledger.open(page.session.base, page.session.patient)
    with page.running.ledger.transaction() as session:
        session.exec(update(ClinicianDecision).values(state="kept", why="unavailable", written_version=None))
    assert (await page.send(form)).written_version == done.written_version
    assert len([note for note in (await page.plan())["note"] if "extension" in note]) == 1


async def test_a_server_that_refuses_leaves_it_kept_and_said(page: Page) -> None:
    async def forbidden(proxy: Proxy, request: Request) -> StreamResponse:
        return await (answered(403) if request.method != "GET" else passed)(proxy, request)

    page.proxy.plan(*[forbidden] * 20)
    assert (await page.send(page.form())).why == "refused"
    assert (await page.plan())["status"] == "draft"


async def test_sm63_a_spent_token_is_renewed_once(page: Page) -> None:
    class Renewing:
        def __init__(self) -> None:
            self.token = "spent"

        async def header(self) -> str:
            return f"Bearer {self.token}"

        async def refused(self, header: str | None = None) -> None:
            assert header == "Bearer spent"
            self.token = TOKEN

    async def guarded(proxy: Proxy, request: Request) -> StreamResponse:
        asked = request.headers.get("Authorization")
        return await (answered(401) if asked == "Bearer spent" and "metadata" not in request.path else passed)(proxy, request)

    page.authority = Renewing()
    page.proxy.plan(*[guarded] * 40)
    assert (await page.send(page.form())).state == "written"


async def test_only_the_one_who_decided_sends_it_again(page: Page) -> None:
    kept = await page.send(page.form(), dataclasses.replace(page.session, scopes=()))
    for other in (page.by("Practitioner/9", "dr-9"), dataclasses.replace(page.session, patient="Patient/other")):
        with pytest.raises(NotFound):
            await again(page.running, other, page.authority, kept.id)


async def test_se10_the_users_token_is_in_no_log_and_in_no_file_of_ours(
    page: Page, caplog: pytest.LogCaptureFixture, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    page.proxy.seen.clear()
    assert (await page.send(page.form(reason="words-of-the-clinician"))).state == "written"
    told = [seen.headers.get("Authorization") for seen in page.proxy.seen if seen.method != "GET" and "AuditEvent" not in seen.path]
    assert set(told) == {f"Bearer {TOKEN}"}
    assert TOKEN.encode() not in bytes_below(tmp_path)
    out, err = capfd.readouterr()
    for text in (caplog.text, out, err):
        assert TOKEN not in text
        assert "words-of-the-clinician" not in text


async def test_what_was_decided_is_forgotten_with_the_answers(page: Page) -> None:
    await page.send(page.form(), dataclasses.replace(page.session, scopes=()))
    with page.running.ledger.transaction() as session:
        row = session.get_one(ClinicianDecision, 1)
        row.at = "2020-01-01T00:00:00.000000Z"
        session.add(row)
    page.running.ledger.forget(30)
    assert page.decisions() == []
