"""The command `figaro cohort`: a whole export staged and summarised. Brings the library of cohorts, staging and the cases together."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from services.cohort.plan import Plan
    from shared.oncology.record import Finding, Record
    from shared.oncology.stage import Staging


def cohort(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of NDJSON, as a Bulk Data export leaves it; plain or gzip.")],
    *,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="process|pool|dask", help="Who works: this process, the cores, or a Dask cluster. Else by size."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="A Dask scheduler (tcp://host:8786) instead of one here.")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="So many processes; else one for each core.")] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where the results go; else beside the export, as DIR-cohort.")
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="A row for every patient, with or without a cancer of the cervix.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="The rows on standard output, one line of JSON a patient.")] = False,
    as_of: Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="Answer as of this day (YYYY-MM-DD).")] = None,
    open_cases: Annotated[bool, typer.Option("--open-cases", help="A case in `figaro serve` for each patient with a stage.")] = False,
    at_once: Annotated[
        int, typer.Option("--at-once", metavar="N", min=1, max=500, help="So many of these cases under way, at most.")
    ] = 100,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="DIR", help="The founding study's report on these patients: HTML, PDF, curves.")
    ] = None,
    hide_below: Annotated[
        int, typer.Option("--hide-below", metavar="N", min=0, help="Counts from 1 to below N are shown nowhere but in the rows.")
    ] = 0,
    json_errors: Annotated[bool, typer.Option("--json-errors", help="Errors as FHIR OperationOutcome.")] = False,
) -> None:
    """Stages every patient of an export with a cancer of the cervix. Reaches no network, but for a scheduler or for cases."""
    from rich.console import Console
    from rich.progress import TaskID

    from services.cohort import engines
    from shared.fhir.outcome import Refused
    from shared.service.log import configure

    try:
        from services.cohort import summary
        from services.cohort.result import ROWS
        from services.cohort.run import run
    except ImportError as error:
        if (error.name or "").startswith(("services", "shared")):
            raise
        raise Refused(engines.MISSING, code="required") from None

    configure("ERROR")
    plan = _plan(folder, to or folder.absolute().with_name(f"{folder.absolute().name}-cohort"), all, as_of)
    out, messages = Console(width=None if sys.stdout.isatty() else 150), Console(stderr=True, quiet=json_errors)
    name = engine or ("dask" if scheduler else _engine(plan))
    with _progress(messages) as bar:
        tasks: dict[str, int] = {}

        def told(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(TaskID(tasks[step]), completed=done)

        with engines.engine(name, workers=workers, scheduler=scheduler) as working:
            manifest = run(plan, working, told)
    if lines:
        with (plan.folder / ROWS).open("rb") as rows:
            for row in rows:
                sys.stdout.buffer.write(row)
        sys.stdout.flush()
    # Stages, sites and counts of the whole export would give away what the report hides.
    for table in summary.tables(plan.folder) if not hide_below else ():
        (messages if lines else out).print(table)
    for text in summary.notes(manifest) if not hide_below else summary.without_numbers(manifest.counts):
        messages.print(text, style=None, highlight=False, markup=False, soft_wrap=True)
    messages.print(f"{plan.folder}: {', '.join(manifest.files)}, manifest.json", style=None, highlight=False, markup=False, soft_wrap=True)
    if report:
        _report(plan.folder, report, hide_below, messages if lines else out, messages)
    if open_cases and _cases(plan, at_once, messages):
        raise typer.Exit(1)


def _progress(messages: Console) -> Progress:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=messages)


def _plan(export: Path, folder: Path, all: bool, as_of: str | None) -> Plan:
    from services.cli import day
    from services.cohort.plan import Asked, Medicine, Plan, inputs
    from services.cohort_study import STUDY, edition
    from services.staging.knowledge import rules
    from shared import VERSION

    digest = rules().knowledge.digest
    asked = Asked(inputs=inputs(export), knowledge=digest, version=VERSION, all=all, as_of=day(as_of), study=edition())
    return Plan(export.absolute(), folder, asked, Medicine(names_the_cervix, staged, STUDY))


def _report(result: Path, to: Path, hide_below: int, out: Console, messages: Console) -> None:
    """The founding study's report on a result, in a folder and in the terminal."""
    from services.cohort import terminal
    from services.cohort.report import of_result, written

    found = of_result(result, threshold=hide_below)
    for table in terminal.tables(found):
        out.print(table)
    for text in (terminal.CAUTION, f"{to}: {', '.join(path.name for path in written(found, to))}"):
        messages.print(text, style=None, highlight=False, markup=False, soft_wrap=True)


def _engine(plan: Plan) -> str:
    """The pool where there is work for several; a small export is read before its processes have started."""
    from services.cohort.engines import cores
    from services.cohort.plan import packed

    size = sum(each.size * (10 if packed(plan.export / each.name) else 1) for each in plan.asked.inputs)
    return "pool" if cores() > 1 and size > 1 << 30 else "process"


def staged(record: Record) -> Staging:
    """The stage by the rules of this installation."""
    from services.staging.knowledge import rules
    from services.staging.stage import stage

    return stage(record, rules())


def names_the_cervix(finding: Finding) -> bool:
    """Whether a Condition names the cervix as the place of a tumour, or an Observation asks for its FIGO stage.

    Whoever has no such resource has no stage either. A TNM stage group alone is of any organ.
    """
    from services.staging.diagnosis import named
    from services.staging.knowledge import rules
    from services.staging.recorded import foreign, meaning
    from shared.fhir.codes import SNOMED, codes

    known = rules()
    pairs = codes(finding.concept)
    if finding.kind == "observation":
        asked = known.meaning(finding.concept) or meaning(finding, known)
        group = any(code in known.recorded.tnm_group_codes for _, code in pairs)
        return asked is not None and asked.kind == "figo" and not group and not foreign(finding, known)
    if finding.kind != "condition":
        return False
    found = named(finding, known)
    if found is not None:
        return found.kind not in ("other", "neuroendocrine")
    if any(system == SNOMED and code in known.primary.state_snomed for system, code in pairs):
        return True
    words = (finding.concept.text or "").lower()
    return not pairs and any(word in words for word in known.primary.words)


def _cases(plan: Plan, at_once: int, messages: Console) -> int:
    """Hands the patients who have a stage to a running `figaro serve`, so many at once; how many are stuck."""
    import asyncio

    from services import importing
    from services.cohort.result import staged_patients
    from services.ingest.settings import IngestSettings
    from shared.fhir.bulk_job import held
    from shared.service.settings import load

    patients = list(staged_patients(plan.folder))
    with _progress(messages) as bar:
        ended = asyncio.run(importing.cases(patients, held(plan.export), at_once, load(IngestSettings), bar))
    for state, count in sorted(ended.items()):
        messages.print(f"  {state}: {count}", highlight=False)
    return ended["stuck"]
