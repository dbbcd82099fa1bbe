"""The demo as it prints itself: its last link leads, past a pretend sign-in, to the page of a synthetic patient."""

from __future__ import annotations

import asyncio
import re
from io import StringIO

import aiohttp
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from rich.console import Console
from yarl import URL

from services import demo
from services.pretend_ehr.ehr import CLIENT, Listed, PretendEhr, create
from services.together import free_port
from shared.fhir.outcome import Refused
from shared.service.serving import served
from shared.service.settings import Settings
from tests import synthetic

BASE, FIGARO = "http://127.0.0.1:2/fhir", "http://127.0.0.1:3"
VERIFIER = "v" * 64
QUESTION = {
    "response_type": "code",
    "client_id": CLIENT,
    "redirect_uri": f"{FIGARO}/callback/demo",
    "scope": "launch openid fhirUser",
    "state": "s" * 40,
    "nonce": "n",
    "aud": BASE,
    "code_challenge": create_s256_code_challenge(VERIFIER),
    "code_challenge_method": "S256",
}
HEADING = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two patients stand for all."""
    monkeypatch.setattr(demo, "_patients", lambda: [synthetic.bundle(case) for case in ("ivb-cps-10", "carcinoma-in-situ")])


@pytest.mark.usefixtures("few")
async def test_the_printed_link_leads_past_the_pretend_sign_in_to_stage_candidates_and_a_written_decision() -> None:
    printed = StringIO()
    out, messages = Console(file=printed, width=150), Console(file=StringIO())
    task = asyncio.create_task(demo.demo(out, messages, stay=True))
    try:
        async with asyncio.timeout(90):
            while "Ctrl-C" not in printed.getvalue():
                assert not task.done(), task
                await asyncio.sleep(0.1)
        said = printed.getvalue()
        assert "(pretend sign-in, synthetic patients, demo only):" in said
        link = re.findall(r"http://127\.0\.0\.1:\d+/$", said, re.MULTILINE)[-1]
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
            await _followed(browser, link)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _followed(browser: aiohttp.ClientSession, link: str) -> None:
    async with browser.get(link) as answer:
        text = await answer.text()
        assert HEADING.findall(text) == ["Pretend sign-in"]
        assert "Pretend sign-in, synthetic patients, demo only" in text
    async with browser.post(f"{link}sign-in", data={"back": "/"}) as answer:
        text = await answer.text()
        assert "Pretend sign-in, synthetic patients, demo only" in text
    opening = re.findall(r'href="(/open/[^"]+)"', text)
    assert len(opening) == 2
    [row] = [one for one in text.split("<tr>") if opening[0] in one]
    assert "IVB" in row
    async with browser.get(URL(link).join(URL(opening[0]))) as answer:
        page, text = answer.url, await answer.text()
    assert "/ingest/app/" in page.path
    assert not page.query_string
    async with asyncio.timeout(60):
        while 'id="answer"' not in text or 'class="notice"' in text:
            await asyncio.sleep(0.2)
            async with browser.get(page) as answer:
                text = await answer.text()
    assert "IVB" in text
    assert "Synthetic patient" in text
    fields = dict(re.findall(r'name="(csrf|answer|seen)" value="([^"]*)"', text))
    regimen = re.findall(r'name="regimen" value="([^"]*)"', text)[0]
    form = fields | {"regimen": regimen, "act": "comment", "reason": "A pretended word."}
    async with browser.post(page / "decisions", data=form, headers={"Origin": str(page.origin())}) as answer:
        text = await answer.text()
        assert answer.status == 200, text[-2000:]
    assert "A pretended word." in text
    assert "kept here only" not in text, "it is written to the CarePlan"


@pytest.mark.usefixtures("few")
async def test_without_a_terminal_the_demo_ends_and_prints_how_to_keep_it_up() -> None:
    printed = StringIO()
    async with asyncio.timeout(90):
        await demo.demo(Console(file=printed, width=150), Console(file=StringIO()), stay=False)
    assert printed.getvalue().splitlines()[-1].endswith("keep them up:  .venv/bin/figaro demo --stay")


async def test_the_pretend_ehr_starts_in_the_demo_and_on_this_machine_only() -> None:
    here = {"root": "http://127.0.0.1:1", "base": "http://127.0.0.1:2/fhir", "figaro": "http://127.0.0.1:3", "style": ""}
    PretendEhr(Settings(demo=True), **here)
    for settings, places in ((Settings(), here), (Settings(demo=True), here | {"base": "https://fhir.example/r4"})):
        with pytest.raises(Refused, match="in the demo only"):
            PretendEhr(settings, **places)


async def test_the_pretend_sign_in_is_as_strict_as_a_real_one_about_what_figaro_sends() -> None:
    """A launch and a code are good once; PKCE, client and address have to fit; and it answers to this machine's own name only."""
    port = free_port("127.0.0.1")
    root = f"http://127.0.0.1:{port}"
    ehr = PretendEhr(Settings(demo=True), root=root, base=BASE, figaro=FIGARO, style="")
    ehr.patients = [Listed("p1", "Synthetic", "IVB", "", "", "")]
    async with served(create(ehr), port=port), aiohttp.ClientSession(cookies={"pretend-ehr": "x"}) as browser:

        async def authorized(**other: str) -> tuple[int, str]:
            launch = URL(ehr.launch("p1")).query["launch"]
            async with browser.get(f"{root}/authorize", params=QUESTION | {"launch": launch} | other, allow_redirects=False) as answer:
                return answer.status, answer.headers.get("Location", "")

        async def redeemed(code: str, verifier: str = VERIFIER) -> int:
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": f"{FIGARO}/callback/demo", "client_id": CLIENT}
            async with browser.post(f"{root}/token", data=form | {"code_verifier": verifier}) as answer:
                return answer.status

        status, back = await authorized()
        assert status == 303
        assert back.startswith(f"{FIGARO}/callback/demo?")
        assert [await redeemed(URL(back).query["code"]) for _ in range(2)] == [200, 400]
        assert await redeemed(URL((await authorized())[1]).query["code"], "another-verifier") == 400
        for wrong in ({"redirect_uri": "https://elsewhere.example/"}, {"launch": "unknown"}, {"client_id": "another"}, {"aud": FIGARO}):
            assert await authorized(**wrong) == (422, ""), wrong
        async with browser.get(f"{root}/", headers={"Host": "elsewhere.example"}) as answer:
            assert answer.status == 400
        async with browser.post(f"{root}/sign-in", data={"back": "//elsewhere.example"}, allow_redirects=False) as answer:
            assert answer.headers["Location"] == "/"
