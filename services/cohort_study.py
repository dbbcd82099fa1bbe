"""The founding study's columns for `figaro cohort`: brings recommend's readings of drugs, doses and values to the study's definitions."""

from __future__ import annotations

from functools import partial
from math import inf
from typing import cast

from services.cohort.definitions import edition as definitions_edition
from services.cohort.facts import Answer, Facts, Given, Irradiation, Reading, Response, Where
from services.cohort.plan import Study
from services.cohort.study import Studied, studied
from services.recommend.codes import CodeBook, Measure
from services.recommend.dates import day
from services.recommend.eligibility import Measured
from services.recommend.exposures import exposed
from services.recommend.irradiated import courses
from services.recommend.library import library
from services.recommend.readings import answers, numbers, usable
from services.staging.knowledge import rules
from services.staging.lengths import measured, millimetres
from shared.fhir.codes import codes
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Staging

_MEASURES = ("ecog", "haemoglobin", "leucocytes")


def edition() -> str:
    """The study's definitions and recommend's readings, by their digests: with others a run is another run."""
    return f"{definitions_edition()}+{library().knowledge.digest}"


def assess(record: Record, staging: Staging) -> Studied:
    """The study's columns of one patient."""
    return studied(record, staging, facts(record, staging))


def facts(record: Record, staging: Staging) -> Facts:
    """What recommend and staging read of her, in the study's terms."""
    book, seen = library().book, usable(record)
    readings = {measure.fact: _readings(book, measure, seen) for measure in book.measures if measure.fact in _MEASURES}
    return Facts(
        drugs=_drugs(record, book),
        courses=_courses(record, book),
        answers=_answers(book, seen, staging),
        readings=readings | {"size": _sizes(seen)},
    )


def _drugs(record: Record, book: CodeBook) -> tuple[Given, ...]:
    """Days on which a drug was given; what was only ordered is none."""
    return tuple(
        Given(e.when, e.drug.id, "cytotoxic" in e.drug.classes, "platinum" in e.drug.classes, e.source)
        for e in exposed(record, book)
        if e.when is not None and e.finding.kind != "medication-request"
    )


def _courses(record: Record, book: CodeBook) -> tuple[Irradiation, ...]:
    inside = partial(book.means, codes=book.sites["brachytherapy"])
    found = []
    for course in courses(record, book):
        doses = [dose for dose in course.finding.doses if dose.total_gy]
        least = min(doses, key=lambda dose: dose.total_gy or 0, default=None)
        found.append(
            Irradiation(
                start=course.start,
                end=course.end,
                pelvic=course.pelvic,
                brachytherapy=inside(course.finding.concept) or inside(course.finding.method),
                gy=float(least.total_gy) if least and least.total_gy else None,
                fractions=least.fractions if least else None,
                source=course.source,
            )
        )
    return tuple(found)


def _answers(book: CodeBook, seen: list[Finding], staging: Staging) -> tuple[Answer, ...]:
    scale = next(scale for scale in book.scales if scale.fact == "response")
    found = [
        Answer(when, cast(Response, value), _where(book, finding, staging), finding.source)
        for value, finding in answers(book, scale, seen)
        if (when := day(finding.when)) is not None
    ]
    return tuple(sorted(found, key=lambda answer: (answer.when, answer.source)))


def _where(book: CodeBook, finding: Finding, staging: Staging) -> Where | None:
    """By the body site; without one, by the metastasis that the answer is about. What is about the primary speaks of the whole disease."""
    if finding.sites:
        return "locoregional" if any(book.means(site, book.sites["pelvis"]) for site in finding.sites) else "distant"
    distant = {source for m in staging.metastases if m.site_class in ("organ", "peritoneal", "distant-node") for source in m.sources}
    return "distant" if distant.intersection(finding.focus) else None


def _readings(book: CodeBook, measure: Measure, seen: list[Finding]) -> tuple[Reading, ...]:
    found = [
        Reading(when, each.low, each.high, each.sources[0])
        for each in numbers(book, measure, seen)
        if isinstance(each, Measured) and (when := day(each.when)) is not None
    ]
    return tuple(sorted(found, key=lambda reading: reading.when))


def _sizes(seen: list[Finding]) -> tuple[Reading, ...]:
    """The greatest diameter of the primary, in mm."""
    told = rules()
    wanted = {(told.observations.extent_system, "tumour-size"), *(("http://loinc.org", code) for code in told.observations.size)}
    found = []
    for finding in seen:
        when = day(finding.when)
        if when is None or not wanted.intersection(codes(finding.concept)):
            continue
        parts = [part.value for part in finding.components if wanted.intersection(codes(part.concept))]
        for value in [*parts, finding.value]:
            length = measured(value, lambda quantity: millimetres(quantity, told))
            if length is not None and not length.empty:
                low, high = (float(end) if end is not None else None for end in (length.low, length.high))
                found.append(Reading(when, low if low is not None else 0.0, high if high is not None else inf, finding.source))
                break
    return tuple(sorted(found, key=lambda reading: reading.when))


STUDY = Study(Studied, assess)
