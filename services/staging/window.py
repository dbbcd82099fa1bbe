"""The staging window: everything up to the start of the first definitive treatment. Later findings never change the stage."""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, timedelta
from typing import NamedTuple

from services.staging import tnm
from services.staging.knowledge import Rules
from services.staging.primary import Tumour
from services.staging.purpose import of_another
from shared.fhir.codes import ATC, RXNORM, SNOMED, codes
from shared.fhir.dates import days, later
from shared.oncology.not_read import TREATMENTS
from shared.oncology.record import Concept, Finding, Record
from shared.oncology.stage import Window

DATED = "The day on which the spread was found, and whether treatment had begun: "
BEGUN = "The day on which the first definitive treatment began, since none is on record with a day before the spread: "
DONE = frozenset({"completed", "in-progress", "stopped", "on-hold", "active"})
# Pathology of the specimen that the first operation removed still belongs to its work-up; 60 days is our reading, not a source's.
_SPECIMEN = timedelta(days=60)


class Treatment(NamedTuple):
    """One course or dose of cancer treatment, from its start to its end (ISO dates)."""

    start: str
    end: str
    kind: str
    source: str


class Course(NamedTuple):
    """The treatments of the record in order, and the window that the first definitive one closes."""

    window: Window
    treatments: tuple[Treatment, ...]
    rules: Rules
    operated: tuple[str, ...] = ()  # the days of operations, in order
    following: str = "9999"  # the first treatment that was none
    returned: str | None = None  # from when the primary is said to have come back or to be gone
    unseen: bool = False  # nobody could see all treatments
    only_early: bool = False  # what an unseen treatment may have preceded is left out

    def includes(self, finding: Finding) -> bool:
        """Whether a finding belongs to the work-up. What has no date is taken as work-up."""
        when, end = finding.when or finding.recorded, self.window.end
        if self.only_early and self.late(finding):
            return False
        if when is None or end is None or _at(when, end) <= 0:
            return True
        first = self.treatments[0]
        if first.kind != "surgery" or len(end) < 10 or len(when) < 10 or not _pathological(finding, self.rules):
            return False
        return when < self.following and date.fromisoformat(when) - date.fromisoformat(end) <= _SPECIMEN

    def early(self, finding: Finding) -> bool:
        """Whether a finding is said to be so long before the diagnosis that its date is not believed."""
        start, when = self.window.start, finding.when or finding.recorded
        return start is not None and when is not None and days(when, start) > self.rules.observations.before_diagnosis_days

    def late(self, finding: Finding) -> bool:
        """Whether a treatment that nobody could see may have come before the finding: it is dated so long after the diagnosis."""
        start, when = self.window.start, finding.when or finding.recorded
        if not self.unseen or start is None or when is None:
            return False
        first, last = (start + "-01-01")[:10], when + {4: "-12-31", 7: "-28"}.get(len(when), "")
        return days(first, last) > self.rules.observations.after_diagnosis_days

    def untreated(self, finding: Finding) -> bool:
        """Whether no treatment on record came before a finding that one may have come before: it is dated long after the diagnosis, or
        after the day from which the primary is said to have come back or to be gone."""
        start, end, when = self.window.start, self.window.end, finding.when or finding.recorded
        if when is None or (end is not None and _at(when, end) > 0):
            return False
        if end is None and self.returned is not None and not later(self.returned, when):
            return True
        return start is not None and days(start, when) > self.rules.observations.after_diagnosis_days

    def undecided(self, finding: Finding) -> bool:
        """Whether nobody can tell if spread was there before the treatment: one has no date or a partial one, or none is on record."""
        end, when, written = self.window.end, finding.when, finding.recorded
        if when is None and written is None:
            return end is not None or self.unseen or self.returned is not None or not finding.plausible
        if self.early(finding) or self.late(finding) or self.untreated(finding) or (self.unseen and self.window.start is None):
            return True
        return end is not None and not _before(written, end) and _straddles(when or written or "", end)

    def ask(self, finding: Finding) -> str:
        """What would settle whether spread was there before the treatment; the site is to follow."""
        return BEGUN if self.untreated(finding) else DATED

    def after(self, other: Finding, finding: Finding) -> bool:
        """Whether another cancer was found so long after a metastasis that it did not come from it."""
        first, when = other.when or other.recorded, finding.when or finding.recorded
        return first is not None and when is not None and days(when, first) > self.rules.observations.after_diagnosis_days

    def of_specimen(self, finding: Finding) -> bool:
        """Whether a finding was made on what an operation removed: disease that was there then, and not new."""
        when = finding.when or ""
        before = bisect_right(self.operated, when)
        if len(when) < 10 or not before or not _pathological(finding, self.rules):
            return False
        return date.fromisoformat(when) - date.fromisoformat(self.operated[before - 1]) <= _SPECIMEN


