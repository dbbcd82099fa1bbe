"""SMART App Launch against a strict pretend EHR: the way in, and every way in which it fails (SM-, SE- and AU- numbers)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import msgspec
import pytest
import pytest_asyncio
from limits import parse
from sqlmodel import update
from yarl import URL

from services.ingest.instants import now
from services.ingest.launches import SIGN_IN_LIFE
from services.ingest.tables import SignIn, expanded
from shared.fhir.outcome import Unavailable
from shared.service.embedded import embedded_fhir_server
from shared.service.log import configure
from shared.smart.keys import JWKS_LIFE
from tests.ingest.launching import Browser, Hospital, Shown, hospital
from tests.ingest.patients import metastatic

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(fhir: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hospital]:
    async with hospital(tmp_path_factory.mktemp("hospital"), fhir) as it:
        await it.put(*metastatic("p1"), *metastatic("p2"))
        yield it


@pytest.fixture
def here(running: Hospital) -> Hospital:
    running.as_it_should_be()
    return running


@pytest_asyncio.fixture(loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    made = Browser()
    yield made
    await made.session.close()


def is_page(shown: Shown, status: int, heading: str, *, framed: bool = True) -> None:
    """A page of its own: understood by a person, kept by nobody, without form or script; framed by the EHR that is known."""
    assert (shown.status, shown.heading) == (status, heading)
    assert shown.headers["Content-Type"].startswith("text/html")
    ancestors = "https://ehr.example" if framed else "'none'"
    assert f"frame-ancestors {ancestors}" in shown.headers["Content-Security-Policy"].split("; ")
    assert "<form" not in shown.text
    assert "<script" not in shown.text
    assert "X-Frame-Options" not in shown.headers
    assert (shown.headers["Cache-Control"], shown.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert shown.headers["X-Content-Type-Options"] == "nosniff"
    assert 'class="next"' in shown.text
    assert "canary" not in shown.text


async def test_sm12_sm20_to_sm22_the_request_for_authorization_has_every_part(here: Hospital, browser: Browser) -> None:
    """SM-12, SM-20, SM-21, SM-22, SM-23."""
    begun = await browser.get(here.launch("p1"))
    asked = dict(parse_qsl(URL(begun.to).raw_query_string))
    assert begun.to.startswith(f"{here.ehr.root}/authorize?")
    assert set(asked) == {
        "response_type", "client_id", "redirect_uri", "launch", "scope", "state", "aud", "code_challenge", "code_challenge_method", "nonce"
    }  # fmt: skip
    assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
    assert asked["aud"] == here.ehr.base_url, "as it was received"
    assert asked["redirect_uri"] == f"{here.url}/callback/ehr", "a path of its own for each issuer (SM-23)"
    assert {"launch", "openid", "fhirUser", "patient/Condition.rs"} <= set(asked["scope"].split())
    again = dict(parse_qsl(URL((await browser.get(here.launch("p1"))).to).raw_query_string))
    assert all(asked[name] != again[name] for name in ("state", "nonce", "code_challenge")), "new ones each time"


async def test_sm31_the_code_is_redeemed_with_its_verifier_and_an_assertion(here: Hospital, browser: Browser) -> None:
    await here.entered(browser)
    [form] = here.ehr.forms
    assert {"grant_type", "code", "redirect_uri", "code_verifier", "client_assertion_type", "client_assertion"} == set(form)
    digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
    assert digest == here.ehr.asked[0]["code_challenge"]
    assert here.ehr.problems == []


async def test_a_launch_opens_a_case_that_reads_with_the_users_token_and_is_answered(here: Hospital, browser: Browser) -> None:
    """SE-05, SE-07: at a fixed path, with nothing of the callback's query."""
    entered = await here.back(browser)
    assert entered.status == 303
    assert URL(entered.to).path.startswith("/app/")
    assert URL(entered.to).query_string == "", "nothing of the exchange is in the address (SE-05)"
    session = here.session(browser, entered.to.rpartition("/")[2])
    assert session is not None
    case = await here.done(session.case)
    assert (case["state"], case["patient"]) == ("answered", "Patient/p1")
    reads = [(path, status) for method, path, status in here.ehr.fhir if method == "GET" and path != "metadata"]
    assert {status for _, status in reads} == {200}
    assert session.user is not None
    assert (session.user.issuer, session.user.subject, session.user.fhir_user) == (
        here.ehr.root, "clinician-1", "Practitioner/syn-clinician",
    )  # fmt: skip
    assert session.may_decide
    assert not session.may("CarePlan", "c")


async def test_sm66_and_se13_no_token_code_or_verifier_stands_in_a_file_or_a_log(here: Hospital, browser: Browser) -> None:
    stream = io.StringIO()
    configure("DEBUG", stream)
    try:
        session = await here.entered(browser)
        await here.done(session.case)
        here.ehr.bend.back = lambda query: query | {"error": "access_denied"}
        await here.back(browser)
    finally:
        configure()
    secret = [*here.ehr.live, *(value for form in here.ehr.forms for name, value in form.items() if name.startswith(("code", "client_a")))]
    secret += [*(one["state"] for one in here.ehr.asked), *(one["launch"] for one in here.ehr.asked), browser.cookie("figaro")]
    kept = b"".join(file.read_bytes() for file in (here.folder / "data").iterdir())
    assert len(secret) > 5
    assert "launched" in stream.getvalue()
    for one in secret:
        if not one.startswith("urn:"):
            assert one.encode() not in kept
            assert one not in stream.getvalue()
    assert session.id.encode() in kept


