"""Sheets as text for a terminal, and as one page of HTML to print on A4 and sign: nothing in it is fetched from anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from services.staging.sheets import CHECKED, CONTESTED, UNCHECKED, Grid, Line, Sheet
from shared.knowledge.printing import environment, signature
from shared.oncology.stage import Knowledge

_WIDTH = 120
_DENSE = ("plain", "values", "codes", "works")


def text(sheet: Sheet, knowledge: Knowledge) -> str:
    """A sheet as plain text, row by row."""
    lines = [sheet.title, "=" * len(sheet.title), *(part for each in sheet.about for part in wrap(each, _WIDTH))]
    lines += [f"Edition {knowledge.edition}, digest {knowledge.digest}. {signed(sheet)}"]
    for grid in sheet.grids:
        lines += ["", grid.heading, "-" * len(grid.heading), *([grid.about] if grid.about else []), ""]
        for number, line in enumerate(grid.lines, 1):
            lines += [*_row(line, grid, number), *([] if grid.kind in _DENSE else [""])]
    return "\n".join(lines).rstrip() + "\n"


def page(sheets: tuple[Sheet, ...], knowledge: Knowledge, *, with_cases: bool) -> str:
    """One self-contained HTML page of one sheet, or of several with contents before them."""
    title = sheets[0].title if len(sheets) == 1 else "The rules of staging"
    seen = "The cases are those of the repository." if with_cases else "Printed from an installed package: the cases are in the repository."
    shown = environment("services.staging").get_template("sheets.html")
    return shown.render(
        title=title,
        sheets=sheets,
        knowledge=knowledge,
        seen=seen,
        signed=signed,
        checks=_checks,
        UNCHECKED=UNCHECKED,
        CONTESTED=CONTESTED,
        CHECKED=CHECKED,
    )


def signed(sheet: Sheet) -> str:
    """Who has signed a sheet, when, and when it is due again."""
    if sheet.review is None:
        return "Signed with the tables that use it."
    return signature(sheet.review)


def _checks(grid: Grid) -> bool:
    """Whether the rows of a grid are compared with a source at all."""
    return any(line.marks for line in grid.lines)


def _row(line: Line, grid: Grid, number: int) -> Iterator[str]:
    marks = "".join(f"  [{mark if mark == CHECKED else mark.upper()}]" for mark in line.marks)
    if grid.kind in _DENSE:
        told = " | ".join(" ".join(cell) for cell in line.cells)
        yield from wrap(f"{line.name}: {told}{marks}", _WIDTH, subsequent_indent="    ", break_on_hyphens=False)
        return
    yield f"{line.name}  (row {number} of {len(grid.lines)}){marks}"
    for column, cell in zip(grid.columns[1:], line.cells, strict=True):
        for place, part in enumerate(cell):
            label = f"    {column + ':' if place == 0 else '':26}"
            yield from wrap(part, _WIDTH, initial_indent=label, subsequent_indent=" " * 32, break_on_hyphens=False)
