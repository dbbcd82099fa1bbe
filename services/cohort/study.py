"""READ FIRST for the study. One patient, by the founding study's definitions (`study.yaml`): counted or left out, and every column why.

Pure: the record, its staging and the facts that were read of it go in, the columns come out.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Final

import msgspec

from services.cohort.baseline import Baseline, baseline, whole
from services.cohort.definitions import Definitions, definitions
from services.cohort.doses import doses
from services.cohort.facts import Facts, Reading
from services.cohort.outcome import Outcome, outcome
from services.cohort.treatment import Regimen, Treated, doubted, treated
from shared.fhir.codes import codes
from shared.fhir.dates import days, later
from shared.oncology.record import Record
from shared.oncology.stage import Staging

_UNUSED: Final = ("refuted", "entered-in-error")


class Reason(msgspec.Struct, frozen=True, gc=False):
    """What an assignment rests on."""

    assigned: str
    says: str
    sources: tuple[str, ...] = ()


class Studied(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The study's columns of one patient. Lengths in mm, doses in Gy, haemoglobin in g/dL, leucocytes in 10^9/L, times in days.

    `left_out` is the first criterion that she does not meet, `not_met` are all of them. `cycles` are of the first treatment, `every_cycle`
    of all. `definitive_days` run from the diagnosis to the end of group A's radiotherapy. The variables of Table 3 are booleans: their
    first level, or None where it is missing.
    """

    counted: bool = False
    left_out: str | None = None
    not_met: tuple[str, ...] = ()
    age_years: int | None = None
    ecog_score: int | None = None
    cells: str | None = None
    size_mm: float | None = None
    haemoglobin_g_dl: float | None = None
    leucocytes_10_9_l: float | None = None
    found_by: str | None = None
    metastatic_organs: tuple[str, ...] = ()
    age: bool | None = None
    size: bool | None = None
    squamous: bool | None = None
    ecog: bool | None = None
    haemoglobin: bool | None = None
    leucocytes: bool | None = None
    few: bool | None = None
    bone: bool | None = None
    organs: bool | None = None
    lung: bool | None = None
    liver: bool | None = None
    nodes: bool | None = None
    group: str | None = None
    pelvic_radiotherapy: str | None = None
    external_gy: float | None = None
    brachytherapy_gy: float | None = None
    point_a_eqd2_gy: float | None = None
    definitive_days: int | None = None
    metastasis_radiotherapy: bool | None = None
    cycles: int | None = None
    every_cycle: int | None = None
    regimens: tuple[Regimen, ...] = ()
    cycles_before: int | None = None
    cycles_during: int | None = None
    cycles_after: int | None = None
    best_locoregional: str | None = None
    best_distant: str | None = None
    progressed: bool | None = None
    progressed_locoregional: bool | None = None
    progressed_distant: bool | None = None
    progressed_on: str | None = None
    died: bool | None = None
    died_on: str | None = None
    last_contact: str | None = None
    os_days: int | None = None
    pfs_days: int | None = None
    pfs_event: bool | None = None
    reasons: tuple[Reason, ...] = ()


def studied(record: Record, staging: Staging, facts: Facts) -> Studied:
    """The columns of one patient."""
    study = definitions()
    diagnosed = whole(staging.diagnosed)
    facts = facts.since(diagnosed - timedelta(days=study.number("treatment-before"))) if diagnosed else facts
    then = outcome(record, facts, diagnosed)
    before = baseline(record, staging, facts, study)
    given = treated(facts, then.progression, diagnosed, study)
    met = _met(record, staging, before, given, then, study)
    not_met = tuple(criterion.id for criterion in study.criteria if not met[criterion.id])
    if staging.primary.condition is None:
        return Studied(left_out=not_met[0], not_met=not_met)
    days = {"os_days": _days(before, then.ended), "pfs_days": _free(before, then), "definitive_days": _days(before, given.finished)}
    return Studied(
        counted=not not_met,
        left_out=not_met[0] if not_met else None,
        not_met=not_met,
        reasons=_reasons(not_met, record, staging, before, given, then, study),
        **_before(before, study),
        **_given(given, study),
        **_then(then),
        **days,  # type: ignore[arg-type]
    )


def _met(record: Record, staging: Staging, before: Baseline, given: Treated, then: Outcome, study: Definitions) -> dict[str, bool]:
    sarcoma = before.cells == "sarcoma"
    whole_life, free = _days(before, then.ended), _free(before, then)
    cancer = staging.primary.histology is not None and (staging.primary.applies or sarcoma)
    return {
        "cervical-cancer": cancer and record.sex != "male",
        "organ-metastasis": bool(before.organs) or before.later,
        "synchronous": not before.later,
        "first-malignancy": not _earlier(record, staging) and not _history(record, staging, study),
        "diagnosis-day": before.diagnosed is not None,
        "death-day": not then.died or then.death is not None,
        "cycles": len(given.every_cycle) >= study.number("cycles"),
        "ecog": before.ecog is not None and before.ecog <= study.number("ecog"),
        "complete": given.group is not None
        and whole_life is not None
        and whole_life > 0
        and (then.undated or (free is not None and free >= 0)),
    }