async def test_sm13_standalone_asks_for_the_patient_and_sends_no_launch(here: Hospital, browser: Browser) -> None:
    here.ehr.chosen = "p2"
    begun = await browser.get(f"{here.url}/launch/ehr")
    asked = dict(parse_qsl(URL(begun.to).raw_query_string))
    assert "launch" not in asked
    assert "launch/patient" in asked["scope"].split()
    assert "launch" not in asked["scope"].split()
    entered = await browser.get((await browser.get(begun.to)).to)
    session = here.session(browser, entered.to.rpartition("/")[2])
    assert session is not None
    assert session.patient == "Patient/p2"


async def test_sm13_a_way_in_that_is_none_is_a_page(here: Hospital, browser: Browser) -> None:
    is_page(await browser.get(f"{here.url}/launch/elsewhere"), 404, "There is no such way in", framed=False)


@pytest.mark.parametrize(
    "query",
    [
        "", "iss={iss}", "launch=x", "iss=&launch=x", "iss={iss}&launch=", "iss={iss}&iss={iss}&launch=x", "iss={iss}&launch=x&launch=y",
        "iss={iss}&launch=" + "x" * 20_000,
    ],
)  # fmt: skip
async def test_sm10_a_launch_that_is_not_complete_is_a_page_and_asks_nobody(here: Hospital, browser: Browser, query: str) -> None:
    before = here.ehr.discoveries
    shown = await browser.get(f"{here.url}/launch?{query.format(iss=here.ehr.base_url)}")
    is_page(shown, 400, "This launch is not complete", framed=False)
    assert here.ehr.discoveries == before


async def test_sm10_a_long_launch_parameter_comes_through_byte_for_byte(here: Hospital, browser: Browser) -> None:
    long = base64.b64encode(b"\xff\xfe~+/ " * 520).decode() + "%&=+"
    begun = await browser.get(f"{here.url}/launch?{urlencode({'iss': here.ehr.base_url, 'launch': long})}")
    assert dict(parse_qsl(URL(begun.to).raw_query_string))["launch"] == long


EVIL: list[Callable[[str], str]] = [
    lambda iss: "https://unknown.example/fhir",
    lambda iss: f"{iss}/../x",
    lambda iss: f"{iss}/deeper",
    lambda iss: f"{iss}//",
    lambda iss: f"{iss}?x=1",
    lambda iss: f"{iss}#x",
    lambda iss: iss.replace("/fhir", "%2ffhir"),
    lambda iss: iss.replace("/fhir", "\\fhir"),
    lambda iss: iss.replace("/fhir", "/fhir\t"),
    lambda iss: iss.replace("http://", "HTTP://"),
    lambda iss: iss.replace("http://", "http://evil@"),
    lambda iss: iss.replace("127.0.0.1", "127.0.0.1.evil.test"),
    lambda iss: iss.replace("127.0.0.1", "2130706433"),
    lambda iss: iss.replace("127.0.0.1", "[::ffff:127.0.0.1]"),
    lambda iss: iss.replace("/fhir", "/FHIR"),
]


@pytest.mark.parametrize("number", range(len(EVIL)))
async def test_sm11_and_se08_an_issuer_that_is_not_on_the_list_is_asked_nothing(here: Hospital, browser: Browser, number: int) -> None:
    before = here.ehr.discoveries
    query = urlencode({"iss": EVIL[number](here.ehr.base_url), "launch": "x"})
    shown = await browser.get(f"{here.url}/launch?{query}")
    is_page(shown, 403, "Figaro does not work with this EHR", framed=False)
    assert here.ehr.discoveries == before
    assert "unknown.example" not in shown.text


async def test_sm22_the_base_with_a_slash_is_the_same_and_is_sent_as_it_came(here: Hospital, browser: Browser) -> None:
    begun = await browser.get(f"{here.url}/launch?{urlencode({'iss': here.ehr.base_url + '/', 'launch': 'x'})}")
    assert dict(parse_qsl(URL(begun.to).raw_query_string))["aud"] == here.ehr.base_url + "/"


CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    ("SM-04: no PKCE", {"code_challenge_methods_supported": []}),
    ("SM-04: plain only", {"code_challenge_methods_supported": ["plain"]}),
    ("SM-03: no authorization_endpoint", {"authorization_endpoint": None}),
    ("SM-03: no token_endpoint", {"token_endpoint": None}),
    ("SE-09: an endpoint on another host", {"token_endpoint": "https://evil.example/token"}),
    ("SE-09: an endpoint over http elsewhere", {"authorization_endpoint": "http://evil.example/authorize"}),
]


@pytest.mark.parametrize(("why", "changed"), CONFIGURATIONS)
async def test_a_server_that_cannot_be_asked_safely_is_not_asked(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch, why: str, changed: dict[str, Any]
) -> None:
    """SM-03, SM-04, SE-09."""
    monkeypatch.setattr(here.ehr, "configuration", here.ehr.configuration | changed)
    is_page(await browser.get(here.launch("p1")), 502, "The EHR's sign-in cannot be used")
    assert here.ehr.asked == [], why


