"""The command `figaro`. Data goes to standard output, messages to standard error; bad input is answered in one sentence.

With `knowledge_commands.py`, `serve_command.py` and `together.py` the only module that may import more than one service. Heavy libraries
are imported where they are used.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from services.check_command import check
from services.cohort_command import cohort
from services.import_command import bulk_import
from services.keys_commands import keys
from services.knowledge_commands import Policies, knowledge
from services.serve_command import serve
from services.subscribe_command import subscribe
from shared.fhir.outcome import FigaroError, Refused, Unreadable, printable, quoted, to_bytes

if TYPE_CHECKING:
    from shared.oncology.record import Record

app = typer.Typer(
    name="figaro",
    help="FIGO staging and regimen options for cervical cancer, from FHIR to a draft CarePlan. Proposes, never orders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(knowledge, name="knowledge")
app.command("check", epilog="Example: figaro check http://127.0.0.1:8080/fhir")(check)
app.command("import", epilog="Example: figaro import https://ehr.example/fhir --group cervix --to export --open-cases")(bulk_import)
app.command("cohort", epilog="Example: figaro cohort export --engine pool --to result")(cohort)
app.add_typer(keys, name="keys")
app.command("serve", epilog="Example: FIGARO_FHIR_BASE=http://127.0.0.1:8080/fhir figaro serve")(serve)
app.command("subscribe", epilog="Example: figaro subscribe https://ehr.example/fhir")(subscribe)

UNREADABLE = 2
INTERNAL = 70  # EX_SOFTWARE of sysexits
File = Annotated[str, typer.Argument(metavar="FILE|-", help="A FHIR Bundle, or NDJSON with one Bundle a line; - is standard input.")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="DATE", help="Answer as of this day (YYYY-MM-DD); no clock is read.")]
Policy = Annotated[
    str, typer.Option("--policy", metavar="NAME", envvar="FIGARO_POLICY", help="The policy that orders candidates and sets thresholds.")
]
JsonErrors = Annotated[bool, typer.Option("--json-errors", help="Errors as FHIR OperationOutcome.")]


def _words(error: FigaroError) -> str:
    return "\n".join([*map(printable, str(error).splitlines()), *(f"  It says: {text}" for text in quoted(error))])


def main() -> None:
    """Runs a command; an error of ours becomes one sentence on standard error, and never a traceback."""
    try:
        app(prog_name="figaro")
    except FigaroError as error:
        if "--json-errors" in sys.argv:
            sys.stderr.buffer.write(to_bytes(error, quoting=True) + b"\n")
        else:
            sys.stderr.write(f"figaro: {_words(error)}\n")
        raise SystemExit(UNREADABLE if isinstance(error, Unreadable | Refused) else 1) from None
    except BrokenPipeError:
        # The reader has gone (`figaro stage … | head`): there is nobody left to tell.
        sys.stderr.close()
        raise SystemExit(0) from None
    except Exception as error:
        if "FIGARO_TRACEBACK" in os.environ:
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        # The error's own words may quote the record; its kind and place do not.
        place = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
        sys.stderr.write(
            f"figaro: this is a fault of Figaro and not of the input ({place}); please report it. FIGARO_TRACEBACK=1 shows more.\n"
        )
        raise SystemExit(INTERNAL) from None


@app.command(epilog="Example: figaro stage patient.json --text")
def stage(
    file: File,
    as_of: AsOf = None,
    text: Annotated[bool, typer.Option("--text", help="For people instead of JSON.")] = False,
    oligometastasis: Annotated[
        str | None, typer.Option(metavar="NAME", help="The definition of few metastases: yin-2019, sabr-comet, nccn-2020, ning-2018 …")
    ] = None,
    json_errors: JsonErrors = False,
) -> None:
    """FHIR in, staging out. Reaches no network."""
    from services.staging.knowledge import rules
    from services.staging.stage import stage as derive
    from shared.oncology.record import encode

    known = rules()
    known.oligometastasis(oligometastasis)
    if text:
        from shutil import get_terminal_size

        from services.note import WIDTH, note

        width = min(WIDTH, get_terminal_size().columns) if sys.stdout.isatty() else WIDTH
        _answer(
            file, as_of, lambda record: note(record, derive(record, known, oligometastasis), known, width).encode(), json_errors, plain=True
        )
    else:
        _answer(file, as_of, lambda record: encode(derive(record, known, oligometastasis)), json_errors)


@app.command(epilog="Example: figaro recommend patient.json --region FDA")
def recommend(
    file: File,
    as_of: AsOf = None,
    region: Annotated[str | None, typer.Option(metavar="FDA|EMA|NMPA", help="Make this agency's approval a criterion.")] = None,
    policy: Policy = "default",
    policies: Policies = None,
    json_errors: JsonErrors = False,
) -> None:
    """FHIR in, recommendation out. Reaches no network."""
    from shared.oncology.record import encode

    answering = _recommending(region, policy, policies)
    _answer(file, as_of, lambda record: encode(answering(record)[1]), json_errors)


@app.command(epilog="Example: figaro careplan patient.json > transaction.json")
def careplan(
    file: File, as_of: AsOf = None, policy: Policy = "default", policies: Policies = None, json_errors: JsonErrors = False
) -> None:
    """FHIR in, the transaction Bundle that would be written. Reaches no network."""
    import msgspec

    from services.recommend.app import drugs
    from services.recommend.careplan import transaction
    from services.recommend.decision import Answer
    from services.recommend.library import library
    from shared import VERSION
    from shared.fhir.r4 import check

    answering, codes = _recommending(None, policy, policies), drugs(library())

    def write(record: Record) -> bytes:
        staging, recommendation = answering(record)
        bundle = transaction(Answer(record, staging, recommendation), codes, at=_instant(record), software=VERSION)
        if wrong := check(bundle, {record.patient, *(finding.source for finding in record.findings)}):
            raise FigaroError(f"The transaction is not valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
        return msgspec.json.encode(bundle)

    _answer(file, as_of, write, json_errors)


def _recommending(region: str | None, policy: str, policies: Path | None) -> Callable[[Record], tuple[Any, Any]]:
    from services.recommend.candidates import recommend as propose
    from services.recommend.library import library
    from services.staging.knowledge import rules
    from services.staging.stage import stage as derive

    if region is not None and region not in ("FDA", "EMA", "NMPA"):
        raise Refused(f"There is no region {region[:20]}: give FDA, EMA or NMPA.")
    known, shelf, agency = rules(), library(policies), region
    few = shelf.policy(policy).oligometastasis

    def answer(record: Record) -> tuple[Any, Any]:
        staging = derive(record, known, few.id if few else None)
        return staging, propose(record, staging, shelf, policy=policy, region=agency)  # type: ignore[arg-type]

    return answer


def _instant(record: Record) -> str:
    """The newest day of the record as an instant: no clock is read, so that the same input gives the same bytes."""
    return f"{((record.today or '1970') + '-01-01')[:10]}T00:00:00Z"


def _answer(file: str, as_of: str | None, answering: Callable[[Record], bytes], json_errors: bool, *, plain: bool = False) -> None:
    """Writes an answer for every Bundle of the file; leaves with 2 where one could not be read."""
    from services.offline import answers

    broken = False
    with _open(file) as stream:
        for line in answers(stream, answering, as_of=day(as_of), plain=plain):
            if line.error is not None and (line.whole or plain):
                raise line.error
            if line.error is not None:
                broken = True
                sys.stderr.write(f"figaro: {_words(line.error)}\n")
            sys.stdout.buffer.write(line.answer + b"\n")
    sys.stdout.flush()
    if broken:
        raise typer.Exit(UNREADABLE)


def _open(file: str) -> BinaryIO:
    if file == "-":
        return sys.stdin.buffer
    try:
        return Path(file).open("rb")
    except OSError as error:
        raise Unreadable(f"{file} cannot be opened: {(error.strerror or 'no reason given').lower()}.", where=file) from None


def day(as_of: str | None) -> str | None:
    if as_of is None:
        return None
    from datetime import datetime

    try:
        return datetime.strptime(as_of, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise Refused(f"--as-of takes a day as YYYY-MM-DD, not {as_of[:20]!r}.") from None


@app.command(epilog="Example: figaro run http://127.0.0.1:8080/fhir --patient 17")
def run(
    base_url: Annotated[str, typer.Argument(metavar="BASE_URL", help="A FHIR R4 server that may be read and written.")],
    patient: Annotated[list[str] | None, typer.Option("--patient", metavar="ID", help="Only this patient; may be given often.")] = None,
    as_of: AsOf = None,
    json_errors: JsonErrors = False,
) -> None:
    """Pulls, stages, recommends and writes back, for every patient with a cervical cancer or for those named."""
    import asyncio

    from services.running import Sought, run_against
    from services.staging.knowledge import rules
    from shared.fhir.codes import ICD_10_SYSTEMS, ICD_O_3, SNOMED

    primary = rules().primary
    icd_10 = [f"{system}|{code}" for system in ICD_10_SYSTEMS for code in ("C53", *primary.topography)]
    # Registries code the cancer without its place, and the place as body site.
    sites = [f"{ICD_O_3}|{code}" for code in primary.topography] + [f"{SNOMED}|{code}" for code in primary.cervix_structures]
    sought = Sought((*icd_10, *(f"{SNOMED}|{disorder.code}" for disorder in primary.snomed)), tuple(sites))
    stuck = asyncio.run(run_against(base_url, tuple(patient or ()), sought, as_of=day(as_of)))
    if stuck:
        raise typer.Exit(1)


def _on_a_terminal() -> bool:
    """Whether somebody is there to press Ctrl-C."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@app.command(epilog="Example: figaro demo")
def demo(
    stay: Annotated[bool | None, typer.Option("--stay/--no-stay", help="Keep the servers up afterwards (default: on a terminal).")] = None,
) -> None:
    """The main job on an embedded default: a FHIR server with synthetic patients, and CarePlans written back to it."""
    import asyncio

    from rich.console import Console

    from services.demo import demo as play
    from shared.service.log import configure

    configure("ERROR")
    out = Console(width=None if sys.stdout.isatty() else 150)
    try:
        asyncio.run(play(out, Console(stderr=True), stay=_on_a_terminal() if stay is None else stay))
    except KeyboardInterrupt:
        return
