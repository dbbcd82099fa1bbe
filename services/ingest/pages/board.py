"""The list for the day: each patient of a browser's launches in one line. Pure."""

from __future__ import annotations

from typing import NamedTuple

from services.ingest.pages.banner import Banner
from services.ingest.pages.view import Page

_STATES = {"answered": "Answered", "stuck": "Stuck: see her page", "": "Answered earlier"}


class BoardRow(NamedTuple):
    """One patient. `address` is the page of her launch, `banner` None where there is no answer yet, and `missing` too.

    `interval` is what the stage could still be, and whether the disease has gone on since.
    """

    address: str
    banner: Banner | None
    stage: str
    interval: str
    sites: str
    candidate: str
    verdict: str
    verdict_words: str
    missing: int | None
    conflicts: int
    state: str


def board_row(address: str, page: Page | None, case: str | None, decided: int) -> BoardRow:
    """The line of a patient; `case` is the state of her launch's case, `decided` how many decisions stand."""
    state = _STATES.get(case or "", "Record being read")
    if page is None:
        return BoardRow(address, None, "", "", "", "", "", "", None, 0, "No answer yet" if state != _STATES["stuck"] else state)
    first = page.first.candidate if page.first else None
    told = ["" if page.headline.settled else page.headline.interval, f"{now}." if (now := page.headline.now.partition(";")[0]) else ""]
    return BoardRow(
        address=address,
        banner=page.banner,
        stage="Out of scope" if page.out_of_scope else page.headline.stage,
        interval="" if page.out_of_scope else " ".join(filter(None, told)),
        sites="; ".join(
            f"{site.name}{'' if site.certainty == 'definite' else f' ({site.certainty_words.lower()})'}" for site in page.sites
        ),
        candidate=first.title if first else "",
        verdict=first.verdict if first else "",
        verdict_words=first.verdict_words if first else "",
        missing=len(page.missing),
        conflicts=len(page.conflicts),
        state=f"{state}; {decided} decision{'' if decided == 1 else 's'}" if decided else state,
    )
