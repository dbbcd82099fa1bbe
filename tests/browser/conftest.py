"""One Chromium for the run, and one hospital a module."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from shared.service.embedded import embedded_fhir_server
from tests.browser.hospital import Hospital, hospital, started, window


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All share one event loop, as one browser asks for."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            for mark in (pytest.mark.slow, pytest.mark.server, pytest.mark.asyncio(loop_scope="session")):
                item.add_marker(mark, append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with started() as it:
        yield it


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def ward(fhir: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hospital]:
    async with hospital(tmp_path_factory.mktemp("hospital"), fhir) as it:
        yield it


@pytest.fixture
def here(ward: Hospital) -> Hospital:
    ward.as_it_should_be()
    return ward


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    async with window(browser) as it:
        yield it


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> Page:
    return await context.new_page()


@pytest.fixture(scope="session")
def screenshots() -> Path:
    """Where pictures of the pages are kept: FIGARO_SCREENSHOTS, else var/screenshots."""
    folder = Path(os.environ.get("FIGARO_SCREENSHOTS", "var/screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
