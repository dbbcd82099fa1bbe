"""A clinician accepts, declines and comments in the browser, and her words stand in the CarePlan on the FHIR server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page

from shared.service.embedded import embedded_fhir_server
from tests.browser.hospital import Hospital, Json, hospital

WHY = "The board prefers <b>carboplatin</b> & waits."


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["sekmet", pytest.param("hapi", marks=pytest.mark.hapi)])
async def ward(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hospital]:
    """The EHR in front of each FHIR server in turn."""
    folder = tmp_path_factory.mktemp("hospital")
    if request.param == "hapi":
        async with hospital(folder, request.getfixturevalue("hapi")) as it:
            yield it
    else:
        with embedded_fhir_server() as base:
            async with hospital(folder, base) as it:
                yield it


async def decide(page: Page, candidate: int, act: str, reason: str = "") -> None:
    """Fills in the form of a candidate and sends it."""
    form = page.locator("form").filter(has=page.locator(f"#reason-{candidate}"))
    await page.locator("details").filter(has=form).locator("summary", has_text="Record a decision").click()
    await form.get_by_role("radio", name=act).check()
    await form.get_by_role("textbox").fill(reason)
    await form.get_by_role("button", name="Record it").click()


def notes(plan: Json) -> list[str]:
    return [str(one["text"]) for one in plan.get("note", [])]


async def test_what_she_decides_is_written_in_her_name_and_nothing_becomes_an_order(here: Hospital, page: Page, screenshots: Path) -> None:
    await here.answered(page, "syn-126")
    assert (await here.plan("syn-126"))["status"] == "draft"
    await decide(page, 1, "Comment only", "To be seen again on Thursday.")
    await page.wait_for_url("**#decided")
    await decide(page, 2, "Decline", WHY)
    await page.wait_for_selector(".decided:has-text('Declined')")
    assert WHY in await page.locator(".decided q").all_inner_texts()
    await decide(page, 1, "Accept")
    await page.wait_for_selector(".decided:has-text('Accepted')")
    plan = await here.plan("syn-126")
    assert (plan["status"], plan["intent"]) == ("active", "proposal")
    assert [one["authorReference"]["reference"] for one in plan["note"][-3:]] == ["Practitioner/syn-clinician"] * 3
    comment, declined, accepted = notes(plan)[-3:]
    assert comment.endswith("To be seen again on Thursday.")
    assert declined.endswith(WHY)
    assert accepted.startswith("Accepted: ")
    for kind in ("MedicationRequest", "ServiceRequest"):
        assert {one["intent"] for one in await here.found(kind, "syn-126")} <= {"option", "proposal", "plan"}
    await page.locator("#decided").scroll_into_view_if_needed()
    await page.screenshot(path=screenshots / "decided.png")


async def test_a_decline_without_a_reason_decides_nothing(here: Hospital, page: Page) -> None:
    await here.answered(page, "syn-128")
    before = await here.plan("syn-128")
    await decide(page, 1, "Decline")
    assert "a decline needs a reason" in await page.locator("main").inner_text()
    assert await here.plan("syn-128") == before


async def test_a_stale_page_asks_to_look_again_and_then_decides(here: Hospital, page: Page) -> None:
    place = await here.answered(page, "syn-129")
    plan = await here.plan("syn-129")
    async with here.server() as server:
        await server.update({**plan, "note": [*plan.get("note", []), {"text": "Somebody else's word."}]})
    await decide(page, 1, "Accept")
    assert await page.get_by_role("heading").inner_text() == "Please look again"
    assert (await here.plan("syn-129"))["status"] == "draft"
    await page.goto(place)
    await page.wait_for_selector(".notice", state="detached", timeout=60_000)
    await decide(page, 1, "Accept")
    await page.wait_for_selector(".decided:has-text('Accepted')")
    plan = await here.plan("syn-129")
    assert plan["status"] == "active"
    assert "Somebody else's word." in notes(plan)
