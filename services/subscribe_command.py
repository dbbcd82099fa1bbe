"""The command `figaro subscribe`: a table of our Subscriptions at a FHIR server."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def subscribe(
    base_url: Annotated[str, typer.Argument(metavar="BASE_URL", help="A FHIR server of the settings.")],
    remove: Annotated[bool, typer.Option("--remove", help="Delete our Subscriptions there.")] = False,
    topic: Annotated[list[str] | None, typer.Option("--topic", metavar="URL", help="Only this topic; may be given often.")] = None,
    push: Annotated[
        bool, typer.Option("--push", help="Print the address for an engine that pushes by itself; reaches no network.")
    ] = False,
    json_errors: Annotated[bool, typer.Option("--json-errors", help="Errors as FHIR OperationOutcome.")] = False,
) -> None:
    """Has a FHIR server notify ingest: creates, verifies and renews Subscriptions. Repeat it whenever you like."""
    import asyncio

    from rich.console import Console

    from services import subscribing
    from services.ingest.settings import IngestSettings
    from shared.fhir.outcome import printable
    from shared.service.log import configure
    from shared.service.settings import load

    configure("ERROR")
    settings = load(IngestSettings)
    if push:
        sys.stdout.write(subscribing.address(base_url, settings) + "\n")
        return

    def tell(text: str) -> None:
        sys.stderr.write(f"figaro: {printable(text)}\n")

    stands = asyncio.run(subscribing.subscribe(base_url, settings, remove=remove, topics=topic or (), tell=tell))
    Console(width=None if sys.stdout.isatty() else 150).print(subscribing.table(stands))
    for one in stands:
        if not one.works:
            tell(f"{one.reference} is {one.status}. {one.error}")
    if not all(one.works for one in stands):
        raise typer.Exit(1)
