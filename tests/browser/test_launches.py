"""From the EHR to the answer: in a frame of another site, in a window of its own, in two tabs, without JavaScript, and where it fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page
from sqlmodel import update

from services.ingest.tables import LaunchSession
from tests.browser.hospital import Hospital, window


async def test_from_the_chart_to_stage_first_candidate_and_evidence_in_a_frame_of_another_site(
    here: Hospital, page: Page, screenshots: Path
) -> None:
    """SE-01: the EHR is another site than Figaro, and both are https."""
    await here.load("syn-126")
    await page.goto(here.chart("syn-126"))
    frame = page.frames[1]
    await frame.wait_for_selector("#answer", timeout=60_000)
    assert frame.url.startswith(f"{here.figaro}/app/")
    assert "?" not in frame.url
    assert "IVB" in await frame.locator("#answer").inner_text()
    for part in ("#answer", ".first .title", ".first .figure", ".first .from"):
        box = await frame.locator(part).first.bounding_box()
        assert box is not None, part
        assert box["y"] + box["height"] <= 900, f"{part} is seen without scrolling"
    assert "Hazard ratio" in await frame.locator(".first .figure").inner_text()
    await page.screenshot(path=screenshots / "in-the-ehr.png")
    assert here.ehr.problems == []


async def test_standalone_the_ehr_is_asked_for_the_patient(here: Hospital, page: Page) -> None:
    await here.load("syn-118")
    here.ehr.chosen = "syn-118"
    await page.goto(f"{here.figaro}/launch/ehr")
    await page.wait_for_selector("#answer", timeout=60_000)
    assert "IVA" in await page.locator("#answer").inner_text()
    assert "launch/patient" in here.ehr.asked[-1]["scope"].split()
    assert "launch" not in here.ehr.asked[-1]


async def test_se03_two_tabs_show_two_patients_and_neither_becomes_the_other(here: Hospital, context: BrowserContext) -> None:
    tabs: dict[str, Page] = {}
    for name in ("syn-118", "syn-126"):
        tabs[name] = await context.new_page()
        await here.answered(tabs[name], name)
    for _ in range(2):  # loaded again in turn
        for name, family, stage in (("syn-118", "Synthetic-Case-18", "IVA"), ("syn-126", "Synthetic-Case-26", "IVB")):
            await tabs[name].reload()
            assert family in await tabs[name].locator(".banner .who").inner_text()
            assert stage in await tabs[name].locator("#answer").inner_text()
    await tabs["syn-118"].get_by_role("button", name="Sign out").click()
    assert await tabs["syn-118"].get_by_role("heading").inner_text() == "You have signed out"
    await tabs["syn-126"].reload()
    assert "Synthetic-Case-26" in await tabs["syn-126"].locator(".banner .who").inner_text()


async def test_a_session_whose_time_is_over_says_so_and_how_to_go_on(here: Hospital, page: Page, screenshots: Path) -> None:
    place = await here.answered(page, "syn-118")
    with here.ingest.ledger.transaction() as session:
        session.exec(update(LaunchSession).values(ends="2020-01-01T00:00:00Z"))
    answer = await page.goto(place)
    assert answer is not None
    assert answer.status == 403
    assert await page.get_by_role("heading").inner_text() == "This page has ended"
    assert "from the patient's chart again" in await page.locator(".next").inner_text()
    assert "Synthetic-Case" not in await page.content()
    await page.screenshot(path=screenshots / "ended.png")


async def test_sm30_a_refused_sign_in_is_a_page_a_person_understands(here: Hospital, page: Page) -> None:
    here.ehr.bend.error = "access_denied"
    await page.goto(here.launch("syn-118"))
    assert await page.get_by_role("heading").inner_text() == "The sign-in was declined"
    assert "canary" not in await page.content(), "what the EHR says is not repeated"


async def test_sm34_a_refused_scope_without_which_nothing_can_be_read_is_a_page(here: Hospital, page: Page) -> None:
    here.ehr.grants = lambda scopes: [one for one in scopes if "Observation" not in one]
    await page.goto(here.launch("syn-118"))
    assert await page.get_by_role("heading").inner_text() == "Figaro may not see enough"


async def test_without_javascript_progress_reloads_by_itself_and_becomes_the_answer(here: Hospital, browser: Browser) -> None:
    await here.load("syn-105")
    here.ehr.bend.held = asyncio.Event()
    async with window(browser, java_script_enabled=False) as context:
        page = await context.new_page()
        await page.goto(here.launch("syn-105"))
        assert await page.get_by_role("heading", level=1).inner_text() == "The answer is being made"
        here.ehr.bend.held.set()
        await page.wait_for_selector("#answer", timeout=60_000)
        assert "IB3" in await page.locator("#answer").inner_text()


async def test_with_javascript_progress_becomes_the_answer_and_a_launch_again_is_instant(here: Hospital, page: Page) -> None:
    await here.load("syn-107")
    here.ehr.bend.held = asyncio.Event()
    await page.goto(here.launch("syn-107"))
    assert await page.locator("[aria-current=step]").count() == 1
    here.ehr.bend.held.set()
    await page.wait_for_selector("#answer", timeout=60_000)
    here.ehr.bend.held.clear()
    await page.goto(here.launch("syn-107"))
    assert "IIA2" in await page.locator("#answer").inner_text(), "the earlier answer, while the record is being read"
    here.ehr.bend.held.set()
    await page.wait_for_selector(".notice", state="detached", timeout=60_000)
