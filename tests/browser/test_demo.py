"""The link that the demo prints, in a browser: the pretend sign-in, the list of synthetic patients, and one of them opened."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from playwright.async_api import Page
from rich.console import Console

from services.demo import standing
from tests.browser.hospital import bundles
from tests.browser.test_accessible import seen_every_way

MARK = "Pretend sign-in, synthetic patients, demo only."


async def test_from_the_demo_s_link_past_the_pretend_sign_in_to_a_patient_s_page(page: Page, screenshots: Path) -> None:
    few = [bundles()[name] for name in ("syn-126", "syn-118", "syn-137", "syn-120", "syn-001")]
    async with standing(few, Console(file=StringIO())) as stands:
        await page.goto(f"{stands.ehr}/")
        assert MARK in await page.locator("header").inner_text()
        await seen_every_way(page, "pretend-sign-in", screenshots)
        await page.get_by_role("button", name="Sign in as Dr Pretend Clinician").click()
        assert MARK in await page.locator("header").inner_text()
        assert await page.locator("tbody tr").count() == len(few)
        await seen_every_way(page, "pretend-ehr", screenshots)
        await page.locator("tr", has_text="syn-126").get_by_role("link").click()
        await page.wait_for_selector("#answer", timeout=60_000)
        assert page.url.startswith(f"{stands.address}/ingest/app/")
        assert "IVB" in await page.locator("#answer").inner_text()
        assert "Synthetic-Case-26" in await page.locator(".banner .who").inner_text()
        await page.go_back()
        assert await page.get_by_role("heading").inner_text() == "Synthetic patients"