def _earlier(record: Record, staging: Staging) -> bool:
    """Whether another primary is on record that is not surely later than this one."""
    others = {source for issue in staging.issues if issue.code == "second-primary" for source in issue.sources}
    dates = [f.when or f.recorded or "" for f in record.findings if f.source in others - {staging.primary.condition}]
    return any(not later(date, staging.diagnosed or "9999") for date in dates)


def _history(record: Record, staging: Staging, study: Definitions) -> bool:
    """Whether an earlier cancer stands on record as history, by a code; one that began long after the diagnosis may be a later one.

    The day on which it was written down is none of the illness.
    """
    noted = [
        f
        for f in record.findings
        if f.kind == "condition" and f.verification not in _UNUSED and any(study.past.holds(*code) for code in codes(f.concept))
    ]
    dates = [f.when or "" for f in noted]
    return any(not date or days(staging.diagnosed or "9999", date) <= study.number("synchronous") for date in dates)


def _days(before: Baseline, end: date | None) -> int | None:
    return None if before.diagnosed is None or end is None else (end - before.diagnosed).days


def _free(before: Baseline, then: Outcome) -> int | None:
    """Days without progression; None where the disease progressed on a day that nobody recorded."""
    return None if then.undated else _days(before, then.progression or then.ended)


def _before(it: Baseline, study: Definitions) -> dict[str, Any]:
    spread = bool(it.organs)
    return {
        "age_years": it.age,
        "ecog_score": it.ecog,
        "cells": it.cells,
        "size_mm": _exact(it.size),
        "haemoglobin_g_dl": _exact(it.haemoglobin),
        "leucocytes_10_9_l": _exact(it.leucocytes),
        "found_by": it.found_by,
        "metastatic_organs": it.organs,
        "age": None if it.age is None else it.age >= study.number("age"),
        "size": it.size.at_least(study.number("size")) if it.size else None,
        "squamous": None if it.cells is None else it.cells == "squamous",
        "ecog": None if it.ecog is None else it.ecog == 0,
        "haemoglobin": it.haemoglobin.above(study.number("haemoglobin")) if it.haemoglobin else None,
        "leucocytes": it.leucocytes.above(study.number("leucocytes")) if it.leucocytes else None,
        "few": it.few,
        "bone": "bone" in it.organs if spread else None,
        "organs": len(it.organs) == 1 if spread else None,
        "lung": "lung" in it.organs if spread else None,
        "liver": "liver" in it.organs if spread else None,
        "nodes": it.nodes if spread else None,
    }


def _given(it: Treated, study: Definitions) -> dict[str, Any]:
    before, during, after = it.beside()
    dose = doses(it, study)
    return {
        "group": it.group,
        "pelvic_radiotherapy": it.pelvic,
        "external_gy": dose.external,
        "brachytherapy_gy": dose.inside,
        "point_a_eqd2_gy": dose.point_a,
        "metastasis_radiotherapy": bool(it.elsewhere),
        "cycles": None if it.doubts else len(it.cycles),
        "every_cycle": None if it.every_doubt else len(it.every_cycle),
        "regimens": it.regimens,
        "cycles_before": before,
        "cycles_during": during,
        "cycles_after": after,
    }


def _then(it: Outcome) -> dict[str, Any]:
    return {
        "best_locoregional": it.locoregional,
        "best_distant": it.distant,
        "progressed": it.progression is not None or it.undated,
        "progressed_locoregional": "locoregional" in it.progressed,
        "progressed_distant": "distant" in it.progressed,
        "progressed_on": it.progression.isoformat() if it.progression else None,
        "died": it.died,
        "died_on": it.death.isoformat() if it.death else None,
        "last_contact": it.last_contact.isoformat() if it.last_contact else None,
        "pfs_event": it.progression is not None or it.undated or it.died,
    }


def _exact(reading: Reading | None) -> float | None:
    return reading.low if reading and reading.low == reading.high else None


def _reasons(
    not_met: tuple[str, ...], record: Record, staging: Staging, before: Baseline, given: Treated, then: Outcome, study: Definitions
) -> tuple[Reason, ...]:
    """Each assignment in words, with the resources that it rests on."""
    found = [Reason(f"left out: {c.id}", c.otherwise) for c in study.criteria if c.id in not_met]
    if record.sex == "male":
        found.append(Reason("sex", "recorded as male: ask whether this or the diagnosis is wrong", (staging.patient,)))
    if before.organs:
        words = f"metastases at diagnosis in {', '.join(before.organs)}{' and in distant nodes' if before.nodes else ''}"
        found.append(Reason("organ metastasis", words, before.sources))
    found.append(Reason(f"group {given.group or 'open'}", given.because, given.sources))
    drugs = ", ".join(f"{each.drugs} x {each.cycles}" for each in given.regimens) or "none on record"
    if given.cycles or not given.doubts:
        found.append(Reason(f"{len(given.cycles)} cycles", drugs, tuple(source for cycle in given.cycles for source in cycle.sources)))
    found += [Reason(note.assigned, note.says, note.sources) for note in (*given.notes, doses(given, study).note, doubted(given)) if note]
    how = "progression" if then.progression else "progression on a day nobody recorded" if then.undated else "no progression on record"
    found.append(Reason("response and progression", f"{how}; locoregional {then.locoregional or 'not told'}", then.sources))
    end = f"died on {then.death or 'a day nobody recorded'}" if then.died else f"last contact on {then.last_contact or 'no day'}"
    found.append(Reason("follow-up", end, (staging.patient,)))
    return tuple(found)
