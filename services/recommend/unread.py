"""What stands in the record and nobody here understands: no words, and a code in no list. It is asked about, never passed over."""

from __future__ import annotations

from services.recommend.codes import CodeBook, words
from services.recommend.disorders import OUT, OVER
from services.recommend.treatments import GIVEN
from shared.oncology.recommendation import Note
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Staging

ASKS = {
    "allergy": ("An allergy", "allergies", "ask what it is to"),
    "condition": ("A condition", "conditions", "ask what it is before taking silence on contraindications for absence"),
    "drug": ("A drug", "drugs", "ask what was given: it may make a line of treatment, or be an antibody against PD-1 or PD-L1"),
}


def unread(record: Record, staging: Staging, book: CodeBook) -> tuple[Note, ...]:
    """One note each for allergies, conditions and drugs that are understood by neither code nor words, with their sources."""
    found = {"allergy": allergies(record, book), "condition": _conditions(record, staging, book), "drug": _drugs(record, book)}
    return tuple(_note(kind, findings) for kind, findings in found.items() if findings)


def allergies(record: Record, book: CodeBook) -> list[Finding]:
    """Allergies in force of which nobody knows what they are to."""
    known = [codes for d in book.disorders if "allergy" in d.kinds for codes in (d.codes, d.none)]
    return [
        f
        for f in record.findings
        if f.kind == "allergy" and f.verification not in OUT and f.clinical not in OVER
        if not words(f.concept) and not any(book.means(f.concept, codes) for codes in known) and not book.drug_of(f.concept)
    ]


def _conditions(record: Record, staging: Staging, book: CodeBook) -> list[Finding]:
    """ICD-10 is listed here by whole branches: a code outside them is another disorder. What staging has read is understood."""
    read = {s for m in staging.metastases for s in m.sources} | {r.source for r in staging.recorded} | {staging.primary.condition}
    read |= {s for edition in staging.editions.values() for because in edition.because for s in because.sources}
    known = [d.codes for d in book.disorders] + [h.codes for h in book.histology]
    return [
        f
        for f in record.findings
        if f.kind == "condition" and f.verification not in OUT and f.source not in read and not f.stages and not f.histology
        if not words(f.concept) and not book.coded_in(f.concept, "icd10") and not any(book.means(f.concept, codes) for codes in known)
    ]


def _drugs(record: Record, book: CodeBook) -> list[Finding]:
    """By ATC, what is not L01 is no anticancer drug."""
    return [
        f
        for f in record.findings
        if f.kind in GIVEN and f.status in GIVEN[f.kind] and not words(f.concept) and not book.drug_of(f.concept)
        if not any(code[:1] != "L" for code in book.coded_in(f.concept, "atc"))
    ]


def _note(kind: str, findings: list[Finding]) -> Note:
    one, many, ask = ASKS[kind]
    subject = f"{one} on record is" if len(findings) == 1 else f"{len(findings)} {many} on record are"
    text = f"{subject} not understood: no words, and a code in no list here; {ask}."
    return Note(text=text, sources=tuple(f.source for f in findings))
