"""Record → what the patient has had: drugs grouped into lines and cycles, radiotherapy to the pelvis, response and progression.

A line of systemic treatment for advanced disease begins with a new drug more than four weeks after the line began, or after a long pause;
a change between platinum compounds or between taxanes goes on with the line. A platinum compound alone, weekly or beside radiotherapy,
sensitises and is no line.
"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from statistics import median

import msgspec

from services.recommend.codes import CodeBook, Drug, said
from services.recommend.dates import day
from services.recommend.eligibility import Fact, Told
from services.recommend.policy import Policy
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Staging

GIVEN = {
    "medication-administration": (None, "completed", "in-progress", "stopped", "on-hold", "unknown"),
    "medication-statement": (None, "active", "completed", "stopped", "on-hold"),
    "medication-request": (None, "active", "completed", "stopped"),
}
SWAPS = ("platinum", "taxane")
PELVIC = ("pelvis", "pelvic", "cervix", "whole pelvis")
BONE = ("pelvic bone", "pelvic bones", "bone structure of pelvis", "bony pelvis", "sacrum", "ilium", "ischium", "pubis", "acetabulum")
RADIOTHERAPY = ("radiotherapy", "radiation therapy", "brachytherapy", "chemoradiotherapy", "chemoradiation", "radiochemotherapy")


class Exposure(msgspec.Struct, frozen=True):
    """One drug on one day (None: no date known)."""

    when: date | None
    drug: Drug
    source: str


class Line(msgspec.Struct):
    """One line of systemic treatment."""

    drugs: dict[str, Drug]
    days: list[date]
    sources: list[str]

    def cycles(self, apart: float) -> int:
        """Days of treatment that begin a new cycle: so many days after the beginning of the last one."""
        starts: list[date] = []
        for when in sorted(set(self.days)):
            if not starts or (when - starts[-1]).days >= apart:
                starts.append(when)
        return len(starts)


class Course(msgspec.Struct, frozen=True):
    """One course of radiotherapy. `pelvic` is None where nobody recorded the field."""

    source: str
    start: date | None
    end: date | None
    pelvic: bool | None


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was given; `line` is the number of the next or current line, None where a relapsed patient's record holds no treatment."""

    line: int | None
    cycles: int
    lines: tuple[Line, ...]
    exposures: tuple[Exposure, ...]
    courses: tuple[Course, ...]
    sources: tuple[str, ...]
    ongoing: Line | None = None

    def facts(self) -> dict[str, Fact]:
        """What was given before the current line, as facts; what nobody recorded stays silent."""
        found: dict[str, Fact] = {}
        now = set(self.ongoing.sources) if self.ongoing else set()
        for name in ("platinum", "taxane", "pd-1", "anti-vegf"):
            of = tuple(sorted({e.source for e in self.exposures if name in e.drug.classes and e.source not in now}))
            if of:
                found[f"prior-{name}"] = Told(values=("given",), sources=of)
        pelvic = [c for c in self.courses if c.pelvic] or [c for c in self.courses if c.pelvic is None]
        if pelvic:
            values = ("given",) if pelvic[0].pelvic else ("given", "no")
            found["prior-pelvic-radiotherapy"] = Told(values=values, sources=tuple(c.source for c in pelvic))
        return found


def history(record: Record, staging: Staging, book: CodeBook, policy: Policy) -> History:
    """The treatment history of the record, as staging dates the disease."""
    exposures, courses = _exposures(record, book), _courses(record, book)
    since = _advanced_since(record, staging, book)
    counted = [e for e in exposures if e.when is not None and (since is None or e.when >= since)]
    counted = _without_sensitisers(counted, courses, policy)
    lines = _lines(counted, policy)
    current = lines[-1] if lines else None
    number: int | None = max(len(lines), 1)
    if current and _ended(current, record, staging, book, policy):
        number = len(lines) + 1
    if staging.disease_state != "initial" and not exposures and not courses and not _operated(record, book):
        number = None
    ongoing = current if current and number == len(lines) else None
    return History(
        line=number,
        cycles=ongoing.cycles(policy.number("cycle-apart")) if ongoing else 0,
        lines=tuple(lines),
        exposures=tuple(exposures),
        courses=tuple(courses),
        sources=tuple(dict.fromkeys(source for line in lines for source in line.sources)),
        ongoing=ongoing,
    )


def _exposures(record: Record, book: CodeBook) -> list[Exposure]:
    """What was given. Requests and statements are weaker: they speak only of drugs that no administration names."""
    found: list[tuple[bool, Exposure]] = []
    for finding in record.findings:
        if finding.status in GIVEN.get(finding.kind, ()):
            for drug in book.drug_of(finding.concept):
                strong = finding.kind == "medication-administration"
                found.append((strong, Exposure(day(finding.when), drug, finding.source)))
    strong_drugs = {exposure.drug.id for strong, exposure in found if strong}
    kept = [exposure for strong, exposure in found if strong or exposure.drug.id not in strong_drugs]
    return sorted(kept, key=lambda e: (e.when or date.min, e.drug.id, e.source))


