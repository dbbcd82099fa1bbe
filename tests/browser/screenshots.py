"""The pictures of the documents: synthetic patients on the clinician's page, as Chromium shows it.

    python -m tests.browser.screenshots [FOLDER]

writes them to docs/pictures, or to FOLDER.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.async_api import Browser, FloatRect, Page

from shared.service.embedded import embedded_fhir_server
from shared.service.log import configure
from tests.browser.hospital import Hospital, hospital, started, window

FOLDER: Final = Path(__file__).parents[2] / "docs" / "pictures"
LARGEST: Final = 150_000  # bytes
TOP: Final[FloatRect] = {"x": 0, "y": 0, "width": 1400, "height": 880}


def write(folder: Path, name: str, picture: bytes) -> None:
    """One picture as WebP. Raises ValueError where it is too large for a document."""
    file = folder / f"{name}.webp"
    Image.open(io.BytesIO(picture)).convert("RGB").save(file, "WEBP", quality=78, method=6)
    if file.stat().st_size > LARGEST:
        raise ValueError(f"{file.name} has {file.stat().st_size} bytes: show less of the page")


async def from_to(page: Page, first: str, last: str, margin: float = 24) -> bytes:
    """What stands between the top of one element and the foot of another."""
    begins, ends = await page.locator(first).bounding_box(), await page.locator(last).first.bounding_box()
    if begins is None or ends is None:
        raise ValueError(f"{first} or {last} is not on the page")
    top, foot = begins["y"] - margin, ends["y"] + ends["height"] + margin
    return await page.screenshot(full_page=True, clip={"x": 0, "y": top, "width": 1400, "height": foot - top})


async def pictures(here: Hospital, browser: Browser, folder: Path) -> None:
    """All of them."""
    async with window(browser) as context:
        page = await context.new_page()
        await here.answered(page, "syn-126")
        write(folder, "answer", await page.screenshot(clip=TOP))
        write(folder, "candidates", await from_to(page, "#candidates", ".beside-one-another .works"))
        write(folder, "evidence", await from_to(page, "#forest", "section[aria-labelledby=forest]"))
        write(folder, "schedule", await from_to(page, "#schedule", "section[aria-labelledby=schedule]"))
        await here.answered(page, "syn-137")
        write(folder, "open-stage", await page.screenshot(clip=TOP))
    async with window(browser, 400, color_scheme="dark") as context:
        page = await context.new_page()
        await here.answered(page, "syn-126")
        write(folder, "narrow-and-dark", await page.screenshot(clip={"x": 0, "y": 0, "width": 400, "height": 1100}, full_page=True))


async def main(folder: Path) -> None:
    configure("ERROR")
    with tempfile.TemporaryDirectory() as place, embedded_fhir_server() as fhir:
        async with hospital(Path(place), fhir) as here, started() as browser:
            here.as_it_should_be()
            await pictures(here, browser, folder)


if __name__ == "__main__":
    where = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    where.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(where))
