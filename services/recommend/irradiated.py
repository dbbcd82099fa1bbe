"""Record → courses of radiotherapy that were given: field, days, dose. A field that nobody recorded stays open."""

from __future__ import annotations

from datetime import date

import msgspec

from services.recommend.codes import CodeBook
from services.recommend.dates import day, last_day
from services.recommend.modality import Kind, is_management, is_radiotherapy, kinds, pelvic
from shared.oncology.recommendation import Irradiated
from shared.oncology.record import Finding, Record

BEGUN = (None, "completed", "in-progress", "stopped")


class Course(msgspec.Struct, frozen=True):
    """One course of radiotherapy. `pelvic` is None where nobody recorded the field; `kinds` is empty where nobody recorded the kind."""

    finding: Finding
    start: date | None
    end: date | None
    pelvic: bool | None
    kinds: frozenset[Kind] = frozenset()

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


def courses(record: Record, book: CodeBook, statuses: tuple[str | None, ...] = BEGUN) -> list[Course]:
    """Every course on record with such a status (without other word: that was begun), oldest first.

    Management of radiotherapy stands for a course where there is no other.
    """
    asked = [f for f in record.findings if f.kind == "procedure" and f.status in statuses]
    found = [f for f in asked if is_radiotherapy(f, book)] or [f for f in asked if is_management(f, book)]
    return sorted((_course(f, book) for f in found), key=lambda course: (course.start or date.min, course.source))


def _course(f: Finding, book: CodeBook) -> Course:
    start, end = (day(f.when), last_day(f.until or f.when)) if f.plausible else (None, None)
    return Course(f, start, end, pelvic(f, book), kinds(f, book))
