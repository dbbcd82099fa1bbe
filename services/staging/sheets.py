"""Rule files as sheets: titled grids of lines in words, the same for a terminal and for paper. The stage tables, the facts, the works.

A sheet says of every row where it comes from, whether somebody compared it with its source, and which cases expect it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from services.staging import wording
from services.staging.casebook import Casebook, Example
from services.staging.knowledge import Rules
from services.staging.schema import ObservationRules, PrimaryRules, RecordedRules, SiteRules, TnmRules
from shared.knowledge.table import Reference, Review, Row

CHECKED = "checked"
UNCHECKED = "not checked against the source"
CONTESTED = "contested"
_NAMED = 2
_CONTESTED = "wall_without_mucosa"  # SEER makes it IIIA, and FIGO has no class for it: whatever row reads it is contested


class Line(NamedTuple):
    """One row: what it is called, a cell for each further column (each cell some paragraphs), and its marks."""

    name: str
    cells: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()


class Grid(NamedTuple):
    """One table; `columns` has the head of the first column, too. `kind` tells a page how wide the columns are."""

    heading: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    about: str = ""
    kind: str = "plain"


class Sheet(NamedTuple):
    """One rule file to read, print and sign. `review` is None for a file that is reviewed with those that use it."""

    name: str
    title: str
    about: tuple[str, ...]
    review: Review | None
    grids: tuple[Grid, ...]

    @property
    def rows(self) -> int:
        return sum(len(grid.lines) for grid in self.grids if grid.kind != "cases")

    def marked(self, mark: str) -> int:
        """How many rows bear the mark."""
        return sum(mark in line.marks for grid in self.grids for line in grid.lines)


def stage_table(edition: str, rules: Rules, book: Casebook | None) -> Sheet:
    """A stage table, row by row, and all its cases."""
    table = rules.tables[edition].table
    lines = tuple(_stage(row, edition, rules, book) for row in table.rows)
    columns = ("Stage", "In our words", "Holds when", "Source and place in it", "Cases")
    grids = [Grid("The rows, from the most to the least advanced", columns, lines, kind="stages")]
    if book is not None:
        listed = tuple(Line(row.stage, (_sentences(book.expecting(edition, row.stage)),)) for row in table.rows)
        about = "Every case of the repository that comes out as the row, by its sentence."
        grids.append(Grid("The cases of each row", ("Stage", "Cases"), listed, about, kind="cases"))
    until = f" to {table.in_force.to}" if table.in_force.to else ", and not replaced"
    about_table = (
        f"In force from {table.in_force.since}{until}.",
        "The first row from the top that holds is the stage. A row above it that is neither met nor excluded is what the stage could be.",
        "A row marked “parent” speaks where its substage is not told. What nobody has looked for is unknown, and never “no”.",
    )
    return Sheet(edition, table.title, about_table, table.review, tuple(grids))


def facts(rules: Rules, book: Casebook | None) -> Sheet:
    """The facts that rows read: in words, what settles each, how it is sent, and who reads it."""
    lines = []
    for name, rule in rules.facts.items():
        readers = [
            f"{edition}: {', '.join(rows)}"
            for edition, reader in rules.tables.items()
            if (rows := [row.stage for row in reader.table.rows if name in row.when.facts()])
        ]
        sent = (f"sent as {wording.name(name)}{f', in {rule.measure}' if rule.measure else ''}",)
        if not rule.code:
            sent = (f"not sent; asked for by {', '.join(map(wording.name, rule.supplied_by))}",)
        cells = ((wording.fact(name, rules),), (rule.ask,), sent, tuple(readers) or ("read by no row",))
        examples = cited(book and book.sending(wording.name(name)), "sent in") if rule.code else ("–",)
        lines.append(Line(wording.name(name), (*cells, examples)))
    columns = ("Fact", "In words", "What settles it", "How it arrives", "Rows that read it", "Cases")
    about = ("A fact holds, fails or is unknown; a measure lies between two ends. “Sent as” is its code in our code system.",)
    return Sheet("facts", "The facts that stage tables read", about, None, (Grid("Facts", columns, tuple(lines), kind="facts"),))


def references(rules: Rules) -> Sheet:
    """The works, and what cites them."""
    lines = []
    for work in rules.works.values():
        citing = [
            f"{edition}: {', '.join(rows)}"
            for edition, reader in rules.tables.items()
            if (rows := [row.stage for row in reader.table.rows if row.reference.work == work.id])
        ]
        citing += [name for name, file in headed(rules).items() if file[1].work == work.id]
        disputed = [key for key, it in rules.sites.contested.items() if work.id in {each.reference.work for each in it.readings}]
        citing += [f"metastatic-sites: {', '.join(key.replace('-', ' ') for key in disputed)}"] if disputed else []
        citing += (
            ["metastatic-sites: oligometastatic"] if work.id in {rule.reference for rule in rules.sites.oligometastatic.values()} else []
        )
        cells = ((work.citation, *([f"doi:{work.doi}"] if work.doi else [])), (work.seen,), tuple(citing) or ("nothing in these files",))
        lines.append(Line(work.id, cells))
    grid = Grid("Works", ("Id", "Citation", "How it was read", "Cited by"), tuple(lines), kind="works")
    return Sheet("references", "The works that the rules cite", ("“How it was read” says what we had before us.",), None, (grid,))


def headed(rules: Rules) -> dict[str, tuple[bool, Reference, Review]]:
    """The files whose check mark, source and review stand once, at their head."""
    files: dict[str, TnmRules | SiteRules | PrimaryRules | RecordedRules | ObservationRules] = {
        "tnm": rules.tnm,
        "metastatic-sites": rules.sites,
        "primary": rules.primary,
        "recorded": rules.recorded,
        "observations": rules.observations,
    }
    return {name: (file.checked, file.reference, file.review) for name, file in files.items()}


def reviews(rules: Rules) -> tuple[Review, ...]:
    """The review of every file that is signed."""
    return (*(reader.table.review for reader in rules.tables.values()), *(review for _, _, review in headed(rules).values()))


def cited(examples: Sequence[Example] | None, how: str, rest: str = "and {} more") -> tuple[str, ...]:
    """The number of cases, and the first of them by their sentences; `rest` says where the others are."""
    if examples is None:
        return ("not looked at: the cases are in the repository",)
    if not examples:
        return ("none",)
    more = len(examples) - _NAMED
    named = _sentences(examples[:_NAMED])
    return (f"{how} {len(examples)}:", *named, *([rest.format(more)] if more > 0 else []))


def source(reference: Reference, rules: Rules) -> tuple[str, ...]:
    """The work as printed, and the place in it."""
    return (rules.works[reference.work].citation, f"There: {reference.at}.")


def _stage(row: Row, edition: str, rules: Rules, book: Casebook | None) -> Line:
    words = (row.says, *(["parent: speaks where the substage is not told"] if row.parent else []))
    marks = (CONTESTED,) if _CONTESTED in row.when.facts() else ()
    cases = cited(book and book.expecting(edition, row.stage), "expected by", "and {} more, listed below the rows")
    cells = (words, wording.clauses(row.when, rules), source(row.reference, rules), cases)
    return Line(row.stage, cells, (*marks, CHECKED if row.checked else UNCHECKED))


def _sentences(examples: Iterable[Example]) -> tuple[str, ...]:
    return tuple(f"– {each.says}" for each in examples)
