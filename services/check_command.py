"""The command `figaro check`: a table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def check(
    base_url: Annotated[str, typer.Argument(metavar="BASE_URL", help="A FHIR R4 server. Nothing is written to it.")],
    json_errors: Annotated[bool, typer.Option("--json-errors", help="Errors as FHIR OperationOutcome.")] = False,
) -> None:
    """What this FHIR server lets us do, and what we fall back to. Leaves with 1 where it is not usable."""
    import asyncio

    from rich.console import Console

    from services.check import CheckSettings, lines, look, table, usable
    from services.ingest.searches import searches_for
    from shared.service.log import configure
    from shared.service.settings import load

    configure("ERROR")
    needed: dict[str, bool] = {}
    for search in searches_for("nobody"):
        needed[search.type] = needed.get(search.type, False) or not search.optional
    settings = load(CheckSettings)
    if not json_errors and (unnamed := settings.unnamed(base_url)):
        sys.stderr.write(f"figaro: {unnamed}\n")
    rows = asyncio.run(look(base_url, tuple(needed.items()), settings))
    if sys.stdout.isatty():
        Console().print(table(rows, base_url))
    else:
        typer.echo(lines(rows))
    if not usable(rows):
        raise typer.Exit(1)
