"""Drugs and radiotherapy of a patient for `figaro cohort`: brings recommend's readings of them to the study's terms."""

from __future__ import annotations

from datetime import date

from services.cohort.courses import as_given
from services.cohort.facts import Doubt, Given, Irradiation, Note
from services.recommend.codes import CodeBook, words
from services.recommend.dates import day
from services.recommend.exposures import GIVEN, exposed, unnamed
from services.recommend.irradiated import BEGUN, Course, courses
from services.staging.knowledge import rules
from shared.fhir.codes import codes
from shared.oncology.record import Concept, Finding, Record

_NODES = ("regional-node", "distant-node", "contested")
_UNSETTLED = ("unknown", "on-hold")  # whether it was given is not told


def drugs(record: Record, book: CodeBook) -> tuple[Given, ...]:
    """Days on which a drug was given; what was only ordered, or may not have been given, is none."""
    return tuple(
        Given(e.when, e.drug.id, "cytotoxic" in e.drug.classes, "platinum" in e.drug.classes, e.source)
        for e in exposed(record, book)
        if e.when is not None and e.finding.kind != "medication-request" and e.finding.status not in _UNSETTLED
    )


def doubts(record: Record, book: CodeBook, given: tuple[Given, ...]) -> tuple[Doubt, ...]:
    """Medication that may be chemotherapy, and may have been given. Orders, and drugs that cannot be told, only where none is `given`."""
    found = [Doubt(_day(f), "unsettled", f.source) for f in record.findings if f.status in _UNSETTLED and _unsure(f, book, given)]
    if not any(drug.cytotoxic for drug in given):
        requests = [f for f in record.findings if f.kind == "medication-request" and f.status in GIVEN[f.kind] and _cytotoxic(f, book)]
        found += [Doubt(_day(f), "ordered", f.source) for f in requests]
        found += [Doubt(_day(f), "untold", f.source) for f in unnamed(record, book) if f.kind != "medication-request"]
    return tuple(sorted(found, key=lambda doubt: doubt.source))


def _unsure(finding: Finding, book: CodeBook, given: tuple[Given, ...]) -> bool:
    """Whether its doubtful status matters: not where the drug was given on that day, nor of a statement about a drug of administrations."""
    if finding.kind not in ("medication-administration", "medication-statement") or not _cytotoxic(finding, book):
        return False
    when, stated = _day(finding), finding.kind == "medication-statement"
    known = {drug.drug for drug in given if drug.when == when or (stated and drug.source.startswith("MedicationAdministration/"))}
    return any("cytotoxic" in drug.classes and drug.id not in known for drug in book.drug_of(finding.concept))


def _cytotoxic(finding: Finding, book: CodeBook) -> bool:
    return any("cytotoxic" in drug.classes for drug in book.drug_of(finding.concept))


def _day(finding: Finding) -> date | None:
    return day(finding.when) if finding.plausible else None


def irradiations(record: Record, book: CodeBook) -> tuple[tuple[Irradiation, ...], tuple[Note, ...]]:
    """The courses of radiotherapy, each once and of one kind, and what was counted once."""
    found = courses(record, book, (*BEGUN, *_UNSETTLED))
    return as_given((_irradiation(each, record.today) for each in found), {each.source: each.finding.related for each in found})


def _irradiation(each: Course, today: str | None) -> Irradiation:
    finding = each.finding
    doses = [dose for dose in finding.doses if dose.total_gy]
    least = min(doses, key=lambda dose: dose.total_gy or 0, default=None)
    return Irradiation(
        start=each.start,
        end=_end(each, least.fractions if least else None),
        pelvic=each.pelvic,
        kinds=each.kinds,
        gy=float(least.total_gy) if least and least.total_gy else None,
        fractions=least.fractions if least else None,
        source=each.source,
        palliative=_coded(finding.intent, rules().observations.palliative),
        stopped=finding.status == "stopped",
        going=finding.status == "in-progress" and (finding.until is None or finding.until >= (today or "")),
        nodes=bool(finding.sites) and all(map(_node, finding.sites)),
        unsettled=finding.status in _UNSETTLED,
    )


def _end(course: Course, fractions: int | None) -> date | None:
    """The day a course ended; one of a single fraction ends as it begins. Without an end on record, or still going on, it has none."""
    told = course.finding.until is not None or fractions == 1
    return course.end if told and course.finding.status != "in-progress" else None


def _node(site: Concept) -> bool:
    """Whether a body site is a lymph node or a group of them, by its code or, without one that is known, by its words."""
    found = [rule for system, code in codes(site) if (rule := rules().structure(system, code)) is not None]
    if found:
        return all(rule.site_class in _NODES for rule in found)
    return any("lymph node" in text.casefold() for text in words(site))


def _coded(concept: Concept | None, wanted: tuple[str, ...]) -> bool:
    return any(code in wanted for _, code in codes(concept))
