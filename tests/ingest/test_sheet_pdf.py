"""The tumour-board sheet on paper: one page a patient, and nothing opened to draw it."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from services.ingest.pages import sheet_pdf
from services.ingest.pages.errors import PageError
from services.ingest.pages.forest import forest, rows
from services.ingest.pages.sheet_fit import fitted
from services.ingest.pages.sheet_pdf import document, pdf
from tests.ingest.answered import answered, made, synthetic
from tests.ingest.test_sheet import html, poisoned, view
from tests.peers.pango import pango

pytestmark = pytest.mark.slow
BOTTOM = 289.0  # mm of A4 above the lower margin


@pytest.fixture(scope="module", autouse=True)
def letters() -> None:
    pango()


def lowest(box: Any) -> float:
    """How far down the last line of the foot reaches, in mm."""
    own = (box.position_y + box.height) * 25.4 / 96 if box.element_tag == "footer" else 0.0
    return max([own, *(lowest(child) for child in getattr(box, "children", None) or ())])


@pytest.mark.parametrize("name", sorted(synthetic()))
def test_every_synthetic_patient_has_one_page_and_what_can_be_offered_on_it(name: str) -> None:
    drawn = document(html(view(name)))
    assert len(drawn.pages) == 1
    assert lowest(drawn.pages[0]._page_box) <= BOTTOM
    listed = len(answered(name).recommendation.candidates)
    assert len(view(name).candidates) >= min(listed, 3)


def test_texts_without_a_space_or_an_end_still_make_one_page() -> None:
    for evil in ("x" * 5000, "Wide words " * 500, "\u202eW" * 900):
        one = made(poisoned(synthetic()["syn-138"], evil))
        drawn = document(html(fitted(one.view(), one.staging, one.recommendation)))
        assert len(drawn.pages) == 1
        assert lowest(drawn.pages[0]._page_box) <= BOTTOM


def test_several_sheets_stand_on_a_page_each_behind_their_list() -> None:
    ones = [answered(name) for name in ("syn-044", "syn-118", "syn-120")]
    sheets = [fitted(one.view(), one.staging, one.recommendation, number) for number, one in enumerate(ones, 1)]
    assert len(document(html(*sheets, unready=[])).pages) == 4


async def test_the_document_is_a_pdf_and_its_own_title_tells_of_nobody() -> None:
    drawn = await pdf(lambda: html(view("syn-044")), "she")
    assert drawn.startswith(b"%PDF-")
    assert len(drawn) < 300_000
    assert document(html(view("syn-044"))).metadata.title == "Tumour-board sheet · Figaro"


@pytest.fixture
async def asked() -> AsyncIterator[tuple[str, list[str]]]:
    """A server of this machine, and what it was asked for."""
    told: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        told.append(request.path)
        return web.Response(text="body { color: red }", content_type="text/css")

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}", told
    await runner.cleanup()


async def test_a_page_that_asks_for_other_addresses_gets_none_of_them(asked: tuple[str, list[str]], tmp_path: Path) -> None:
    """No network, no file, no data address: whatever could get into a sheet is not fetched (SSRF)."""
    server, told = asked
    secret = tmp_path / "secret.css"
    secret.write_text(".sheet { display: none }")
    foreign = [f"{server}/x.css", f"{server}/../x.css", secret.as_uri(), "data:text/css,.sheet{display:none}", "ftp://127.0.0.1/x.css"]
    links = "".join(f'<link rel="stylesheet" href="{one}"><link rel="attachment" href="{one}"><img src="{one}">' for one in foreign)
    inside = f'<svg width="9" height="9"><image href="{server}/x.svg" width="9" height="9"/><use href="{secret.as_uri()}#a"/></svg>'
    page = html(view("syn-120")).replace(
        "</head>", f"{links}<style>@import '{server}/y.css'; p {{ background: url({server}/z.png) }}</style></head>"
    )
    drawn = await pdf(lambda: page.replace("</main>", f"{inside}</main>"), "she")
    assert told == []
    assert b"EmbeddedFile" not in drawn
    assert len(document(page).pages) == 1
    assert lowest(document(page).pages[0]._page_box) > 50  # the sheet is there: no foreign rule hid it


async def test_without_pango_the_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("weasyprint"):
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PageError) as told:
        await pdf(lambda: html(view("syn-120")), "she")
    assert told.value.status == 501
    assert "libpango-1.0-0" in told.value.advice


async def test_the_plots_of_the_page_stay_html_after_a_document_was_drawn() -> None:
    """WeasyPrint names XML prefixes for the whole process: a plot must not be written with one."""
    await pdf(lambda: html(view("syn-120")), "she")
    picture = forest(rows(answered("syn-119").recommendation.candidates))
    assert picture is not None
    assert picture.wide.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "ns0:" not in picture.wide


async def test_who_waits_too_long_is_told_so_and_the_next_is_served() -> None:
    with pytest.raises(PageError) as told:
        await pdf(lambda: html(view("syn-044")), "she", longest=0.001)
    assert (told.value.status, told.value.retry_after) == (503, 60)
    assert (await pdf(lambda: html(view("syn-120")), "he")).startswith(b"%PDF-")


async def test_the_event_loop_goes_on_while_a_document_is_drawn() -> None:
    work = asyncio.create_task(pdf(lambda: html(view("syn-044")), "she"))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.01)
        turns += 1
    assert turns > 3
    assert sheet_pdf.LONGEST >= 30
