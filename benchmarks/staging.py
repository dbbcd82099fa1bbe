"""`figaro stage` on 2,000 synthetic patients, against parsing alone and against three FHIRPath membership tests on the same patients.

    make bench

One core, CPU time, all candidates once a round, medians over the rounds. Quote the ratios: the seconds are this machine's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import fhirpathpy
import orjson
from fhirpathpy.models import models
from rich.console import Console
from rich.progress import track
from rich.table import Table

from examples.population import population
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode

# The peer answers three questions; staging answers those and everything else.
QUESTIONS = (
    "Bundle.entry.resource.ofType(Condition).code.coding.where(code.startsWith('C53')).exists()",
    "Bundle.entry.resource.ofType(Condition).code.coding.where("
    "code.startsWith('C77') or code.startsWith('C78') or code.startsWith('C79')).exists()",
    "Bundle.entry.resource.ofType(Observation).value.ofType(CodeableConcept).coding.where(code = '1229903009').exists()",
)
VERSIONS = ("msgspec", "orjson", "fhirpathpy", "fhir.resources")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=2000)
    parser.add_argument("--peer-patients", type=int, default=200, help="fhirpathpy is slow: it gets the first so many of the same patients")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=9)
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    console = Console(stderr=True)
    lines = [json.dumps(bundle).encode() for bundle in population(asked.patients, seed=1)]
    known = rules()
    compiled = [fhirpathpy.compile(question, models["r4"]) for question in QUESTIONS]

    def figaro(line: bytes) -> bytes:
        return encode(stage(read_bundle(line), known))

    def peer(line: bytes) -> list[Any]:
        patient = orjson.loads(line)
        return [question(patient) for question in compiled]

    candidates: dict[str, tuple[Callable[[bytes], Any], list[bytes]]] = {
        "figaro stage: read, stage, encode": (figaro, lines),
        "of which reading": (read_bundle, lines),
        "orjson.loads alone": (orjson.loads, lines),
        "fhirpathpy, three membership tests": (peer, lines[: asked.peer_patients]),
    }
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in track(range(asked.rounds), description="rounds", console=console):
        for name, (work, given) in candidates.items():
            began = time.process_time()
            for line in given:
                work(line)
            rates[name].append(len(given) / (time.process_time() - began))
    report(rates, sum(map(len, lines)) / len(lines), starts(asked.starts), asked.rounds)


def starts(count: int) -> list[float]:
    """Seconds of the wall from the call of `figaro stage` on one patient to its end, in processes of their own."""
    line = json.dumps(next(iter(population(1, seed=1)))).encode()
    command = [sys.executable, "-c", "from services.cli import main; main()", "stage", "-"]
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        subprocess.run(command, input=line, stdout=subprocess.DEVNULL, check=True)
        taken.append(time.perf_counter() - began)
    return taken


def report(rates: dict[str, list[float]], size: float, started: list[float], rounds: int) -> None:
    out = Console(width=None if sys.stdout.isatty() else 110)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
    out.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    out.print(f"patients of {size / 1000:.1f} kB on average; {rounds} rounds; medians of CPU time on one core")
    ours = statistics.median(rates["figaro stage: read, stage, encode"])
    table = Table("", "patients/s", "least", "most", "figaro is")
    for name, found in rates.items():
        middle = statistics.median(found)
        table.add_row(name, f"{middle:,.0f}", f"{min(found):,.0f}", f"{max(found):,.0f}", f"{ours / middle:.2f} x")
    out.print(table)
    median = statistics.median(started)
    out.print(f"start of `figaro stage` on one patient: {median:.2f} s median of {len(started)} ({min(started):.2f} to {max(started):.2f})")


if __name__ == "__main__":
    main()
