"""`figaro import`: a Bulk Data export fetched into a folder, or a folder that is there; what it holds; cases for the patients of ours."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from services.bulk_reading import PLACES, Holding, read
from services.demo import progress as progress_on
from services.ingest.doors.bulk_data import BulkCases
from services.ingest.ledger import Ledger
from services.ingest.settings import IngestSettings
from shared.fhir.bulk_job import Job, Told, export, held
from shared.fhir.bulk_manifest import Ask
from shared.fhir.bulk_wire import BulkLimits, BulkWire
from shared.fhir.outcome import Refused, Unreadable
from shared.fhir.pace import Pace
from shared.oncology.record import Finding
from shared.smart.issuers import Issuers, issuers_of
from shared.smart.servers import reaching
from shared.smart.tokens import authority


class Wanted(NamedTuple):
    """What is to become of it. `hours` bounds the export at the server, `at_once` the cases under way; None: no cases."""

    ask: Ask
    folder: Path
    hours: float = 4
    at_once: int | None = None


async def bulk_import(
    base_url: str | None, wanted: Wanted, settings: IngestSettings, chosen: Callable[[Finding], bool], out: Console, messages: Console
) -> int:
    """Prints what the folder holds and what became of it; returns the exit status. Raises what server, folder and ledger raise."""
    with progress_on(messages) as bar:
        job = await fetch(base_url, wanted, settings, bar) if base_url else held(wanted.folder)
        if job is not None and not job.stored:
            raise Unreadable(f"The export in {wanted.folder} is not complete: give its server once more, with the same options and --to.")
        base = server_of(job, settings) if wanted.at_once is not None else ""
        task = bar.add_task("read the files", total=None)
        holding = await asyncio.to_thread(
            read, wanted.folder, chosen, manifest=job.manifest if job else None, told=lambda lines: bar.update(task, completed=lines)
        )
        bar.update(task, total=sum(holding.of_file.values()))
        ended: Counter[str] | None = None
        if wanted.at_once is not None:
            ended = await cases(sorted(holding.patients), base, job, wanted.at_once, settings, bar)
    out.print(table(holding, ended))
    for text in notes(holding, job):
        messages.print(text, style=None, highlight=False, markup=False, soft_wrap=True)
    return 2 if holding.unreadable else 1 if holding.incomplete or (ended or Counter())["stuck"] else 0


async def fetch(base_url: str, wanted: Wanted, settings: IngestSettings, bar: Progress) -> Job:
    """The export of a server of the settings, every file in the folder; some may be short."""
    issuers = _issuers(settings, base_url)
    issuer = issuers(base_url)
    if (there := held(wanted.folder)) is not None and there.complete:
        text = f"Every file of this export is in {wanted.folder}: the server is not asked again. A new export needs a new folder."
        bar.console.print(text, markup=False)
    async with reaching(issuers, settings.fhir_networks) as session:
        wire = BulkWire(
            issuer.base,
            session=session,
            authority=authority(issuer, "read", session),
            hosts=issuer.hosts,
            pace=Pace(concurrency=min(4, issuer.limits.concurrency), per_second=issuer.limits.per_second),
            limits=replace(BulkLimits(), export=wanted.hours * 3600),
        )
        task = bar.add_task(f"the server exports {wanted.ask.about}", total=None)

        def progress(said: str) -> None:
            bar.update(task, description=f"the server exports {wanted.ask.about}{': ' if said else ''}{said.replace('[', '(')}")

        def files(done: int, total: int) -> None:
            bar.update(task, description="fetch the files", completed=done, total=total)

        return await export(wire, wanted.ask, wanted.folder, told=Told(progress, files))


async def cases(patients: Sequence[str], base: str, job: Job | None, at_once: int, settings: IngestSettings, bar: Progress) -> Counter[str]:
    """Hands these patients of the server at `base` to the running services, `at_once` under way at most; how their cases have ended."""
    ledger = await asyncio.to_thread(Ledger, settings.ledger_url)
    try:
        task = bar.add_task("pull, stage, recommend, write back", total=len(patients))
        doors = BulkCases(ledger, base, at_once=at_once, debounce=settings.debounce_seconds)
        since = job.manifest.transaction_time if job and job.manifest else None
        return await doors.open(patients, since=since, seen=lambda done: bar.update(task, completed=done))
    finally:
        ledger.close()


def server_of(job: Job | None, settings: IngestSettings) -> str:
    """The base of the server that the patients are on. Raises Refused where nothing says which, or it is not in the settings."""
    issuers = _issuers(settings, job.base if job else None)
    if job is None and issuers.default is None:
        raise Refused("Say on which server these patients are: FIGARO_FHIR_BASE, as the running `figaro serve` has it.", code="required")
    return issuers(job.base if job else None).base


def _issuers(settings: IngestSettings, base_url: str | None) -> Issuers:
    base = settings.fhir_base or (None if settings.issuers else base_url)
    return issuers_of(file=settings.issuers, base=base, bases=settings.fhir_bases, token=settings.fhir_token, role="read")


def table(holding: Holding, ended: Counter[str] | None) -> Table:
    """How many resources of each kind, patients of ours, and how their cases ended."""
    found = Table(box=SIMPLE_HEAD)
    found.add_column("what", no_wrap=True)
    found.add_column("how many", justify="right")
    for kind, count in sorted(holding.kinds.items()):
        found.add_row(kind, str(count))
    found.add_row("patients with a cancer of the cervix", str(len(holding.patients)))
    for state, count in sorted((ended or Counter()).items()):
        found.add_row(f"  {state}", str(count))
    return found


def notes(holding: Holding, job: Job | None) -> list[str]:
    """What was left out and why, and from when the next export is to start."""
    told = [str(fault) for fault in holding.faults]
    if (more := holding.unreadable - len(told)) > 0:
        told.append(f"… and {more} lines more that cannot be read.")
    if holding.nameless:
        told.append(f"{holding.nameless} Conditions name no patient; they are not used.")
    told += [
        f"The server says: {count} x {severity}, {code}; in its words in {_places(holding.words[severity, code])}."
        for (severity, code), count in sorted(holding.said.items())
    ]
    told += [f"{text}." for text in holding.short.values()]
    if job is not None and job.left_out:
        told.append(f"The server exports no {', '.join(job.left_out)} with its patients: --system has them, or a case reads them itself.")
    if job is not None and job.manifest is not None:
        if holding.deletions:
            told.append(f"{holding.deletions} deletions are told in deleted/; cases follow them from the server's own word.")
        told.append(_next(holding, job, job.manifest.transaction_time))
    return told


def _places(places: list[str]) -> str:
    return "; ".join(places[:PLACES]) + (" and further on" if len(places) > PLACES else "")


def _next(holding: Holding, job: Job, instant: str) -> str:
    """From when the next export may start; from no time where something of this one is missing, as it would be missing for good (BD-07)."""
    missing = [f"{len(holding.short)} {'files are' if len(holding.short) > 1 else 'file is'} short"] if holding.short else []
    missing += [f"{holding.lost} {'lines are' if holding.lost > 1 else 'line is'} lost"] if holding.lost else []
    missing += ["the server could not export some of it"] if holding.failed else []
    if not missing:
        return f"The next export starts where this one ended: --since {instant}"
    advice = "make the export again, into another folder"
    if job.short:
        advice = f"the same command asks for {' and '.join(job.short[:PLACES])} again; if that does not help, {advice}"
    return f"No next export can start where this one ended ({', '.join(missing)}), as it would never bring what is missing: {advice}."
