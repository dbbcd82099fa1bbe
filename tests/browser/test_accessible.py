"""Whoever looks, and however: axe finds nothing on any page, the keyboard reaches everything, paper has it all, hostile text is text."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page

from tests.browser.hospital import Hospital, bundles, window

# Best practices of axe beside the rules of WCAG 2.2 AA.
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"
LOOKS: tuple[tuple[int, Literal["light", "dark"]], ...] = ((400, "light"), (400, "dark"), (1400, "light"), (1400, "dark"))
ANSWERS = {"ivb": "syn-126", "cannot-tell": "syn-137", "out-of-scope": "syn-120"}


async def violations(page: Page) -> list[str]:
    found = await Axe().run(page, options=RULES)
    return [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}" for one in found.response["violations"]]


async def seen_every_way(page: Page, name: str, folder: Path, *, long: bool = False) -> None:
    """At both widths, light and dark: a picture is kept, nothing scrolls sideways, axe finds nothing.

    Of a `long` page axe reads each width and each scheme once, which takes half the time.
    """
    for width, scheme in LOOKS:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)
        assert await page.evaluate(OVERFLOW) <= 0, f"{name} at {width}"
        await page.screenshot(path=folder / f"{name}-{width}-{scheme}.png", full_page=True)
        if not long or (width, scheme) in LOOKS[::3]:
            assert await violations(page) == [], f"{name} at {width}, {scheme}"


@pytest_asyncio.fixture(loop_scope="session")
async def quiet(page: Page) -> AsyncIterator[Page]:
    """A page whose console complains of nothing, its content security policy included."""
    problems: list[str] = []
    page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_has_no_axe_violation(here: Hospital, quiet: Page, screenshots: Path, name: str) -> None:
    await here.answered(quiet, ANSWERS[name])
    await seen_every_way(quiet, name, screenshots, long=name == "ivb")
    await quiet.evaluate(UNFOLD)
    assert await quiet.evaluate(OVERFLOW) <= 0
    if name != "ivb":  # has the parts of `cannot-tell` many times over, and axe would take long
        assert await violations(quiet) == [], f"{name} with everything unfolded"


async def test_progress_and_a_stuck_case_have_no_axe_violation(here: Hospital, quiet: Page, screenshots: Path) -> None:
    here.ehr.bend.held = asyncio.Event()
    here.ehr.bend.forbidden = ("Patient",)
    await here.load("syn-108")
    await quiet.goto(here.launch("syn-108"))
    await seen_every_way(quiet, "progress", screenshots)
    here.ehr.bend.held.set()
    await quiet.wait_for_selector(".reason", timeout=60_000)
    assert await quiet.get_by_role("heading", level=1).inner_text() == "This case cannot go on"
    await seen_every_way(quiet, "stuck", screenshots)


async def test_the_board_of_the_day_and_a_printed_sheet_have_no_axe_violation(here: Hospital, quiet: Page, screenshots: Path) -> None:
    for name in ANSWERS.values():
        place = await here.answered(quiet, name)
    await quiet.goto(f"{here.figaro}/app/board")
    assert await quiet.locator("tbody tr").count() == len(ANSWERS)
    await seen_every_way(quiet, "board", screenshots)
    await quiet.goto(f"{place}/sheet")
    await seen_every_way(quiet, "sheet", screenshots)


async def test_an_error_page_has_no_axe_violation(here: Hospital, page: Page, screenshots: Path) -> None:
    await page.goto(f"{here.figaro}/launch?iss=https://nobody.example/fhir&launch=1")
    assert await page.get_by_role("heading").inner_text() == "Figaro does not work with this EHR"
    await seen_every_way(page, "error", screenshots)


async def test_the_keyboard_reaches_candidates_and_forms_and_its_focus_is_seen(here: Hospital, page: Page) -> None:
    await here.answered(page, "syn-126")
    described = """() => {
        const one = document.activeElement, style = getComputedStyle(one);
        const inside = one.closest('article.candidate, details.folded, .first, form');
        const seen = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
        const text = one.innerText || one.name || '';
        return [one.tagName, one.type || '', (inside && inside.className) || '', text, seen || one === document.body];
    }"""
    reached: list[list[Any]] = []
    opened = False
    for _ in range(400):
        await page.keyboard.press("Tab")
        tag, kind, _, text, seen = at = await page.evaluate(described)
        assert seen, f"the focus is not seen on {at}"
        reached.append(at)
        if tag == "SUMMARY" and "Record a decision" in text and not opened:
            opened = True
            await page.keyboard.press("Enter")
        if opened and kind == "submit" and "Record it" in text:
            break
    kinds = [(tag, kind) for tag, kind, *_ in reached]
    assert reached[0][3] == "Skip to the answer"
    assert any("first" in inside.split() for _, _, inside, *_ in reached)
    assert any("candidate" in inside.split() for _, _, inside, *_ in reached)
    assert kinds[-3:] == [("INPUT", "radio"), ("TEXTAREA", "textarea"), ("BUTTON", "submit")]


async def test_on_paper_stands_what_is_on_the_screen(here: Hospital, page: Page, screenshots: Path) -> None:
    await here.answered(page, "syn-126")
    titles = [one.strip() for one in await page.locator("article.candidate h3").all_inner_texts()]
    await page.emulate_media(media="print")
    paper = await page.pdf(path=screenshots / "printed.pdf", format="A4")
    assert paper.startswith(b"%PDF")
    assert len(re.findall(rb"/Type */Page\b", paper)) >= 3
    words = await page.locator("body").inner_text()
    for said in ("IVB", "Synthetic-Case-26", "Figaro proposes and never orders", "Hazard ratio"):
        assert said in words
    assert len(titles) >= 2
    for title in titles:
        assert await page.get_by_role("heading", name=title).first.is_visible(), title
        assert title in words
    assert "Record a decision" not in words, "what can only be clicked is not printed"


async def test_hostile_text_in_a_record_runs_nothing_and_is_shown_as_text(here: Hospital, browser: Browser) -> None:
    evil = '"><script>window.ran = 1</script><img src=x onerror="window.ran = 1">{{ 7 * 7 }}'

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            return {name: poisoned(inner, name) for name, inner in value.items()} | ({"text": evil} if "coding" in value else {})
        if isinstance(value, list):
            return [poisoned(one, key) for one in value]
        return f"{evil} {value}" if key in ("display", "text", "family", "given") and isinstance(value, str) else value

    entries = [{**one, "resource": poisoned(one["resource"])} for one in bundles()["syn-125"]["entry"]]
    async with here.server() as server:
        await server.transaction({**bundles()["syn-125"], "entry": entries})
    here.loaded.add("syn-125")
    async with window(browser) as context:
        page = await context.new_page()
        place = await here.answered(page, "syn-125")
        for path in ("", "/source/Patient/self", "/source/Condition/syn-125-primary"):
            answer = await page.goto(place + path)
            assert answer is not None
            assert answer.status == 200
            await page.evaluate(UNFOLD)
            assert await page.evaluate("window.ran") is None
            assert await page.locator("img").count() == 0
            assert await page.evaluate(OVERFLOW) <= 0
            assert "<script>window.ran" in await page.locator("body").inner_text(), "it is there to be read"
