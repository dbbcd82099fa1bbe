"""Which Condition is the cervical primary, and whether the FIGO stage for carcinoma applies to it."""

from __future__ import annotations

from typing import NamedTuple

from services.staging.diagnosis import DOUBTFUL, UNUSED, Named, certainty, histology, named, outside, stands, vague
from services.staging.knowledge import Rules
from shared.fhir.codes import ICD_O_3, SNOMED, codes
from shared.oncology.record import Concept, Finding, Issue, Record
from shared.oncology.stage import Primary

__all__ = ["DOUBTFUL", "UNUSED", "USABLE", "Tumour", "certainty", "choose", "histologies"]

USABLE = frozenset({"final", "amended", "corrected"})
# A resolved cancer of the cervix so many years before another is taken for one of its own; five is our reading, not a source's.
_APART = 5
_NONE = "no invasive cervical cancer on record"
_OTHER = "Another primary cancer is on record; metastases found with it or after it may be its own."
_EARLIER = (
    "A resolved cancer of the cervix is on record more than five years before this one; this one is staged as a new primary. "
    "If it is a recurrence, the stage of the earlier one stands."
)
_KINDS = {
    "cervix": "invasive cancer of the cervix",
    "in-situ": "carcinoma in situ",
    "benign": "a tumour that is not malignant",
    "secondary-of-cervix": "a secondary of the cervix",
    "dysplasia": "dysplasia",
    "history": "personal history",
    "other": "a cancer of another organ",
}
_Pair = tuple[Finding, Named]


class Tumour(NamedTuple):
    """The primary as chosen: its conditions (a problem and its encounter diagnoses are one), and other primaries beside it.

    `since` is the date from which findings are this tumour's, where an earlier cancer of the cervix stands on record too.
    """

    primary: Primary
    conditions: tuple[Finding, ...] = ()
    others: tuple[Finding, ...] = ()
    issues: tuple[Issue, ...] = ()
    since: str | None = None


def choose(record: Record, rules: Rules) -> Tumour:
    """The cervical primary of the record, whether FIGO applies to it, and why not where it does not."""
    kinds = [(f, kind) for f in record.findings if f.kind == "condition" and (kind := named(f, rules)) is not None]
    cervix = [pair for pair in kinds if pair[1].kind == "cervix"]
    certain = sorted((pair for pair in cervix if certainty(pair[0]) == "definite"), key=lambda pair: (_start(pair[0]), pair[0].source))
    if not certain:
        beside = tuple(f for f, k in kinds if k.kind in ("other", "neuroendocrine") and certainty(f) == "definite")
        return Tumour(_absent(record, kinds, cervix, rules), tuple(f for f, _ in cervix if certainty(f)), beside)
    certain, earlier = _apart(certain)
    certain, strange = _carcinomas(certain, rules)
    others = _others(kinds, certain, rules)
    first = certain[0][0]
    cells, seen_in = next(((k.histology, f.source) for f, k in certain if k.histology), (None, ""))
    observed = _observed(record, certain, rules)
    issues = [_issue("second-primary", _OTHER, other) for other in others]
    issues += [_issue("second-primary", _EARLIER, f, first) for f, _ in earlier]
    issues += [_issue("second-primary", f"Of another tumour of the cervix: {outside(k.histology, rules)}.", f) for f, k in strange]
    issues += [_issue("extent-conflict", _disagreement(k), f) for f, k in certain if k.against]
    if cells and observed and (outside(cells, rules) is None) is not (outside(observed[0], rules) is None):
        text = f"Histologies {cells} and {observed[0]} disagree on whether this is a carcinoma; that of the diagnosis is taken."
        issues.append(Issue(severity="warning", code="extent-conflict", text=text, sources=tuple(sorted({seen_in, observed[1]}))))
    cells = cells or (observed[0] if observed else None)
    why_not = outside(cells, rules)
    if why_not:
        issues.append(_issue("outside-scope", f"{why_not[0].upper()}{why_not[1:]}.", first))
    site = next((k.site for _, k in certain if k.site and k.site != "C53.9"), "C53.9")
    primary = Primary(condition=first.source, site=site, histology=cells, applies=why_not is None, why_not=why_not)
    beside = (*others, *(f for f, _ in (*earlier, *strange)))
    since = _years(_start(first), -1) if earlier else None
    return Tumour(primary, tuple(f for f, _ in certain), beside, tuple(issues), since)


def _issue(code: str, text: str, *findings: Finding) -> Issue:
    return Issue(severity="warning", code=code, text=text, sources=tuple(sorted(f.source for f in findings)))


def _disagreement(kind: Named) -> str:
    against = " and ".join(_KINDS[each] for each in kind.against)
    return f"The codes of one diagnosis disagree: {_KINDS['cervix']}, and {against}. It is read as invasive until it is corrected."


def _start(finding: Finding) -> str:
    return finding.asserted or finding.when or finding.recorded or "9999"


def _years(date: str, years: int) -> str:
    return f"{int(date[:4]) + years:04}{date[4:]}"


def _apart(certain: list[_Pair]) -> tuple[list[_Pair], list[_Pair]]:
    """The cancer of the cervix to stage, and resolved ones that stand years before it."""
    over = [pair for pair in certain if pair[0].clinical == "resolved" or pair[0].abated]
    current = _without(certain, over)
    if not over or not current or any(f.clinical in ("recurrence", "relapse") for f, _ in current):
        return certain, []
    earlier = [pair for pair in over if _years(_start(pair[0]), _APART) <= _start(current[0][0]) < "9999"]
    return _without(certain, earlier), earlier


