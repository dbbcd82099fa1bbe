"""What was known on the day asked for, what was recorded at diagnosis, and whether the day of diagnosis can be true."""

from __future__ import annotations

from msgspec.structs import replace

from services.staging.diagnosis import named
from services.staging.knowledge import Rules
from services.staging.primary import Tumour, histologies
from services.staging.purpose import KINDS, of_another
from services.staging.recorded import Given
from services.staging.window import Course, treated
from shared.fhir.codes import codes
from shared.fhir.dates import days, later
from shared.oncology.record import Finding, Issue, Record


def known(record: Record, rules: Rules) -> Record:
    """The record without what nobody knew on the day asked for: dated after it, or, but for the primary itself, written down after it."""
    day = record.as_of
    if day is None:
        return record

    def by_then(f: Finding) -> bool:
        if f.when is not None and f.recorded is not None and not later(f.when, day):
            return not later(f.recorded, day) or ((it := named(f, rules)) is not None and it.kind == "cervix")
        return not later(f.when or f.recorded or day, day)

    return replace(record, findings=tuple(f for f in record.findings if by_then(f)))


def at_diagnosis(given: list[Given], when: Course, rules: Rules) -> list[Given]:
    """The recorded stages without a stage IV that somebody wrote of a recurrence: long after the diagnosis, or after treatment had begun,
    and after another stage had been recorded. A recurrence never changes the stage."""
    first = min((g.when for g in given if g.when), default="")
    start, end, limit = when.window.start, when.window.end, rules.observations.after_diagnosis_days

    def late(day: str) -> bool:
        return later(day, first) and bool((end and later(day, end)) or (start and days(start, day) > limit))

    return [g for g in given if g.stage not in ("IV", "IVB") or not g.when or not late(g.when)]


def doubts(record: Record, tumour: Tumour, when: Course, rules: Rules) -> tuple[Issue, ...]:
    """An issue that names the day of diagnosis, and the earliest histology or treatment of the cervix that lies before it; else none.

    A specimen may be some days older than the diagnosis that was made of it.
    """
    diagnosed = when.window.start
    if diagnosed is None:
        return ()
    own = {f.source for f in tumour.conditions}
    seen = [
        (day, f"its histology {source} of {day}", source)
        for day, cells, source in histologies(record, own, rules)
        if day and cells.endswith("/3") and days(day, diagnosed) > rules.observations.specimen_days
    ]
    away = of_another(record, tumour, rules)
    seen += [
        (f.when, f"its treatment {f.source} of {f.when}", f.source)
        for f in record.findings
        if f.kind in KINDS and f.when and days(f.when, diagnosed) > 0 and f.source not in away and treated(f, rules)
        if _of_the_cervix(f, own, rules)
    ]
    if not seen:
        return ()
    _, what, source = min(seen)
    dated = sorted(f.source for f in tumour.conditions if (f.asserted or f.when or f.recorded) == diagnosed)
    text = f"The day of diagnosis, {diagnosed} in {', '.join(dated)}, lies after {what}; the diagnosis is taken as dated, and may be older."
    return (Issue(severity="warning", code="date-implausible", text=text, sources=tuple(sorted({*dated, source}))),)


def _of_the_cervix(treatment: Finding, own: set[str], rules: Rules) -> bool:
    """Whether a treatment says that it is of the cervix: by what it was for, or by its body site."""
    reasons = (named(Finding(source="", kind="condition", concept=reason), rules) for reason in treatment.reasons)
    pairs = [pair for site in treatment.sites for pair in codes(site)]
    return (
        bool(own.intersection(treatment.focus))
        or any(found is not None and found.kind == "cervix" for found in reasons)
        or any(code in rules.primary.cervix_structures for _, code in pairs)
    )
