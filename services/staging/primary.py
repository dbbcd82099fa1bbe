"""Which Condition is the cervical primary, and whether the FIGO stage for carcinoma applies to it."""

from __future__ import annotations

import re
from typing import NamedTuple

from services.staging.knowledge import Rules
from shared.fhir.codes import ICD_10, ICD_O_3, SNOMED, certainty_letter, codes
from shared.oncology.record import Concept, Finding, Issue, Record
from shared.oncology.stage import Certainty, Primary

UNUSED = frozenset({"refuted", "entered-in-error"})
DOUBTFUL = frozenset({"unconfirmed", "provisional", "differential"})
USABLE = frozenset({"final", "amended", "corrected"})
_MORPHOLOGY = re.compile(r"\b(\d{4}/\d)\b")


class Tumour(NamedTuple):
    """The primary as chosen: its conditions (a problem and its encounter diagnoses are one), and other primaries beside it."""

    primary: Primary
    conditions: tuple[Finding, ...] = ()
    others: tuple[Finding, ...] = ()
    issues: tuple[Issue, ...] = ()


class _Kind(NamedTuple):
    kind: str  # cervix, in-situ, secondary-of-cervix, history, state, other
    site: str | None = None
    histology: str | None = None


def certainty(finding: Finding) -> Certainty | None:
    """How sure a condition is: definite, equivocal, or None where it is refuted, excluded or entered in error."""
    if finding.verification in UNUSED:
        return None
    letters = {certainty_letter(c.code) for c in finding.concept.codings if c.code and c.system and "icd-10-gm" in c.system}
    if "A" in letters or "Z" in letters:
        return None
    return "equivocal" if finding.verification in DOUBTFUL or "V" in letters else "definite"


def choose(record: Record, rules: Rules) -> Tumour:
    """The cervical primary of the record, whether FIGO applies to it, and why not where it does not."""
    kinds = [(f, kind) for f in record.findings if f.kind == "condition" and (kind := _kind(f, rules)) is not None]
    cervix = [(f, k) for f, k in kinds if k.kind == "cervix"]
    certain = [(f, k) for f, k in cervix if certainty(f) == "definite"]
    others = tuple(f for f, k in kinds if k.kind == "other" and certainty(f) == "definite")
    if not certain:
        return Tumour(_absent(kinds, cervix), tuple(f for f, _ in cervix if certainty(f)), others)
    certain.sort(key=lambda pair: (pair[0].when or pair[0].recorded or "9999", pair[0].source))
    first, kind = certain[0]
    conditions = tuple(f for f, _ in certain)
    histology = next((k.histology for _, k in certain if k.histology), None) or _observed(record, rules) or kind.histology
    site = next((k.site for _, k in certain if k.site and k.site != "C53.9"), "C53.9")
    why_not = _outside(histology, rules)
    issues = [
        Issue(
            severity="warning",
            code="second-primary",
            text="Another primary cancer is on record; metastases may be its own.",
            sources=(other.source,),
        )
        for other in others
    ]
    if why_not:
        issues.append(Issue(severity="warning", code="outside-scope", text=f"{why_not[0].upper()}{why_not[1:]}.", sources=(first.source,)))
    primary = Primary(condition=first.source, site=site, histology=histology, applies=why_not is None, why_not=why_not)
    return Tumour(primary, conditions, others, tuple(issues))


def _absent(kinds: list[tuple[Finding, _Kind]], cervix: list[tuple[Finding, _Kind]]) -> Primary:
    """Why there is no primary to stage, in the words of what is on record instead."""

    def named(why: str, found: list[tuple[Finding, _Kind]]) -> Primary:
        finding, kind = found[0]
        return Primary(condition=finding.source, site=kind.site, histology=kind.histology, applies=False, why_not=why)

    doubtful = [pair for pair in cervix if certainty(pair[0]) == "equivocal"]
    if doubtful:
        return named("the diagnosis of cervical cancer is not confirmed", doubtful)
    for kind, why in (
        ("in-situ", "carcinoma in situ: FIGO has no stage 0"),
        ("secondary-of-cervix", "the cervix is the site of a secondary, not the primary"),
        ("history", "personal history only: no current cervical cancer on record"),
    ):
        found = [pair for pair in kinds if pair[1].kind == kind and certainty(pair[0])]
        if found:
            return named(why, found)
    if cervix:
        wrong = all(f.verification == "entered-in-error" for f, _ in cervix)
        return named(f"the diagnosis of cervical cancer is {'entered in error' if wrong else 'refuted'}", cervix)
    return Primary(applies=False, why_not="no invasive cervical cancer on record")