def _courses(record: Record, book: CodeBook) -> list[Course]:
    return [
        Course(f.source, day(f.when), day(f.until or f.when), _pelvic(f, book))
        for f in record.findings
        if f.kind == "procedure"
        and f.status in (None, "completed", "in-progress", "stopped")
        and (book.means(f.concept, book.sites["radiotherapy"]) or said(f.concept, RADIOTHERAPY))
    ]


def _pelvic(finding: Finding, book: CodeBook) -> bool | None:
    """Whether the field took in the organs of the pelvis; None where nobody told the field, or it lay on the pelvic bones."""
    if book.means(finding.concept, book.sites["brachytherapy"]):
        return True
    places = (*finding.sites, finding.concept)
    bone = [site for site in places if book.means(site, book.sites["pelvic-bone"]) or said(site, BONE)]
    if any((book.means(site, book.sites["pelvis"]) or said(site, PELVIC)) and site not in bone for site in places):
        return True
    return None if bone or not finding.sites else False


def _operated(record: Record, book: CodeBook) -> bool:
    surgery = next(d for d in book.disorders if d.fact == "major-surgery")
    return any(book.shows(finding, surgery) for finding in record.findings)


def progressions(record: Record, staging: Staging, book: CodeBook) -> list[date]:
    """The days on which recurrence or progression is recorded: response, condition, or spread after the staging window."""
    scale = next(s for s in book.scales if s.fact == "response")
    disorder = next(d for d in book.disorders if d.fact == "recurrence")
    later = {source for m in staging.metastases if not m.in_window for source in m.sources}
    found = []
    for f in record.findings:
        if not f.plausible or f.verification in ("refuted", "entered-in-error"):
            continue
        worse = book.means(f.concept, scale.codes) and book.answer(f.value.concept, f.value.text, scale.answers) == "progression"
        if worse or f.source in later or book.shows(f, disorder) or f.clinical in ("recurrence", "relapse"):
            found.append(day(f.when if f.clinical not in ("recurrence", "relapse") else f.recorded or f.when))
    return sorted(d for d in found if d)


def _advanced_since(record: Record, staging: Staging, book: CodeBook) -> date | None:
    """From when treatment counts: at once in primary advanced disease, else from the first recurrence after the staging window."""
    if staging.disease_state == "initial":
        return None
    stage = staging.editions.get("figo-2018")
    if stage is not None and stage.stage == "IVB":
        return None
    end = day(staging.window.end)
    return next((d for d in progressions(record, staging, book) if end is None or d > end), end)


def _without_sensitisers(exposures: list[Exposure], courses: list[Course], policy: Policy) -> list[Exposure]:
    """Without a platinum compound given alone, weekly or during radiotherapy."""
    margin = timedelta(days=policy.number("sensitiser-margin"))
    partners = {e.when for e in exposures if "platinum" not in e.drug.classes and "pd-1" not in e.drug.classes}
    alone = [e for e in exposures if "platinum" in e.drug.classes and e.when not in partners and e.when]
    days = sorted({e.when for e in alone if e.when})
    weekly = len(days) >= 3 and median((b - a).days for a, b in pairwise(days)) <= 9
    inside = [
        e for e in alone if weekly or any(c.start and c.end and c.start - margin <= (e.when or date.min) <= c.end + margin for c in courses)
    ]
    return [e for e in exposures if e not in inside]


def _lines(exposures: list[Exposure], policy: Policy) -> list[Line]:
    lines: list[Line] = []
    for e in exposures:
        if e.when is None:
            continue
        if not lines or _begins(lines[-1], e, e.when, policy):
            lines.append(Line({}, [], []))
        lines[-1].drugs[e.drug.id] = e.drug
        lines[-1].days.append(e.when)
        lines[-1].sources.append(e.source)
    return lines


def _begins(line: Line, e: Exposure, when: date, policy: Policy) -> bool:
    if (when - line.days[-1]).days > policy.number("line-pause"):
        return True
    swaps = any(name in e.drug.classes and name in drug.classes for drug in line.drugs.values() for name in SWAPS)
    return e.drug.id not in line.drugs and not swaps and (when - line.days[0]).days > policy.number("line-entry")


def _ended(line: Line, record: Record, staging: Staging, book: CodeBook, policy: Policy) -> bool:
    if any(d > line.days[0] for d in progressions(record, staging, book)):
        return True
    today = day(record.today)
    return today is not None and (today - line.days[-1]).days > policy.number("line-pause")
