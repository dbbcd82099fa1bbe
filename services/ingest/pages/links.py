"""Where a claim leads: to the resource that it rests on, in our own view of it, and to the work that it is taken from.

Only what looks like a reference, a DOI, a PubMed number or a registry number becomes an address; whatever else a record or a work
holds stands as text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import quote

from shared.fhir.words import capital, origin
from shared.oncology.recommendation import Citation
from shared.oncology.record import Concept, Finding

_REFERENCE = re.compile(r"([A-Z][A-Za-z]{2,40})/([A-Za-z0-9\-.]{1,64})")
_DOI = re.compile(r"10\.\d{4,9}/[!-~]{1,200}")
_PMID = re.compile(r"\d{1,9}")
_NCT = re.compile(r"NCT\d{8}")
_OURS = "https://figaro.example/fhir/CodeSystem/extent-of-disease"
_TRIAL = re.compile(r"([a-z]+-(?:[a-z]\d+|\d{2,3}c?))(?:-|$)")
_NAMES = {"beatcc": "BEATcc", "hemonc": "HemOnc", "impower133": "IMpower133", "sabr": "SABR"}
_NAMES |= {name: name.upper() for name in ("asco", "bgcs", "esgo", "figo", "ksgo", "nccn", "psgo", "seer", "seom", "ajcc", "cruk", "ivb")}
_NAMES |= {name: name.upper() for name in ("calla", "cccmac", "caspian", "compassion", "embrace", "empower", "interlace", "jcog0505")}
_SHORT = 44
SELF = "self"  # stands for the patient's own id, which is in no address


class Link(NamedTuple):
    """A text and where it leads; nowhere where `href` is None. `external` leaves Figaro."""

    text: str
    href: str | None = None
    external: bool = False


class Cited(NamedTuple):
    """A work with the place in it; `whole` is its citation in full."""

    link: Link
    at: str
    whole: str


class Links:
    """The addresses of one page: `base` is the launch's own ("/app/…"), `findings` are the record's, `works` those that are cited."""

    def __init__(self, base: str, findings: Iterable[Finding], works: Mapping[str, Citation]) -> None:
        self._base = base.rstrip("/")
        self._findings = {finding.source: finding for finding in findings}
        self._works = works

    def source(self, reference: str) -> Link:
        """Our own view of a resource."""
        known = _REFERENCE.fullmatch(reference)
        if known is None:
            return Link(reference)
        kind, name = known.groups()
        finding = self._findings.get(reference)
        text = _said(finding) if finding else "Patient record" if kind == "Patient" else reference
        return Link(text, f"{self._base}/source/{kind}/{SELF if kind == 'Patient' else name}")

    def sources(self, references: Iterable[str]) -> tuple[Link, ...]:
        """Each resource once, in the order given."""
        return tuple(self.source(reference) for reference in dict.fromkeys(filter(None, references)))

    def work(self, name: str, at: str | None = None) -> Cited:
        """A work by its id, as short as a clinician would name it."""
        known = self._works.get(name)
        href = address(known) if known else None
        return Cited(Link(work_name(name), href, external=href is not None), at or "", known.citation if known else name)

    def works(self, names: Iterable[str], places: Iterable[str] = ()) -> tuple[Cited, ...]:
        """Works with the place in each."""
        rest = [*places]
        return tuple(self.work(name, rest[number] if number < len(rest) else None) for number, name in enumerate(names))


def address(work: Citation) -> str | None:
    """Where a work is found: by its DOI, else in PubMed, else in its registry; None where none of them is well formed."""
    if work.doi and _DOI.fullmatch(work.doi):
        return f"https://doi.org/{quote(work.doi, safe='/()._;:-')}"
    if work.pmid and _PMID.fullmatch(work.pmid):
        return f"https://pubmed.ncbi.nlm.nih.gov/{work.pmid}/"
    return registry(work.nct)


def registry(number: str | None) -> str | None:
    """The entry of a trial at ClinicalTrials.gov."""
    return f"https://clinicaltrials.gov/study/{number}" if number and _NCT.fullmatch(number) else None


def work_name(name: str) -> str:
    """The id of a work as it is said: "KEYNOTE-826 first", "Yin 2019", "ASCO 2016"."""
    first, _, rest = name.partition("-")
    if trial := _TRIAL.match(name):
        return f"{trial[1].upper()}{name[len(trial[1]) :].replace('-', ' ')}"
    return f"{_NAMES.get(first, capital(first))} {rest.replace('-', ' ')}".strip()


def _said(finding: Finding) -> str:
    """What was found, how, and when: "Distant organ, CT of 24 Aug 2026"."""
    how = origin(finding).removeprefix("on ").removeprefix("by ").removeprefix("the ")
    what = _name(finding.concept)
    if not what:
        how = how.replace("noted on", "observation of").replace("noted", "observation")
        return how if how[1:2].isupper() else capital(how)  # cT2b stays as it is
    return f"{capital(what)}, {how.removeprefix('noted on ')}" if how != "noted" else capital(what)


def _name(concept: Concept) -> str:
    """The sender's own name for it, or ours for our own codes; nothing where only a number is known."""
    told = concept.text or next((coding.display for coding in concept.codings if coding.display), None)
    if told is None:
        return next((coding.code.replace("-", " ") for coding in concept.codings if coding.system == _OURS and coding.code), "")
    short = told.partition(" [")[0]
    return short if len(short) <= _SHORT else f"{short[:_SHORT].rstrip()}…"
