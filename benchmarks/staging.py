"""`figaro stage` on 2,000 synthetic patients, beside parsing the same bytes and beside the TNM part alone in FHIRPath.

    make bench

One core, CPU time, all candidates once a round, medians over the rounds. Quote the ratios: the seconds are this machine's. FHIRPath
answers one question of those that staging answers (see tnm_in_fhirpath.py), and every answer that it gives must be ours.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import tnm_in_fhirpath
from benchmarks.long_records import busiest, grown
from examples.population import population
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode

VERSIONS = ("msgspec", "orjson", "fhirpathpy")
OURS, PARSING = "figaro stage: read, stage, encode", "orjson.loads alone"
LENGTHS = (100, 1_000, 10_000, 100_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--peer-patients", type=int, default=200, help="fhirpathpy is slow: it gets the first so many of the same patients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=9)
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    lines = [json.dumps(bundle).encode() for bundle in population(asked.patients, seed=1)]
    out = Console(width=None if sys.stdout.isatty() else 110)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    out.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    out.print(
        f"patients of {sum(map(len, lines)) / len(lines) / 1000:.1f} kB on average; {asked.rounds} rounds; medians of CPU time on one core"
    )
    out.print(rates(lines, lines[: asked.peer_patients], asked.rounds))
    out.print(growth(asked.rounds))
    taken = starts(asked.starts)
    median = statistics.median(taken)
    out.print(f"start of `figaro stage` on one patient: {median:.2f} s median of {len(taken)} ({min(taken):.2f} to {max(taken):.2f})")
    out.print(f"its memory at most: {memory()}")


def rates(lines: Sequence[bytes], few: Sequence[bytes], rounds: int) -> Table:
    """Patients a second, ours and the peers', each including its own parsing."""
    known = rules()
    plain, fast = tnm_in_fhirpath.plain(known), tnm_in_fhirpath.fast(known)
    check(few, (plain, fast))
    candidates: dict[str, tuple[Callable[[bytes], Any], Sequence[bytes]]] = {
        OURS: (lambda line: encode(stage(read_bundle(line), known)), lines),
        "of which reading": (read_bundle, lines),
        PARSING: (orjson.loads, lines),
        "fhirpathpy, TNM part alone, fastest wording": (lambda line: fast(orjson.loads(line)), few),
        "fhirpathpy, TNM part alone, an axis at a time": (lambda line: plain(orjson.loads(line)), few),
    }
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in track(range(rounds), description="rounds", console=Console(stderr=True)):
        for name, (work, given) in candidates.items():
            seconds[name].append(spent(work, given) / len(given))
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    table = Table("", "patients/s", "least", "most", "time, parsing = 1", "figaro is")
    for name, taken in seconds.items():
        ratio, faster = medians[name] / medians[PARSING], medians[name] / medians[OURS]
        table.add_row(name, *(f"{1 / each:,.0f}" for each in (medians[name], max(taken), min(taken))), f"{ratio:.2f}", f"{faster:.2f} x")
    return table


def check(lines: Iterable[bytes], peers: Sequence[tnm_in_fhirpath.Answer]) -> None:
    """The peers answer alike, and what they answer is what staging answers."""
    agreed = 0
    for line in lines:
        ours = stage(read_bundle(line), rules()).editions.get("figo-2018")
        for peer in peers:
            told = peer(orjson.loads(line))
            if told is not None and (ours is None or ours.stage != told):
                raise SystemExit(
                    f"FHIRPath says {told}, staging {ours and ours.stage}: one of them is wrong, and no time is worth measuring."
                )
            agreed += told is not None
    if not agreed:
        raise SystemExit("FHIRPath has found no TNM: the expressions do not fit the patients.")


def growth(rounds: int) -> Table:
    """Microseconds an entry, in records of one patient from a hundred entries to a hundred thousand."""
    known, patient = rules(), busiest()
    table = Table("entries of one patient", "read, µs/entry", "stage", "both", "orjson.loads", "both, parsing = 1")
    for length in LENGTHS:
        data = grown(patient, length)
        record = read_bundle(data)
        # As many repeats as make the short records measurable.
        times = max(1, min(rounds * 20, 20_000 // length))
        reading = spent(read_bundle, [data] * times) / times
        staging = spent(lambda read: encode(stage(read, known)), [record] * times) / times
        parsing = spent(orjson.loads, [data] * times) / times
        cells = (reading, staging, reading + staging, parsing)
        table.add_row(f"{length:,}", *(f"{cell / length * 1e6:.2f}" for cell in cells), f"{(reading + staging) / parsing:.2f}")
    return table


def spent(work: Callable[[Any], Any], given: Iterable[Any]) -> float:
    """Seconds of CPU time for all of it."""
    gc.collect()
    began = time.process_time()
    for each in given:
        work(each)
    return time.process_time() - began


def starts(count: int) -> list[float]:
    """Seconds of the wall from the call of `figaro stage` on one patient to its end, in processes of their own."""
    line, taken = json.dumps(next(population(1, seed=1))).encode(), []
    for _ in range(count):
        began = time.perf_counter()
        one_patient(line, "main()")
        taken.append(time.perf_counter() - began)
    return taken


def memory() -> str:
    """The most memory that `figaro stage` on one patient has held, as Linux tells it of the process itself."""
    if not os.path.exists("/proc/self/status"):
        return "not told by this system"
    line = json.dumps(next(population(1, seed=1))).encode()
    told = one_patient(
        line,
        """
import sys
try:
    main()
finally:
    sys.stderr.write(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
""",
    )
    return f"{int(told.split()[1]) / 1000:.0f} MB"


def one_patient(line: bytes, code: str) -> str:
    """Runs `figaro stage` on one patient in a process of its own, as the code calls it; what it writes to standard error."""
    command = [sys.executable, "-c", f"from services.cli import main\n{code}", "stage", "-"]
    return subprocess.run(command, input=line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True).stderr.decode()


if __name__ == "__main__":
    main()