async def test_sm14_a_long_question_is_posted_where_the_server_takes_that(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    capabilities = [*here.ehr.configuration["capabilities"], "authorize-post"]
    monkeypatch.setattr(here.ehr, "configuration", here.ehr.configuration | {"capabilities": capabilities})
    long = "l" * 4_000
    here.ehr._launches[long] = ("p1", None)
    shown = await browser.get(f"{here.url}/launch?{urlencode({'iss': here.ehr.base_url, 'launch': long})}")
    assert shown.status == 200
    policy = shown.headers["Content-Security-Policy"]
    assert f"form-action 'self' {here.ehr.root};" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors https://ehr.example" in policy
    assert "<script>" not in shown.text, "no script stands in the page itself"
    assert (await browser.get(f"{here.url}/launch/onward.js")).status == 200
    fields = {part.split('"')[3]: part.split('"')[5] for part in shown.text.split("<input")[1:]}
    assert (await browser.get((await browser.post(f"{here.ehr.root}/authorize", fields)).to)).status == 303


ERRORS = {
    "access_denied": (403, "The sign-in was declined"),
    "login_required": (403, "The EHR wants you to sign in first"),
    "interaction_required": (403, "The EHR wants you to sign in first"),
    "consent_required": (403, "The EHR wants you to sign in first"),
    "unauthorized_client": (403, "Figaro is not allowed in this EHR"),
    "invalid_scope": (403, "Figaro is not allowed in this EHR"),
    "invalid_request": (403, "Figaro is not allowed in this EHR"),
    "unsupported_response_type": (403, "Figaro is not allowed in this EHR"),
    "server_error": (502, "The EHR could not sign you in"),
    "temporarily_unavailable": (502, "The EHR does not answer"),
    "<script>canary": (502, "The EHR could not sign you in"),
}


@pytest.mark.parametrize("error", ERRORS)
async def test_sm30_an_error_is_a_page_the_token_endpoint_is_not_asked_and_the_state_is_burned(
    here: Hospital, browser: Browser, error: str
) -> None:
    here.ehr.bend.error = error
    back = (await here.asked(browser)).to
    is_page(await browser.get(back), *ERRORS[error])
    state = URL(back).query["state"]
    is_page(await browser.get(f"{here.url}/callback/ehr?code=x&state={state}"), 400, "This sign-in was used before")
    assert here.ehr.forms == []


BACK: list[tuple[str, Callable[[dict[str, str]], Any], str]] = [
    ("both code and error", lambda q: q | {"error": "access_denied"}, "The sign-in came back incomplete"),
    ("neither", lambda q: {"state": q["state"]}, "The sign-in came back incomplete"),
    ("no state", lambda q: {"code": q["code"]}, "The sign-in came back incomplete"),
    ("two states", lambda q: f"{urlencode(q)}&state={q['state']}", "The sign-in came back incomplete"),
    ("two codes", lambda q: f"{urlencode(q)}&code=x", "The sign-in came back incomplete"),
    ("two issuers", lambda q: f"iss=https://evil.example&{urlencode(q)}", "The sign-in came back incomplete"),
    ("an empty code", lambda q: q | {"code": ""}, "The sign-in came back incomplete"),
    ("another state", lambda q: q | {"state": "x" * 64}, "This sign-in is not known here"),
    ("SM-23: another issuer", lambda q: q | {"iss": "https://evil.example"}, "The answer came from another system"),
]


@pytest.mark.parametrize(("why", "bent", "heading"), BACK)
async def test_sm30_an_answer_that_does_not_hold_together_is_a_page(
    here: Hospital, browser: Browser, why: str, bent: Callable[[dict[str, str]], Any], heading: str
) -> None:
    here.ehr.bend.back = bent
    is_page(await here.back(browser), 400, heading, framed=why not in ("no state", "two states", "another state"))
    assert here.ehr.forms == [], why


async def test_sm30_a_callback_that_is_loaded_again_is_a_page_and_redeems_nothing_twice(here: Hospital, browser: Browser) -> None:
    back = (await here.asked(browser)).to
    assert (await browser.get(back)).status == 303
    is_page(await browser.get(back), 400, "This sign-in was used before")
    assert (len(here.ehr.forms), here.ehr.problems) == (1, [])


async def test_sm21_a_state_of_another_browser_is_a_page_and_is_burned(here: Hospital, browser: Browser) -> None:
    back = (await here.asked(browser)).to
    other = Browser()
    try:
        is_page(await other.get(back), 400, "This sign-in began in another browser")
    finally:
        await other.session.close()
    is_page(await browser.get(back), 400, "This sign-in was used before")
    assert here.ehr.forms == []


async def test_sm21_a_state_is_good_for_ten_minutes(here: Hospital, browser: Browser) -> None:
    back = (await here.asked(browser)).to
    with here.ingest.ledger.transaction() as session:
        session.exec(update(SignIn).values(created=now(-SIGN_IN_LIFE)))
    is_page(await browser.get(back), 400, "The sign-in took too long")


async def test_sm23_a_state_is_good_for_its_own_issuer_only(here: Hospital, browser: Browser) -> None:
    back = (await here.asked(browser)).to
    is_page(await browser.get(back.replace("/callback/ehr", "/callback/other")), 400, "This sign-in began in another browser")
    is_page(await browser.get(back), 400, "This sign-in was used before")


async def test_se12_where_too_many_sign_ins_wait_the_oldest_makes_way_and_the_newest_goes_on(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.ingest.launches, "_cap", 1)
    first = (await here.asked(browser)).to
    second = (await here.asked(browser)).to
    is_page(await browser.get(first), 400, "This sign-in is not known here", framed=False)
    assert (await browser.get(second)).status == 303


async def test_se03_two_first_launches_of_a_browser_that_begin_at_once_are_both_let_in(here: Hospital, browser: Browser) -> None:
    """The browser has no cookie yet, so that each of the two is given one."""
    other = Browser()
    try:
        begun = [(await here.asked(one, name)).to for one, name in ((browser, "p1"), (other, "p2"))]
        browser.session.cookie_jar.update_cookies({one.key: one.value for one in other.session.cookie_jar}, URL(here.url))
    finally:
        await other.session.close()
    entered = [await browser.get(back) for back in begun]
    assert [one.status for one in entered] == [303, 303], [one.heading for one in entered]
    shown = [here.session(browser, one.to.rpartition("/")[2]) for one in entered]
    assert [one.patient if one else None for one in shown] == ["Patient/p1", "Patient/p2"]
    assert {cookie.key for cookie in browser.session.cookie_jar} == {"figaro", "figaro-signin"}, "what was under way is cleared away"


async def test_se12_who_knocks_too_often_is_shown_a_page_that_says_when(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(here.app.state.limits._rates, "launch", parse("1/minute"))
    shown = [await browser.get(here.launch("p1")) for _ in range(3)][-1]
    is_page(shown, 429, "Too many attempts", framed=False)
    assert int(shown.headers["Retry-After"]) <= 60


async def test_a_ledger_that_does_not_answer_is_a_page(here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise Unavailable("The ledger's database does not answer.", retry_after=5)

    monkeypatch.setattr(here.ingest.launches, "begin", away)
    shown = await browser.get(here.launch("p1"))
    is_page(shown, 503, "Figaro is not ready")
    assert shown.headers["Retry-After"] == "5"


def answering(**more: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The token answer with this changed; None takes a member away."""
    return lambda answer: {name: value for name, value in (answer | more).items() if value is not None}


TOKENS: list[tuple[str, dict[str, Any]]] = [
    ("SM-33: no access_token", {"access_token": None}),
    ("SM-33: an empty access_token", {"access_token": ""}),
    ("SM-33: no token_type", {"token_type": None}),
    ("SM-33: another token_type", {"token_type": "MAC"}),
    ("SM-33: no scope", {"scope": None}),
    ("SM-33: expired when it came", {"expires_in": 0}),
    ("SM-35: a patient that is no id", {"patient": "../Patient/1"}),
    ("SM-35: a patient that is a way out of the path", {"patient": ".."}),
    ("SM-35: an encounter that is a way out of the path", {"encounter": "."}),
    ("a token that no header can carry", {"access_token": "a\r\nX-Evil: 1"}),
]


@pytest.mark.parametrize(("why", "changed"), TOKENS)
async def test_sm33_a_token_answer_that_cannot_be_used_is_a_page(
    here: Hospital, browser: Browser, why: str, changed: dict[str, Any]
) -> None:
    here.ehr.bend.answer = answering(**changed)
    is_page(await here.back(browser), 502, "The EHR did not complete the sign-in")
    assert len(here.ehr.forms) == 1, why


@pytest.mark.parametrize("kind", ["BEARER", "bearer", "Bearer"])
async def test_sm33_the_token_type_is_compared_without_case(here: Hospital, browser: Browser, kind: str) -> None:
    here.ehr.bend.answer = answering(token_type=kind)
    await here.entered(browser)


@pytest.mark.parametrize("life", [None, "inf", "nan", "Infinity", "soon"])
async def test_sm33_a_token_without_a_usable_expires_in_is_not_good_for_ever(here: Hospital, browser: Browser, life: str | None) -> None:
    here.ehr.bend.answer = answering(expires_in=life)
    session = await here.entered(browser)
    held = here.ingest.launches.held(session.id)
    assert held is not None
    assert held.tokens.until - held.tokens.renew < 300
    assert held.tokens.until <= time.time() + 300


async def test_sm36_and_sm37_what_else_is_sent_is_neither_fetched_nor_in_the_way(here: Hospital, browser: Browser) -> None:
    context = [
        {"reference": "ImagingStudy/1"},
        {"canonical": "https://x.example/q", "role": "questionnaire"},
        {"identifier": {"value": "1"}},
    ]
    style = f"{here.ehr.root}/fhir/style"
    here.ehr.bend.answer = answering(
        fhirContext=context, smart_style_url=style, intent="unheard-of", tenant="t", __x=1, need_patient_banner=False
    )
    session = await here.entered(browser)
    assert not session.need_patient_banner
    assert ("GET", "style", 200) not in here.ehr.fhir
    assert not any(path == "style" for _, path, _ in here.ehr.fhir)


async def test_sm15_the_banner_is_needed_unless_the_ehr_says_otherwise(here: Hospital, browser: Browser) -> None:
    assert (await here.entered(browser)).need_patient_banner


@pytest.mark.parametrize(
    ("error", "status"), [("invalid_grant", 400), ("invalid_client", 401), ("invalid_request", 400), ("made_up<canary>", 400)]
)
async def test_sm74_a_refusal_of_the_token_endpoint_is_a_page_and_is_not_repeated(
    here: Hospital, browser: Browser, error: str, status: int
) -> None:
    here.ehr.bend.token_status = (status, {"error": error, "error_description": "canary"})
    is_page(await here.back(browser), 502, "The EHR did not complete the sign-in")
    assert len(here.ehr.forms) == 1


async def test_sm74_a_login_page_where_a_token_should_be_is_a_page_of_ours(here: Hospital, browser: Browser) -> None:
    here.ehr.bend.token_page = True
    is_page(await here.back(browser), 502, "The EHR did not complete the sign-in")


@pytest.mark.parametrize("status", [500, 503, 302])
async def test_sm32_an_exchange_whose_outcome_is_unknown_is_not_repeated(here: Hospital, browser: Browser, status: int) -> None:
    here.ehr.bend.token_status = (status, {})
    shown = await here.back(browser)
    assert shown.status == 502
    assert len(here.ehr.forms) == 1


async def test_sm32_a_token_endpoint_that_is_silent_is_a_page(here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.smart.exchange._TIMEOUT", aiohttp.ClientTimeout(total=0.2))
    here.ehr.bend.slow = 1
    is_page(await here.back(browser), 502, "The EHR does not answer")
    assert len(here.ehr.forms) == 1


async def test_sm35_without_a_patient_it_stops(here: Hospital, browser: Browser) -> None:
    is_page(await here.back(browser, None), 502, "No patient was chosen")


async def test_sm35_the_patient_is_never_taken_from_an_address(here: Hospital, browser: Browser) -> None:
    """SE-07: nor is anything else of the query passed on."""
    begun = await browser.get(f"{here.launch('p1')}&patient=p2")
    entered = await browser.get(f"{(await browser.get(begun.to)).to}&patient=p2")
    session = here.session(browser, entered.to.rpartition("/")[2])
    assert session is not None
    assert session.patient == "Patient/p1"


@pytest.mark.parametrize("lacking", ["patient/Patient.r", "patient/Condition.rs", "patient/Observation.rs"])
async def test_sm34_a_scope_that_must_be_there_and_is_not_granted_is_a_page(here: Hospital, browser: Browser, lacking: str) -> None:
    here.ehr.grants = lambda scopes: [one for one in scopes if one != lacking]
    is_page(await here.back(browser), 403, "Figaro may not see enough")


async def test_sm42_a_grant_in_the_old_spelling_is_understood(here: Hospital, browser: Browser) -> None:
    here.ehr.grants = lambda scopes: ["launch", "openid", "fhirUser", "patient/*.read"]
    session = await here.entered(browser)
    assert (await here.done(session.case))["state"] == "answered"


async def test_sm34_a_type_that_is_not_granted_is_not_asked_for_and_is_named(here: Hospital, browser: Browser) -> None:
    here.ehr.grants = lambda scopes: [one for one in scopes if "AllergyIntolerance" not in one]
    session = await here.entered(browser)
    assert (await here.done(session.case))["state"] == "answered"
    assert not any(path.startswith("AllergyIntolerance") for _, path, _ in here.ehr.fhir)
    assert issues(here, session.case) == ["AllergyIntolerance was not read: the EHR does not show it to this user here"]


async def test_sm34_a_search_that_is_refused_in_spite_of_the_scope_degrades_and_is_named(here: Hospital, browser: Browser) -> None:
    here.ehr.bend.forbidden = ("Procedure",)
    session = await here.entered(browser)
    assert (await here.done(session.case))["state"] == "answered"
    assert issues(here, session.case) == ["Procedure was not read: the EHR does not show it to this user here"]
    assert read_of(here, session.case)["unread"] == ["Procedure"]


@pytest.mark.parametrize("kind", ["Condition", "Observation", "Patient"])
async def test_sm34_a_case_without_what_it_needs_is_stuck_and_says_so(here: Hospital, browser: Browser, kind: str) -> None:
    here.ehr.bend.forbidden = (kind,)
    session = await here.entered(browser)
    case = await here.done(session.case)
    assert case["state"] == "stuck"
    assert f"does not let this user read {kind}" in case["outcome"]["issue"][0]["details"]["text"]


async def test_sm43_a_grant_narrower_than_its_type_is_named_in_the_record(here: Hospital, browser: Browser) -> None:
    narrow = "patient/Procedure.rs?category=http://snomed.info/sct|387713003"
    here.ehr.grants = lambda scopes: [narrow if one == "patient/Procedure.rs" else one for one in scopes]
    session = await here.entered(browser)
    await here.done(session.case)
    assert issues(here, session.case) == ["Procedure was read in part: the EHR shows not all of it"]
    assert read_of(here, session.case)["unread"] == ["Procedure"]
    assert not session.may("Procedure", "rs")


def issues(here: Hospital, case_id: str | None) -> list[str]:
    """What the record of an answered case says was not read, without what that means."""
    return [one["text"].partition(". ")[0] for one in read_of(here, case_id).get("issues", []) if "EHR" in one["text"]]


def read_of(here: Hospital, case_id: str | None) -> dict[str, Any]:
    """The record of an answered case."""
    case = here.ingest.ledger.case(case_id or "")
    answer = here.ingest.ledger.answer(case.answer or 0)
    assert answer is not None
    record: dict[str, Any] = msgspec.json.decode(expanded(answer.record))
    return record


Claims = dict[str, Any]
IDENTITIES: list[tuple[str, Callable[[Claims], Claims]]] = [
    ("SM-51: another nonce", lambda c: c | {"nonce": "another"}),
    ("SM-51: no nonce", lambda c: {name: value for name, value in c.items() if name != "nonce"}),
    ("SM-50: another iss", lambda c: c | {"iss": "https://evil.example"}),
    ("SM-50: an iss with a slash more", lambda c: c | {"iss": c["iss"] + "/"}),
    ("AU-07: another aud with azp", lambda c: c | {"aud": "other", "azp": c["aud"]}),
    ("AU-07: several audiences without azp", lambda c: c | {"aud": [c["aud"], "other"]}),
    ("AU-07: several audiences, azp another", lambda c: c | {"aud": [c["aud"], "other"], "azp": "other"}),
    ("SM-51: expired", lambda c: c | {"exp": c["iat"] - 200, "iat": c["iat"] - 600}),
    ("SM-51: issued in the future", lambda c: c | {"iat": c["iat"] + 600}),
    ("SM-51: no sub", lambda c: {name: value for name, value in c.items() if name != "sub"}),
    ("SM-51: an empty sub", lambda c: c | {"sub": ""}),
    ("SM-51: a sub that is no text", lambda c: c | {"sub": ["clinician-1"]}),
    ("SM-51: another at_hash", lambda c: c | {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}),
    ("SM-51: no exp", lambda c: {name: value for name, value in c.items() if name != "exp"}),
]


@pytest.mark.parametrize(("why", "claims"), IDENTITIES)
async def test_sm51_an_id_token_that_does_not_hold_lets_nobody_in(
    here: Hospital, browser: Browser, why: str, claims: Callable[[Claims], Claims]
) -> None:
    here.ehr.bend.claims = claims
    is_page(await here.back(browser), 502, "It is not certain who you are")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS512"])
async def test_au08_an_algorithm_that_we_did_not_choose_lets_nobody_in(here: Hospital, browser: Browser, algorithm: str) -> None:
    """Not even where the server's own document says that it signs so."""
    here.ehr.configuration["id_token_signing_alg_values_supported"] = [algorithm]
    here.ehr.bend.signed = algorithm
    is_page(await here.back(browser), 502, "It is not certain who you are")


async def test_sm50_without_an_id_token_nobody_is_let_in(here: Hospital, browser: Browser) -> None:
    here.ehr.bend.answer = answering(id_token=None)
    is_page(await here.back(browser), 502, "It is not certain who you are")


async def test_sm51_several_audiences_with_us_as_azp_are_right(here: Hospital, browser: Browser) -> None:
    here.ehr.bend.claims = lambda c: c | {"aud": [c["aud"], "other"], "azp": c["aud"]}
    await here.entered(browser)


async def test_sm52_a_kid_may_be_missing_where_one_key_fits(here: Hospital, browser: Browser) -> None:
    here.ehr.bend.kid = None
    await here.entered(browser)


async def test_sm52_an_unknown_kid_is_looked_for_once_a_minute_and_then_refused(here: Hospital, browser: Browser) -> None:
    identities = here.registration.identities
    identities._asked_again = float("-inf")
    here.ehr.bend.kid = "unheard-of"
    for _ in range(2):
        is_page(await here.back(browser), 502, "It is not certain who you are")
    asked_at = identities._asked_again
    is_page(await here.back(browser), 502, "It is not certain who you are")
    assert identities._asked_again == asked_at


async def test_sm53_a_user_on_another_host_is_kept_and_not_fetched(here: Hospital, browser: Browser) -> None:
    here.ehr.bend.claims = lambda c: c | {"fhirUser": "https://directory.example/fhir/Practitioner/7"}
    session = await here.entered(browser)
    assert session.user is not None
    assert session.user.fhir_user == "https://directory.example/fhir/Practitioner/7"
    assert session.user.kind == "Practitioner"


@pytest.mark.parametrize(
    "user",
    [
        *("Device/x", "x/Practitioner/7", "javascript:alert(1)//Practitioner/7", "Practitioner/../Patient/1", 7, "", "urn:uuid:9f0c"),
        *("Patient/p1/_history/2", "Practitioner/7/_history/2", "Practitioner/7?x=1", "https://ehr.example/fhir/Patient/p1?x=1"),
        *("Patient/p1#me", "Practitioner/7#me", "patient/p1", "practitioner/7", "Group/1", "Practitioner/..", "https://a@b/Practitioner/7"),
    ],
)
async def test_sm53_and_sm54_a_user_who_is_named_in_no_way_that_we_know_does_not_get_in(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch, user: object
) -> None:
    for let_in in ("clinicians", "unknown-too"):
        lets_in(here, monkeypatch, let_in)
        here.ehr.bend.claims = lambda c: c | {"fhirUser": user}
        is_page(await here.back(browser), 502, "It is not certain who you are")


def lets_in(here: Hospital, monkeypatch: pytest.MonkeyPatch, whom: str) -> None:
    app = here.registration
    monkeypatch.setattr(app, "launch", msgspec.structs.replace(app.launch, let_in=whom))


@pytest.mark.parametrize("user", [None, "Person/1"])
async def test_sm54_who_is_not_known_as_a_clinician_gets_in_only_where_the_issuer_allows_it_and_never_decides(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch, user: str | None
) -> None:
    here.ehr.bend.claims = lambda c: {name: value for name, value in (c | {"fhirUser": user}).items() if value is not None}
    is_page(await here.back(browser), 403, "This page is for clinicians")
    lets_in(here, monkeypatch, "unknown-too")
    session = await here.entered(browser)
    assert session.user is not None
    assert session.user.fhir_user == user
    assert not session.may_decide


@pytest.mark.parametrize("user", ["Practitioner/7", "PractitionerRole/7"])
async def test_sm54_who_treats_gets_in_and_decides(here: Hospital, browser: Browser, user: str) -> None:
    here.ehr.user = user
    assert (await here.entered(browser)).may_decide


@pytest.mark.parametrize("let_in", ["clinicians", "unknown-too"])
@pytest.mark.parametrize("user", ["Patient/p1", "RelatedPerson/r1"])
async def test_sm54_a_patient_does_not_get_in(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch, user: str, let_in: str
) -> None:
    lets_in(here, monkeypatch, let_in)
    here.ehr.user = user
    is_page(await here.back(browser), 403, "This page is for clinicians")


async def test_se01_the_cookie_is_another_after_the_sign_in_and_nothing_else_can_be_it(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    assert browser.cookie("figaro") != browser.cookie("figaro-signin")
    assert here.ingest.launches.session(session.id, browser.cookie("figaro-signin")) is None
    assert here.ingest.launches.session(session.id, "") is None
    planted, cookie = browser.cookie("figaro"), Browser()
    try:
        cookie.session.cookie_jar.update_cookies({"figaro": planted, "figaro-signin": "planted"}, URL(here.url))
        assert (await here.entered(cookie)).id != session.id
        assert cookie.cookie("figaro") != planted
    finally:
        await cookie.session.close()


def tells_no_user(here: Hospital, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `openid` an EHR says nothing of who signs in."""
    app = here.registration
    monkeypatch.setattr(app, "launch", msgspec.structs.replace(app.launch, let_in="unknown-too", scopes=("patient/*.rs",)))


async def test_se01_where_the_ehr_tells_no_user_nobody_gets_the_session_of_another_at_the_same_computer(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SE-01: what a browser is called, which one may have read who sat there before, makes no session."""
    tells_no_user(here, monkeypatch)
    other, found = Browser(), []
    try:
        for one, patient in ((browser, "p1"), (other, "p2")):
            begun = await one.get(here.launch(patient))
            one.session.cookie_jar.update_cookies({"figaro-signin": "read-by-who-sat-there-before"}, URL(here.url))
            found.append((await one.get((await one.get(begun.to)).to)).to)
        assert browser.cookie("figaro") != other.cookie("figaro")
        assert (await browser.get(found[0])).status == 200
        is_page(await other.get(found[0]), 403, "This page has ended")
    finally:
        await other.session.close()


async def test_se03_where_the_ehr_tells_no_user_the_launches_of_a_browser_go_on_beside_one_another(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest five, in one cookie; and a known user's is not among them."""
    known = await here.entered(browser)
    tells_no_user(here, monkeypatch)
    entered = [await here.entered(browser) for _ in range(6)]
    shown = [(await browser.get(f"{here.url}/app/{one.id}")).status for one in (known, *entered)]
    assert shown == [403, 403, 200, 200, 200, 200, 200]
    assert await signed_out(here, browser, entered[-1].id, entered[-1].csrf) == 200
    assert (await browser.get(f"{here.url}/app/{entered[-2].id}")).status == 200


async def test_se01_a_browser_that_lost_its_name_is_not_let_in_and_the_code_is_not_redeemed(here: Hospital, browser: Browser) -> None:
    back = (await here.asked(browser)).to
    browser.session.cookie_jar.clear(lambda cookie: cookie.key == "figaro-signin")
    is_page(await browser.get(back), 400, "This sign-in began in another browser")
    assert here.ehr.forms == []


async def test_se03_two_launches_in_one_browser_are_two_sessions_of_two_patients(here: Hospital, browser: Browser) -> None:
    backs = [(await here.asked(browser, name)).to for name in ("p1", "p2")]
    entered = await asyncio.gather(*(browser.get(back) for back in backs))
    first, second = (here.session(browser, one.to.rpartition("/")[2]) for one in entered)
    assert first is not None
    assert second is not None
    assert (first.patient, second.patient) == ("Patient/p1", "Patient/p2")
    assert first.case != second.case
    assert await signed_out(here, browser, first.id, first.csrf) == 200
    assert here.session(browser, second.id) is not None, "the other one goes on"


async def signed_out(here: Hospital, browser: Browser, launch: str, csrf: str, **headers: str) -> int:
    told = {"Origin": here.url, "Sec_Fetch_Site": "same-origin"} | headers
    return (await browser.post(f"{here.url}/app/{launch}/logout", {"csrf": csrf}, **told)).status


async def test_sm64_and_sm66_signing_out_forgets_the_tokens_and_gives_them_back(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    assert await signed_out(here, browser, session.id, session.csrf) == 200
    assert here.ehr.revoking == ["refresh_token", "access_token"], "the refresh token first"
    assert here.session(browser, session.id) is None
    assert here.ingest.launches.held(session.id) is None
    assert await signed_out(here, browser, session.id, session.csrf) == 403


async def test_se01_after_the_last_sign_out_the_next_session_of_the_same_user_has_another_cookie(here: Hospital, browser: Browser) -> None:
    first, second = await here.entered(browser), await here.entered(browser, "p2")
    stolen = browser.cookie("figaro")
    assert await signed_out(here, browser, first.id, first.csrf) == 200
    assert browser.cookie("figaro") == stolen, "the other launch goes on"
    assert await signed_out(here, browser, second.id, second.csrf) == 200
    third = await here.entered(browser)
    assert browser.cookie("figaro") not in ("", stolen)
    assert here.ingest.launches.session(third.id, stolen) is None


@pytest.mark.parametrize(
    "bent",
    [
        {"grants": lambda scopes: [one for one in scopes if "Condition" not in one]},
        {"answer": lambda answer: {name: value for name, value in answer.items() if name != "patient"}},
        {"answer": lambda answer: {name: value for name, value in answer.items() if name != "id_token"}},
        {"answer": lambda answer: {name: value for name, value in answer.items() if name != "scope"}},
        {"answer": lambda answer: answer | {"patient": "../p2"}},
        {"claims": lambda claims: claims | {"nonce": "another"}},
        {"claims": lambda claims: claims | {"fhirUser": "Patient/p1"}},
    ],
    ids=["scopes", "no patient", "no identity", "no scopes told", "no id", "nonce", "a patient"],
)
async def test_sm64_the_tokens_of_a_launch_that_is_refused_are_given_back(here: Hospital, browser: Browser, bent: dict[str, Any]) -> None:
    for name, value in bent.items():
        setattr(here.ehr if name == "grants" else here.ehr.bend, name, value)
    assert (await here.back(browser)).status in (403, 502)
    assert here.ehr.revoking == ["refresh_token", "access_token"]


async def test_sm64_a_server_that_does_not_revoke_keeps_nobody_signed_in(
    here: Hospital, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(here.ehr, "configuration", here.ehr.configuration | {"revocation_endpoint": f"{here.ehr.root}/nowhere"})
    session = await here.entered(browser)
    assert await signed_out(here, browser, session.id, session.csrf) == 200
    assert here.session(browser, session.id) is None


@pytest.mark.parametrize(
    ("csrf", "headers", "status"),
    [
        ("right", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("right", {"Sec_Fetch_Site": "same-site"}, 403),
        ("right", {"Origin": "https://ehr.example"}, 403),
        ("wrong", {}, 403),
        ("", {}, 403),
        ("right", {"Origin": "null"}, 200),
        ("right", {}, 200),
    ],
)
async def test_se06_what_did_not_come_from_our_own_page_changes_nothing(
    here: Hospital, browser: Browser, csrf: str, headers: dict[str, str], status: int
) -> None:
    session = await here.entered(browser)
    assert await signed_out(here, browser, session.id, session.csrf if csrf == "right" else csrf, **headers) == status
    assert (here.session(browser, session.id) is None) == (status == 200)


async def test_se06_a_browser_that_does_not_say_where_from_has_to_name_our_origin(here: Hospital, browser: Browser) -> None:
    session = await here.entered(browser)
    place, form = f"{here.url}/app/{session.id}/logout", {"csrf": session.csrf}
    assert (await browser.post(place, form)).status == 403
    assert (await browser.post(place, form, Origin="null")).status == 403
    assert (await browser.post(place, form, Origin=here.url)).status == 200


async def test_se03_a_session_is_nobodys_without_its_cookie(here: Hospital, browser: Browser) -> None:
    session, other = await here.entered(browser), Browser()
    try:
        shown = await other.post(f"{here.url}/app/{session.id}/logout", {"csrf": session.csrf}, Origin=here.url)
        is_page(shown, 403, "This page has ended")
        is_page(await other.get(f"{here.url}/app/{session.id}"), 403, "This page has ended")
        is_page(await other.get(f"{here.url}/app/another"), 403, "This page has ended", framed=False)
    finally:
        await other.session.close()


async def test_sm71_the_keys_of_the_app_are_published(here: Hospital, browser: Browser) -> None:
    shown = await browser.get(f"{here.url}/.well-known/jwks.json")
    assert '"kty":"EC"' in shown.text
    assert '"d":' not in shown.text
    assert shown.headers["Cache-Control"] == f"public, max-age={JWKS_LIFE}"
    (key,) = json.loads(shown.text)["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
