"""Procedure → whether it is radiotherapy, of which kind, and whether to the pelvis: by codes, else by words in English and German."""

from __future__ import annotations

import re
from typing import Final, Literal

from services.recommend.codes import CodeBook, said, words
from shared.oncology.record import Concept, Finding

Kind = Literal["external", "inside"]

PELVIC = ("pelvis", "pelvic", "cervix", "whole pelvis")
BONE = (
    *("pelvic bone", "pelvic bones", "bone structure of pelvis", "bony pelvis", "sacrum", "ilium", "ischium", "pubis", "acetabulum"),
    *("Beckenknochen", "Kreuzbein", "Darmbein"),
)


def _any(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(parts), re.IGNORECASE)


# "radiation proctitis" and the like are what came of it.
_HARM: Final = r"(?![- ](?:proct|cyst|enter|colit|derm|muc|indu|necro|vagin|injur|pneumon|fibro|expos|protect|safety))"
_RADIATION: Final = _any(
    r"radio-?therap",
    rf"\b(?:ir)?radiation\b{_HARM}",
    r"\bradiatio\b",
    r"brachy",
    r"after-?loading",
    r"strahlentherap",
    r"strahlenbehandl",
    r"bestrahlung",
    r"chemo-?radi",
    r"radio-?chemo",
    r"radio-?surg",
    r"radio-?chirurg",
    r"\b(?:EBRT|IMRT|VMAT|SBRT|SABR|IGRT|XRT|CCRT|3D-?CRT)\b",
    r"\d\s*c?Gy\b",
)
_DOSE: Final = _any(r"\d\s*c?Gy\b")
# Not radiation of the patient, or not the giving of it.
_BESIDE: Final = _any(
    r"cone[- ]beam",
    r"consult",
    r"counsel",
    r"beratung",
    r"aufklärung",
    r"education",
    r"follow-?up",
    r"nachsorge",
    r"referral",
    r"\bno (?:radi|brachy|irradi)",
    r"\bkeine? (?:strahl|bestrahl|radio|brachy)",
    r"transfus",
    r"\bblood (?:product|component|unit)",
    r"\bred cells?\b",
    r"blutprodukt",
    r"konserve",
    r"konzentrat",
    r"ultraviolet",
    r"\bUV\b",
)
# The same, but where a dose is told: "45 Gy as in the plan".
_PREPARED: Final = _any(r"\bplanning\b", r"planung", r"simulation")
_MEETING: Final = _any(
    r"\bplans?\b", r"\bvisit", r"\breview", r"\bclinic\b", r"\bappointment", r"therapist", r"\bassessment", r"\bdiscussion"
)
_BRACHY: Final = _any(r"brachy", r"after-?loading")
_CAVITY: Final = _any(r"intra-?[ck]avit", r"interstiti", r"\btandem\b", r"\bovoids?\b")
_PLACED: Final = _any(r"insertion", r"implant", r"applic", r"applik", r"einlage")
_WOMB: Final = _any(r"vagin", r"[cz]ervi[xk]", r"\bcervical\b", r"zervikal", r"uter[iu]")
_RATE: Final = _any(r"\b[HLP]DR\b", r"\b(?:high|low|pulsed)[- ]dose[- ]rate\b")
_EXTERNAL: Final = _any(
    r"external[- ]beam",
    r"\b(?:EBRT|IMRT|VMAT|SBRT|SABR|IGRT|XRT|3D-?CRT)\b",
    r"perkutan",
    r"percutaneous",
    r"hochvolt",
    r"linearbeschleuniger",
    r"tele-?therap",
    r"tomotherap",
    r"radio-?surg",
    r"radio-?chirurg",
    r"\bbeam radiation\b",
    r"\b(?:electron|photon|proton)s?\b",
)
_PELVIS: Final = _any(
    r"\bbecken(?!knochen|kamm|schaufel|ring)",
    r"\bzervix",
    r"\bcervix",
    r"gebärmutter",
    r"\b(?:intra)?uter(?:us|ine?|i)\b",
    r"\bvagin",
    r"parametri",
    r"\btandem\b",
    r"\bovoids?\b",
)
_ELSEWHERE: Final = _any(
    r"\bbrain\b",
    r"cranial\b",
    r"\bskull\b",
    r"\bspin(?:e|al)\b",
    r"vertebra",
    r"\bthora[xck]",
    r"\blung",
    r"\bchest\b",
    r"\bbreast\b",
    r"\bfemur",
    r"\bhumerus",
    r"\bribs?\b",
    r"clavic",
    r"mediastin",
    r"\bliver\b",
    r"\bhirn",
    r"gehirn",
    r"ganzhirn",
    r"schädel",
    r"wirbel",
    r"\b[LBH]WS\b",
    r"\bmamma",
    r"\bleber",
)


