"""What becomes of a launch while it lasts: tokens renewed once, sessions that end, cases that then wait for a new launch."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import aiohttp
import msgspec
import pytest
import pytest_asyncio
import trustme
from pydantic import SecretStr
from sqlmodel import delete, select, update

from services.ingest.app import create
from services.ingest.grants import Grants
from services.ingest.instants import now
from services.ingest.launched import Begun, Tokens
from services.ingest.launches import CLAIM_LIFE, Launches
from services.ingest.ledger import Ledger
from services.ingest.seal import Seal, fingerprint
from services.ingest.sessions import set_cookie
from services.ingest.settings import IngestSettings
from services.ingest.tables import LaunchSession, SignIn
from services.together import TogetherSettings, together
from shared.fhir.outcome import Refused, Stuck, Unavailable
from shared.service.embedded import embedded_fhir_server
from shared.smart.app import Apps
from shared.smart.code import Grant
from shared.smart.discovery import SmartConfiguration
from shared.smart.exchange import TOTAL
from shared.smart.issuers import Issuer, Issuers, read_issuers
from shared.smart.keys import jwks, keys_in, new_key
from shared.smart.launch import Launch
from tests.ingest.launching import KEY, Browser, Hospital, free_port, hospital, issuers_file
from tests.ingest.patients import metastatic
from tests.peers.smart_server import smart_server

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest_asyncio.fixture
async def here(fhir: str, tmp_path: Path) -> AsyncIterator[Hospital]:
    async with hospital(tmp_path, fhir) as it:
        await it.put(*metastatic("p1"))
        yield it


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    made = Browser()
    yield made
    await made.session.close()


def spent(here: Hospital, launch: str, *, until: float = -1) -> None:
    """The access token of a session is at its end; `until` seconds from now."""
    held = here.ingest.launches.held(launch)
    assert held is not None
    tokens = msgspec.structs.replace(held.tokens, renew=0, until=time.time() + until)
    with here.ingest.ledger.transaction() as session:
        session.exec(update(LaunchSession).values(sealed=here.ingest.launches.seal.close(tokens)))


async def second_process(here: Hospital) -> Grants:
    """The same sessions, as another process sees them: its own connections, its own memory."""
    issuers = Issuers(read_issuers(here.folder / "issuers.yaml"))
    launches = Launches(here.ingest.ledger, issuers, Seal(KEY), hours=8, idle_minutes=60, sign_ins=10)
    return Grants(launches, Apps(issuers, here.ingest.servers._session), here.ingest.servers)


async def test_sm60_and_sm61_of_many_who_need_it_in_two_processes_one_renews_the_token(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    spent(here, session.id)
    here.ehr.bend.slow = 0.3
    other = await second_process(here)
    asking = [grants.authority(session.id).header() for grants in (here.ingest.grants, other) for _ in range(5)]
    headers = set(await asyncio.gather(*asking))
    assert [form["grant_type"] for form in here.ehr.forms] == ["authorization_code", "refresh_token"]
    assert len(headers) == 1
    assert here.ehr.problems == []
    held = here.ingest.launches.held(session.id)
    assert held is not None
    assert headers == {f"Bearer {held.tokens.access}"}
    assert held.turn == 2


async def test_sm61_a_slow_configuration_and_a_slow_token_endpoint_make_no_token_be_used_twice(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times in proportion, a tenth or less: both may take 20 s, a claim lasts 60 s."""
    assert CLAIM_LIFE.total_seconds() > 2 * TOTAL
    session = await here.entered(browser)
    await here.done(session.case)
    spent(here, session.id)
    monkeypatch.setattr("services.ingest.launches.CLAIM_LIFE", timedelta(seconds=2))
    here.ehr.bend.slow = 1.5
    configured = here.registration.configuration

    async def slow() -> SmartConfiguration:
        await asyncio.sleep(1.5)
        return await configured()

    monkeypatch.setattr(here.registration, "configuration", slow)
    asked = []
    for _ in range(5):
        asked.append(asyncio.create_task(here.ingest.grants.authority(session.id).header()))
        await asyncio.sleep(0.5)
    assert len(set(await asyncio.gather(*asked))) == 1
    assert len([form for form in here.ehr.forms if "refresh_token" in form]) == 1
    assert here.ehr.problems == []


