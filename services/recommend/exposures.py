"""Record → anticancer drugs that were given, each with its day, and treatments that may be such drugs and name none."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from services.recommend.codes import CodeBook, Drug, words
from services.recommend.dates import day, last_day
from shared.oncology.record import Finding, Record

GIVEN = {
    "medication-administration": (None, "completed", "in-progress", "stopped", "on-hold", "unknown"),
    "medication-statement": (None, "active", "completed", "stopped", "on-hold"),
    "medication-request": (None, "active", "completed", "stopped"),
}
DONE = (None, "completed", "in-progress", "stopped")
UNNAMED = ("chemotherapy", "immunotherapy", "immune checkpoint inhibitor", "study drug", "trial drug", "investigational")
NEAR = timedelta(days=28)  # a procedure "chemotherapy" this near to a named drug is that drug


class Exposure(msgspec.Struct, frozen=True):
    """One drug on one day (None: no date known, or none that can be believed); `finding` tells until when, and how exactly."""

    when: date | None
    drug: Drug
    finding: Finding

    @property
    def source(self) -> str:
        return self.finding.source


def exposed(record: Record, book: CodeBook) -> list[Exposure]:
    """What was given. Requests and statements are weaker: they speak only of drugs that no administration names."""
    found: list[tuple[bool, Exposure]] = []
    for finding in record.findings:
        if finding.status in GIVEN.get(finding.kind, ()):
            for drug in book.drug_of(finding.concept):
                strong = finding.kind == "medication-administration"
                found.append((strong, Exposure(day(finding.when) if finding.plausible else None, drug, finding)))
    strong_drugs = {exposure.drug.id for strong, exposure in found if strong}
    kept = [exposure for strong, exposure in found if strong or exposure.drug.id not in strong_drugs]
    return sorted(kept, key=lambda e: (e.when or date.min, e.drug.id, e.source))


def unnamed(record: Record, book: CodeBook) -> list[Finding]:
    """Treatments that may be anticancer drugs and name none: a code in no list, a class of ATC's L01 not listed here, or "study drug"."""
    named = [e.when for e in exposed(record, book) if e.when]
    return [
        f
        for f in record.findings
        if (f.status in GIVEN.get(f.kind, ()) and not book.drug_of(f.concept) and _opaque(f, book))
        or (f.kind == "procedure" and f.status in DONE and _begins(f) and not any(_near(f, when) for when in named))
    ]


def _opaque(finding: Finding, book: CodeBook) -> bool:
    """By ATC, what is not L01 is no anticancer drug; nor is what is listed as supportive. By its name's ending it may be one."""
    atc = book.coded_in(finding.concept, "atc")
    if atc:
        return any(code.startswith("L01") for code in atc)
    if book.means(finding.concept, book.supportive):
        return False
    return not words(finding.concept) or _begins(finding) or book.sounds_anticancer(finding.concept)


def _begins(finding: Finding) -> bool:
    return any(text.strip().casefold().startswith(UNNAMED) for text in words(finding.concept))


def _near(finding: Finding, when: date) -> bool:
    start, end = day(finding.when), last_day(finding.until or finding.when)
    return start is None or end is None or start - NEAR <= when <= end + NEAR
