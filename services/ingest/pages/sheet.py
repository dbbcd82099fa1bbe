"""The tumour-board sheet: an answer on one printed page of A4. What does not fit is cut by rule, and how much was cut is said.

Most parts have a fixed limit; the candidates and their forest plot take the room that is left, in the order of the policy
(`sheet_fit` reckons it). Pure: no clock; a sheet is the same in a browser and as PDF.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

from services.ingest.pages import anatomy
from services.ingest.pages.bodymap import bodymap
from services.ingest.pages.candidate_view import CandidateView
from services.ingest.pages.forest import rows, runs
from services.ingest.pages.rendering import render
from services.ingest.pages.sheet_forest import Forest, small_forest
from services.ingest.pages.sheet_table import SheetCandidate, letters, table
from services.ingest.pages.sheet_words import Cut, cut, metres, short
from services.ingest.pages.view import Page
from shared.oncology.recommendation import Recommendation
from shared.oncology.stage import Staging

MOST: Final = 6  # candidates
HALF: Final = 70  # characters of a line over half the width
_DOI: Final = "https://doi.org/"


class Sheet(NamedTuple):
    """Everything of the printed page; `page` has what stands on it as it is on the screen. `further` candidates are on the screen only."""

    page: Page
    anchor: str
    map: Markup
    sites: Cut
    facts: tuple[tuple[str, str], ...]
    chain: tuple[tuple[str, str], ...]
    recorded: str
    missing: Cut
    conflicts: Cut
    questions: Cut
    candidates: tuple[SheetCandidate, ...]
    further: int
    further_out: int
    inputs: tuple[tuple[str, str], ...]
    forest: Forest | None
    sources: Cut


def sheet(page: Page, staging: Staging, recommendation: Recommendation, *, number: int, most: int, bars: int) -> Sheet:
    """The sheet of one answer with so many candidates and figures; `number` tells the sheets of one document apart."""
    listed = (*page.open, *page.more, *page.out)
    chosen = _chosen(listed, most)
    rest = [one for one in listed if one not in chosen]
    ranks = {one.rank for one in chosen if one.verdict != "ruled-out"}
    forest = small_forest(rows(c for c in recommendation.candidates if c.rank in ranks), bars)
    found = table(chosen, recommendation)
    conflicts = cut((one.text for one in (*page.conflicts, *page.issues)), 2, 4 * HALF)
    # Out of scope the only note is the reason, which stands above.
    notes = [] if page.out_of_scope else sorted(page.notes, key=lambda note: not note.sources)  # what is hers before what is everyone's
    facts = [(name, short(value, 90)) for name, value in (*page.headline.facts, *page.situation)]
    return Sheet(
        page=page,
        anchor=f"sheet-{number}",
        map=_map(staging, f"sheet-{number}"),
        sites=_sites(page),
        facts=tuple(facts[:12]),
        chain=_chain(page),
        recorded="; ".join(f"{short(one.stage, 20)} ({one.edition}), {one.agreement}" for one in page.recorded[:2]),
        missing=_missing(page),
        conflicts=conflicts,
        questions=cut((note.text for note in notes), 2 if conflicts.shown else 3, 3 * HALF),
        candidates=found,
        further=len(rest),
        further_out=sum(one.verdict == "ruled-out" for one in rest),
        inputs=tuple((letter, metres(short(said, 260))) for said, letter in letters(chosen).items()),
        forest=forest,
        sources=_sources(page, found, forest),
    )


def _chosen(listed: Sequence[CandidateView], most: int) -> tuple[CandidateView, ...]:
    """The first of them; the first that is eligible on the record is always among them, where there is room for two."""
    chosen = [*listed[:most]]
    eligible = next((one for one in listed if one.verdict == "eligible"), None)
    if eligible is not None and eligible not in chosen and most > 1:
        chosen[-1] = eligible
    return tuple(chosen)


def _missing(page: Page) -> Cut:
    told = []
    for gap in page.missing:
        settles = f"settles {'candidate' if len(gap.ranks) == 1 else 'candidates'} {runs(gap.ranks)}" if gap.ranks else ""
        why = ", ".join(filter(None, ("narrows the stage" if gap.stage else "", settles)))
        told.append(f"{short(gap.ask, 2 * HALF - 40)} ({why})" if why else gap.ask)
    return cut(told, 6, 2 * HALF)


def _sites(page: Page) -> Cut:
    told = []
    for site in page.sites:
        words = [site.kind.lower(), site.certainty_words.lower()]
        words += [f"{site.lesions} lesion{'' if site.lesions == '1' else 's'}"] if site.lesions else []
        words += ["found later"] if site.late else []
        told.append(f"{site.name}: {', '.join(words)}{'' if site.drawn else ' (not drawn)'}")
    return cut(told, 7, 88)


def _map(staging: Staging, anchor: str) -> Markup:
    """The body map with a number at each site, which is its place in the list of sites."""
    drawn = bodymap(staging.metastases, primary=staging.primary.applies)
    numbers = {m.site: number for number, m in reversed([*enumerate(staging.metastases, 1)])}
    picture = {"outline": anatomy.OUTLINE, "context": anatomy.CONTEXT, "places": anatomy.PLACES, "numbers": numbers}
    return Markup(render("sheet_map.svg", map=drawn, anchor=anchor, **picture))  # noqa: S704 -- our own template, escaped


def _chain(page: Page) -> tuple[tuple[str, str], ...]:
    """From finding to stage in the newest edition: what was found, and the rule with its work."""
    newest = page.editions[0].because if page.editions else ()
    return tuple((short(one.found, 140), f"{short(one.says, 150)} {one.work.link.text}{'' if one.checked else '†'}") for one in newest[:3])


def _sources(page: Page, found: Sequence[SheetCandidate], forest: Forest | None) -> Cut:
    """The works that are cited on the sheet, with their DOI where they have one."""
    cited = [one.work for edition in page.editions for one in edition.because[:3]]
    named = {bar.work for bar in forest.bars} if forest else set()
    cited += [work for work in page.works if work.link.text in named]
    cited += [work for candidate in found for work in candidate.cited]
    addresses = {work.link.text: (work.link.href or "").replace(_DOI, "doi ").removeprefix("https://").rstrip("/") for work in cited}
    return cut((f"{name} {address}".strip() for name, address in addresses.items()), 10, 80)
