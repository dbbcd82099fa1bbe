"""The command `figaro cohort`: a whole export staged and summarised. Brings the library of cohorts, staging and the cases together."""

from __future__ import annotations

import os
import sys
from datetime import date
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
    stage: Annotated[
        list[str] | None,
        typer.Option("--stage", metavar="STAGE", help="Cases for these FIGO 2018 stages alone, as IVB, or IV for IVA too; repeatable."),
    ] = None,
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

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy starts threads that spin, a tenth of a second in each process
    from services.cohort import engines
    from services.cohort.suppression import hides
    from shared.fhir.outcome import Refused

    try:
        from services.cohort import summary
        from services.cohort.result import ROWS
        from services.cohort.run import run
    except ImportError as error:
        if (error.name or "").startswith(("services", "shared")):
            raise
        raise Refused(engines.MISSING, code="required") from None

    hides(hide_below)
    if report is not None and report.resolve() == folder.resolve():
        raise Refused("The report cannot go among the files of the export: give another folder with --report.")
    stages = _stages(stage or [], open_cases)
    plan = _plan(folder, to or folder.absolute().with_name(f"{folder.absolute().name}-cohort"), all, as_of)
    out, messages = Console(width=None if sys.stdout.isatty() else 150), Console(stderr=True, quiet=json_errors)
    name = engine or ("dask" if scheduler else _engine(plan))
    if name == "dask" or report or open_cases:  # nothing else logs
        from shared.service.log import configure

        configure("ERROR")
    with _progress(messages, counts=not hide_below) as bar:
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
    if open_cases and _cases(plan, stages, at_once, messages, counts=not hide_below):
        raise typer.Exit(1)


def _progress(messages: Console, *, counts: bool = True) -> Progress:
    """The bar; without `counts` it tells how far a step has come, and not of how many patients."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    told = [MofNCompleteColumn()] if counts else []
    return Progress(TextColumn("{task.description}"), BarColumn(), *told, TimeElapsedColumn(), console=messages)


def _stages(asked: list[str], open_cases: bool) -> tuple[str, ...]:
    """The stages that cases are asked for; raises Refused where one is none, or no cases are."""
    from services.cohort.summary import STAGES
    from shared.fhir.outcome import Refused

    if asked and not open_cases:
        raise Refused("--stage chooses whom --open-cases opens a case for: give both.")
    for one in asked:
        if one.upper() not in STAGES:
            raise Refused(f"--stage takes a stage of FIGO 2018, as IVB, or IV for all of it; {one[:10]} is none.")
    return tuple(one.upper() for one in asked)


def _plan(export: Path, folder: Path, all: bool, as_of: str | None) -> Plan:
    from services.cli import day
    from services.cohort.plan import Asked, Medicine, Plan, inputs
    from services.cohort_study import STUDY, edition
    from services.staging.knowledge import rules
    from shared import VERSION

    digest = rules().knowledge.digest
    until = None if as_of else date.today().isoformat()  # the one clock that is read, so that nobody is followed into the future
    asked = Asked(inputs=inputs(export), knowledge=digest, version=VERSION, all=all, as_of=day(as_of), study=edition(), until=until)
    return Plan(export.absolute(), folder, asked, Medicine(names_the_cervix, staged, STUDY))


def _report(result: Path, to: Path, hide_below: int, out: Console, messages: Console) -> None:
    """The founding study's report on a result, in a folder and in the terminal."""
    from services.cohort import terminal
    from services.cohort.document import written
    from services.cohort.report import of_result

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


def _cases(plan: Plan, stages: tuple[str, ...], at_once: int, messages: Console, *, counts: bool) -> int:
    """Hands the patients who have a stage, or one of these, to a running `figaro serve`, so many at once; how many are stuck."""
    import asyncio

    from services import importing
    from services.cohort.result import staged_patients
    from services.ingest.settings import IngestSettings
    from shared.fhir.bulk_job import held
    from shared.service.settings import load

    patients, job, settings = list(staged_patients(plan.folder, stages)), held(plan.export), load(IngestSettings)
    base = importing.server_of(job, settings)
    with _progress(messages, counts=counts) as bar:
        ended = asyncio.run(importing.cases(patients, base, job, at_once, settings, bar))
    for state, count in sorted(ended.items()):
        if counts or count:
            messages.print(f"  {state}: {count if counts else 'some'}", highlight=False)
    return ended["stuck"]
