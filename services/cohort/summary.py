"""What the terminal shows of a result: stages, sites, why others have no stage; and what was wrong with the export. Counted by DuckDB."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import duckdb
from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cohort.result import TABLE, Counts, Manifest
from shared.oncology import not_read

STAGES: Final = tuple(re.findall(r"\S+", "I IA IA1 IA2 IB IB1 IB2 IB3 II IIA IIA1 IIA2 IIB III IIIA IIIB IIIC IIIC1 IIIC2 IV IVA IVB"))
_MEDICATION: Final = "MedicationRequest MedicationAdministration MedicationStatement"
# The types, what they are called together, what is not known without them, and what nobody had where a file of them is empty.
_LACKING: Final = (
    ("Patient", "Patient", "sex, birth and death are not known, and the study counts nobody", ""),
    ("Condition", "Condition", "diagnoses are not known, and nobody has a stage", "a diagnosis"),
    ("Observation", "Observation", "stages rest on Conditions alone", "an observation"),
    (
        "Procedure",
        "Procedure",
        "operations and radiotherapy are not known, nor the end of the staging window by them",
        "an operation or radiotherapy",
    ),
    (_MEDICATION, "medication of any kind", "systemic treatment is not known", "systemic treatment"),
)
_MEND: Final = "Mend it, or take it out where it is of none of these patients, and give the same command again."

_PARTLY: Final = "Of {} not all that is on record of {} could be read:"
_FOLLOWS: Final = {
    "Patient": "their vital status is unknown, and they are left out of the study.",
    "Procedure": "their treatment group is open, and they are left out of the study.",
    "MedicationAdministration": "their cycles are not told; two on record are two at the least.",
    "MedicationStatement": "their cycles are not told; two on record are two at the least.",
    "Observation": "their response and progression are not told, and they are left out of the study.",
    "Condition": "their response and progression are not told, and they are left out of the study.",
}
_AS_ALL: Final = "their treatment group is open, as that of all is."

_BY_STAGE: Final = """
    SELECT of.stage, count(*), count(*) FILTER (len(of.could_be) > 0)
    FROM (SELECT CASE WHEN $edition = 'figo_2018' THEN figo_2018 ELSE figo_2009 END AS of FROM patients WHERE applies) GROUP BY 1
"""
_BY_SITE: Final = """
    SELECT site, count(*) FILTER (certain), count(*) FILTER (NOT certain) FROM (
        SELECT patient, each.site AS site, bool_or(each.certainty = 'definite') AS certain
        FROM (SELECT patient, unnest(metastases) AS each FROM patients WHERE applies) GROUP BY 1, 2
    ) GROUP BY 1 ORDER BY 2 DESC, 3 DESC, 1
"""
_FEW: Final = "SELECT oligometastatic, count(*) FROM patients WHERE applies AND len(metastases) > 0 GROUP BY 1"
_WHY_NOT: Final = """
    SELECT CASE WHEN error IS NULL THEN why_not ELSE 'could not be read: ' || error END, count(*)
    FROM patients WHERE NOT applies GROUP BY 1
