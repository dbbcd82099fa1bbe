"""The fourth step: the patients of a part, read and staged one after the other, by the same reader and rules as everywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Final

import duckdb
import msgspec

from services.cohort.patients import database
from services.cohort.plan import Plan, beside, leave, placed, whole
from services.cohort.reading import AHEAD
from services.cohort.rows import answer, replaced
from services.cohort.set_aside import replaced_by
from services.cohort.unread import Unread

# Her lines in the order of the files; the Medications that they refer to among them.
_LINES = """
    WITH hers AS ({hers})
    SELECT owner, raw FROM (
        SELECT owner, piece, "offset", raw FROM hers
        UNION ALL
        SELECT DISTINCT hers.owner, m.piece, m."offset", m.raw
        FROM hers JOIN read_parquet($medications) AS m ON hers.medication = m.owner
    ) ORDER BY owner, piece, "offset"
"""
_LINES_ALONE = 'SELECT owner, raw FROM ({hers}) ORDER BY owner, piece, "offset"'
_HERS = "SELECT * FROM read_parquet($kept) WHERE part = $part"
_STILL_HERS = """
    SELECT * FROM read_parquet($kept)
    WHERE part = $part AND (source IS NULL OR (source, owner) NOT IN (SELECT (source, owner) FROM read_parquet($moved)))
"""
_TWICE = "SELECT count(source) - count(DISTINCT (owner, source)) FROM read_parquet($kept) WHERE part = $part AND source IS NOT NULL"


class Staged(msgspec.Struct):
    """What became of a part: how many rows, how many could not be read, how many lines were an older or second copy of another.

    `counted` meet the study's criteria; `marked` of them bear the tag of synthetic patients. `ahead` have dates after the day of the run.
    `partly`: of how many not all of a type could be read; `replaced` have another record in the export. `size` is of the rows, in bytes.
    """

    rows: int = 0
    errors: int = 0
    copies: int = 0
    counted: int = 0
    marked: int = 0
    ahead: int = 0
    replaced: int = 0
    size: int = 0
    partly: dict[str, int] = {}
    issues: dict[str, int] = {}


def stage_part(plan: Plan, part: int, pieces: int, with_medications: tuple[int, ...], unread: Unread, moved: int = 0) -> Staged:
    """Leaves the rows of a part, by patient. Of the types of `unread` silence tells nothing; `moved` resources are another's now."""
    done = plan.work / "rows" / f"{part:06}.json"
    found: Staged | None = whole(done, Staged)
    target = done.with_suffix(".ndjson")
    if found is not None and target.exists() and target.stat().st_size == found.size:
        return found
    told, ahead = Staged(), AHEAD.format(plan.asked.until)
    issues, partly = Counter[str](), Counter[str]()
    encode = msgspec.json.Encoder(decimal_format="number").encode
    on_the_way = beside(target)
    with database(plan.work) as db, on_the_way.open("wb") as rows:
        given: dict[str, object] = {"kept": placed(plan.work, "kept", range(pieces)), "part": part}
        ((told.copies,),) = db.execute(_TWICE, given).fetchall()
        if with_medications:
            given["medications"] = placed(plan.work, "medications", with_medications)
        if moved:
            given["moved"] = str(plan.work / "moved.parquet")
        lines = (_LINES if with_medications else _LINES_ALONE).format(hers=_STILL_HERS if moved else _HERS)
        cursor = db.execute(lines, given)
        for patient, resources in _patients(cursor):
            other = replaced_by(resources)
            if other is not None and other != patient and _has_a_row(db, plan, other):
                told.replaced += 1
                hers, not_read = replaced(patient, other, plan.medicine)
            else:
                hers, not_read = answer(patient, resources, plan.medicine, plan.asked, unread)
            partly.update(not_read)
            told.rows += 1
            told.errors += hers["error"] is not None
            if hers.get("counted"):
                told.counted += 1
                told.marked += any(map(_synthetic, resources))
            told.ahead += any(issue["text"] == ahead for issue in hers["issues"])
            issues.update({issue["code"] for issue in hers["issues"]})
            rows.write(encode(hers) + b"\n")
    told.issues, told.partly = dict(sorted(issues.items())), dict(sorted(partly.items()))
    told.size = on_the_way.stat().st_size
    on_the_way.replace(target)
    leave(done, told)
    return told


def _has_a_row(db: duckdb.DuckDBPyConnection, plan: Plan, patient: str) -> bool:
    found = db.cursor().execute("SELECT 1 FROM read_parquet($1) WHERE owner = $2", [str(plan.work / "patients.parquet"), patient])
    return found.fetchone() is not None


class _Coding(msgspec.Struct, frozen=True):
    code: str | None = None


class _Meta(msgspec.Struct, frozen=True):
    tag: tuple[_Coding, ...] = ()
    security: tuple[_Coding, ...] = ()


class _Marked(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(name="resourceType", default="")
    meta: _Meta = _Meta()


_MARKED: Final = msgspec.json.Decoder(_Marked)


def _synthetic(raw: bytes) -> bool:
    """Whether it is a Patient with the tag of synthetic data: HTEST (HL7 v3 ActReason, test health data), or one's own."""
    if b"HTEST" not in raw and b"synthetic" not in raw:
        return False
    try:
        told = _MARKED.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return told.kind == "Patient" and any(each.code in ("HTEST", "synthetic") for each in (*told.meta.tag, *told.meta.security))


def _patients(cursor: object) -> Iterator[tuple[str, list[bytes]]]:
    def lines() -> Iterator[tuple[str, bytes]]:
        while some := cursor.fetchmany(2_000):  # type: ignore[attr-defined]
            yield from some

    for patient, hers in groupby(lines(), key=itemgetter(0)):
        yield patient, [raw for _, raw in hers]
