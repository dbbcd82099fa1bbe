"""Record → courses of radiotherapy that were given: field, days, dose. A field that nobody recorded stays open."""

from __future__ import annotations

from datetime import date

import msgspec

from services.recommend.codes import CodeBook, said
from services.recommend.dates import day, last_day
from shared.oncology.recommendation import Irradiated
from shared.oncology.record import Finding, Record

PELVIC = ("pelvis", "pelvic", "cervix", "whole pelvis")
BONE = ("pelvic bone", "pelvic bones", "bone structure of pelvis", "bony pelvis", "sacrum", "ilium", "ischium", "pubis", "acetabulum")
RADIOTHERAPY = ("radiotherapy", "radiation therapy", "brachytherapy", "chemoradiotherapy", "chemoradiation", "radiochemotherapy")


class Course(msgspec.Struct, frozen=True):
    """One course of radiotherapy. `pelvic` is None where nobody recorded the field."""

    finding: Finding
    start: date | None
    end: date | None
    pelvic: bool | None

    @property
    def source(self) -> str:
        return self.finding.source

    def told(self) -> Irradiated:
        """The course as it goes out; the dose of the volume that got most, since volumes of one course overlap."""
        finding = self.finding
        most = max(finding.doses, key=lambda dose: dose.total_gy or 0, default=None)
        return Irradiated(
            field=None if self.pelvic is None else "pelvis" if self.pelvic else "elsewhere",
            source=finding.source,
            start=finding.when if finding.plausible else None,
            end=finding.until if finding.plausible else None,
            total_gy=float(most.total_gy) if most and most.total_gy is not None else None,
            fractions=most.fractions if most else None,
        )


def courses(record: Record, book: CodeBook) -> list[Course]:
    """Every course on record that was begun, oldest first."""
    found = [
        Course(f, day(f.when) if f.plausible else None, last_day(f.until or f.when) if f.plausible else None, _pelvic(f, book))
        for f in record.findings
        if f.kind == "procedure"
        and f.status in (None, "completed", "in-progress", "stopped")
        and (book.means(f.concept, book.sites["radiotherapy"]) or said(f.concept, RADIOTHERAPY))
    ]
    return sorted(found, key=lambda course: (course.start or date.min, course.source))


def _pelvic(finding: Finding, book: CodeBook) -> bool | None:
    """Whether the field took in the organs of the pelvis; None where nobody told the field, or it lay on the pelvic bones."""
    if book.means(finding.concept, book.sites["brachytherapy"]):
        return True
    places = (*finding.sites, finding.concept)
    bone = [site for site in places if book.means(site, book.sites["pelvic-bone"]) or said(site, BONE)]
    if any((book.means(site, book.sites["pelvis"]) or said(site, PELVIC)) and site not in bone for site in places):
        return True
    return None if bone or not finding.sites else False
