"""Staging and record → where disease has come back, or stayed: local, regional or distant. What nobody looked for stays open."""

from __future__ import annotations

from typing import Literal

import msgspec

from services.recommend.codes import CodeBook, Codes, said
from services.recommend.disorders import looked_for_and_absent
from services.recommend.eligibility import Told
from services.recommend.readings import answers, usable
from shared.oncology.record import Record
from shared.oncology.stage import Staging

Site = Literal["local", "regional", "distant"]
FARTHER: tuple[Site, ...] = ("local", "regional", "distant")
SITES: dict[str, Site] = {
    "adjacent": "local",
    "regional-node": "regional",
    "organ": "distant",
    "peritoneal": "distant",
    "distant-node": "distant",
}
# Looked for after treatment and not found: the extent that is then excluded.
EXCLUDES: dict[Site, tuple[str, ...]] = {"regional": ("regional-nodes", "pelvic-nodes"), "distant": ("distant-organ",)}
LOCAL: Codes = {"sct": ("314970000",)}  # SNOMED CT: local recurrence of malignant tumour of cervix
WORDS = ("local recurrence", "locally recurrent", "central recurrence", "vaginal vault recurrence")


class Recurrence(msgspec.Struct, frozen=True):
    """The farthest site that the record settles, None where it settles none; and as a fact every site that it may be."""

    farthest: Site | None
    fact: Told


def recurrence(record: Record, staging: Staging, book: CodeBook) -> Recurrence | None:
    """Where the disease is that persists, has come back or goes on; None in initial disease."""
    if staging.disease_state == "initial":
        return None
    later = [m for m in staging.metastases if not m.in_window or staging.window.end is None]
    sure = [(SITES[m.site_class], m.sources) for m in later if m.certainty == "definite" and m.site_class in SITES]
    sure += [("local", (source,)) for source in _local(record, book)]
    if not _gone(record, book):  # distant disease at diagnosis is there until a complete response is on record
        sure += [("distant", m.sources) for m in staging.metastases if m.certainty == "definite" and SITES.get(m.site_class) == "distant"]
    farthest = max((site for site, _ in sure), key=FARTHER.index, default=None)
    beyond = FARTHER[FARTHER.index(farthest) + 1 :] if farthest else FARTHER
    doubted = {SITES.get(m.site_class, "distant") for m in later if m.certainty != "definite"}
    open_ = [site for site in beyond if site in doubted or not _excluded(site, record, staging, book)]
    sources = tuple(dict.fromkeys(s for site, found in sure if site == farthest for s in found))
    return Recurrence(farthest, Told(values=((farthest,) if farthest else ()) + tuple(open_), sources=sources))


def _gone(record: Record, book: CodeBook) -> bool:
    scale = next(s for s in book.scales if s.fact == "response")
    return any(answer == "complete" for answer, _ in answers(book, scale, usable(record)))


def _local(record: Record, book: CodeBook) -> list[str]:
    return [
        f.source
        for f in record.findings
        if f.kind == "condition" and f.verification in (None, "confirmed") and (book.means(f.concept, LOCAL) or said(f.concept, WORDS))
    ]


def _excluded(site: Site, record: Record, staging: Staging, book: CodeBook) -> bool:
    since = staging.window.end or ""
    return any(looked_for_and_absent(record, book, {"extent": (code,)}, since) for code in EXCLUDES.get(site, ()))
