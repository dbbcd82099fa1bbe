"""Who sees which answer, and who is told of it: what one user's right has read is for that user, and every look leaves a line."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import pytest_asyncio
import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlmodel import col, delete, select, update

from services.ingest import migrations
from services.ingest.instants import now
from services.ingest.launched import Session, User
from services.ingest.ledger import Ledger
from services.ingest.migrations import engine_for
from services.ingest.neighbours import Neighbours
from services.ingest.shown import answer_shown, reader_key, shown
from services.ingest.tables import Answer, Case, InHand, compressed, expanded
from services.recommend.app import create
from services.recommend.settings import RecommendSettings
from shared.oncology.record import encode
from shared.service import log
from shared.service.embedded import embedded_fhir_server
from shared.service.serving import served
from tests.ingest.answered import answered
from tests.ingest.launching import Browser, Hospital, hospital
from tests.ingest.patients import ecog, metastatic
from tests.peers.small_server import small_server

BASE, HER = "https://fhir.example/r4", "Patient/syn-044"
ALL = ("launch", "patient/*.rs")
NARROW = (*(f"patient/{name}.rs" for name in ("Patient", "Condition", "Observation")),)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


def launched(
    ledger: Ledger, subject: str | None = "dr-7", scopes: tuple[str, ...] = ALL, state: str = "opened", unread: tuple[str, ...] = ()
) -> Session:
    """A launch whose case stands in that state; `unread` are the types that the EHR refused to its pull."""
    user = User("https://issuer.example", subject, "Practitioner/7") if subject else None
    case = ledger.open(BASE, HER, launch="x")
    one = Session(
        id=case.id, base=BASE, issuer="ehr", patient=HER, encounter=None, user=user, scopes=scopes, need_patient_banner=True,
        embedded=False, frame_origins=(), csrf="c", case=case.id, created=now(), ends=now(),
    )  # fmt: skip
    if state != "opened":
        record = msgspec.structs.replace(answered("syn-044").record, unread=unread)
        kept = answered("syn-044").answer(case.id)
        kept.patient, kept.reader, kept.digest, kept.record = HER, key(one), record.digest(), compressed(encode(record))
        kept.raw = compressed(b"[]")
        ledger.pulled(InHand(case=case.id, digest=kept.digest, raw=kept.raw, record=kept.record, reader=kept.reader))
        if state == "answered":
            ledger.answered(kept)
    with ledger.transaction() as session:
        session.exec(update(Case).where(col(Case.id) == case.id).values(state=state))
    return one


def answer(ledger: Ledger, reader: str | None, raw: str = '[{"resourceType": "Condition"}]', **more: Any) -> int:
    """An answer by that right."""
    case = ledger.open(BASE, HER)
    kept = answered("syn-044").answer(case.id)
    kept.patient, kept.reader, kept.raw = HER, reader, compressed(raw.encode())
    for name, value in more.items():
        setattr(kept, name, value)
    ledger.pulled(InHand(case=case.id, digest="d", raw=kept.raw, record=kept.record))
    ledger.answered(kept)
    return ledger.case(case.id).answer or 0


def key(one: Session) -> str:
    return reader_key(one.id, one.user, one.scopes)


def sees(ledger: Ledger, one: Session) -> int | None:
    """The answer that a launch shows; every other way to it agrees."""
    found = shown(ledger, one).answer
    with ledger.transaction() as session:
        ids = list(session.exec(select(Answer.id)))
    reach = {name for name in ids if answer_shown(ledger, one, name or 0) is not None}
    assert (found is None and not reach) or (found is not None and found.id in reach)
    return found.id if found else None


def test_what_another_user_has_read_is_not_shown(ledger: Ledger) -> None:
    first = launched(ledger, "dr-7")
    mine = answer(ledger, key(first))
    assert sees(ledger, first) == mine
    assert sees(ledger, launched(ledger, "dr-8", state="pulled")) is None
    assert sees(ledger, launched(ledger, "dr-7", NARROW, state="pulled")) is None, "the same user with another grant"
    assert sees(ledger, launched(ledger, "dr-7", (*ALL, "patient/CarePlan.cu"))) == mine, "what she may write is no matter"


def test_a_launch_without_a_known_user_is_nobody_elses(ledger: Ledger) -> None:
    first = launched(ledger, None)
    assert sees(ledger, first) is None
    mine = answer(ledger, key(first))
    assert sees(ledger, first) == mine
    assert sees(ledger, launched(ledger, None, state="pulled")) is None


@pytest.mark.parametrize("state", ["opened", "stuck", "pulled", "staged", "answered"])
def test_what_figaro_has_read_is_shown_once_her_own_token_has_read_the_patient(ledger: Ledger, state: str) -> None:
    hers = launched(ledger, state=state)
    ours = answer(ledger, None)
    assert sees(ledger, hers) == (ours if state in ("pulled", "staged", "answered") else None)


@pytest.mark.parametrize("state", ["pulled", "staged", "answered"])
def test_sm_34_what_the_ehr_refused_to_her_pull_is_not_shown_out_of_what_figaro_has_read(ledger: Ledger, state: str) -> None:
    """SM-34: refused in spite of the scope. Nor where Figaro found nothing of it: that there is none was not for her either."""
    hers = launched(ledger, state=state, unread=("Procedure",))
    own = ledger.case(hers.case or "").answer
    for number, raw in enumerate(('[{"resourceType": "Procedure"}]', '[{"resourceType": "Condition"}]')):
        answer(ledger, None, raw, digest=f"newer {number}")
        assert sees(ledger, hers) == own
    optional = launched(ledger, "dr-8", state="pulled", unread=("BodyStructure",))
    assert sees(ledger, optional) is not None, "of what is optional only that there is some is kept from her"
    answer(ledger, None, '[{"resourceType": "BodyStructure"}]', digest="more")
    assert shown(ledger, optional).answer is None


def test_sm_34_where_nothing_is_left_of_her_own_pull_nothing_is_shown(ledger: Ledger) -> None:
    hers = launched(ledger, state="answered")
    answer(ledger, None)
    with ledger.transaction() as session:
        session.exec(update(Case).where(col(Case.id) == hers.case).values(answer=None))
        session.exec(delete(Answer).where(col(Answer.reader) == key(hers)))
    assert sees(ledger, hers) is None


@pytest.mark.parametrize(
    ("scopes", "raw", "may"),
    [
        (ALL, "[]", True),
        (("patient/*.read",), "[]", True),
        (NARROW, "[]", False),
        (("patient/*.rs?category=none",), "[]", False),
        (("patient/*.s",), "[]", False),
        (tuple(f"patient/{name}.rs" for name in ("Patient", "Condition", "Observation", "Procedure", "MedicationRequest")), "[]", False),
    ],
)
def test_what_figaro_has_read_is_shown_as_far_as_her_scopes_reach(ledger: Ledger, scopes: tuple[str, ...], raw: str, may: bool) -> None:
    ours = answer(ledger, None, raw)
    assert sees(ledger, launched(ledger, scopes=scopes, state="pulled")) == (ours if may else None)


def test_an_optional_type_has_to_be_granted_only_where_the_answer_rests_on_it(ledger: Ledger) -> None:
    names = ("Patient", "Condition", "Observation", "Procedure", "MedicationRequest", "MedicationAdministration", "MedicationStatement")
    most = launched(ledger, scopes=tuple(f"patient/{name}.rs" for name in (*names, "AllergyIntolerance")), state="pulled")
    ours = answer(ledger, None)
    assert sees(ledger, most) == ours
    answer(ledger, None, '[{"resourceType": "BodyStructure"}]', digest="another")
    assert shown(ledger, most).answer is None


def test_an_answer_is_not_kept_twice_for_one_reader_and_is_kept_for_each(ledger: Ledger) -> None:
    first, second = (key(launched(ledger, name)) for name in ("dr-7", "dr-8"))
    assert answer(ledger, first) != answer(ledger, second)
    assert answer(ledger, first) == answer(ledger, first)


def test_of_an_answer_from_before_readers_were_kept_a_launched_one_is_nobodys_and_another_is_ours(database: str) -> None:
    engine = engine_for(database)
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0006")
    now_, blobs = {"opened": now(), "updated": now()}, dict.fromkeys(("raw", "record", "staging", "recommendation"), b"")
    with engine.begin() as connection:
        tables = sa.MetaData()
        tables.reflect(connection)
        for name, launch in (("launched", "x"), ("own", None)):
            case = {"id": name, "base": BASE, "patient": HER, "state": "answered", "attempts": 1, "queued": True, "launch": launch}
            connection.execute(tables.tables["case"].insert().values(case | now_))
            told = {"case": name, "base": BASE, "patient": HER, "answered": now(), "digest": "d"} | blobs
            knowledge = {"staging_knowledge": "k", "recommend_knowledge": "k"}
            connection.execute(tables.tables["answer"].insert().values(told | knowledge))
            connection.execute(tables.tables["in_hand"].insert().values(case=name, digest="d", raw=b"", record=b""))
    engine.dispose()
    ledger = Ledger(database)
    with ledger.transaction() as session:
        assert {(one.case, one.reader, one.whole) for one in session.exec(select(Answer))} == {
            ("launched", "unknown", True),
            ("own", None, True),
        }
        assert {(one.case, one.reader, one.whole) for one in session.exec(select(InHand))} == {
            ("launched", "unknown", False),
            ("own", None, True),
        }
    ledger.close()


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest_asyncio.fixture
async def here(fhir: str, tmp_path: Path) -> AsyncIterator[Hospital]:
    async with hospital(tmp_path, fhir, audit_key="an audit key of the tests, long enough") as it:
        await it.put(*metastatic("p1"))
        yield it


@pytest_asyncio.fixture
async def browsers() -> AsyncIterator[tuple[Browser, Browser]]:
    made = Browser(), Browser()
    yield made
    await asyncio.gather(*(one.session.close() for one in made))


def has_answer(text: str) -> bool:
    return "This answer is " in text


@pytest.mark.server
async def test_who_may_not_read_the_chart_sees_nothing_of_what_a_colleague_has_read(
    here: Hospital, browsers: tuple[Browser, Browser]
) -> None:
    a, b = browsers
    hers = await here.entered(a)
    assert (await here.done(hers.case))["state"] == "answered"
    assert has_answer((await a.get(f"{here.url}/app/{hers.id}")).text)
    here.ehr.user, here.ehr.subject = "Practitioner/other", "clinician-2"
    here.ehr.bend.forbidden = ("Patient",)
    try:
        other = await here.entered(b)
        assert (await here.done(other.case))["state"] == "stuck"
        page = await b.get(f"{here.url}/app/{other.id}")
        assert page.status == 200
        assert not has_answer(page.text)
        assert (await a.get(f"{here.url}/app/{hers.id}/source/Patient/p1")).status == 200
        assert (await b.get(f"{here.url}/app/{other.id}/source/Patient/p1")).status == 404
        assert (await b.get(f"{here.url}/app/{other.id}/sheet")).status == 409
        form = {"csrf": other.csrf, "answer": "1", "seen": "0", "act": "comment", "reason": "x"}
        assert (await b.post(f"{here.url}/app/{other.id}/decisions", form, Origin=here.url)).status == 409
    finally:
        here.ehr.subject = "clinician-1"
    here.ehr.user = "Practitioner/syn-clinician"
    again = await here.entered(a)
    assert has_answer((await a.get(f"{here.url}/app/{again.id}")).text), "her own answer is there at once"


@pytest.mark.server
async def test_sm_34_what_is_refused_her_in_spite_of_the_scope_stays_hidden_when_figaro_reads_it_again(
    here: Hospital, browsers: tuple[Browser, Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SM-34: a background case by our own right ends after hers, and holds a Procedure that the EHR has refused her."""
    me, denied = "Patient/p1", here.ehr._denied
    own = here.ehr  # without a token it is Figaro's own right
    monkeypatch.setattr(own, "_denied", lambda request, *rest: denied(request, *rest) if "Authorization" in request.headers else None)
    kept = {"resourceType": "Procedure", "id": "hidden1", "status": "completed", "subject": {"reference": me}, "code": {"text": "CANARY"}}
    await here.put(kept)
    here.ehr.bend.forbidden = ("Procedure",)
    hers = await here.entered(browsers[0])
    assert (await here.done(hers.case))["state"] == "answered"
    await here.put(ecog("e9", me, 1))
    ours = await here.ingest.conductor.open(here.ehr.base_url, me)
    assert (await here.done(ours.id))["state"] == "answered"
    with here.ingest.ledger.transaction() as session:
        [newest] = session.exec(select(Answer).where(col(Answer.reader).is_(None)))
        assert b"CANARY" in expanded(newest.raw)
    assert (await browsers[0].get(f"{here.url}/app/{hers.id}/source/Procedure/hidden1")).status == 404
    assert (await browsers[0].get(f"{here.url}/app/{hers.id}/source/Patient/p1")).status == 200