def _without(pairs: list[_Pair], taken: list[_Pair]) -> list[_Pair]:
    sources = {f.source for f, _ in taken}
    return [pair for pair in pairs if pair[0].source not in sources]


def _carcinomas(certain: list[_Pair], rules: Rules) -> tuple[list[_Pair], list[_Pair]]:
    """The carcinoma, and beside it what is none; a diagnosis without histology belongs to what has one."""
    strange = [pair for pair in certain if outside(pair[1].histology, rules)]
    plain = _without(certain, strange)
    if any(k.histology for _, k in plain):
        return plain, strange
    return certain, []


def _others(kinds: list[_Pair], certain: list[_Pair], rules: Rules) -> tuple[Finding, ...]:
    """Other primaries. What says that it comes from the cervix, or only names its region, is none, nor is a placeless neuroendocrine code
    beside such a tumour."""
    own = {f.source for f, _ in certain}
    known = any(k.histology and k.histology[:4] in rules.primary.neuroendocrine for _, k in certain)
    taken = ("other",) if known else ("other", "neuroendocrine")
    found = (f for f, k in kinds if k.kind in taken and certainty(f) == "definite" and not own.intersection(f.related))
    return tuple(f for f in found if not vague(f, rules))


def _absent(record: Record, kinds: list[_Pair], cervix: list[_Pair], rules: Rules) -> Primary:
    """Why there is no primary to stage, in the words of what is on record instead."""

    def answer(why: str, found: list[_Pair]) -> Primary:
        finding, kind = found[0]
        return Primary(condition=finding.source, site=kind.site, histology=kind.histology, applies=False, why_not=why)

    doubtful = [pair for pair in cervix if certainty(pair[0]) == "equivocal"]
    if doubtful:
        return answer("the diagnosis of cervical cancer is not confirmed", doubtful)
    for kind, why in (
        ("in-situ", "carcinoma in situ: FIGO has no stage 0"),
        ("benign", "by its behaviour code the tumour of the cervix is not malignant"),
        ("secondary-of-cervix", "the cervix is the site of a secondary, not the primary"),
        ("dysplasia", "dysplasia (CIN) of the cervix, not invasive cancer"),
        ("history", "personal history (status after) only: no current cervical cancer on record"),
    ):
        found = [pair for pair in kinds if pair[1].kind == kind and stands(pair[0])]
        if found:
            return answer(why, found)
    if cervix:
        wrong = all(f.verification == "entered-in-error" for f, _ in cervix)
        return answer(f"the diagnosis of cervical cancer is {'entered in error' if wrong else 'refuted'}", cervix)
    return Primary(applies=False, why_not=_NONE + _instead(record, kinds, rules))


def _instead(record: Record, kinds: list[_Pair], rules: Rules) -> str:
    """What is on record where no cancer of the cervix is."""
    if any(certainty(f) for f, k in kinds if k.kind in ("other", "neuroendocrine")):
        return ": the cancer on record is of another organ, or names none"
    conditions = [f for f in record.findings if f.kind == "condition" and certainty(f)]
    sites = {rule.site for f in conditions for pair in codes(f.concept) if (rule := rules.site(*pair)) is not None}
    sites |= {rule.site for f in conditions for site in f.sites for pair in codes(site) if (rule := rules.structure(*pair)) is not None}
    if "node-neck" in sites:
        return ': "cervical" names the neck here, not the cervix uteri'
    if any(system == SNOMED and code in rules.primary.state_snomed for f in conditions for system, code in codes(f.concept)):
        return ": only its recurrence or metastasis is, not the cancer itself"
    if sites:
        return ": only secondary cancer, without its primary"
    words = [f.concept.text.lower() for f in conditions if f.concept.text and not codes(f.concept)]
    if any(word in text for text in words for word in rules.primary.words):
        return " that is coded: a diagnosis in words alone has to be read, and coded, by somebody"
    return ""


def _observed(record: Record, certain: list[_Pair], rules: Rules) -> tuple[str, str] | None:
    """The histology of the newest usable observation of it, and its source."""
    seen = histologies(record, {f.source for f, _ in certain}, rules)
    return max(seen)[1:] if seen else None


def histologies(record: Record, own: set[str], rules: Rules) -> list[tuple[str, str, str]]:
    """The day, the cells and the source of each usable histology of the cervix; none of what was taken from another tumour or organ."""
    return [
        (f.when or "", cells, f.source)
        for f in record.findings
        if f.kind == "observation"
        and f.status in USABLE
        and (m := rules.meaning(f.concept)) is not None
        and m.kind == "histology"
        and (cells := histology(f.value.concept, rules) or histology(Concept(text=f.value.text), rules))
        and _from_the_cervix(f, own, rules)
    ]


def _from_the_cervix(finding: Finding, own: set[str], rules: Rules) -> bool:
    about = {reference for reference in finding.focus if reference.startswith("Condition/")}
    if about:
        return bool(about & own)
    pairs = [pair for site in finding.sites for pair in codes(site)]
    if any(s == SNOMED and c in rules.primary.cervix_structures for s, c in pairs):
        return True
    return not any(rules.structure(*pair) is not None and not (pair[0] == ICD_O_3 and pair[1].upper().startswith("C53")) for pair in pairs)
