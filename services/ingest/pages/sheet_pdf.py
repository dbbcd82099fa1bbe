"""The sheet as PDF, drawn by WeasyPrint. Nothing is opened for it but our own static files, out of memory.

WeasyPrint needs Pango from the system; where that is missing, the page that says so is all that is lost. One document is drawn at a
time, off the event loop, each in turn and one for each user, and nobody waits longer than LONGEST for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from services.ingest.limiting import Places
from services.ingest.pages.errors import PageError
from services.ingest.pages.rendering import static

if TYPE_CHECKING:
    from weasyprint import Document  # type: ignore[import-untyped]

LONGEST: Final = 60.0  # seconds
_HERE: Final = "https://figaro.invalid/"  # nothing is opened there: addresses of the page are made whole with it
_PRESS: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="press")
_UNDER_WAY: Final = Places(1)


async def pdf(page: Callable[[], str], who: str, longest: float = LONGEST) -> bytes:
    """The document of a page, which is made in its turn too; `who` asks for it.

    Raises what `page` raises, and PageError where it cannot be drawn, not in time, or while another is under way for `who`.
    """
    if not _UNDER_WAY.take(who):
        raise PageError(
            "Your PDF is being made",
            "One is made for you at a time, and you have asked for another before.",
            "Wait until that is there, then ask for this one again.",
            status=429,
            retry_after=10,
        )
    work = _PRESS.submit(copy_context().run, _printed, page)
    work.add_done_callback(lambda _: _UNDER_WAY.leave(who))  # also where nobody waits for it any more: till then it is being drawn
    try:
        return await asyncio.wait_for(asyncio.wrap_future(work), longest)
    except TimeoutError:
        raise PageError(
            "The PDF takes too long",
            "Too many sheets are asked for at once; none was made.",
            "Try again in a minute, or print the sheet from the browser.",
            status=503,
            retry_after=60,
        ) from None


def document(html: str) -> Document:
    """The pages of a sheet, laid out. Blocks, about a second a page. Raises PageError where Pango is missing."""
    try:
        from weasyprint import HTML  # it opens Pango as it is imported
        from weasyprint.urls import URLFetcher, URLFetcherResponse  # type: ignore[import-untyped]
    except OSError:
        raise PageError(
            "No PDF can be made here",
            "The computer that Figaro runs on has no Pango, which draws the letters of a PDF.",
            "Print the sheet from the browser; or have the packages libpango-1.0-0, libpangoft2-1.0-0 and fonts-liberation installed.",
            status=501,
        ) from None

    class OurFiles(URLFetcher):  # type: ignore[misc]
        """Gives the static files by their names, and refuses every other address."""

        def fetch(self, url: str, headers: Mapping[str, str] | None = None) -> Any:
            found = static().get(url.rpartition("/")[2]) if url.startswith(_HERE) else None
            if found is None:
                raise ValueError("a sheet opens nothing but our own static files")
            return URLFetcherResponse(url, found[0], {"Content-Type": found[1]})

    return HTML(string=html, base_url=_HERE, url_fetcher=OurFiles(allowed_protocols=[], allow_redirects=False)).render()


def _printed(page: Callable[[], str]) -> bytes:
    drawn: bytes = document(page()).write_pdf()
    return drawn