def is_radiotherapy(finding: Finding, book: CodeBook) -> bool:
    """Whether radiation was given: a kind of it by code, or radiotherapy by code, category or words that is no planning or talk of it."""
    if _coded(finding, book):
        return True
    listed, text = book.sites["radiotherapy"], _text(finding)
    known = any(book.means(concept, listed) for concept in (finding.concept, finding.method, *finding.category))
    if not (known or _RADIATION.search(text) or _kinds_said(text)):
        return False
    talk = _BESIDE.search(text) or ((_PREPARED.search(text) or _MEETING.search(text)) and not _DOSE.search(text))
    return not talk and not book.means(finding.concept, book.sites["radiotherapy-preparation"])


def is_management(finding: Finding, book: CodeBook) -> bool:
    """Whether it is the management of radiotherapy, which tells that there was some."""
    return book.means(finding.concept, book.sites["radiotherapy-management"])


def kinds(finding: Finding, book: CodeBook) -> frozenset[Kind]:
    """External beam, brachytherapy (`inside`), or both in one course; nothing where neither codes nor words tell, or where words speak of
    planning: what followed is not told."""
    text = _text(finding)
    return _coded(finding, book) or (frozenset() if _PREPARED.search(text) else _kinds_said(text))


def pelvic(finding: Finding, book: CodeBook) -> bool | None:
    """Whether the field took in the organs of the pelvis; None where nobody told the field, or it lay on the pelvic bones.

    Brachytherapy without a place is taken to be at the cervix.
    """
    places = (*finding.sites, finding.concept)
    bone = [site for site in places if book.means(site, book.sites["pelvic-bone"]) or said(site, BONE)]
    if any(_in_pelvis(site, book) for site in places if site not in bone):
        return True
    if bone:
        return None
    if finding.sites:
        return False if any(_told(site, book) for site in finding.sites) else None
    if _ELSEWHERE.search(_text(finding)):
        return False
    anywhere = any(book.means(concept, book.sites["brachytherapy-of-any-place"]) for concept in (finding.concept, finding.method))
    return True if kinds(finding, book) == {"inside"} and not anywhere else None


def _told(site: Concept, book: CodeBook) -> bool:
    """Whether anybody can read the place: by words, or by a code of a public system."""
    return bool(words(site)) or any(book.coded_in(site, system) for system in ("sct", "icdo3", "icd10"))


def _in_pelvis(site: Concept, book: CodeBook) -> bool:
    return book.means(site, book.sites["pelvis"]) or said(site, PELVIC) or any(_PELVIS.search(text) for text in words(site))


def _coded(finding: Finding, book: CodeBook) -> frozenset[Kind]:
    """By the codes of modality and technique, else of the procedure."""
    for concept in (finding.method, finding.concept):
        found: set[Kind] = set()
        if book.means(concept, book.sites["external-beam"]):
            found.add("external")
        if book.means(concept, book.sites["brachytherapy"]) or book.means(concept, book.sites["brachytherapy-of-any-place"]):
            found.add("inside")
        if found:
            return frozenset(found)
    return frozenset()


def _kinds_said(text: str) -> frozenset[Kind]:
    found: set[Kind] = set()
    radiation, cavity, placed = (bool(pattern.search(text)) for pattern in (_RADIATION, _CAVITY, _PLACED))
    if _BRACHY.search(text) or (cavity and (radiation or _RATE.search(text))) or (_RATE.search(text) and _WOMB.search(text) and placed):
        found.add("inside")
    if radiation and _EXTERNAL.search(text):
        found.add("external")
    return frozenset(found)


def _text(finding: Finding) -> str:
    return " | ".join([*words(finding.concept), *(words(finding.method) if finding.method else ())])
