"""Record and Staging → Recommendation → CarePlan Bundle: patients a second on one core and its 95th percentile, beside `json` on the
same Bundle.

    make bench

One core, CPU time. Quote the ratios: the seconds are this machine's. Aims: a Bundle of twenty or more
candidates is built in 20 ms, and built, validated and serialised in 150 ms, at the 95th percentile.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from statistics import median, quantiles
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from examples.synthetic_patients import patients
from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.careplan import transaction
from services.recommend.decision import Answer
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.r4 import check
from shared.fhir.reader import read_bundle

AT = "2026-11-22T12:00:00Z"
MANY = 20  # candidates
AIMS = {"build": 20.0, "build, validate, serialise": 150.0}  # milliseconds at the 95th percentile


class Patient(NamedTuple):
    """What recommend is given, and what comes of it."""

    answer: Answer
    bundle: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    seen = [patient for bundle in patients() if (patient := _patient(json.dumps(bundle).encode())).bundle["entry"]]
    many = [patient for patient in seen if len(patient.answer.recommendation.candidates) >= MANY]
    out = Console(width=None if sys.stdout.isatty() else 110)
    size = median(len(json.dumps(patient.bundle)) for patient in many) / 1000
    out.print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    out.print(f"{len(seen)} patients with a CarePlan, {len(many)} of them with {MANY} candidates or more ({size:.0f} kB a Bundle)")
    out.print(_table(many, asked.rounds))


def _patient(data: bytes) -> Patient:
    record = read_bundle(data)
    staging = stage(record, rules())
    answer = Answer(record, staging, recommend(record, staging, library()))
    return Patient(answer, _build(answer))


def _build(answer: Answer) -> dict[str, Any]:
    return transaction(answer, drugs(library()), at=AT, software="0")


def _whole(answer: Answer) -> bytes:
    bundle = _build(answer)
    if wrong := check(bundle):
        raise SystemExit(f"Not valid FHIR, and no time is worth measuring: {wrong[0]}")
    return json.dumps(bundle).encode()


def _table(seen: list[Patient], rounds: int) -> Table:
    works: dict[str, Callable[[Patient], object]] = {
        "recommend": lambda p: recommend(p.answer.record, p.answer.staging, library()),
        "build": lambda p: _build(p.answer),
        "build, validate, serialise": lambda p: _whole(p.answer),
        "recommend and all of it": lambda p: _whole(p.answer._replace(recommendation=recommend(*p.answer[:2], library()))),
        "json.dumps and json.loads of the Bundle": lambda p: json.loads(json.dumps(p.bundle)),
    }
    taken = {name: _spent(work, seen, rounds) for name, work in works.items()}
    unit = median(taken["json.dumps and json.loads of the Bundle"])
    table = Table("", "patients/s/core", "median, ms", "p95, ms", "aim, ms", "json round trip = 1")
    for name, times in taken.items():
        p95 = quantiles(times, n=20)[-1] * 1000
        aim = f"{AIMS[name]:.0f}{'' if p95 <= AIMS[name] else ', missed'}" if name in AIMS else ""
        table.add_row(name, f"{1 / median(times):,.0f}", f"{median(times) * 1000:.1f}", f"{p95:.1f}", aim, f"{median(times) / unit:.1f}")
    return table


def _spent(work: Callable[[Patient], object], seen: list[Patient], rounds: int) -> list[float]:
    """Seconds of CPU time for each patient of each round, after one that warms up."""
    work(seen[0])
    gc.collect()
    taken = []
    for _ in range(rounds):
        for patient in seen:
            began = time.process_time()
            work(patient)
            taken.append(time.process_time() - began)
    return taken


if __name__ == "__main__":
    main()
