"""Conditions, procedures, allergies and looked-for signs on record → a disorder that is there, is over, or was denied; its severity."""

from __future__ import annotations

from services.recommend.codes import Answer, CodeBook, Codes, Disorder, said
from services.recommend.eligibility import Told
from services.recommend.exposures import GIVEN
from services.recommend.readings import usable
from shared.oncology.record import Concept, Finding, Record

SEVERITY = {"24484000": "severe", "6736007": "moderate", "255604002": "mild"}
GRADES = {"severe": ("severe", "grade 3", "grade 4"), "moderate": ("moderate", "grade 2"), "mild": ("mild", "grade 1")}
OUT = ("refuted", "entered-in-error")
OVER = ("resolved", "inactive", "remission")
DONE = {"procedure": (None, "completed", "in-progress", "stopped")} | GIVEN
ENDED = ("completed", "stopped")  # a medicine that is no longer taken
SEEN = (
    Answer("no", {"sct": ("2667000", "260385009"), "loinc": ("LA6577-6",)}, ("negative", "not detected", "non-reactive", "nonreactive")),
    Answer("yes", {"sct": ("52101004", "10828004"), "loinc": ("LA6576-8",)}, ("positive", "detected", "reactive")),
)


def present(record: Record, book: CodeBook, disorder: Disorder) -> Told | None:
    """What the record says of a disorder: its severity where told, every severity where not, "no" where it is over; None in silence."""
    here: list[Finding] = []
    past: list[Finding] = []
    denied: list[Finding] = []
    for finding in record.findings:
        if finding.verification in OUT or finding.status in ("entered-in-error", "not-done", "preparation", "cancelled"):
            continue
        if finding.kind in DONE and finding.status not in DONE[finding.kind]:
            continue
        if finding.kind in disorder.kinds and book.means(finding.concept, disorder.none):
            denied.append(finding)
        if book.shows(finding, disorder):
            over = finding.clinical in OVER or (finding.abated is not None and finding.abated <= (record.today or "9999"))
            over = over or (finding.kind in GIVEN and finding.status in ENDED)
            (past if over else here).append(finding)
    looked = _looked_for(record, book, disorder)
    if looked:
        (here if _true(looked, book) else denied).append(looked)
    if not here and not past and denied:
        return Told(values=("no",), sources=tuple(f.source for f in denied))
    if not here:
        return Told(values=("past" if disorder.ever else "no",), sources=tuple(f.source for f in past), how="over") if past else None
    sure = [f for f in here if f.verification in (None, "confirmed")]
    values = {value for f in sure or here for value in _severities(f)}
    values = {"severe"} if any(_severities(f) == ("severe",) for f in sure) else values | (set() if sure else {"no"})
    dated = sorted((f for f in sure or here if f.plausible), key=lambda f: f.when or f.recorded or "")
    when = (dated[-1].when or dated[-1].recorded) if dated else None
    return Told(values=tuple(sorted(values)), sources=tuple(f.source for f in sure or here), when=when)


def _looked_for(record: Record, book: CodeBook, disorder: Disorder) -> Finding | None:
    """The newest Observation that says whether the disorder is there; one that leaves it open says nothing."""
    seen = [f for f in usable(record) if disorder.observed and book.means(f.concept, disorder.observed)]
    return next((f for f in reversed(seen) if _true(f, book) is not None), None)


def looked_for_and_absent(record: Record, book: CodeBook, codes: Codes, since: str) -> bool:
    """Whether the newest Observation of that sign, later than a day, found nothing anywhere."""
    seen = [f for f in usable(record) if book.means(f.concept, codes) and (f.when or "") > since]
    return bool(seen) and not seen[-1].sites and _true(seen[-1], book) is False


def _true(finding: Finding, book: CodeBook) -> bool | None:
    if finding.value.boolean is not None:
        return finding.value.boolean
    answer = book.answer(finding.value.concept, finding.value.text, SEEN)
    return None if answer is None else answer == "yes"


def _severities(finding: Finding) -> tuple[str, ...]:
    for coding in finding.severity.codings if finding.severity else ():
        if coding.code in SEVERITY:
            return (SEVERITY[coding.code],)
    for concept in (finding.severity or Concept(), finding.concept):
        for severity, phrases in GRADES.items():
            if said(concept, phrases):
                return (severity,)
    return ("mild", "moderate", "severe")