async def test_sm62_a_configuration_that_cannot_be_had_leaves_the_server_alone_for_some_seconds(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    spent(here, session.id, until=30)
    asked: list[int] = []

    async def down() -> SmartConfiguration:
        asked.append(1)
        raise Unavailable("The smart-configuration cannot be had.")

    monkeypatch.setattr(here.registration, "configuration", down)
    token = here.ingest.grants.authority(session.id)
    assert await token.header() == await token.header()
    assert len(asked) == 1


async def test_sm64_a_token_that_is_renewed_while_its_session_ends_is_given_back(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    spent(here, session.id)
    here.ehr.bend.slow = 0.5
    renewing = asyncio.create_task(here.ingest.grants.authority(session.id).header())
    while not [form for form in here.ehr.forms if "refresh_token" in form]:  # noqa: ASYNC110 -- told by the peer
        await asyncio.sleep(0.02)
    with here.ingest.ledger.transaction() as ledger:
        ledger.exec(delete(LaunchSession))
    with pytest.raises(Stuck, match="launch again"):
        await renewing
    assert here.ehr.revoking == ["refresh_token", "access_token"]


async def test_sm64_the_tokens_of_a_patient_who_is_erased_are_given_back(here: Hospital, browser: Browser) -> None:
    session, other = await here.entered(browser), await here.entered(browser, "p2")
    await here.done(session.case)
    async with aiohttp.ClientSession() as asking, asking.post(f"{here.url}/cases/erase", json={"patient": session.patient}) as answer:
        assert answer.status == 200
        assert (await answer.json())["erased"]["launch_session"] == 1
    assert here.ehr.revoking == ["refresh_token", "access_token"]
    assert here.session(browser, session.id) is None
    assert here.session(browser, other.id) is not None


async def test_sm61_a_refresh_token_is_replaced_each_time_and_never_used_twice(here: Hospital, browser: Browser) -> None:
    """SM-08, SM-55: asked for by `permission-online`; no id_token comes with these, and none is needed."""
    session = await here.entered(browser)
    for _ in range(3):
        spent(here, session.id)
        await here.ingest.grants.authority(session.id).header()
    used = [form["refresh_token"] for form in here.ehr.forms if "refresh_token" in form]
    assert len(used) == len(set(used)) == 3
    assert here.ehr.problems == []
    assert "scope" not in here.ehr.forms[-1], "without it what was granted stays (SM-60)"


async def test_sm63_a_token_is_renewed_before_its_end_and_used_meanwhile(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    spent(here, session.id, until=30)
    before = here.ingest.launches.held(session.id)
    await here.ingest.grants.authority(session.id).header()
    after = here.ingest.launches.held(session.id)
    assert before is not None
    assert after is not None
    assert before.tokens.access != after.tokens.access


async def test_sm63_after_a_401_the_token_is_renewed_once_and_the_case_goes_on(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    here.ehr.kill_tokens()
    case = await here.ingest.conductor.open(session.base, session.patient, launch=session.id)
    assert (await here.done(case.id))["state"] == "answered"
    assert [form["grant_type"] for form in here.ehr.forms] == ["authorization_code", "refresh_token"]


async def test_sm63_a_server_that_takes_no_token_is_not_asked_for_ever(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    here.ehr.bend.unauthorised = 10_000
    case = await here.ingest.conductor.open(session.base, session.patient, launch=session.id)
    found = await here.done(case.id)
    assert found["state"] == "stuck"
    assert "launch again" in found["outcome"]["issue"][0]["details"]["text"]
    assert len([form for form in here.ehr.forms if form["grant_type"] == "refresh_token"]) == 1


async def test_sm63_one_piece_of_work_renews_for_a_401_once(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    token = here.ingest.grants.authority(session.id)
    first = await token.header()
    await token.refused(first)
    second = await token.header()
    await token.refused(second)
    assert first != second == await token.header()


async def test_sm62_when_the_grant_is_over_so_is_the_session_and_its_case_asks_for_a_new_launch(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    spent(here, session.id)
    here.ehr.bend.token_status = (400, {"error": "invalid_grant"})
    case = await here.ingest.conductor.open(session.base, session.patient, launch=session.id)
    found = await here.done(case.id)
    assert found["state"] == "stuck"
    assert "launch again" in found["outcome"]["issue"][0]["details"]["text"]
    assert here.session(browser, session.id) is None


async def test_sm62_a_token_endpoint_that_fails_costs_no_session(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    here.ehr.bend.token_status = (503, {})
    spent(here, session.id, until=30)
    token = here.ingest.grants.authority(session.id)
    assert await token.header() == await token.header(), "what is held is good for a while yet"
    assert len(here.ehr.forms) == 2, "and the server is left alone for some seconds"
    spent(here, session.id)
    with here.ingest.ledger.transaction() as ledger:
        ledger.exec(update(LaunchSession).values(claimed=None))
    with pytest.raises(Unavailable):
        await token.header()
    assert here.session(browser, session.id) is not None


async def test_a_case_whose_session_has_ended_is_stuck_and_says_what_to_do(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    await here.ingest.grants.end(session.id)
    case = await here.ingest.conductor.open(session.base, session.patient, launch=session.id)
    found = await here.done(case.id)
    assert found["state"] == "stuck"
    assert "launch again from the patient's chart" in found["outcome"]["issue"][0]["details"]["text"]
    assert found["retry_at"] is None


async def test_sm64_and_sm66_a_session_whose_time_is_over_is_wiped_and_its_tokens_are_given_back(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    with here.ingest.ledger.transaction() as ledger:
        ledger.exec(update(LaunchSession).values(seen=now()[:10] + "T00:00:00.000000Z", ends="2026-01-01T00:00:00.000000Z"))
    assert here.session(browser, session.id) is None
    assert here.ingest.launches.held(session.id) is None
    await here.ingest.rounds.tidy()
    with here.ingest.ledger.transaction() as ledger:
        assert ledger.exec(select(LaunchSession)).all() == []
    assert here.ehr.revoking == ["refresh_token", "access_token"]


async def test_without_a_refresh_token_a_session_reads_until_its_token_ends(here: Hospital, browser: Browser) -> None:
    here.ehr.grants = lambda scopes: [one for one in scopes if one != "online_access"]
    session = await here.entered(browser)
    await here.done(session.case)
    spent(here, session.id, until=30)
    assert (await here.ingest.grants.authority(session.id).header()).startswith("Bearer ")
    spent(here, session.id)
    with pytest.raises(Stuck, match="launch again"):
        await here.ingest.grants.authority(session.id).header()
    assert here.session(browser, session.id) is not None, "the page can be read on"


async def test_sm66_with_another_key_a_session_is_over_and_nothing_fails(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.done(session.case)
    issuers = Issuers(read_issuers(here.folder / "issuers.yaml"))
    stranger = Launches(here.ingest.ledger, issuers, Seal(None), hours=8, idle_minutes=60, sign_ins=10)
    assert stranger.held(session.id) is None


APPS = {
    "client-secret": "{client: client-secret, client_id: figaro-secret, secret: {file: secret}, embedded: false}",
    "public": "{client: public, client_id: figaro-public, embedded: false}",
    "with client_id": "{client_id: figaro-app, keys: keys, embedded: false, send_client_id: true}",
}


@pytest.mark.parametrize("kind", APPS)
async def test_sm72_sm73_a_client_of_each_kind_signs_in_refreshes_and_revokes(
    kind: str, fhir: str, tmp_path: Path, browser: Browser
) -> None:
    """SM-31: `client_id` is in the form of a public client, and of another by the switch."""
    (tmp_path / "secret").write_text("s:ec%r+et\n")
    async with hospital(tmp_path, fhir, APPS[kind]) as here:
        await here.put(*metastatic("p1"))
        session = await here.entered(browser)
        assert ("client_id" in here.ehr.forms[0]) == (kind != "client-secret"), "SM-31"
        spent(here, session.id)
        await here.ingest.grants.authority(session.id).header()
        await here.ingest.grants.end(session.id)
        assert len(here.ehr.revoked) == 2
        assert here.ehr.problems == []


async def test_au05_the_key_is_never_sent_where_a_secret_would_be(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    await here.ingest.grants.end(session.id)
    assert here.ehr.revoking == ["refresh_token", "access_token"], "the revocation endpoint took the assertion, for its own address"


@pytest.mark.parametrize(
    ("public", "embedded", "parts"),
    [
        ("https://figaro.example", True, "__Host-figaro=v; Path=/; HttpOnly; SameSite=None; Secure; Partitioned"),
        ("https://figaro.example/ingest", False, "__Host-figaro=v; Path=/; HttpOnly; SameSite=Lax; Secure"),
        ("http://127.0.0.1:8000", True, "figaro=v; Path=/; HttpOnly; SameSite=Lax"),
        ("http://127.0.0.1:8000", False, "figaro=v; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
def test_se01_the_cookie_is_as_the_place_needs_it(public: str, embedded: bool, parts: str) -> None:
    """SE-02: partitioned on every Python."""
    assert set_cookie("figaro", "v", public_url=public, embedded=embedded) == parts


@pytest.mark.parametrize(
    ("public", "said"), [(None, "FIGARO_PUBLIC_URL is not set"), ("http://figaro.example", "https"), ("https://x.example?y=1", "https")]
)
async def test_without_a_safe_public_address_nothing_starts(fhir: str, tmp_path: Path, public: str | None, said: str) -> None:
    file, secret = issuers_file(tmp_path, fhir, APPS["public"]), SecretStr(KEY)
    app = create(IngestSettings(issuers=file, public_url=public, data_directory=tmp_path / "data", api_secret=secret))
    with pytest.raises(Refused, match=said):
        async with app.router.lifespan_context(app):
            pass


def test_the_ledger_of_launches_works_on_each_database(database: str) -> None:
    """SM-61 by compare-and-swap, SM-21 by one update: on SQLite and on PostgreSQL."""
    issuer = Issuer(
        id="ehr", base="https://ehr.example/fhir", write_mode="page", launch=Launch(client_id="x", client="public", embedded=False)
    )
    launches = Launches(Ledger(database), Issuers((issuer,)), Seal(KEY), hours=8, idle_minutes=60, sign_ins=2)
    begun = Begun("v", "n", "https://ehr.example/token", "https://f.example/callback/ehr", None, ("launch",))
    assert [launches.begin(state, "browser", issuer.base, begun) for state in ("a", "b", "c")] == [True, True, False]
    assert launches.take("a", ["browser"], issuer.base) == "unknown", "the oldest made way"
    assert launches.take("c", ["other", "browser"], issuer.base) == begun
    assert launches.begin("a", "browser", issuer.base, begun)
    assert launches.take("a", ["other", "browser"], issuer.base) == begun
    assert launches.take("a", ["browser"], issuer.base) == "used"
    assert launches.take("b", ["browser"], "https://other.example") == "elsewhere"
    with ThreadPoolExecutor(8) as many:
        with launches._store.transaction() as session:
            session.exec(delete(SignIn))
        assert launches.begin("c", "browser", issuer.base, begun)
        taken = list(many.map(lambda _: launches.take("c", ["browser"], issuer.base), range(8)))
    assert sorted(str(one) for one in taken if one == "used") == ["used"] * 7, "of many who come with one state, one is let in"
    assert launches.take("z", ["browser"], issuer.base) == "unknown"
    grant = Grant(access_token="t", life=300, scopes=("patient/*.rs",), refresh_token="r", encounter="e1")
    launch = launches.open(issuer.base, "cookie", grant, "Patient/1", None)
    shown = launches.session(launch, "cookie")
    assert shown is not None
    assert (shown.patient, shown.encounter, shown.may_decide) == ("Patient/1", "Encounter/e1", False)
    assert [launches.claim(launch, 1), launches.claim(launch, 1)] == [True, False]
    launches.renewed(launch, 1, Tokens("t2", "r2", 1, 2), ("x",))
    assert [launches.claim(launch, 1), launches.claim(launch, 2)] == [False, True]
    assert launches.end(launch) == (issuer.base, Tokens("t2", "r2", 1, 2))
    assert launches.end(launch) is None


def test_se12_who_begins_many_sign_ins_keeps_nobody_else_out(database: str) -> None:
    """Neither of another network, nor at another issuer; IPv6 counts by /64, and an IPv4 address is one however it is written."""
    launch = Launch(client_id="x", client="public", embedded=False)
    issuers = [Issuer(id=name, base=f"https://{name}.example/fhir", write_mode="page", launch=launch) for name in ("one", "two")]
    launches = Launches(Ledger(database), Issuers(tuple(issuers)), Seal(KEY), hours=8, idle_minutes=60, sign_ins=6)
    begun = Begun("v", "n", "https://one.example/token", "https://f.example/callback/one", None, ("launch",))
    one, two = (issuer.base for issuer in issuers)

    def begin(state: str, base: str, client: str) -> bool:
        return launches.begin(state, "browser", base, begun, client)

    def waits(state: str, base: str) -> bool:
        return launches.take(state, ["browser"], base) == begun

    assert begin("hers", one, "10.1.1.1")
    assert begin("elsewhere", two, "10.1.1.1")
    for number in range(20):
        begin(f"flood{number}", one, ("198.51.100.7", "::ffff:198.51.100.8", "198.51.100.255")[number % 3])
    with launches._store.transaction() as session:
        assert session.get(SignIn, fingerprint("hers")) is not None
    assert begin("not hers", one, "10.1.2.1") is False, "in the place of the oldest, which here is hers"
    begin("of the flood", one, "198.51.100.9")
    assert [waits("hers", one), waits("flood17", one), waits("flood18", one), waits("flood19", one)] == [False, False, False, True]
    assert [waits("not hers", one), waits("of the flood", one), waits("elsewhere", two)] == [True, True, True]
    begin("a", two, "2001:db8::1")
    begin("b", two, "2001:db8:0:1::1")
    begin("c", two, "2001:db8:0:2::1")
    begin("d", two, "2001:db8:0:1:ffff::1")
    assert [waits(state, two) for state in "abcd"] == [True, False, True, True]
    with launches._store.transaction() as session:
        assert not [row for row in session.exec(select(SignIn)) if "." in row.network or ":" in row.network], "no address is kept"


async def test_over_https_with_all_three_services_a_launch_is_answered_and_nothing_is_written(
    fhir: str, tmp_path: Path, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way: a certificate made for this test, the real staging and recommend, `write_mode: page`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    new_key(tmp_path / "keys", "RS384")
    async with smart_server(fhir, name="localhost", tls=context) as ehr:
        port = free_port()
        public = f"http://127.0.0.1:{port}/ingest"
        ehr.register("figaro-app", redirects=[f"{public}/callback/ehr"], jwks=jwks(keys_in(tmp_path / "keys")))
        file = issuers_file(tmp_path, ehr.base_url, "{client_id: figaro-app, keys: keys, embedded: false}")
        settings = TogetherSettings(
            port=port, issuers=file, public_url=public, data_directory=tmp_path / "data", poll_seconds=0.05, session_key=SecretStr(KEY)
        )
        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trust)
        async with together(settings):
            begun = await browser.get(ehr.launch_url(f"{public}/launch", "p1"))
            assert begun.status == 303, begun.text
            async with browser.session.get(begun.to, ssl=trust, allow_redirects=False) as sent:
                back = sent.headers["Location"]
            entered = await browser.get(back)
            assert entered.to.startswith(f"{public}/app/"), entered.text
            async with aiohttp.ClientSession() as session, asyncio.timeout(30):
                state = ""
                while state not in ("answered", "stuck"):
                    async with session.get(f"{public}/cases") as answer:
                        [case] = (await answer.json())["cases"]
                    state = case["state"]
                    await asyncio.sleep(0.1)
        assert state == "answered", case
        assert not [one for one in ehr.fhir if one[0] in ("PUT", "POST") and one[1] not in ("AuditEvent",)]
