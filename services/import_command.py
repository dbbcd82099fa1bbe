"""The command `figaro import`: a Bulk Data export, or a folder of NDJSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def bulk_import(
    source: Annotated[str, typer.Argument(metavar="BASE_URL|DIR", help="A FHIR server with Bulk Data export, or a folder of NDJSON.")],
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where the files of a server go; an export half there goes on.")
    ] = None,
    group: Annotated[str | None, typer.Option("--group", metavar="ID", help="Only the members of this Group.")] = None,
    system: Annotated[bool, typer.Option("--system", help="The whole server instead of what belongs to patients.")] = False,
    type: Annotated[list[str] | None, typer.Option("--type", metavar="TYPE", help="Only this resource type; may be given often.")] = None,
    filter: Annotated[list[str] | None, typer.Option("--filter", metavar="TYPE?QUERY", help="A _typeFilter; may be given often.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="DATE", help="Only what has changed since this day or instant.")] = None,
    within: Annotated[float, typer.Option("--within", metavar="HOURS", min=0.001, help="Cancel an export that is not ready by then.")] = 4,
    open_cases: Annotated[bool, typer.Option("--open-cases", help="A case for each patient with a cancer of the cervix.")] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", metavar="N", min=1, max=500, help="So many of these cases under way, at most.")
    ] = 100,
    json_errors: Annotated[bool, typer.Option("--json-errors", help="Errors as FHIR OperationOutcome.")] = False,
) -> None:
    """Fetches a bulk export, says what it holds, and opens cases in a running `figaro serve`. Leaves with 2 where a line cannot be read."""
    import asyncio

    from rich.console import Console

    from services import importing
    from services.ingest.settings import IngestSettings
    from services.staging.diagnosis import named
    from services.staging.knowledge import rules
    from shared.fhir.bulk_manifest import KINDS, Ask
    from shared.fhir.outcome import Refused
    from shared.oncology.record import Finding
    from shared.service.log import configure
    from shared.service.settings import load

    configure("ERROR")
    remote = source.startswith(("http://", "https://"))
    if remote and to is None:
        raise Refused("Say where the files go: --to DIR. They hold patients, and only you can read them there.", code="required")
    if not remote and (to or group or system or type or filter or since):
        if not Path(source).exists():
            raise Refused(f"{source} is no folder here, and a server's address begins with http:// or https://.", code="value")
        raise Refused("These options are for a server; a folder is read as it is.")
    known = rules()

    def of_cervix(condition: Finding) -> bool:
        found = named(condition, known)
        return found is not None and found.kind == "cervix"

    ask = Ask(group=group, system=system, kinds=tuple(type or KINDS), since=since, filters=tuple(filter or ()))
    wanted = importing.Wanted(ask, to or Path(source), within, at_once if open_cases else None)
    out = Console(width=None if sys.stdout.isatty() else 150)
    code = asyncio.run(
        importing.bulk_import(
            source if remote else None, wanted, load(IngestSettings), of_cervix, out, Console(stderr=True, quiet=json_errors)
        )
    )
    if code:
        raise typer.Exit(code)
