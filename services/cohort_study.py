"""The founding study's columns for `figaro cohort`: brings recommend's readings of drugs, doses and values to the study's definitions."""

from __future__ import annotations

from functools import cache
from math import inf
from pathlib import Path
from typing import cast

from msgspec.structs import replace

from services.cohort.definitions import edition as definitions_edition
from services.cohort.facts import Answer, Facts, Reading, Response, Where
from services.cohort.plan import Study
from services.cohort.study import Studied, studied
from services.cohort_treatment import doubts, drugs, irradiations
from services.recommend import codes as code_book
from services.recommend.codes import CodeBook, Measure
from services.recommend.dates import day, last_day
from services.recommend.eligibility import Measured
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
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Staging

_MEASURES = ("ecog", "haemoglobin", "leucocytes")
_WORSE = ("recurrent", "progressive")
_AGAIN = ("recurrence", "relapse")
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
    given = drugs(hers, known_codes)
    irradiated, notes = irradiations(hers, known_codes)
    return Facts(
        drugs=given,
        courses=irradiated,
        doubts=doubts(hers, known_codes, given),
        notes=notes,
        answers=tuple(sorted((*told, *new), key=lambda answer: (answer.when, answer.source))),
        readings=readings | {"size": _sizes(seen)},
        worse_undated=staging.disease_state in _WORSE
        and not strangers
        and all(answer.response != "progression" for answer in (*told, *new)),
    )


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
    """The record without treatments whose recorded reason is another cancer, and nothing of this one, and without the parts of such."""
    away = of_another(record, choose(record, rules()), rules()) if any(f.focus or f.reasons for f in record.findings) else ()
    if not away:
        return record
    gone = {*away, *(f.source for f in record.findings if f.kind == "procedure" and not f.reasons and not away.isdisjoint(f.related))}
    return replace(record, findings=tuple(f for f in record.findings if f.source not in gone))


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
    """Progression on the day it was found: new disease that staging finds after treatment had begun, a recorded local recurrence, and the
    primary on record once more as a recurrence after the diagnosis.
    """
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
    tumour = choose(record, rules())
    again = {f.source for f in tumour.conditions if f.clinical in _AGAIN and later(f.when or f.recorded or "", staging.diagnosed or "9999")}
    new |= dict.fromkeys(again - new.keys())
    if not new:
        return ()
    treatment = course(record, tumour, rules())
    return tuple(
        Answer(when, "progression", new[f.source], f.source, day(f.when or f.recorded))
        for f in record.findings
        if f.source in new and not treatment.of_specimen(f) and (when := last_day(f.when or f.recorded)) is not None
    )


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
