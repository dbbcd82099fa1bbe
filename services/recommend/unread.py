"""What stands in the record and nobody here understands: no words, and a code in no list. It is asked about, never passed over."""

from __future__ import annotations

from services.recommend.codes import CodeBook, said, words
from services.recommend.disorders import OUT, OVER
from services.recommend.exposures import unnamed
from services.recommend.situation import histology
from shared.oncology.recommendation import Note
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Staging

OPAQUE = "no words, and a code in no list here; or it is of high criticality, in words that name no drug or excipient here"
CODE = "no words, and a code in no list here"
ASKS = {
    "allergy": ("An allergy", "allergies", OPAQUE, "ask what it is to"),
    "condition": ("A condition", "conditions", CODE, "ask what it is before taking silence on contraindications for absence"),
    "drug": (
        "A drug",
        "drugs",
        "no substance is named that is listed here",
        "ask what was given: it may make a line of treatment, or be an antibody against PD-1 or PD-L1",
    ),
}


def unread(record: Record, staging: Staging, book: CodeBook) -> tuple[Note, ...]:
    """One note each for allergies, conditions and drugs that are understood by neither code nor words, with their sources."""
    found = {"allergy": allergies(record, book), "condition": _conditions(record, staging, book), "drug": unnamed(record, book)}
    notes = [_note(kind, findings) for kind, findings in found.items() if findings]
    return (*notes, *_histology(record, staging, book))


def _histology(record: Record, staging: Staging, book: CodeBook) -> list[Note]:
    """A histology that names none of the classes that regimens ask for, or one that is not known here."""
    code, source = staging.primary.histology, staging.primary.condition
    told = histology(record, staging, book)
    if told and len(told.values) > 1:
        text = f"The histologies on record disagree: {' and '.join(told.values)}; neither is taken for the other."
        text += " Ask the pathologist which holds. (extent-conflict)"
        return [Note(text=text, sources=told.sources)]
    if code is None or told:
        return []
    text = f"The histology {code} names no class here; no regimen that asks for one is settled by it. Ask the pathologist for the type."
    return [Note(text=text, sources=(source,) if source else ())]


def allergies(record: Record, book: CodeBook) -> list[Finding]:
    """Allergies in force of which nobody knows what they are to: no words, or of high criticality and words that are not known here."""
    asked = [d for d in book.disorders if "allergy" in d.kinds]
    known = [codes for d in asked for codes in (d.codes, d.none)]
    words_known = tuple(word for d in asked for word in (*d.words, *d.not_words)) + book.never_words + ("taxane", "taxanes")
    return [
        f
        for f in record.findings
        if f.kind == "allergy" and f.verification not in OUT and f.clinical not in OVER
        if (not words(f.concept) or (_critical(f) and not said(f.concept, words_known)))
        and not any(book.means(f.concept, codes) for codes in known)
        and not book.drug_of(f.concept)
    ]


def _critical(finding: Finding) -> bool:
    return any(coding.code == "high" for coding in (finding.severity.codings if finding.severity else ()))


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


def _note(kind: str, findings: list[Finding]) -> Note:
    one, many, why, ask = ASKS[kind]
    subject = f"{one} on record is" if len(findings) == 1 else f"{len(findings)} {many} on record are"
    text = f"{subject} not understood: {why}; {ask}."
    return Note(text=text, sources=tuple(f.source for f in findings))
