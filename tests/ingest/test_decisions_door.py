"""The door of decisions, in a running Figaro: form in, 303 or a page out, and the plan on the FHIR server says it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from services.ingest.app import create as ingest_app
from services.ingest.decided import decisions_of, seen
from services.ingest.launches import Session
from services.ingest.running import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.tables import Answer
from services.recommend.app import create as recommend_app
from services.recommend.settings import RecommendSettings
from services.staging.app import create as staging_app
from services.staging.settings import StagingSettings
from shared.fhir.client import FhirClient
from shared.service.serving import served
from shared.smart.code import Grant
from shared.smart.identity import Identity
from tests.contracts.test_publish import Chart

Json = dict[str, Any]
TOKEN = "canary-token-of-the-user"
REGIMEN = "pembrolizumab-cisplatin-paclitaxel"
PUBLIC = "http://127.0.0.1:9"
SECRET = SecretStr("a service secret of this test")
OURS = {"Sec-Fetch-Site": "same-origin", "Origin": PUBLIC}


class Clinic:
    """A clinician before her page, whose launch has opened a case."""

    def __init__(self, ingest: Ingest, address: str, chart: Chart, http: aiohttp.ClientSession) -> None:
        self.ingest, self.address, self.chart, self.http = ingest, address, chart, http
        self.cookie = "browser"
        self.launch = ""

    def enter(self, base: str, fhir_user: str, scopes: tuple[str, ...] = ("patient/*.cruds",)) -> None:
        grant = Grant(access_token=TOKEN, life=3000, scopes=scopes)
        user = Identity("https://issuer.example", "dr-7", fhir_user)
        self.launch = self.ingest.launches.open(base, self.cookie, grant, self.chart.patient, user)

    @property
    def session(self) -> Session:
        found = self.ingest.launches.session(self.launch, self.cookie)
        assert found is not None
        return found

    async def answered(self) -> Answer:
        """The answer of the launch's case, when it is there."""
        if self.session.case is None:
            case = await self.ingest.conductor.open(self.session.base, self.session.patient, launch=self.launch)
            self.ingest.launches.opened(self.launch, case.id)
        for _ in range(300):
            case = self.ingest.ledger.case(str(self.session.case))
            assert case.state != "stuck", case.outcome
            if case.answer is not None:
                found = self.ingest.ledger.answer(case.answer)
                assert found is not None
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"the case is still {case.state}")

    async def form(self, **more: str) -> Json:
        answer = await self.answered()
        shown = decisions_of(self.ingest.ledger, answer.base, answer.patient)
        return {"csrf": self.session.csrf, "answer": str(answer.id), "seen": seen(shown), "act": "accept", "regimen": REGIMEN} | more

    async def post(self, form: Json, headers: Json = OURS, place: str = "decisions") -> tuple[int, str, str]:
        url = f"{self.address}/app/{self.launch}/{place}"
        sent = {"Cookie": f"figaro={self.cookie}", **headers}
        async with self.http.post(url, data=form, headers=sent, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", ""), await answer.text()

    async def plan(self) -> Json:
        return await self.chart.read((await self.answered()).careplan)


@pytest.fixture
async def clinic(sekmet: str, tmp_path: Path) -> AsyncIterator[Clinic]:
    launch = "{client_id: figaro, client: public, embedded: true, frame_origins: ['https://ehr.example']}"
    issuers = tmp_path / "issuers.yaml"
    issuers.write_text(f"issuers: [{{id: ehr, base: {sekmet}, write: {{auth: none}}, launch: {launch}}}]")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        server = await stack.enter_async_context(FhirClient(sekmet))
        chart = await Chart(server, "ivb-cps-10").load()
        made = await server.create({"resourceType": "Practitioner", "name": [{"family": "Example", "text": "Dr Synthetic Example"}]})
        recommend = await stack.enter_async_context(served(recommend_app(RecommendSettings(issuers=issuers, service_secret=SECRET))))
        staging = await stack.enter_async_context(served(staging_app(StagingSettings())))
        urls: Json = {"staging_url": staging, "recommend_url": recommend, "public_url": PUBLIC, "service_secret": SECRET}
        app = ingest_app(IngestSettings(issuers=issuers, data_directory=tmp_path / "data", poll_seconds=0.05, **urls))
        address = await stack.enter_async_context(served(app))
        found = Clinic(app.state.ingest, address, chart, http)
        found.enter(sekmet, made.reference)
        yield found


async def test_a_decision_is_answered_with_303_to_the_page_and_stands_in_the_plan(clinic: Clinic, tmp_path: Path) -> None:
    status, place, _ = await clinic.post(await clinic.form(reason="As agreed."))
    assert (status, place) == (303, f"{PUBLIC}/app/{clinic.launch}#decided")
    assert (await clinic.plan())["status"] == "active"
    assert TOKEN.encode() not in b"".join(file.read_bytes() for file in (tmp_path / "data").iterdir())


async def test_look_again_after_somebody_changed_the_plan_leads_to_a_page_that_can_decide(clinic: Clinic) -> None:
    form, plan = await clinic.form(), await clinic.plan()
    await clinic.chart.server.update({**plan, "note": [*plan["note"], {"text": "Another's word."}]})
    status, _, shown = await clinic.post(form)
    assert status == 409
    assert "Please look again" in shown
    status, _, _ = await clinic.post(await clinic.form())
    assert status == 303
    notes = [note["text"] for note in (await clinic.plan())["note"]]
    assert "Another's word." in notes
    assert notes[-1].startswith("Accepted: ")


async def test_se06_a_form_without_the_pages_own_token_or_from_elsewhere_decides_nothing(clinic: Clinic) -> None:
    form = await clinic.form()
    assert (await clinic.post(form | {"csrf": "x"}))[0] == 403
    assert (await clinic.post(form, {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}))[0] == 403
    assert (await clinic.post(form, {}))[0] == 403
    clinic.cookie = "another browser"
    assert (await clinic.post(form))[0] == 403
    clinic.cookie = "browser"
    assert decisions_of(clinic.ingest.ledger, clinic.session.base, clinic.session.patient) == []


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"act": "order"}, 422, "not whole"),
        ({"answer": "1 OR 1"}, 422, "not whole"),
        ({"seen": ""}, 422, "not whole"),
        ({"act": "decline", "reason": ""}, 422, "say why"),
        ({"act": "decline", "reason": "x" * 4001}, 422, "4000 characters"),
        ({"regimen": "<b>bold</b>"}, 422, "not among"),
        ({"answer": "999"}, 409, "look again"),
    ],
)
async def test_a_form_that_is_not_whole_is_answered_with_a_page_in_plain_words(
    clinic: Clinic, change: Json, status: int, words: str
) -> None:
    answered = await clinic.post(await clinic.form() | change)
    assert answered[0] == status
    assert words in answered[2]
    assert "<b>bold" not in answered[2]
    assert "Traceback" not in answered[2]


async def test_a_form_that_is_larger_than_any_of_ours_is_not_read(clinic: Clinic) -> None:
    """It would be taken apart on the event loop, up to the limit of every body."""
    form = await clinic.form(act="comment", reason="x" * 200_000)
    status, _, said = await clinic.post(form)
    assert (status, "larger than any of ours" in said) == (413, True)


async def test_sm34_what_is_kept_for_want_of_scope_is_said_and_not_sent_again(clinic: Clinic) -> None:
    with clinic.ingest.ledger.transaction() as session:
        session.exec(sa.text("UPDATE launch_session SET scopes = 'patient/*.rs'"))  # type: ignore[call-overload]
    assert (await clinic.post(await clinic.form()))[0] == 303
    [kept] = decisions_of(clinic.ingest.ledger, clinic.session.base, clinic.session.patient)
    assert (kept.state, kept.why) == ("kept", "no-scope")
    assert (await clinic.post({"csrf": clinic.session.csrf}, place=f"decisions/{kept.id}/again"))[0] == 303
    assert (await clinic.post({"csrf": clinic.session.csrf}, place="decisions/unknown/again"))[0] == 404
    assert (await clinic.plan())["status"] == "draft"
