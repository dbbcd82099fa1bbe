"""The commands `figaro knowledge …`. With `cli.py` and `together.py` the only modules that may import more than one service."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from shared.fhir.outcome import KnowledgeError, Refused

knowledge = typer.Typer(help="The rules, regimens and citations.", no_args_is_help=True)


@knowledge.command("check", epilog="Example: figaro knowledge check")
def check() -> None:
    """Validates every rule, regimen and citation; leaves with 1 on any refusal."""
    from services.recommend.completeness import counts
    from services.recommend.library import check, load_library

    refusals = [*_staging_refusals(), *check()]
    for refusal in refusals:
        sys.stderr.write(f"refused  {refusal}\n")
    if refusals:
        raise typer.Exit(1)
    library = load_library()
    figures = [figure for work in library.works.values() for figure in work.figures]
    for line in _staging_counts():
        typer.echo(line)
    typer.echo(f"recommend    {len(library.regimens)} regimens, {len(library.works)} works, {len(figures)} figures")
    unchecked = [f"{known - checked} of {known} {of}" for of, (known, checked) in counts(library).items()]
    typer.echo(f"             not checked: {', '.join(unchecked)}")
    typer.echo("             an unchecked figure is never shown; the rest carries the mark")
    typer.echo(f"             edition {library.knowledge.edition}, digest {library.knowledge.digest}")
    typer.echo(f"             {library.drafts} files nobody has signed; the next review is due {library.next_review}")
    typer.echo("No refusal.")


def _staging_refusals() -> list[KnowledgeError]:
    from services.staging import casebook, soundness
    from services.staging.knowledge import Rules

    try:
        rules, book = Rules(), casebook.casebook()
    except KnowledgeError as error:
        return [error]
    return [*soundness.refusals(rules), *(casebook.refusals(rules, book) if book is not None else [])]


def _staging_counts() -> list[str]:
    from services.staging.casebook import casebook
    from services.staging.knowledge import rules
    from services.staging.sheets import reviews

    known, book = rules(), casebook()
    rows = [row for reader in known.tables.values() for row in reader.table.rows]
    unchecked = sum(not row.checked for row in rows)
    signed = reviews(known)
    cases = "cases not looked at: they are in the repository, and this is an installed package"
    return [
        f"staging      {len(known.tables)} editions, {len(rows)} rows ({unchecked} not checked against their source)",
        "             no gap, no overlap, no row out of reach, no fact that nobody supplies",
        f"             {cases if book is None else f'{len(book.examples)} cases; every row, site and category has one'}",
        f"             edition {known.knowledge.edition}, digest {known.knowledge.digest}",
        f"             {sum(not it.by for it in signed)} files nobody has signed; the next review is due {min(it.next for it in signed)}",
    ]


@knowledge.command("show", epilog="Example: figaro knowledge show figo-2018 --html > figo-2018.html")
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A rule file of staging, `staging` for all of them, a regimen or a work.")
    ] = None,
    html: Annotated[bool, typer.Option("--html", help="One page to print and sign instead of text; rule files of staging only.")] = False,
) -> None:
    """Shows a rule file, a regimen or a work as a person would read it; without an id, lists them."""
    from services.recommend.library import library
    from services.recommend.text import show as show_regimen
    from services.staging import binder
    from services.staging.knowledge import rules
    from services.staging.printing import page, text

    if name is None:
        shelf = library()
        for title, ids in (("rules of staging", (binder.BOOKLET, *binder.NAMES)), ("regimens", shelf.regimens), ("works", shelf.works)):
            typer.echo(f"{title}\n  " + "\n  ".join(ids if title.startswith("rules") else sorted(ids)))
    elif name == binder.BOOKLET or name in binder.NAMES:
        sheets, looked = _sheets(name)
        edition = rules().knowledge
        typer.echo(page(sheets, edition, with_cases=looked) if html else "\n\n".join(text(sheet, edition) for sheet in sheets), nl=False)
    elif html:
        raise Refused(f"Only rule files of staging have a page to print: {', '.join((binder.BOOKLET, *binder.NAMES))}.")
    else:
        typer.echo(show_regimen(name, library()))


def _sheets(name: str) -> tuple[tuple[Any, ...], bool]:
    from services.staging import binder
    from services.staging.casebook import casebook
    from services.staging.knowledge import rules

    book = casebook()
    return (binder.booklet(rules(), book) if name == binder.BOOKLET else (binder.sheet(name, rules(), book),)), book is not None
