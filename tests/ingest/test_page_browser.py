"""The clinician's page in Chromium, served by a running ingest: what a person sees, with and without JavaScript, and what axe says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page, async_playwright

from services.ingest.pages.rendering import static_name
from services.ingest.tables import InHand
from shared.fhir.outcome import Stuck, to_bytes
from tests.ingest.answered import Json, Ward, answered, made, synthetic, ward
from tests.peers.chromium import chromium

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

WIDTHS = (400, 1400)
EVIL = '"><script>window.ran = true</script><img src=x onerror="window.ran = true">'
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# Best practices of axe beside the WCAG rules; `region` is about content outside landmarks.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("ward")) as it:
        yield it


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        await started.close()


@asynccontextmanager
async def tab(browser: Browser, here: Ward, **how: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """A tab with the cookie of the launches, and what its console complains of."""
    context = await browser.new_context(**{"viewport": {"width": 1400, "height": 900}} | how)
    await context.add_cookies([{"name": "figaro", "value": "browser", "url": here.address}])
    page = await context.new_page()
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page, problems
    await context.close()


async def violations(page: Page) -> list[str]:
    found = await Axe().run(page, options=RULES)
    return [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}" for one in found.response["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
async def test_the_answer_has_no_axe_violation_and_no_sideways_scroll(here: Ward, browser: Browser, width: int, scheme: str) -> None:
    async with tab(browser, here, viewport={"width": width, "height": 900}, color_scheme=scheme) as (page, problems):
        await page.goto(f"{here.address}/app/{here.shown(answered('syn-044'))}")
        assert await page.evaluate(OVERFLOW) <= 0
        await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert await page.evaluate(OVERFLOW) <= 0
        await page.goto(f"{here.address}/app/{here.shown(answered('syn-137'))}")
        assert await page.evaluate(OVERFLOW) <= 0
        await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert await page.evaluate(OVERFLOW) <= 0
        assert await violations(page) == []
        assert problems == []


async def test_a_page_with_everything_on_it_has_no_axe_violation(here: Ward, browser: Browser) -> None:
    async with tab(browser, here) as (page, _):
        await page.goto(f"{here.address}/app/{here.shown(answered('syn-044'))}")
        assert await violations(page) == []


async def test_stage_first_candidate_and_its_evidence_are_above_the_fold(here: Ward, browser: Browser) -> None:
    async with tab(browser, here) as (page, _):
        await page.goto(f"{here.address}/app/{here.shown(answered('syn-044'))}")
        for selector in ("#answer", ".first .title", ".first .figure", ".first .from"):
            box = await page.locator(selector).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= 900, selector
    async with tab(browser, here, viewport={"width": 400, "height": 900}) as (page, _):
        await page.goto(f"{here.address}/app/{here.shown(answered('syn-044'))}")
        box = await page.locator(".first .figure").bounding_box()
        assert box is not None
        assert box["y"] <= 900


async def test_hostile_text_runs_nothing_and_breaks_no_line(here: Ward, browser: Browser) -> None:
    """`<script>`, a right-to-left override and 5,000 characters without a space, in every name and display."""
    evil = f"{EVIL}\u202e{'x' * 5000}"

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(inner, name) for name, inner in value.items()} | ({"text": evil} if "coding" in value else {})
        if isinstance(value, list):
            return [poisoned(inner, key) for inner in value]
        return evil + value if key in ("display", "text", "family", "given", "value") and isinstance(value, str) else value

    resources: list[Json] = poisoned(synthetic()["syn-125"])
    for width in WIDTHS:
        async with tab(browser, here, viewport={"width": width, "height": 900}) as (page, problems):
            launch = here.shown(made(resources))
            for path in ("", "/source/Patient/self", "/source/Condition/syn-125-primary"):
                await page.goto(f"{here.address}/app/{launch}{path}")
                await page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
                assert await page.evaluate("window.ran") is None
                assert await page.evaluate(OVERFLOW) <= 0
                assert "\u202e" not in await page.content()
            assert problems == []


async def test_a_page_in_progress_follows_its_case_by_itself(here: Ward, browser: Browser) -> None:
    one = answered("syn-118")
    patient = one._replace(patient="Patient/under-way")
    launch = here.launch(patient.patient)
    case = here.case(launch, patient.patient)
    async with tab(browser, here) as (page, problems):
        await page.goto(f"{here.address}/app/{launch}")
        assert await page.locator("[aria-current=step]").inner_text() != ""
        assert await violations(page) == []
        here.answer(case, patient)
        await page.wait_for_selector("#answer", timeout=10_000)
        assert "IVA" in await page.locator("#answer").inner_text()
        assert problems == []


async def test_without_javascript_the_page_in_progress_reloads_and_the_answer_is_whole(here: Ward, browser: Browser) -> None:
    one = answered("syn-118")
    patient = one._replace(patient="Patient/no-script")
    launch = here.launch(patient.patient)
    case = here.case(launch, patient.patient)
    async with tab(browser, here, java_script_enabled=False) as (page, _):
        await page.goto(f"{here.address}/app/{launch}")
        here.answer(case, patient)
        await page.wait_for_selector("#answer", timeout=15_000)
        await page.locator("#candidate-1").scroll_into_view_if_needed()
        await page.locator("summary", has_text="Record a decision").first.click()
        assert await page.locator("input[name=csrf]").nth(1).get_attribute("value")


async def test_a_stuck_case_says_why_and_what_to_do(here: Ward, browser: Browser) -> None:
    launch = here.launch("Patient/stuck")
    case = here.case(launch, "Patient/stuck")
    here.ingest.ledger.stuck(case, to_bytes(Stuck("The patient was merged into another one.")))
    async with tab(browser, here, viewport={"width": 400, "height": 900}) as (page, problems):
        await page.goto(f"{here.address}/app/{launch}")
        assert "merged into another one" in await page.locator(".reason").inner_text()
        assert "from the chart again" in await page.locator(".advice").inner_text()
        assert await violations(page) == []
        assert problems == []


async def test_an_earlier_answer_is_shown_at_once_while_the_record_is_checked(here: Ward, browser: Browser) -> None:
    one = answered("syn-118")._replace(patient="Patient/again")
    here.shown(one)
    launch = here.launch(one.patient)
    case, kept = here.case(launch, one.patient), one.answer("")
    here.ingest.ledger.pulled(InHand(case=case, digest=kept.digest, raw=kept.raw, record=kept.record))
    async with tab(browser, here) as (page, _):
        await page.goto(f"{here.address}/app/{launch}")
        assert "from 20 Nov 2026, 14:32 UTC" in await page.locator(".notice").inner_text()
        assert "IVA" in await page.locator("#answer").inner_text()
        assert await violations(page) == []


async def test_every_control_is_reached_by_keyboard_and_shows_its_focus(here: Ward, browser: Browser) -> None:
    async with tab(browser, here) as (page, _):
        await page.goto(f"{here.address}/app/{here.shown(answered('syn-118'))}")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "main"
        for _ in range(6):
            await page.keyboard.press("Tab")
            style = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert style == "solid"


async def test_the_page_is_shown_to_its_own_launch_only_and_with_its_headers(here: Ward) -> None:
    """SE-03, SE-04, SE-05."""
    launch = here.shown(answered("syn-118"))
    status, headers, text = await here.get(f"/app/{launch}")
    assert status == 200
    assert "frame-ancestors https://ehr.example" in headers["Content-Security-Policy"]
    assert (headers["Referrer-Policy"], headers["Cache-Control"], headers["X-Content-Type-Options"]) == (
        "no-referrer",
        "no-store",
        "nosniff",
    )
    assert "canary-token" not in text
    for path in (f"/app/{launch}", f"/app/{launch}/events", f"/app/{launch}/source/Patient/self"):
        assert (await here.get(path, cookie="another"))[0] == 403
    assert (await here.get(f"/app/{launch}/source/Condition/syn-044-primary"))[0] == 404
    status, headers, _ = await here.get(f"/app/static/{static_name('figaro.css')}", cookie="")
    assert (status, headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    assert (await here.get("/app/static/..%2fview.py"))[0] == 404


@pytest.mark.parametrize(("how", "shown"), [({"banner": True}, True), ({"banner": False}, False)])
async def test_the_patient_banner_is_there_when_the_ehr_asks_for_it(here: Ward, how: dict[str, bool], shown: bool) -> None:
    """SM-15."""
    one = answered("syn-118")
    launch = here.launch(one.patient, **how)
    here.answer(here.case(launch, one.patient), one)
    assert ("Synthetic-Case-18" in (await here.get(f"/app/{launch}"))[2]) is shown


async def test_only_a_clinician_is_offered_decisions(here: Ward) -> None:
    one = answered("syn-118")
    pages = []
    for clinician in (True, False):
        launch = here.launch(one.patient, clinician=clinician)
        here.answer(here.case(launch, one.patient), one)
        pages.append((await here.get(f"/app/{launch}"))[2])
    assert ["/decisions" in page for page in pages] == [True, False]


async def test_many_looks_at_one_answer_are_quick(here: Ward) -> None:
    """A re-launch of an unchanged record is instant: its pictures are kept."""
    launch = here.shown(answered("syn-044"))
    await here.get(f"/app/{launch}")
    clock: Callable[[], float] = asyncio.get_running_loop().time
    start = clock()
    await here.get(f"/app/{launch}")
    assert clock() - start < 1.0
