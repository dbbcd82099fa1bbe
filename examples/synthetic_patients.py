"""All synthetic patients: the founding cohort of 48, and one patient for every stage, trap and gap beside it.

    python -m examples.synthetic_patients --out DIR [--ndjson FILE]

writes one transaction Bundle a file and, on request, one collection Bundle a line for `figaro stage`.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path
from random import Random

import msgspec

from examples import advanced_patients, other_patients
from examples.cases import Case, Script
from examples.findings import Fitness, anyone, fitness, not_pregnant
from examples.founding_cohort import founding_cases, founding_cohort
from examples.resources import Chart, Json, born, collection, key_of

SEED = 48
SCRIPTS: tuple[Script, ...] = (*other_patients.SCRIPTS, *advanced_patients.SCRIPTS)
FIRST_OF_THE_OTHERS = 101
LAST_DAY = date(2026, 9, 30)  # no one's record ends later


def patients(seed: int = SEED) -> list[Json]:
    """One FHIR R4 transaction Bundle per patient: the founding 48, then the others. Same seed, same bytes; no clock."""
    return founding_cohort(seed) + [
        _chart(number, script, seed).transaction() for number, script in enumerate(SCRIPTS, FIRST_OF_THE_OTHERS)
    ]


def cases(seed: int = SEED) -> list[Case]:
    """What is expected of each of the patients, in the same order."""
    others = [Case(f"Patient/syn-{number}", script.case, script.expected) for number, script in enumerate(SCRIPTS, FIRST_OF_THE_OTHERS)]
    return founding_cases(seed) + others


def written(chart: Chart, script: Script, *, full: bool = True) -> Chart:
    """The case's findings, and how fit she is."""
    script.write(chart)
    fit = Fitness(**(anyone(chart.rng)._asdict() | script.fit))
    fitness(chart, fit, si=chart.rng.random() < 0.4, full=full)
    return chart


def _chart(number: int, script: Script, seed: int) -> Chart:
    rng = Random(f"other/{seed}/{script.case}")
    age = rng.randint(31, 62)
    end = LAST_DAY - timedelta(days=rng.randint(0, 120))
    # A case that came back after treatment began two years before the others.
    day = end - timedelta(days=520 if script.expected.get("disease_state") == "recurrent" else 30)
    family = f"Synthetic-Case-{number - FIRST_OF_THE_OTHERS + 1:02d}"
    chart = Chart(f"syn-{number}", family=family, birth=born(age, day, rng.randint(1, 350)), day=day, rng=rng)
    written(chart, script)
    if age < 55:
        not_pregnant(chart)
    return chart


CASES = cases()


def main() -> None:
    """Writes the Bundles."""
    parser = argparse.ArgumentParser(prog="python -m examples.synthetic_patients", description="Write the synthetic patients as FHIR R4.")
    parser.add_argument("--out", type=Path, required=True, help="directory for one transaction Bundle a patient")
    parser.add_argument("--ndjson", type=Path, help="file for one collection Bundle a line")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed, other patients (default: %(default)s)")
    arguments = parser.parse_args()
    bundles = patients(arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for bundle in bundles:
        (arguments.out / f"{key_of(bundle)}.json").write_bytes(msgspec.json.format(msgspec.json.encode(bundle), indent=2) + b"\n")
    if arguments.ndjson:
        arguments.ndjson.write_bytes(b"".join(msgspec.json.encode(collection(bundle)) + b"\n" for bundle in bundles))


if __name__ == "__main__":
    main()
