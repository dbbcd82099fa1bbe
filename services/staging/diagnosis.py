"""What one Condition names: a cancer of the cervix, or one of the things that look like it. Read from code, body site and histology."""

from __future__ import annotations

import re
from typing import NamedTuple

from services.staging.knowledge import Rules
from shared.fhir.codes import ICD_10, ICD_O_3, SNOMED, by_prefix, certainty_letter, codes, key
from shared.oncology.record import Concept, Finding
from shared.oncology.stage import Certainty

UNUSED = frozenset({"refuted", "entered-in-error"})
DOUBTFUL = frozenset({"unconfirmed", "provisional", "differential"})
# Where the codes of one Condition disagree, the first of these is taken, and the disagreement is named.
_ORDER = ("cervix", "in-situ", "benign", "secondary-of-cervix", "dysplasia", "history", "neuroendocrine", "other")
_MORPHOLOGY = re.compile(r"\b(\d{4}/\d)\b")
_TOPOGRAPHY = re.compile(r"C\d\d(\.\d)?", re.IGNORECASE)
# The fifth digit of an ICD-O-3 morphology: what a tumour of the cervix with it is.
_BEHAVIOUR = {"0": "benign", "1": "benign", "2": "in-situ", "6": "secondary-of-cervix"}


class Named(NamedTuple):
    """What a condition names, its topography and histology, and what else its codes name beside it."""

    kind: str
    site: str | None = None
    histology: str | None = None
    against: tuple[str, ...] = ()


def certainty(finding: Finding) -> Certainty | None:
    """How sure a condition is: definite, equivocal, or None where it is refuted, excluded, history or entered in error."""
    letters = _letters(finding)
    if finding.verification in UNUSED or letters & {"A", "Z"}:
        return None
    return "equivocal" if finding.verification in DOUBTFUL or "V" in letters else "definite"


def stands(finding: Finding) -> bool:
    """Whether a condition was not taken back: neither refuted nor excluded nor entered in error."""
    return finding.verification not in UNUSED and "A" not in _letters(finding)


def named(finding: Finding, rules: Rules) -> Named | None:
    """What a condition names; None where that is no tumour that we know."""
    cells = histology(finding.histology, rules) or histology(finding.concept, rules, coded=True)
    place = _Place.of(finding, cells, rules)
    found: dict[str, Named] = {}
    for system, code in codes(finding.concept):
        it = None
        if system == SNOMED:
            it = _snomed(code, cells, place, rules)
        elif system == ICD_10:
            it = _icd10(code, cells, place, rules)
        elif system == ICD_O_3:
            it = _placed(cells, place)
        if place.cervix and (rule := rules.site(system, code)) is not None and rule.site in ("unknown", "other"):
            it = Named("secondary-of-cervix", place.cervix, cells)
        if it is not None:
            known = found.get(it.kind, it)
            site = known.site if known.site != "C53.9" else it.site
            found[it.kind] = Named(it.kind, site, known.histology or it.histology)
    if cells and place.cervix and not finding.concept.codings and (it := _placed(cells, place)) is not None:
        found[it.kind] = it
    if not found:
        return None
    kind = min(found, key=_ORDER.index)
    it = found[kind]
    if len(found) > 1:
        it = it._replace(against=tuple(sorted(set(found) - {kind, "neuroendocrine"})))
    if kind != "cervix":
        return it
    if "Z" in _letters(finding):
        return it._replace(kind="history")
    coded = any(system == SNOMED and code in rules.primary.in_situ_morphology for system, code in codes(finding.histology))
    in_situ = coded or (cells or "").endswith("/2")
    return it._replace(kind="in-situ" if in_situ else "cervix", histology=cells or it.histology)


def histology(concept: Concept | None, rules: Rules, *, coded: bool = False) -> str | None:
    """The ICD-O-3 morphology of a concept: its own code, else a SNOMED morphology, else (unless `coded`) one written in the text."""
    found = None
    for system, code in codes(concept):
        if system == ICD_O_3 and _MORPHOLOGY.fullmatch(code):
            return code
        if system == SNOMED:
            found = found or rules.primary.morphology.get(code)
    if found is None and not coded and concept is not None and concept.text and (match := _MORPHOLOGY.search(concept.text)):
        return match.group(1)
    return found


def outside(morphology: str | None, rules: Rules) -> str | None:
    """Why FIGO for carcinoma does not apply to a morphology; None where it does, or where nothing is known."""
    if morphology is None:
        return None
    number = int(morphology[:4])
    return next((o.why for o in rules.primary.outside if o.first <= number <= o.last and number not in o.but), None)


