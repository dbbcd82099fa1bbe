"""The commands `figaro knowledge …`. With `cli.py` and `together.py` the only modules that may import more than one service."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.fhir.outcome import FigaroError, KnowledgeError, Refused

knowledge = typer.Typer(help="The rules, regimens and citations.", no_args_is_help=True)


Policies = Annotated[
    Path | None, typer.Option("--policies", metavar="FOLDER", envvar="FIGARO_POLICIES", help="A folder of policies of your own.")
]


@knowledge.command("check", epilog="Example: figaro knowledge check")
def check(policies: Policies = None) -> None:
    """Validates every rule, regimen and citation; leaves with 1 on any refusal."""
    from services.recommend.completeness import counts
    from services.recommend.library import check, load_library

    refusals = [*_staging_refusals(), *check(own=policies)]
    if not refusals:
        refusals = _few_refusals(policies)
    for refusal in refusals:
        sys.stderr.write(f"refused  {refusal}\n")
    if refusals:
        raise typer.Exit(1)
    library = load_library(own=policies)
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


def _few_refusals(policies: Path | None) -> list[KnowledgeError]:
    """Policies that name a definition of few metastases which staging has not, or has in other words."""
    from services.recommend.library import load_library
    from services.staging.knowledge import rules

    known = {name: rule.definition for name, rule in rules().sites.oligometastatic.items()}
    asked = [(policy.id, policy.oligometastasis) for policy in load_library(own=policies).policies.values()]
    return [
        KnowledgeError(f'Staging has no definition {few.id} of few metastases that says "{few.definition}".', file=f"{name}.yaml")
        for name, few in asked
        if few and known.get(few.id) != few.definition
    ]


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


@knowledge.command("show", epilog="Example: figaro knowledge show cisplatin-paclitaxel --html > cisplatin-paclitaxel.html")
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="A rule file of staging, or `staging` for all; any file of recommend (where two kinds share a name, `trials/ID` is one of "
            "them); `regimens` or `precautions` for all of them.",
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Pages to print and sign instead of text; rule files of staging, regimens and precautions only.")
    ] = False,
) -> None:
    """Shows a file of the knowledge as a person would read it; without an id, lists them."""
    from services.recommend.library import library
    from services.recommend.page import BOOKLETS, leaves
    from services.recommend.page import page as page_of_regimens
    from services.recommend.text import kinds
    from services.recommend.text import show as show_text
    from services.staging import binder
    from services.staging.knowledge import rules
    from services.staging.printing import page, text

    if name is None:
        for title, ids in {
            "rules of staging": (binder.BOOKLET, *binder.NAMES),
            **{kind: sorted(of) for kind, of in kinds(library()).items()},
        }.items():
            typer.echo(f"{title}\n  " + "\n  ".join(ids))
    elif name == binder.BOOKLET or name in binder.NAMES:
        sheets, looked = _sheets(name)
        edition = rules().knowledge
        typer.echo(page(sheets, edition, with_cases=looked) if html else "\n\n".join(text(sheet, edition) for sheet in sheets), nl=False)
    elif html and (found := leaves(name, library())):
        typer.echo(page_of_regimens(found, library()), nl=False)
    elif html:
        raise Refused(f"{name} has no page to print: give a rule file of staging, a regimen or a precaution, or all of {_all(BOOKLETS)}.")
    elif name in BOOKLETS:
        typer.echo("\n\n".join(show_text(f"{name}/{each}", library()) for each in sorted(kinds(library())[name])), nl=False)
    else:
        typer.echo(show_text(name, library()), nl=False)


def _all(booklets: tuple[str, ...]) -> str:
    return ", ".join(("staging", *booklets))


def _sheets(name: str) -> tuple[tuple[Any, ...], bool]:
    from services.staging import binder
    from services.staging.casebook import casebook
    from services.staging.knowledge import rules

    book = casebook()
    return (binder.booklet(rules(), book) if name == binder.BOOKLET else (binder.sheet(name, rules(), book),)), book is not None


@knowledge.command("export", epilog="Example: figaro knowledge export > figaro.json")
def export(
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="A file to write to instead of standard output.")] = None,
) -> None:
    """The knowledge as one FHIR R4 transaction: definitions, code systems, value sets and maps, each put under a fixed id."""
    import msgspec

    from shared.fhir.r4 import check as wrong_with

    bundle = definitions()
    if wrong := wrong_with(bundle):
        raise FigaroError(f"The definitions are not valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
    data = msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n"
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return
    try:
        out.write_bytes(data)
    except OSError as error:
        raise Refused(f"{out.name} cannot be written: {(error.strerror or 'no reason given').lower()}.") from None


def definitions() -> dict[str, Any]:
    """Everything that both services know, as the transaction that `export` prints."""
    from services.recommend.app import drugs
    from services.recommend.definitions import plans
    from services.recommend.library import FOLDER, library
    from services.recommend.pathway_definitions import pathways
    from services.recommend.sources import sources
    from services.staging.definitions import definitions as of_staging
    from services.staging.knowledge import rules
    from shared.fhir.definitions import bundle

    shelf = library()
    return bundle([*of_staging(rules()), *sources(shelf, FOLDER), *pathways(shelf), *plans(shelf, drugs(shelf))])
