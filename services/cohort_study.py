"""The founding study's columns for `figaro cohort`: brings recommend's readings of drugs, doses and values to the study's definitions."""

from __future__ import annotations

from datetime import date
from functools import cache, partial
from math import inf
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from services.cohort.definitions import edition as definitions_edition
from services.cohort.facts import Answer, Facts, Given, Irradiation, Reading, Response, Where
from services.cohort.plan import Study
from services.cohort.study import Studied, studied
from services.recommend import codes as code_book
from services.recommend.codes import CodeBook, Measure, words
from services.recommend.dates import day, last_day
from services.recommend.eligibility import Measured
from services.recommend.exposures import exposed
from services.recommend.irradiated import Course, courses
from services.recommend.readings import answers, numbers, usable
from services.staging.diagnosis import certainty, named
from services.staging.knowledge import rules
from services.staging.lengths import measured, millimetres
from services.staging.primary import choose
from services.staging.purpose import of_another
from services.staging.window import course
from shared.fhir.codes import codes
from shared.fhir.dates import later
from shared.knowledge.loader import digest, load
from shared.oncology.record import Concept, Finding, Record
from shared.oncology.stage import Staging

_MEASURES = ("ecog", "haemoglobin", "leucocytes")
_WORSE = ("recurrent", "progressive")
_NODES = ("regional-node", "distant-node", "contested")
_PELVIS = ("regional-node", "adjacent")
_RECOMMEND = Path(code_book.__file__).parent


def edition() -> str:
    """The study's definitions and recommend's readings, by their digests: with others a run is another run."""
    return f"{definitions_edition()}+{digest((*_RECOMMEND.glob('*.yaml'), *_RECOMMEND.glob('*/*.yaml')))}"


@cache
def book() -> CodeBook:
    """Which codes and words mean a drug, a dose, a value. The rest of recommend's library, a second's reading, is of no use."""
    return load(_RECOMMEND / "codes.yaml", CodeBook)


def assess(record: Record, staging: Staging) -> Studied:
    """The study's columns of one patient."""
    record = known(record)
    return studied(record, staging, facts(record, staging))


def known(record: Record) -> Record:
    """What had happened, and been written down, by the day asked for: a later course of radiotherapy is none without a date."""
    if record.as_of is None:
        return record
    limit = record.as_of
    return replace(record, findings=tuple(f for f in record.findings if not any(d and later(d, limit) for d in (f.when, f.recorded))))


def facts(record: Record, staging: Staging) -> Facts:
    """What recommend and staging read of her, in the study's terms."""
    known_codes, seen = book(), usable(record)
    readings = {measure.fact: _readings(known_codes, measure, seen) for measure in known_codes.measures if measure.fact in _MEASURES}
    strangers = others(record, staging, seen)
    told = _answers(known_codes, [finding for finding in seen if finding not in strangers], staging)
    new = returned(record, staging)
    hers = treatments(record)
    return Facts(
        drugs=_drugs(hers, known_codes),
        courses=_courses(hers, known_codes),
        answers=tuple(sorted((*told, *new), key=lambda answer: (answer.when, answer.source))),
        readings=readings | {"size": _sizes(seen)},
        worse_undated=staging.disease_state in _WORSE
        and not strangers
        and all(answer.response != "progression" for answer in (*told, *new)),
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
    for each in courses(record, book):
        doses = [dose for dose in each.finding.doses if dose.total_gy]
        least = min(doses, key=lambda dose: dose.total_gy or 0, default=None)
        found.append(
            Irradiation(
                start=each.start,
                end=_end(each, least.fractions if least else None),
                pelvic=each.pelvic,
                brachytherapy=inside(each.finding.concept) or inside(each.finding.method),
                gy=float(least.total_gy) if least and least.total_gy else None,
                fractions=least.fractions if least else None,
                source=each.source,
                palliative=_coded(each.finding.intent, rules().observations.palliative),
                stopped=each.finding.status == "stopped",
                nodes=bool(each.finding.sites) and all(map(_node, each.finding.sites)),
            )
        )
    return tuple(found)


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


def _answers(book: CodeBook, seen: list[Finding], staging: Staging) -> tuple[Answer, ...]:
    scale = next(scale for scale in book.scales if scale.fact == "response")
    found = [
        Answer(when, cast(Response, value), _where(book, finding, staging), finding.source, day(finding.when))
        for value, finding in answers(book, scale, seen)
        if (when := last_day(finding.when)) is not None
    ]
    return tuple(found)


def others(record: Record, staging: Staging, seen: list[Finding]) -> list[Finding]:
    """What was observed of another primary: its `focus` names that cancer, and nothing of this one."""
    own = _own(staging)
    strange = _strange(record, staging, {focus for finding in seen for focus in finding.focus})
    return [finding for finding in seen if strange.intersection(finding.focus) and not own.intersection(finding.focus)]


def treatments(record: Record) -> Record:
    """The record without treatments whose recorded reason is another cancer, and nothing of this one."""
    away = of_another(record, choose(record, rules()), rules()) if any(f.focus or f.reasons for f in record.findings) else ()
    return replace(record, findings=tuple(f for f in record.findings if f.source not in away)) if away else record


def _own(staging: Staging) -> set[str | None]:
    return {staging.primary.condition, *(source for m in staging.metastases for source in m.sources)}


def _strange(record: Record, staging: Staging, among: set[str]) -> set[str]:
    """Conditions among these that are another cancer."""
    second = {source for issue in staging.issues if issue.code == "second-primary" for source in issue.sources}
    asked = among - _own(staging)
    return {f.source for f in record.findings if f.source in asked and f.kind == "condition" and (f.source in second or _elsewhere(f))}


def _elsewhere(condition: Finding) -> bool:
    found = named(condition, rules())
    return found is not None and found.kind == "other"


def returned(record: Record, staging: Staging) -> tuple[Answer, ...]:
    """New disease that staging finds after treatment had begun, and a recorded local recurrence: progression on the day it was found."""
    if staging.disease_state not in _WORSE:
        return ()
    states = rules().primary.state_snomed
    told = {f.source: states.get(code) for f in record.findings if f.kind == "condition" for _, code in codes(f.concept) if code in states}
    sure = {f.source for f in record.findings if f.source in told and certainty(f) == "definite"}
    known = {m.site for m in staging.metastases if m.in_window and m.certainty == "definite"}
    new: dict[str, Where | None] = {source: "locoregional" for source in sure if told[source] == "local-recurrence"}
    for m in staging.metastases:
        if not m.in_window and m.site not in known and (m.certainty == "definite" or sure.intersection(m.sources)):
            where: Where | None = "locoregional" if m.site_class in _PELVIS else None if m.site_class == "contested" else "distant"
            new |= dict.fromkeys(m.sources, where)
    if not new:
        return ()
    treatment = course(record, choose(record, rules()), rules())
    return tuple(
        Answer(when, "progression", new[f.source], f.source, day(f.when or f.recorded))
        for f in record.findings
        if f.source in new and not treatment.of_specimen(f) and (when := last_day(f.when or f.recorded)) is not None
    )


def _coded(concept: Concept | None, wanted: tuple[str, ...]) -> bool:
    return any(code in wanted for _, code in codes(concept))


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
