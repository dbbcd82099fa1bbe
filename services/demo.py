"""The main job, whole, on an embedded default: a FHIR server with synthetic patients, the three services, CarePlans written back.

And a pretend EHR before it, where a pretended clinician opens the page of each patient.
"""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from services import screens
from services.journey import Doors, Seen, journey
from services.pretend_ehr.ehr import CLIENT, CLINICIAN, Listed, PretendEhr
from services.pretend_ehr.ehr import create as create_pretend_ehr
from services.together import TogetherSettings, free_port, style_sheet, together
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Refused
from shared.service.embedded import embedded_fhir_server
from shared.service.serving import served
from shared.smart.pretend import configuration

FOUNDING = 48
HERE: Final = "127.0.0.1"
AGAIN: Final = ".venv/bin/figaro demo --stay"
Bundles = Sequence[dict[str, Any]]


class Stands(NamedTuple):
    """What the demo has set up: the FHIR server's base, the addresses of the three services and of the pretend EHR, and the answers."""

    base: str
    address: str
    ehr: str
    seen: Sequence[Seen]


def progress(console: Console) -> Progress:
    """The progress bar of every long command."""
    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console)


async def demo(out: Console, messages: Console, *, stay: bool) -> None:
    """Runs the demo and prints its screens to `out`; with `stay` the servers go on until Ctrl-C. Raises Refused without the extras."""
    async with standing(_patients(), messages) as stands:
        show(out, stands.seen)
        where(out, stands)
        if stay:
            out.print("The servers go on until you press Ctrl-C.")
            await asyncio.Event().wait()
    out.print(f"The servers have ended with this command. To open these addresses, keep them up:  {AGAIN}", soft_wrap=True)


def _patients() -> Bundles:
    try:
        from examples.synthetic_patients import patients
    except ImportError as error:
        raise Refused("The synthetic patients come with the source: run the demo in a checkout, with `make demo`.") from error
    return patients()


@asynccontextmanager
async def standing(bundles: Bundles, messages: Console) -> AsyncIterator[Stands]:
    """Everything up, and every patient answered, for as long as the block lasts. Raises Refused without the extras."""
    root, figaro = (f"http://{HERE}:{free_port(HERE)}" for _ in range(2))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="figaro-demo-")))
        base = stack.enter_context(embedded_fhir_server(launches=configuration(root)))
        bar = stack.enter_context(progress(messages))
        messages.print(f"A FHIR R4 server is up at {base}, in memory of this machine only; every patient on it is synthetic.")
        await _load(base, bundles, bar)
        settings = _settings(folder, base, figaro, root)
        address = await stack.enter_async_context(together(settings))
        ehr = PretendEhr(settings, root=root, base=base, figaro=f"{address}/ingest", style=style_sheet(address))
        seen = await _answered(address, [_reference(one) for one in bundles], bar)
        names = {_reference(one): _name(one) for one in bundles}
        ehr.patients = _list([_listed(case, names[case.patient]) for case in seen])
        await stack.enter_async_context(served(create_pretend_ehr(ehr), host=HERE, port=int(root.rpartition(":")[2])))
        bar.stop()
        yield Stands(base, address, root, seen)


def _settings(folder: Path, base: str, figaro: str, root: str) -> TogetherSettings:
    (folder / "issuers.yaml").write_text(f"""\
issuers:
  - id: demo
    base: {base}
    write: {{auth: none}}
    hosts: ['{root.removeprefix("http://")}']
    launch: {{client_id: {CLIENT}, client: public, write: true, embedded: false}}
""")
    return TogetherSettings(
        demo=True,
        host=HERE,
        port=int(figaro.rpartition(":")[2]),
        issuers=folder / "issuers.yaml",
        public_url=f"{figaro}/ingest",
        session_key=SecretStr(secrets.token_urlsafe(32)),
        data_directory=folder,
        debounce_seconds=0,
    )


async def _load(base: str, bundles: Bundles, bar: Progress) -> None:
    task = bar.add_task("load synthetic patients", total=len(bundles))
    async with FhirClient(base) as server:
        await server.update(CLINICIAN)
        for bundle in bundles:
            await server.transaction(msgspec.json.encode(bundle))
            bar.advance(task)


async def _answered(address: str, names: Sequence[str], bar: Progress) -> Sequence[Seen]:
    task = bar.add_task("pull, stage, recommend, write back", total=len(names))
    async with aiohttp.ClientSession() as session:
        return await journey(Doors(session, f"{address}/ingest"), names, seen=lambda done: bar.update(task, completed=done))


def _patient(bundle: dict[str, Any]) -> dict[str, Any]:
    return next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Patient")


def _reference(bundle: dict[str, Any]) -> str:
    return f"Patient/{_patient(bundle)['id']}"


def _name(bundle: dict[str, Any]) -> str:
    return str(_patient(bundle)["name"][0]["family"])


def _list(patients: Sequence[Listed]) -> Sequence[Listed]:
    """The founding cohort last, as on the screen; before it the stages that Figaro is made for."""
    centre = {"IVB": 0, "IVA": 1}
    return [*sorted(patients[FOUNDING:], key=lambda one: centre.get(one.stage, len(centre))), *patients[:FOUNDING]]


def _listed(case: Seen, name: str) -> Listed:
    patient, stage, could_be, _, sites, _, first, _ = screens.row(case)
    return Listed(patient, name, stage, could_be, sites, first)


def show(out: Console, seen: Sequence[Seen]) -> None:
    """The other patients first, the founding cohort and its counts last."""
    out.print(screens.patients(seen[FOUNDING:]))
    out.print(screens.founding(seen[:FOUNDING]))
    for held in screens.stuck(seen):
        out.print(held, soft_wrap=True)


def where(out: Console, stands: Stands) -> None:
    """Where to look in a browser."""
    seen, base, address = stands.seen, stands.base, stands.address
    plans = sum(case.careplan is not None for case in seen)
    stuck = sum(case.state == "stuck" for case in seen)
    out.print(f"{len(seen)} patients: {plans} CarePlans written, {stuck} stuck, the others outside the scope. Candidates, never orders.")
    first = next((case for case in seen if case.careplan), None)
    if first is not None and first.careplan is not None:
        out.print(f"  a CarePlan     {base}/{first.careplan.reference}")
        out.print(f"  its case       {address}/ingest/cases/{first.id}")
    out.print(f"  all CarePlans  {base}/CarePlan?_sort=-_lastUpdated")
    out.print(f"  the interface  {address}/ingest/docs")
    out.print("  the clinician's page, launched by a pretend EHR (pretend sign-in, synthetic patients, demo only):")
    out.print(f"                 {stands.ehr}/")
