"""What is printed of a rule file says every row, where it comes from, its check, its reviewers and its cases, and nothing is left out."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.staging import binder, code_sheets, wording
from services.staging.casebook import Casebook, Example, casebook
from services.staging.knowledge import EDITIONS, Rules, rules
from services.staging.printing import page, signed, text
from services.staging.sheets import CHECKED, CONTESTED, UNCHECKED, reviews
from tests.knowledge.planted import planted

BOOK = casebook()
FILES = [name for name in binder.NAMES if name not in EDITIONS]
REVIEW = 'review: {state: draft, by: [], on: null, next: "2027-01-31"}'
SIGNED = 'review: {state: reviewed, by: [AB, CD], on: "2026-09-01", next: "2027-01-31"}'


def printed(name: str, known: Rules | None = None, book: Casebook | None = BOOK) -> str:
    known = known or rules()
    return text(binder.sheet(name, known, book), known.knowledge)


def paged(*names: str, known: Rules | None = None, book: Casebook | None = BOOK) -> str:
    known = known or rules()
    return page(tuple(binder.sheet(name, known, book) for name in names), known.knowledge, with_cases=book is not None)


def flat(words: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", words)).split())


class Tags(HTMLParser):
    """The open tags of a page, each closed once and in order; what it loads from elsewhere."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[str] = []
        self.fetched: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.fetched += [str(given[each]) for each in ("src", "href") if each in given and not str(given[each]).startswith("#")]
        if tag == "tr":
            self.rows.append(given.get("class") or "")
        if tag not in ("meta", "col", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_row_of_a_table_is_shown_with_words_condition_source_check_and_number(edition: str) -> None:
    table = rules().tables[edition].table
    shown, on_paper = flat(printed(edition)), flat(paged(edition))

    for number, row in enumerate(table.rows, 1):
        work = rules().works[row.reference.work]
        for told in (row.says, *wording.clauses(row.when, rules()), work.citation, f"There: {row.reference.at}."):
            assert told in shown
            assert told in on_paper
        assert f"{row.stage} (row {number} of {len(table.rows)})" in shown
        assert f"{number} of {len(table.rows)} {row.stage}" in on_paper
    assert shown.count(UNCHECKED.upper()) == sum(not row.checked for row in table.rows)


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_row_names_its_cases_by_their_sentences(edition: str) -> None:
    assert BOOK is not None
    on_paper = paged(edition)

    for row in rules().tables[edition].table.rows:
        cases = BOOK.expecting(edition, row.stage)
        assert f"expected by {len(cases)}:" in on_paper
        assert f"{row.stage} ({len(cases)})" in on_paper
        assert all(html.escape(each.says, quote=True).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in on_paper for each in cases)


def test_a_condition_reads_as_a_clinician_says_it() -> None:
    said = {row.stage: " ".join(wording.clauses(row.when, rules())) for row in rules().tables["figo-2018"].table.rows}

    assert said["IB2"] == (
        "a visible lesion or one deeper than 5 mm (as T1b to T1b3 state) "
        "and greatest diameter of more than 20 mm and greatest diameter of at most 40 mm"
    )
    assert said["IIIB"].startswith("extension to the pelvic wall or hydronephrosis, unless another cause of the hydronephrosis is known or")
    assert said["IIIC2"] == "para-aortic node metastasis"
    assert not any("_" in words for words in said.values())


def test_a_nested_or_negated_condition_keeps_its_brackets(tmp_path: Path) -> None:
    nested = "{any: [{all: [{fact: parametrium}, {not: {fact: pelvic_wall}}]}, {fact: stage_ii_extent}]}"
    changed = planted(tmp_path, ("figo-2018.yaml", "when: {fact: parametrium}", f"when: {nested}"))
    (row,) = (row for row in changed.tables["figo-2018"].table.rows if row.stage == "IIB")

    assert wording.clauses(row.when, changed) == (
        "(parametrial invasion and not (extension to the pelvic wall))",
        "or extension beyond the uterus (as T2 states)",
    )


@pytest.mark.parametrize("name", binder.NAMES)
def test_every_rule_file_has_a_sheet_as_text_and_as_a_page(name: str) -> None:
    sheet = binder.sheet(name, rules(), BOOK)

    assert sheet.rows > 0
    assert rules().knowledge.digest in printed(name)
    for grid in sheet.grids:
        for line in grid.lines:
            assert len(line.cells) == len(grid.columns) - 1
            assert all(cell and all(cell) for cell in line.cells), (name, line.name)


def test_every_sheet_that_is_signed_has_its_review_counted() -> None:
    sheets = [binder.sheet(name, rules(), BOOK) for name in binder.NAMES]

    assert sorted(map(repr, reviews(rules()))) == sorted(repr(sheet.review) for sheet in sheets if sheet.review is not None)


def test_a_rule_file_that_is_added_gets_a_sheet() -> None:
    from services.staging.knowledge import RULES

    assert {path.stem for path in RULES.glob("*.yaml")} == set(binder.NAMES)


def test_every_code_and_every_word_of_a_code_file_is_on_its_sheet() -> None:
    """Whatever a colleague adds to a rule file is read by whoever signs it."""
    from services.staging.knowledge import RULES

    for name in ("tnm", "metastatic-sites", "primary", "recorded", "observations"):
        shown = flat(printed(name))
        told = "\n".join(line for line in (RULES / f"{name}.yaml").read_text().splitlines() if not line.lstrip().startswith("#"))
        codes = set(re.findall(r'"([A-Z0-9][\w.-]{2,})"', told)) - {"2027-01-31"}
        assert {code for code in codes if code not in shown} == set(), name


def test_sites_say_class_codes_what_they_settle_or_ask_and_their_dispute() -> None:
    shown = flat(printed("metastatic-sites"))

    assert "ICD-10: C780" in shown
    assert "Ask: Cystoscopy with biopsy of the bladder mucosa" in shown
    sheet = code_sheets.sites(rules(), BOOK)
    marked = {line.name for grid in sheet.grids for line in grid.lines if CONTESTED in line.marks}
    assert {"ovary", "pleura", "node-mesorectal", "mesorectal node"} <= marked
    assert "lung" not in marked


def test_a_definition_of_few_metastases_bears_its_own_check() -> None:
    sheet = code_sheets.sites(rules(), BOOK)
    (grid,) = (grid for grid in sheet.grids if grid.heading == "Oligometastatic disease")

    assert {line.name: line.marks == (CHECKED,) for line in grid.lines} == {
        name: rule.checked for name, rule in rules().sites.oligometastatic.items()
    }
    assert "Lesions: 3" in grid.lines[0].cells[1]


def test_a_category_says_what_it_states_in_each_version() -> None:
    (line,) = (line for line in binder.sheet("tnm", rules(), BOOK).grids[0].lines if line.name == "T1b1")

    assert line.cells[0] == ("greatest diameter at most 20 mm", "tumour confined to the cervix", "a visible lesion or one deeper than 5 mm")
    assert line.cells[2] == ("up to version 8: greatest diameter at most 40 mm",)


@pytest.mark.parametrize("names", [("figo-2018",), tuple(FILES), binder.NAMES])
def test_a_page_is_whole_and_fetches_nothing(names: tuple[str, ...]) -> None:
    source = paged(*names)
    found = Tags(source)

    assert found.open == []
    assert found.fetched == []
    assert not re.search(r"<script|@import|url\(", source)
    for name in names:
        assert f'"{name}  \\b7  edition' in source.replace("\\00b7", "\\b7")
        assert (f"Signatures: {name}" in source) is (name not in ("facts", "references"))
    assert all(word in source for word in ("A4 landscape", "table-header-group", "break-inside: avoid", "counter(page)"))


def test_unchecked_and_contested_rows_are_marked_by_frames_and_words_not_by_colour() -> None:
    source = paged("figo-2009", "figo-2018")
    unchecked = [row for edition in EDITIONS for row in rules().tables[edition].table.rows if not row.checked]

    assert source.count('<p><span class="mark">not checked</span></p>') == len(unchecked)
    assert Tags(source).rows.count("contested") == 2
    assert not re.search(r"color: (?!#(000|333|777))", source)


def test_words_are_escaped(tmp_path: Path) -> None:
    says = "says: Into the parametrium, not to the pelvic wall."
    known = planted(tmp_path, ("figo-2018.yaml", says, "says: Deeper <b>than</b> & <script>alert(1)</script>."))
    book = Casebook((Example('A "<i>case</i>"', "x.yaml", {"figo-2018": "IIB"}, frozenset(), frozenset()),))
    source = paged("figo-2018", known=known, book=book)

    assert "<script>" not in source
    assert "<i>case" not in source
    assert "Deeper &lt;b&gt;than&lt;/b&gt; &amp; &lt;script&gt;" in source


def test_who_signed_is_said_in_text_and_on_paper(tmp_path: Path) -> None:
    known = planted(tmp_path, ("figo-2018.yaml", REVIEW, SIGNED))

    assert "Review: reviewed, signed by AB, CD on 2026-09-01, next due 2027-01-31." in printed("figo-2018", known)
    assert "signed by AB, CD on 2026-09-01" in paged("figo-2018", known=known)
    assert "signed by nobody yet" in signed(binder.sheet("tnm", known, BOOK))


def test_without_the_repository_a_sheet_says_that_cases_were_not_looked_at() -> None:
    assert "not looked at: the cases are in the repository" in printed("figo-2018", book=None)
    assert "The cases of each row" not in paged("figo-2018", book=None)


def test_the_booklet_counts_its_rows_and_marks() -> None:
    contents = flat(paged(*binder.NAMES).partition("</section>")[0])

    for sheet in binder.booklet(rules(), BOOK):
        counted = f"{sheet.name} {sheet.title} {sheet.rows} {sheet.marked(UNCHECKED)} {sheet.marked(CONTESTED)}"
        assert counted in contents
        checks = [line.marks for grid in sheet.grids for line in grid.lines if grid.kind != "cases"]
        assert all(len({CHECKED, UNCHECKED} & set(marks)) <= 1 for marks in checks)


def test_the_same_rules_print_the_same_bytes() -> None:
    assert paged(*binder.NAMES) == paged(*binder.NAMES)