def _kind(finding: Finding, rules: Rules) -> _Kind | None:
    """What kind of cancer a condition names, read from code, body site and histology together."""
    p = rules.primary
    site = _topography(finding, rules)
    histology = _histology(finding.histology, rules)
    in_situ = (histology or "").endswith("/2") or _any(finding.histology, p.in_situ_morphology)
    found: _Kind | None = None
    for system, code in codes(finding.concept):
        kind: _Kind | None = None
        if system == SNOMED:
            if code in p.in_situ_snomed:
                kind = _Kind("in-situ", "C53.9", histology)
            elif code in p.secondary_of_cervix:
                kind = _Kind("secondary-of-cervix", "C53.9", histology)
            elif (disorder := rules.disorders.get((system, code))) is not None:
                kind = _Kind("cervix", disorder.site if site in (None, "C53.9") else site, histology or disorder.histology)
            elif code in p.generic_snomed and site:
                kind = _Kind("cervix", site, histology)
        elif system == ICD_10:
            kind = _icd10(code, histology, rules)
        elif system == ICD_O_3:
            histology = histology or (code if _MORPHOLOGY.fullmatch(code) else None)
            if site or code.upper().startswith("C53"):
                kind = _Kind("cervix", site or code.upper(), histology)
        if kind is not None and (found is None or _RANK[kind.kind] < _RANK[found.kind]):
            found = kind
    if found is None and site and histology and not finding.concept.codings:
        found = _Kind("cervix", site, histology)
    if found is not None and found.kind == "cervix":
        found = _Kind("in-situ" if in_situ else "cervix", found.site or site, histology or found.histology)
    return found


_RANK = {"cervix": 0, "in-situ": 1, "secondary-of-cervix": 2, "history": 3, "other": 4}


def _icd10(code: str, histology: str | None, rules: Rules) -> _Kind | None:
    p = rules.primary
    if code.startswith("C53"):
        return _Kind("cervix", f"C53.{code[3]}" if len(code) > 3 and f"C53.{code[3]}" in p.topography else "C53.9", histology)
    if code.startswith(p.in_situ_icd10):
        return _Kind("in-situ", "C53.9", histology)
    if code in {c.replace(".", "") for c in p.history_icd10}:
        return _Kind("history")
    if code[0] == "C" and code[1:3].isdigit() and (int(code[1:3]) <= 76 or int(code[1:3]) >= 81) and code[:3] != "C44":
        return _Kind("other")
    return None


def _topography(finding: Finding, rules: Rules) -> str | None:
    for site in finding.sites:
        for system, code in codes(site):
            if system == ICD_O_3 and code.upper().startswith("C53"):
                return code.upper() if code.upper() in rules.primary.topography else "C53.9"
            if system == SNOMED and code in rules.primary.cervix_structures:
                return "C53.9"
    return None


def _histology(concept: Concept | None, rules: Rules) -> str | None:
    found = None
    for system, code in codes(concept):
        if system == ICD_O_3 and _MORPHOLOGY.fullmatch(code):
            return code
        if system == SNOMED:
            found = found or rules.primary.morphology.get(code)
    if found is None and concept is not None and concept.text and (match := _MORPHOLOGY.search(concept.text)):
        return match.group(1)
    return found


def _observed(record: Record, rules: Rules) -> str | None:
    """The histology of the newest usable observation of it."""
    seen = [
        (f.when or "", histology)
        for f in record.findings
        if f.kind == "observation"
        and f.status in USABLE
        and any((m := rules.meanings.get(pair)) and m.kind == "histology" for pair in codes(f.concept))
        and (histology := _histology(f.value.concept, rules) or _histology(Concept(text=f.value.text), rules))
    ]
    return max(seen)[1] if seen else None


def _any(concept: Concept | None, wanted: tuple[str, ...]) -> bool:
    return any(system == SNOMED and code in wanted for system, code in codes(concept))


def _outside(histology: str | None, rules: Rules) -> str | None:
    if histology is None:
        return None
    number = int(histology[:4])
    for outside in rules.primary.outside:
        if outside.first <= number <= outside.last and number not in outside.but:
            return outside.why
    return None