@pytest.mark.server
async def test_no_careplan_is_written_from_what_a_narrow_grant_has_read_and_the_page_says_so(
    here: Hospital, browsers: tuple[Browser, Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    publish = Neighbours.publish

    async def seen(self: Neighbours, *parts: Any, write: bool = True) -> Any:
        told.append(write)
        return await publish(self, *parts, write=write)

    monkeypatch.setattr(Neighbours, "publish", seen)
    for grants, forbidden, wrote in (
        (None, (), True),
        ("Procedure", (), False),
        ("AllergyIntolerance", (), False),
        (None, ("MedicationStatement",), False),
    ):
        here.as_it_should_be()
        here.ehr.grants = lambda scopes, without=grants: [one for one in scopes if without is None or without not in one]  # type: ignore[misc]
        here.ehr.bend.forbidden = forbidden
        session = await here.entered(browsers[0])
        assert (await here.done(session.case))["state"] == "answered"
        assert told.pop() is wrote
        page = (await browsers[0].get(f"{here.url}/app/{session.id}")).text
        assert ("a sign-in that does not see all of the record" in page) is not wrote


@pytest.mark.server
async def test_recommend_writes_nothing_where_it_is_told_to_write_nothing() -> None:
    one, secret = answered("syn-044"), SecretStr("a service secret of this test")
    async with small_server() as small, aiohttp.ClientSession() as http:
        async with served(create(RecommendSettings(fhir_base=small.base_url, service_secret=secret))) as address:
            neighbours = Neighbours(http, staging_url=address, recommend_url=address, timeout=20, secret=secret)
            parts = (encode(one.record), encode(one.staging), encode(one.recommendation), small.base_url)
            published = await neighbours.publish(*parts, write=False)
        assert small.writes == 0
    assert (published.mode, published.careplan) == ("page", None)
    assert published.decision


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.configure("ERROR", stream)
    yield stream
    structlog.reset_defaults()


def looks(lines: io.StringIO) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in lines.getvalue().splitlines()]
    return [one for one in found if one["event"] == "access" and "user" in one]


@pytest.mark.server
async def test_every_look_at_a_patient_leaves_a_line_that_names_user_and_patient_by_hashes(
    here: Hospital, browsers: tuple[Browser, Browser], lines: io.StringIO
) -> None:
    browser, _ = browsers
    session = await here.entered(browser)
    await here.done(session.case)
    page = f"{here.url}/app/{session.id}"
    for path in ("", "", "/source/Patient/p1", "/sheet"):
        assert (await browser.get(f"{page}{path}")).status == 200
    number = re.search(r'name="answer" value="(\d+)"', (await browser.get(page)).text)
    form = {"csrf": session.csrf, "answer": number[1] if number else "1", "seen": "0", "act": "comment", "reason": "canary words"}
    await browser.post(f"{page}/decisions", form, Origin=here.url)
    told = looks(lines)
    assert [one["interaction"] for one in told] == ["sign-in", "search", "view", "source", "print", "decide"], "the same view is told once"
    assert {one["case"] for one in told} == {session.case}
    assert {one["issuer"] for one in told} == {here.ehr.root}
    for name in ("user", "about"):
        [value] = {one[name] for one in told}
        assert re.fullmatch("[0-9a-f]{32}", value)
    for canary in ("clinician-1", "syn-clinician", "Patient/p1", "canary"):
        assert canary not in lines.getvalue()


@pytest.mark.server
async def test_se03_a_page_that_is_followed_hears_nothing_more_after_its_session_has_ended(
    here: Hospital, browsers: tuple[Browser, Browser]
) -> None:
    browser, _ = browsers
    session = await here.entered(browser)
    await here.done(session.case)

    def stands(state: str) -> None:
        with here.ingest.ledger.transaction() as transaction:
            transaction.exec(update(Case).where(col(Case.id) == session.case).values(state=state))

    stands("opened")
    async with browser.session.get(f"{here.url}/app/{session.id}/events") as stream:
        assert b"event: state" in await stream.content.readuntil(b"\n\n")
        out = await browser.post(f"{here.url}/app/{session.id}/logout", {"csrf": session.csrf}, Origin=here.url)
        assert out.status == 200
        stands("pulled")
        async with asyncio.timeout(5):
            assert b"event:" not in await stream.read(), "it is over within seconds"
    stands("answered")
    assert (await browser.get(f"{here.url}/app/{session.id}/events")).status == 403


BAD = [("answer", "9" * 30), ("answer", "-1"), ("answer", "0"), ("regimen", "\0"), ("reason", "a\0b")]


@pytest.mark.server
@pytest.mark.parametrize(("field", "value"), BAD)
async def test_a_decision_with_a_number_or_text_that_no_database_keeps_is_a_page(
    here: Hospital, browsers: tuple[Browser, Browser], field: str, value: str
) -> None:
    session = await here.entered(browsers[0])
    form = {"csrf": session.csrf, "answer": "1", "seen": "0", "act": "comment", "reason": "x", field: value}
    said = await browsers[0].post(f"{here.url}/app/{session.id}/decisions", form, Origin=here.url)
    assert (said.status, said.heading) == (422, "Nothing was decided")
