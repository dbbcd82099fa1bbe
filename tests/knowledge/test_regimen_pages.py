"""The page of a regimen says all that is signed with it, shows no figure that nobody checked, and fits one side of A4."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from services.recommend.evidence import Figure
from services.recommend.forest import WIDTH, scale
from services.recommend.library import library
from services.recommend.page import FULL, Leaf, leaves, page
from tests.knowledge.test_sheets import Tags

ALL = (*leaves("regimens", library()), *leaves("precautions", library()))
LONGEST = max(ALL, key=lambda leaf: leaf.lines)


def printed(*shown: Leaf) -> str:
    return page(shown, library())


def flat(words: str) -> str:
    bare = re.sub(r"<svg.*?</svg>|<style.*?</style>", " ", words, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", bare)).split())


def pages(source: str, folder: Path, chromium: str) -> int:
    """How many pages Chromium prints."""
    written, pdf = folder / "page.html", folder / "page.pdf"
    written.write_text(source)
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--print-to-pdf={pdf}", written.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return len(re.findall(rb"/Type /Page\b", pdf.read_bytes()))


def test_every_regimen_and_every_precaution_has_a_page() -> None:
    assert [leaf.id for leaf in ALL if leaf.regimen] == list(library().regimens)
    assert [leaf.id for leaf in ALL if not leaf.regimen] == [f"precautions-{name}" for name in library().precautions]


@pytest.mark.parametrize("leaf", ALL, ids=lambda leaf: leaf.id)
def test_a_page_is_short_enough_for_one_side_of_a4(leaf: Leaf) -> None:
    """By the count of its lines; what Chromium makes of it is measured in the slow lane. Too long: shorten what it says."""
    assert leaf.lines <= FULL


@pytest.mark.slow
def test_chromium_prints_each_page_on_one_side_of_a4(tmp_path: Path, chromium: str) -> None:
    without_contents = re.sub(r'<section class="cover">.*?</section>', "", printed(*ALL), flags=re.DOTALL)
    assert pages(without_contents, tmp_path, chromium) == len(ALL), [
        leaf.id for leaf in ALL if pages(printed(leaf), tmp_path, chromium) > 1
    ]


@pytest.mark.parametrize("leaf", ALL, ids=lambda leaf: leaf.id)
def test_every_criterion_dose_agency_remark_and_work_is_on_the_page(leaf: Leaf) -> None:
    found = flat(printed(leaf))
    regimen = leaf.regimen
    assert all(rule.says in found for rule in leaf.rules)
    assert all(remark.says in found for remark in leaf.remarks)
    assert all(work.citation in found for work in leaf.works)
    assert library().knowledge.digest in found
    assert "signed by nobody yet" in found
    for p in leaf.precautions:
        assert all(library().policies["default"].worded(rule).says in found for rule in (*p.needs, *p.contraindications))
    for given in regimen.gives if regimen else ():
        assert f"{given.drug} {given.dose}" in found
    for status in regimen.regulatory if regimen else ():
        assert f"{status.agency} {status.status}{f' since {status.since}' if status.since else ''}" in found


@pytest.mark.parametrize("leaf", [leaf for leaf in ALL if leaf.regimen], ids=lambda leaf: leaf.id)
def test_checked_figures_are_plotted_and_unchecked_ones_are_held_back(leaf: Leaf) -> None:
    source = printed(leaf)
    figures = [figure for _, figures in leaf.shown for figure in figures]
    plotted = [figure for figure in figures if figure.checked and figure.hazard_ratio is not None]
    assert source.count("<rect ") == len(plotted)
    assert flat(source).count("held back until checked") == sum(not figure.checked for figure in figures)
    assert all(f"{figure.hazard_ratio:.2f}" in flat(source) for figure in plotted)


def test_the_plot_stands_where_the_figures_say() -> None:
    """On a scale of octaves: half and double are as far from one; each interval holds its ratio and stays in the picture."""
    figures = [figure for work in library().works.values() for figure in work.figures]
    drawn = scale(figures)
    assert drawn.at(1) - drawn.at(0.5) == pytest.approx(drawn.at(2) - drawn.at(1), abs=0.02)
    for bar in filter(None, map(drawn.bar, figures)):
        assert 0 <= (bar.low or bar.point) <= bar.point <= (bar.high or bar.point) <= WIDTH
    unchecked = Figure(id="x", endpoint="x", at="x", hazard_ratio=0.5, checked=False)
    assert drawn.bar(unchecked) is None


def test_what_nobody_checked_bears_a_bar_and_the_words() -> None:
    leaf = next(leaf for leaf in ALL if leaf.id == "cisplatin-chemoradiation")
    assert leaf.unchecked > 0
    assert printed(leaf).count('class="marked"') >= leaf.unchecked
    assert not re.search(r"color: (?!#(000|333|777)|transparent)", printed(leaf))


@pytest.mark.parametrize("shown", [ALL, (LONGEST,)], ids=["all", "longest"])
def test_a_page_is_whole_and_fetches_nothing(shown: tuple[Leaf, ...]) -> None:
    source = printed(*shown)
    found = Tags(re.sub(r"<(line|rect)([^>]*)/>", "", source))
    assert found.open == []
    assert found.fetched == []
    assert not re.search(r"<script|@import|url\(", source)
    assert source == printed(*shown)


def test_words_are_escaped() -> None:
    told = msgspec.structs.replace(LONGEST.remarks[0], says="<script>alert(1)</script>")
    assert "<script>" not in printed(LONGEST._replace(remarks=(told,), title="<b>bold</b>"))


def test_a_name_that_two_kinds_share_gives_both_pages_or_the_one_asked_for() -> None:
    assert [leaf.id for leaf in leaves("bevacizumab", library())] == ["bevacizumab", "precautions-bevacizumab"]
    assert [leaf.id for leaf in leaves("precautions/bevacizumab", library())] == ["precautions-bevacizumab"]
    assert leaves("default", library()) == ()
