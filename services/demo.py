"""The main job, whole, on an embedded default: a FHIR server with synthetic patients, the three services, CarePlans written back."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services import screens
from services.journey import Doors, Seen, journey
from services.together import TogetherSettings, together
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Refused
from shared.service.embedded import embedded_fhir_server

FOUNDING = 48


def progress(console: Console) -> Progress:
    """The progress bar of every long command."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)


async def demo(out: Console, messages: Console, *, stay: bool) -> None:
    """Runs the demo and prints its screens to `out`; with `stay` the servers go on until Ctrl-C. Raises Refused without the extras."""
    try:
        from examples.synthetic_patients import patients
    except ImportError as error:
        raise Refused("The synthetic patients come with the source: run the demo in a checkout, with `make demo`.") from error
    bundles = patients()
    with embedded_fhir_server() as base, tempfile.TemporaryDirectory(prefix="figaro-demo-") as folder, progress(messages) as bar:
        messages.print(f"A FHIR R4 server is up at {base}, in memory of this machine only; every patient on it is synthetic.")
        await _load(base, bundles, bar)
        settings = TogetherSettings(demo=True, port=0, fhir_base=base, data_directory=Path(folder), debounce_seconds=0)
        async with together(settings) as address, aiohttp.ClientSession() as session:
            names = [_patient(bundle) for bundle in bundles]
            task = bar.add_task("pull, stage, recommend, write back", total=len(names))
            seen = await journey(Doors(session, f"{address}/ingest"), names, seen=lambda done: bar.update(task, completed=done))
            bar.stop()
            show(out, seen)
            where(out, base, address, seen)
            if stay:
                out.print("The servers go on until you press Ctrl-C.")
                await asyncio.Event().wait()


async def _load(base: str, bundles: Sequence[dict[str, object]], bar: Progress) -> None:
    task = bar.add_task("load synthetic patients", total=len(bundles))
    async with FhirClient(base) as server:
        for bundle in bundles:
            await server.transaction(msgspec.json.encode(bundle))
            bar.advance(task)


def _patient(bundle: dict[str, object]) -> str:
    entries: list[dict[str, dict[str, str]]] = bundle["entry"]  # type: ignore[assignment]
    return next(f"Patient/{e['resource']['id']}" for e in entries if e["resource"]["resourceType"] == "Patient")


def show(out: Console, seen: Sequence[Seen]) -> None:
    """The other patients first, the founding cohort and its counts last."""
    out.print(screens.patients(seen[FOUNDING:]))
    out.print(screens.founding(seen[:FOUNDING]))


def where(out: Console, base: str, address: str, seen: Sequence[Seen]) -> None:
    """Where to look in a browser."""
    plans = sum(case.careplan is not None for case in seen)
    stuck = sum(case.state == "stuck" for case in seen)
    out.print(f"{len(seen)} patients: {plans} CarePlans written, {stuck} stuck, the others outside the scope. Candidates, never orders.")
    first = next((case for case in seen if case.careplan), None)
    if first is not None and first.careplan is not None:
        out.print(f"  a CarePlan     {base}/{first.careplan.reference}")
        out.print(f"  its case       {address}/ingest/cases/{first.id}")
    out.print(f"  all CarePlans  {base}/CarePlan?_sort=-_lastUpdated")
    out.print(f"  the interface  {address}/ingest/docs")
