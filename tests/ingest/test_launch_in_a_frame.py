"""SE-01 in a real browser: a launch inside a frame of another site, over https, in Chromium."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme
from playwright.async_api import async_playwright

from services.ingest.app import create
from services.ingest.settings import IngestSettings
from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from shared.smart.keys import jwks, keys_in, new_key
from tests.ingest.launching import KEY, PageNeighbours, free_port, issuers_file
from tests.ingest.patients import bundle, metastatic
from tests.peers.chromium import chromium
from tests.peers.https import over_https
from tests.peers.smart_server import Ehr, smart_server

pytestmark = [pytest.mark.server, pytest.mark.slow]


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@asynccontextmanager
async def two_sites(folder: Path, fhir: str, monkeypatch: pytest.MonkeyPatch, frame: str | None = None) -> AsyncIterator[tuple[str, Ehr]]:
    """Figaro at https://figaro.test and the EHR at https://localhost, with certificates of this test."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(folder / "ca.pem")))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(tls)
    new_key(folder / "keys", "ES384")
    async with AsyncExitStack() as stack:
        ehr = await stack.enter_async_context(smart_server(fhir, name="localhost", tls=tls))
        stubs = await stack.enter_async_context(PageNeighbours())
        port = free_port()
        public = f"https://figaro.test:{port}"
        ehr.register("figaro-app", redirects=[f"{public}/callback/ehr"], jwks=jwks(keys_in(folder / "keys")))
        file = issuers_file(folder, ehr.base_url, f"{{client_id: figaro-app, keys: keys, frame_origins: ['{frame or ehr.root}']}}")
        settings = IngestSettings(
            issuers=file,
            public_url=public,
            api_secret=KEY,  # type: ignore[arg-type]
            session_key=KEY,  # type: ignore[arg-type]
            staging_url=stubs.url("staging"),
            recommend_url=stubs.url("recommend"),
            data_directory=folder / "data",
            poll_seconds=0.05,
        )
        await stack.enter_async_context(over_https(create(settings), port, authority.issue_cert("figaro.test"), folder))
        async with FhirClient(fhir) as server:
            await server.transaction(bundle([*metastatic("p1"), *metastatic("p2")]))
        yield public, ehr


async def test_se01_se03_in_a_frame_of_another_site_the_session_holds_and_two_charts_stay_apart(
    fhir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_sites(tmp_path, fhir, monkeypatch) as (public, ehr), async_playwright() as playwright:
        arguments = ["--host-resolver-rules=MAP figaro.test 127.0.0.1", "--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            context = await browser.new_context(ignore_https_errors=True)
            places = []
            for patient in ("p1", "p2"):
                page = await context.new_page()
                await page.goto(f"{ehr.root}/chart/{patient}?app={public}/launch")
                frame = page.frames[1]
                await frame.wait_for_url(f"{public}/app/*", timeout=20_000)
                await frame.wait_for_load_state()
                await frame.locator("#answer").wait_for(state="attached", timeout=20_000)  # until then it loads itself again
                places.append((page, frame.url))
            first, second = places
            assert first[1] != second[1]
            for page, place in places:  # loaded again, each is still there, and still its own
                answer = await page.frames[1].goto(place)
                assert answer is not None
                assert answer.status == 200
            cookies = {one["name"]: one for one in await context.cookies()}
            assert set(cookies) == {"__Host-figaro", "__Host-figaro-signin"}
            for one in cookies.values():
                assert (one["secure"], one["httpOnly"], one["sameSite"], one["path"]) == (True, True, "None", "/")
                assert one.get("partitionKey"), "kept for this EHR's pages only"
            assert await page.frames[1].evaluate("document.cookie") == ""
        finally:
            await browser.close()
    assert ehr.problems == []


async def test_se04_a_site_that_the_issuer_does_not_name_cannot_frame_the_page(
    fhir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_sites(tmp_path, fhir, monkeypatch, frame="https://another.example") as (public, ehr), async_playwright() as playwright:
        arguments = ["--host-resolver-rules=MAP figaro.test 127.0.0.1", "--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            context = await browser.new_context(ignore_https_errors=True)
            page = await context.new_page()
            refused: list[str] = []
            page.on("console", lambda message: refused.append(message.text))
            await page.goto(f"{ehr.root}/chart/p1?app={public}/launch")
            async with asyncio.timeout(20):
                while not any("frame-ancestors" in text for text in refused):  # noqa: ASYNC110 -- told by a callback
                    await asyncio.sleep(0.05)
            assert "Figaro" not in await page.frames[1].evaluate("document.title + document.body.innerText")
        finally:
            await browser.close()


async def test_se04_what_went_wrong_can_be_read_in_the_frame_of_the_ehr_that_it_went_wrong_with(
    fhir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with two_sites(tmp_path, fhir, monkeypatch) as (public, ehr), async_playwright() as playwright:
        arguments = ["--host-resolver-rules=MAP figaro.test 127.0.0.1", "--no-sandbox"]
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            context = await browser.new_context(ignore_https_errors=True)
            page = await context.new_page()
            ehr.bend.error = "access_denied"
            await page.goto(f"{ehr.root}/chart/p1?app={public}/launch")
            await page.frames[1].get_by_role("heading", name="The sign-in was declined").wait_for(timeout=20_000)
            ehr.bend.error = None
            await page.goto(f"{ehr.root}/chart/p1?app={public}/launch")
            await page.frames[1].wait_for_url(f"{public}/app/*", timeout=20_000)
            place = page.frames[1].url
            await context.clear_cookies()
            await page.frames[1].goto(place)
            await page.frames[1].get_by_role("heading", name="This page has ended").wait_for(timeout=20_000)
        finally:
            await browser.close()