"""


def tables(folder: Path) -> list[Table]:
    """Stages in both editions, sites of spread, few or many metastases, and why others have no stage."""
    with duckdb.connect() as db:
        db.read_parquet(str(folder / TABLE)).create_view("patients")
        return [_stages(db), _sites(db), _others(db)]


def _stages(db: Any) -> Table:
    table = _table("FIGO stage", "2018", "still open", "2009", "still open")
    found: dict[str, list[int]] = {}
    for place, edition in ((0, "figo_2018"), (2, "figo_2009")):
        for stage, count, open_ in db.execute(_BY_STAGE, {"edition": edition}).fetchall():
            found.setdefault(stage or "not settled", [0] * 4)[place : place + 2] = count, open_
    for stage in sorted(found, key=lambda name: STAGES.index(name) if name in STAGES else len(STAGES)):
        table.add_row(stage, *(str(count) if count else "" for count in found[stage]))
    table.add_section()
    total = [sum(column) for column in zip(*found.values(), strict=True)] or [0] * 4
    table.add_row("patients staged", *map(str, total))
    return table


def _sites(db: Any) -> Table:
    table = _table("site of spread", "certain", "equivocal")
    found = db.execute(_BY_SITE).fetchall()
    for site, certain, equivocal in found:
        table.add_row(site, str(certain or ""), str(equivocal or ""))
    few = dict(db.execute(_FEW).fetchall())
    table.add_section()
    for value, words in ((True, "oligometastatic"), (False, "not oligometastatic"), (None, "oligometastatic or not: open")):
        table.add_row(words, str(few.get(value, 0)), "")
    return table


def _others(db: Any) -> Table:
    table = _table("without a stage, and why", "patients")
    for why, count in sorted(db.execute(_WHY_NOT).fetchall(), key=lambda each: (-each[1], str(each[0]))):
        table.add_row(str(why), str(count))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD)
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="right")
    return table


def notes(manifest: Manifest) -> list[str]:
    """What a reader of the tables must know of the export, a sentence each."""
    counts = manifest.counts
    found = counts.patients
    told = [f"{found.patients:,} patients in {counts.lines:,} lines of {len(manifest.asked.inputs)} files; {counts.rows:,} have a row."]
    if (others := found.patients - found.staged) and not manifest.asked.all:
        told.append(f"{others:,} patients: no cervical cancer found, as nothing of theirs names the cervix; no row without --all.")
    told += lacking(counts)
    if found.without_conditions and "Condition" in counts.kinds:
        told.append(f"{found.without_conditions:,} patients have no Condition.")
    if found.unknown and "Patient" in counts.kinds:
        told.append(
            f"{found.unknown:,} patients are named by resources, and have no Patient in the export that can be read; they are staged as "
            "the others."
        )
    if said := counts.kinds.get("OperationOutcome"):
        told.append(f"{said:,} OperationOutcomes of the server are among the lines: not all may be here; figaro import shows them.")
    told += _faults(counts)
    told += astray(counts)
    told += [
        f"{each.count:,} x {each.kind} in the shape of FHIR {each.version}, first in {each.file}, line {each.line}: "
        "Figaro reads R4, and what R4 does not have is not read: what rests on them is not told of their patients."
        for each in counts.foreign
    ]
    told += [f"{count:,} x {kind} name no patient that can be told; they are not used." for kind, count in counts.nameless.items()]
    if counts.copies:
        words = "resource of these patients stands" if counts.copies == 1 else "resources of these patients stand"
        told.append(f"{counts.copies:,} {words} more than once; of each the newest is used (lastUpdated, versionId).")
    if counts.ahead:
        told.append(
            f"{counts.ahead:,} patients have dates or instants of writing (lastUpdated) after {manifest.asked.until}, the day of the run: "
            "their records are read as they stood on that day, and nobody is followed beyond it."
        )
    told += [f"{_PARTLY.format(f'{count:,} patients', kind)} {_follows(kind, counts)}" for kind, count in _partly(counts).items()]
    if counts.moved:
        told.append(f"{counts.moved:,} x a newer version gives a resource to another patient: it counts for her alone.")
    if counts.replaced:
        told.append(
            f"{counts.replaced:,} patients are replaced by another one (link replaced-by), who has a row: they are not counted beside her, "
            "and the resources of the two are not joined."
        )
    if counts.errors:
        told.append(f"{counts.errors:,} patients could not be read; their rows say why.")
    return told


def lacking(counts: Counts) -> list[str]:
    """What the export has nothing of, or not all of."""
    told = list(filter(None, (_none(counts, kinds.split(), *words) for kinds, *words in _LACKING)))
    given = {"MedicationAdministration", "MedicationStatement"}
    if "MedicationRequest" in counts.kinds and not given.intersection(counts.kinds):
        told.append("The export has orders of medication alone, and nothing given: an order is no cycle of chemotherapy.")
    if counts.cut:
        told.append(f"A file breaks off, so that not all is here of {', '.join(counts.cut)}.")
    if counts.unread:
        told.append(not_read.remark(counts.unread))
    return told


def _none(counts: Counts, kinds: list[str], name: str, unknown: str, none: str) -> str:
    """What is not known where the export has none of the types in the shape of R4; what nobody had where a file of them is empty."""
    if counts.absent and {*kinds} <= {*counts.absent}:
        shape = " in the shape of FHIR R4" if not counts.kinds.keys().isdisjoint(kinds) else ""
        return f"The export has no {name}{shape}: {unknown}."
    if not counts.kinds.keys().isdisjoint(kinds):
        return ""
    if not none:
        return f"The export has no {name}: {unknown}."
    says = f"that says that nobody had {none}, and it is counted so. If it was not asked for, take it away."
    return f"A file of {name} is there and empty: {says}"


def astray(counts: Counts) -> list[str]:
    """Lines of nobody who can be told: how many, the first of them, and what to do."""
    told = []
    for kind, count in counts.lost.items():
        lines = f"{count:,} lines of {kind} are of nobody who can be told"
        first = f"The first: {counts.lost_first[kind]}" if kind in counts.lost_first else ""
        if kind in counts.spared:
            few = "were all of patients with a cancer of the cervix, not one in 1,000 of their lines would be missing: nothing is withheld"
            told.append(f"{lines}; {few}. {first}")
        else:
            told.append(f"{lines}: what rests on it is withheld for all. {first} {_MEND}")
    return told


def _partly(counts: Counts) -> dict[str, int]:
    return {kind: count for kind, count in counts.partly.items() if kind in _FOLLOWS}


def _follows(kind: str, counts: Counts) -> str:
    """What follows for those of whom not all could be read; where it is so of everybody, nobody is left out for it."""
    return _AS_ALL if kind == "Procedure" and kind in counts.unread else _FOLLOWS[kind]


def without_numbers(counts: Counts) -> list[str]:
    """What a reader must know of the export, without a number that could be of few patients."""
    told = lacking(counts)
    if counts.unreadable or counts.errors or counts.nameless or counts.foreign:
        told.append("Not every line or patient could be read; without --hide-below it is said which.")
    if withheld := [kind for kind in counts.lost if kind not in counts.spared]:
        told.append(
            f"Some lines of {', '.join(withheld)} are of nobody who can be told: what rests on them is withheld for all; "
            "without --hide-below it is said which."
        )
    told += [f"{_PARTLY.format('some patients', kind)} {_follows(kind, counts)}" for kind in _partly(counts)]
    if counts.replaced or counts.moved:
        told.append("Some records are replaced by others, or resources given to another patient by a newer version: each counts once.")
    if counts.ahead:
        told.append("Some dates or instants of writing (lastUpdated) lie after the day of the run: nobody is followed beyond it.")
    if "OperationOutcome" in counts.kinds:
        told.append("OperationOutcomes of the server are among the lines: not all may be here; figaro import shows them.")
    return told


def _faults(counts: Counts) -> list[str]:
    told = [str(fault) for fault in counts.faults]
    more = counts.unreadable - len(told)
    return [*told, f"… and {more:,} lines more that cannot be read."] if more > 0 else told
