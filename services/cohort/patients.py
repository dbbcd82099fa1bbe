"""The second step: from the index of every line, who is a patient, whose lines are to be read, and what the export lacks. By DuckDB."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import local
from typing import Final

import duckdb
import msgspec

from services.cohort.heads import READ
from services.cohort.plan import MOST, PART, Plan, beside, leave, left, placed, whole

MEMORY: Final = "256MB"
_PATIENT, _CONDITION, _MEDICATION = (READ.index(kind) for kind in ("Patient", "Condition", "Medication"))

_PATIENTS: Final = """
    CREATE TEMP TABLE patients AS
    SELECT owner::VARCHAR AS owner, bool_or(named) OR $all AS chosen, bool_or(kind = $patient) AS known,
           bool_or(kind = $condition) AS diagnosed, sum(length) AS size
    FROM read_parquet($index) WHERE kind <> $medication GROUP BY 1
"""
_COUNTS: Final = """
    SELECT count(*), count(*) FILTER (NOT known), count(*) FILTER (NOT diagnosed), count(*) FILTER (chosen),
           coalesce(sum(size) FILTER (chosen), 0)
    FROM patients
"""


class Patients(msgspec.Struct, frozen=True):
    """How many patients there are, and how many will be staged; `parts` is in how many parts."""

    patients: int
    unknown: int  # named by resources, without a Patient of their own
    without_conditions: int
    staged: int
    parts: int


_HERE: Final = local()


@contextmanager
def database(work: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB in memory, within bounds; what is too much goes to the disk. Tables in it are TEMP: they are gone afterwards."""
    with TemporaryDirectory(dir=work / "spill", ignore_cleanup_errors=True) as spill, _opened().cursor() as open_:
        again = False
        try:
            open_.execute("SET temp_directory = $1", [spill])
            yield open_
            again = not any(Path(spill).iterdir())  # what has spilled once is bound to its directory
        finally:
            if not again:
                del _HERE.instance


def _opened() -> duckdb.DuckDBPyConnection:
    """The instance of this thread: to open one takes longer than most of what it is asked."""
    if not hasattr(_HERE, "instance"):
        _HERE.instance = duckdb.connect(config={"memory_limit": MEMORY, "threads": 1})
    found: duckdb.DuckDBPyConnection = _HERE.instance
    return found


def find(plan: Plan, pieces: int) -> Patients:
    """Leaves the patients of whom something names the cervix, or all of them."""
    done = plan.work / "patients.json"
    found: Patients | None = whole(done, Patients)
    if found is not None and left(plan.work / "patients.parquet"):
        return found
    on_the_way = beside(plan.work / "patients.parquet")
    with database(plan.work) as db:
        given = {"index": placed(plan.work, "scan", range(pieces)), "all": plan.asked.all}
        db.execute(_PATIENTS, given | {"patient": _PATIENT, "condition": _CONDITION, "medication": _MEDICATION})
        (row,) = db.execute(_COUNTS).fetchall()
        patients, unknown, without_conditions, staged, size = map(int, row)
        db.sql("SELECT owner FROM patients WHERE chosen").write_parquet(str(on_the_way), compression="zstd")
    on_the_way.replace(plan.work / "patients.parquet")
    found = Patients(patients, unknown, without_conditions, staged, parts=min(size // PART + 1, MOST))
    leave(done, found)
    return found