def vague(finding: Finding, rules: Rules) -> bool:
    """Whether all that a condition names is a region with the cervix in it, by a code such as C55 or C57.9."""
    p, told = rules.primary, False
    for concept in (finding.concept, *finding.sites):
        for system, code in codes(concept):
            if system in (ICD_10, ICD_O_3) and code.upper().replace(".", "").startswith(p.vague_icd10):
                told = True
            elif code not in p.generic_snomed and code not in p.cervix_structures and code not in p.morphology and "/" not in code:
                return False
    return told and outside(histology(finding.histology, rules) or histology(finding.concept, rules, coded=True), rules) is None


class _Place(NamedTuple):
    """Where a condition is: a topography of the cervix, or another organ. A node is where a tumour spreads, not where it starts."""

    cervix: str | None = None
    elsewhere: bool = False

    @classmethod
    def of(cls, finding: Finding, cells: str | None, rules: Rules) -> _Place:
        elsewhere = False
        # Nodes and an unknown primary are no organ; a cancer of the skin that is no melanoma is no second primary.
        nowhere = ("C77", "C80") if (cells or "").startswith("87") else ("C44", "C77", "C80")
        for concept in (*finding.sites, finding.concept):
            for system, code in codes(concept):
                if system == ICD_O_3 and _TOPOGRAPHY.fullmatch(code):
                    if code.upper().startswith("C53"):
                        return cls(code.upper() if code.upper() in rules.primary.topography else "C53.9")
                    elsewhere = elsewhere or not code.upper().startswith(nowhere)
                elif system == SNOMED and concept is not finding.concept:
                    if code in rules.primary.cervix_structures:
                        return cls("C53.9")
                    rule = rules.structure(system, code)
                    elsewhere = elsewhere or rule is None or not rule.site.startswith("node")
        return cls(None, elsewhere)


def _letters(finding: Finding) -> set[str | None]:
    """The German certainty letters behind the codes of a tumour; elsewhere ICD-10-CM ends codes in the same letters."""
    found: set[str | None] = set()
    for coding in finding.concept.codings:
        pair = key(coding)
        if pair is not None and pair[0] == ICD_10 and pair[1].startswith(("C", "D")):
            found.add(certainty_letter(coding.code or ""))
    return found


def _placed(cells: str | None, place: _Place) -> Named | None:
    """What a tumour is that names its place and its cells apart."""
    behaviour = (cells or "").partition("/")[2]
    if place.cervix:
        return Named(_BEHAVIOUR.get(behaviour, "cervix"), place.cervix, cells)
    return Named("other", None, cells) if place.elsewhere and behaviour in ("", "3", "9") else None


def _snomed(code: str, cells: str | None, place: _Place, rules: Rules) -> Named | None:
    p = rules.primary
    for kind, listed in (
        ("in-situ", p.in_situ_snomed),
        ("secondary-of-cervix", p.secondary_of_cervix),
        ("dysplasia", p.dysplasia_snomed),
        ("history", p.history_snomed),
        ("other", p.other_snomed),
    ):
        if code in listed:
            return Named(kind, None if kind in ("history", "other") else "C53.9", cells)
    if (disorder := rules.disorders.get((SNOMED, code))) is not None:
        site = disorder.site if place.cervix in (None, "C53.9") else place.cervix
        return Named("cervix", site, cells or disorder.histology)
    if code in p.outside_snomed:
        return Named("cervix", place.cervix, cells or p.outside_snomed[code]) if place.cervix else Named("other", None, cells)
    return _placed(cells, place) if code in p.generic_snomed or code in p.morphology else None


def _icd10(code: str, cells: str | None, place: _Place, rules: Rules) -> Named | None:
    p = rules.primary
    if code.startswith("C53"):
        return Named("cervix", f"C53.{code[3]}" if len(code) > 3 and f"C53.{code[3]}" in p.topography else "C53.9", cells)
    if code.startswith(p.in_situ_icd10):
        return Named("in-situ", "C53.9", cells)
    if code.startswith(p.dysplasia_icd10):
        return Named("dysplasia", "C53.9", cells)
    if code in p.history_icd10:
        return Named("history")
    if code in p.neuroendocrine_icd10:
        kind = "cervix" if place.cervix else "other" if place.elsewhere else "neuroendocrine"
        return Named(kind, place.cervix, cells or p.neuroendocrine_icd10[code])
    if place.cervix and (implied := by_prefix(dict(p.outside_icd10), code)) is not None:
        return Named("cervix", place.cervix, cells or str(implied))
    if not re.match(r"C\d\d|C4A|C7A", code) or code.startswith(("C44", "C77", "C78", "C79", "C80")):
        return None
    return Named("other", None, cells)