def course(record: Record, tumour: Tumour, rules: Rules) -> Course:
    """The treatments and the staging window of the record."""
    diagnosed, unseen = diagnosis(tumour), not TREATMENTS.isdisjoint(record.unread)
    onset = min((f.when for f in tumour.conditions if f.when), default=None)
    away = of_another(record, tumour, rules)
    given = [(f, kind) for f in record.findings if (kind := treated(f, rules)) is not None and f.source not in away]
    dated = (Treatment(f.when, f.until or f.when, kind, f.source) for f, kind in given if f.when is not None)
    found = sorted(t for t in dated if onset is None or _at(t.start, onset) >= 0)
    if not found:
        return Course(Window(start=diagnosed), (), rules, returned=_returned(tumour), unseen=unseen)
    window = Window(start=diagnosed, end=found[0].start, ends_with=found[0].source)
    operated = tuple(sorted({t.start for t in found if t.kind == "surgery" and len(t.start) == 10}))
    return Course(window, tuple(found), rules, operated, next((t.start for t in found if t.kind != "surgery"), "9999"), unseen=unseen)


def diagnosis(tumour: Tumour) -> str | None:
    """The day of diagnosis: of the primary the day on which it was asserted, else its onset, else the day it was written down."""
    dates = [f.asserted or f.when or f.recorded for f in tumour.conditions]
    return min((d for d in dates if d), default=None)


def _returned(tumour: Tumour) -> str | None:
    """The first day from which spread may have come after a treatment by what the primary's own status says; None where it says nothing.

    A recurrence that stands alone has no day before it; one beside an entry of the disease itself is of its own day.
    """
    back = [f for f in tumour.conditions if f.clinical in ("recurrence", "relapse")]
    alone = len(back) == len(tumour.conditions)
    dates = [f.abated for f in tumour.conditions if f.abated] + ["" if alone else f.when or f.recorded or "" for f in back]
    return min(dates, default=None)


def _pathological(finding: Finding, rules: Rules) -> bool:
    """Whether a finding was made on a specimen: by its method, or as a category with the prefix p."""
    if any(rules.methods.get(pair) == "p" for pair in codes(finding.method)):
        return True
    meaning = rules.meaning(finding.concept)
    if meaning is None or meaning.kind not in "tnm":
        return False
    category = tnm.recorded(finding, meaning.kind, meaning.detail, rules)
    return category is not None and category.prefix == "p"


def _at(one: str, other: str) -> int:
    """-1, 0 or 1 at the precision that both dates have."""
    shared = min(len(one), len(other))
    a, b = one[:shared], other[:shared]
    return (a > b) - (a < b)


def _before(date: str | None, end: str) -> bool:
    """Whether a date is surely not later than the other."""
    return date is not None and _at(date, end) <= 0 and not _straddles(date, end)


def _straddles(date: str, end: str) -> bool:
    """Whether two dates cannot be ordered, because one of them is partial."""
    return _at(date, end) == 0 and min(len(date), len(end)) < 10


def treated(finding: Finding, rules: Rules) -> str | None:
    """What kind of definitive treatment a finding is, dated or not; None where it is none."""
    if finding.status not in DONE:
        return None
    o = rules.observations
    if finding.kind == "procedure":
        palliative = any(code in o.palliative or code in o.diagnostic for _, code in codes(finding.intent))
        kinds = {code for concept in (finding.concept, *finding.category) for system, code in codes(concept) if system == SNOMED}
        if kinds & set(o.pathology):
            return None  # a biopsy, whatever its category
        if kinds & set(o.cone) and not any(code in o.curative for _, code in codes(finding.intent)):
            return None  # a cone is work-up unless it is said to be the cure
        kind = "radiotherapy" if kinds & set(o.radiotherapy) else "surgery" if kinds & set(o.surgery) else None
        return None if palliative else kind
    if finding.kind in ("medication-administration", "medication-statement") and _anticancer(finding.concept, rules):
        return "drug"
    return None


def _anticancer(concept: Concept, rules: Rules) -> bool:
    o = rules.observations
    for system, code in codes(concept):
        if (system == RXNORM and code in o.anticancer_rxnorm) or (system == ATC and code.startswith(o.anticancer_atc)):
            return True
    texts = (concept.text or "", *(c.display or "" for c in concept.codings))
    return any(drug in text.lower() for text in texts for drug in o.anticancer_text)
