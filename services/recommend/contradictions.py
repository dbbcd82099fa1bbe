"""Values that contradict each other on different days, or by different scales: the one that is used stays, and a note names both."""

from __future__ import annotations

from services.recommend.codes import CodeBook
from services.recommend.eligibility import Measured
from services.recommend.readings import SAME, Refusal, answers, numbers
from shared.oncology.recommendation import Note
from shared.oncology.record import Finding

MARKERS = ("pd-l1-cps", "tumour-mutational-burden", "her2-ihc", "her2-fish", "mismatch-repair")


def serial(book: CodeBook, findings: list[Finding]) -> list[Note]:
    """A note for each marker of which an earlier day tells something else than the newest."""
    notes = []
    for asked in book.asked:
        if asked.fact not in MARKERS:
            continue
        told = _told(book, asked.fact, findings)
        other = next((value for value in told[1:] if value[1] != told[0][1] and not _same(value[0], told[0][0])), None)
        if other:
            both = " and ".join(f"{value}{f' ({when})' if when else ''}" for value, when, _ in (told[0], other))
            text = f"Of {asked.says}, {both} are on record; the newest is used. Ask whether each is of this tumour."
            notes.append(Note(text=text, sources=(*told[0][2], *other[2])))
    return notes


def _told(book: CodeBook, fact: str, findings: list[Finding]) -> list[tuple[str | Measured, str | None, tuple[str, ...]]]:
    for scale in book.scales:
        if scale.fact == fact:
            return [(answer, f.when, (f.source,)) for answer, f in answers(book, scale, findings)]
    measure = next(m for m in book.measures if m.fact == fact)
    return [(r, r.when, r.sources) for r in numbers(book, measure, findings) if not isinstance(r, Refusal)]


def _same(one: str | Measured, other: str | Measured) -> bool:
    if not isinstance(one, Measured) or not isinstance(other, Measured):
        return one == other
    low, high = max(one.low, other.low), min(one.high, other.high)
    return low <= high or low - high <= SAME * abs(low)
