"""The stage as somebody recorded it, FIGO or a TNM stage group: read from observations and Condition.stage, compared with the derived."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from services.staging.knowledge import Meaning, Rules
from services.staging.primary import USABLE, Tumour
from shared.fhir.codes import FIGO_CODES, FIGO_STAGES, NCIT, SNOMED, codes
from shared.oncology.record import Concept, Finding, Issue, RecordedStage, Value
from shared.oncology.stage import EditionStage, Recorded

_STAGE = re.compile(
    r"(?<![A-Za-z])((?:FIGO|stage|Stadium)[\s:-]*)*(IV[AB]?|III[ABC]?[12]?|II[AB]?[12]?|I[AB]?[123]?)\s*([rp])?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
# A stage that is doubted or denied in words is none.
_DOUBT = re.compile(
    r"\?|\b(?:no|not|without|kein\w*|nicht|ohne|suspect\w*|possibl[ey]|probabl[ey]|verdacht\w*|ruled?|or|oder|vs|versus)\b", re.IGNORECASE
)
# The AJCC's own codes, and many hands, write 3C1 for IIIC1.
_ARABIC = re.compile(r"^\s*(?:FIGO|UICC|AJCC)?[\s-]*(?:stage|Stadium)?\s*([1-4])([ABC]?)([123]?)\s*$", re.IGNORECASE)
_PREFIX = re.compile(r"^\s*(y[cp]?|[cpra])(?=\s*(?:stage|stadium)?\s*[IV1-4])", re.IGNORECASE)
_LIKE_A_STAGE = re.compile(r"\b(?:FIGO|stage|stadium)\b", re.IGNORECASE)
_ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV"}
_EDITION = re.compile(r"\b(2009|2014|2008|2018|2019)\b")
_VERSION = re.compile(
    r"\b(?:AJCC|UICC|TNM|version|edition|Auflage)[\s.,:-]*(?:version|edition)?\s*([6-9])\b|\b([6-9])(?:th|\.)",
    re.IGNORECASE,
)
_IN_FORCE = "2018-10"
# Labels whose meaning differs between the editions: without an edition they fill no gap.
_AMBIGUOUS = frozenset({"IB1", "IB2", "IB3", "IIIC", "IIIC1", "IIIC2"})
_NAMES = {"figo-2018": "FIGO 2018", "figo-2009": "FIGO 2009"}
REFUSED = "A recorded stage that is not one of the cervix, or that cannot be read for sure, is not used."


class Given(NamedTuple):
    """A stage as given: the edition the sender named (or None), the stage, and where it stands.

    `group` marks a TNM stage group, which AJCC version 9 numbers as FIGO 2018 does and versions 6 to 8 as FIGO 2009 does. One that was
    given after treatment (yp), at a recurrence or at autopsy is `apart`: shown, and compared with nothing.
    """

    edition: str | None
    stage: str
    source: str
    when: str
    group: bool = False
    apart: bool = False


def meaning(finding: Finding, rules: Rules) -> Meaning | None:
    """What an observation asks that no code of its own tells: FIGO by its method, or by name as German registries write it."""
    r = rules.recorded
    if finding.method is not None and any(code in r.methods for _, code in codes(finding.method)):
        return Meaning("figo")
    if not finding.concept.text:
        return None
    text = finding.concept.text.lower()
    return Meaning("figo") if "figo" in text and not any(word in text for word in r.other_organs) else None


def of_observation(finding: Finding, meaning: Meaning, rules: Rules) -> Iterator[Given]:
    """The stage that an observation of stage records; nothing where it is one of another organ's."""
    if finding.status not in USABLE or foreign(finding, rules):
        return
    group = _grouped(finding.concept, finding.method, finding.value.concept, rules)
    value = finding.value.concept or Concept(text=finding.value.text)
    stage = _stage(value, rules)
    if stage is not None:
        texts = [c.text for c in (finding.method, finding.concept, value) if c and c.text]
        texts += [c.display for c in (finding.method.codings if finding.method else ()) if c.system != SNOMED and c.display]
        edition = meaning.detail or _coded_edition(finding.concept, rules) or _edition(" ".join(texts), finding.method, group, rules)
        yield Given(edition, stage, finding.source, finding.when or "", group, group and _apart(value))


def of_conditions(tumour: Tumour, rules: Rules, seen: set[str]) -> Iterator[Given]:
    """The stages that the primary itself records, unless the observation behind one was read already."""
    for condition in tumour.conditions:
        for entry in condition.stages:
            if seen.intersection(entry.assessments) or entry.summary is None:
                continue
            stage = _stage(entry.summary, rules)
            if stage is not None:
                group = _grouped(entry.type, entry.type, entry.summary, rules)
                texts = [c.text for c in (entry.summary, entry.type) if c and c.text]
                edition = _coded_edition(entry.type, rules) or _edition(" ".join(texts), entry.type, group, rules)
                yield Given(edition, stage, condition.source, condition.when or "", group, group and _apart(entry.summary))


def refused(tumour: Tumour, rules: Rules) -> Iterator[Issue]:
    """Stages in the primary itself that the cervix does not have: they are named, and not used."""
    for condition in tumour.conditions:
        given = [(entry, entry.summary) for entry in condition.stages if entry.summary is not None]
        if any(_is_stage(entry, rules) and _stage(summary, rules) is None for entry, summary in given):
            yield Issue(severity="warning", code="value-implausible", text=REFUSED, sources=(condition.source,))


def faulty(finding: Finding, rules: Rules) -> bool:
    """Whether an observation of stage, read in vain, holds a value that it should not; one of another organ, or a mere frame, does not."""
    given = finding.value != Value() and finding.value.absent is None
    return given and finding.status in USABLE and not foreign(finding, rules)


def foreign(finding: Finding, rules: Rules) -> bool:
    """Whether the stage is by the scheme of another organ."""
    return any(code in rules.recorded.other_schemes for c in (finding.concept, finding.method) for _, code in codes(c))


def meant(given: Given) -> str | None:
    """The edition that a stage was given in: the one named, else the one in force on its day, else not known.

    Old and new versions of TNM were both in use from 2018 on, so that a stage group of those years speaks either edition.
    """
    if given.edition is not None or not given.when:
        return given.edition
    return "figo-2009" if given.when[:7] < _IN_FORCE else None if given.group else "figo-2018"


def usable(given: list[Given], edition: str) -> list[Given]:
    """The recorded stages that speak in this edition; of an unknown edition only those that mean the same in both."""
    known = [g for g in given if not g.apart]
    return [g for g in known if meant(g) == edition or (meant(g) is None and g.stage not in _AMBIGUOUS)]


def newest(given: list[Given], edition: str, stages: Sequence[str]) -> Given | None:
    """The newest recorded stage that speaks in this edition and is one of its `stages`, most advanced first; of one day the lower (R2)."""
    known = [g for g in usable(given, edition) if g.stage in stages]
    return max(known, key=lambda g: (g.when, stages.index(g.stage), g.source), default=None)


def compare(given: list[Given], editions: Mapping[str, EditionStage]) -> tuple[tuple[Recorded, ...], tuple[Issue, ...]]:
    """Each recorded stage beside the derived one of its edition; a disagreement is an issue. The recorded one is never replaced."""
    told, issues = [], []
    for g in sorted(set(given), key=lambda g: (g.source, g.stage)):
        edition = meant(g)
        compared = [edition] if edition is not None and edition in editions else list(editions)
        answers = [None if g.apart else _agrees(g.stage, editions[e]) for e in compared]
        agrees = True if True in answers else None if None in answers or not answers else False
        told.append(Recorded(edition=g.edition, stage=g.stage, source=g.source, agrees=agrees))
        if agrees is False:
            issues.append(_conflict(g, {e: editions[e] for e in compared}))
    return tuple(told), tuple(issues)


def _conflict(given: Given, derived: Mapping[str, EditionStage]) -> Issue:
    """Both chains of evidence, a sentence each: what was recorded where, in which edition; what was derived, by which rule, from what."""
    edition = meant(given)
    name = _NAMES[edition] if edition else "an edition that is not named"
    how = "" if given.edition else f" (in force on {given.when})" if edition else ""
    what = " as a TNM stage group, read" if given.group else ""
    text = f"Recorded: {given.stage}{what} in {name}{how}, in {given.source}."
    sources = {given.source}
    for key, answer in derived.items():
        behind = sorted({source for b in answer.because for source in b.sources})
        rules = ", ".join(b.rule for b in answer.because) or "no rule"
        text += f" Derived: {answer.label} in {_NAMES.get(key, key)} by {rules}, from {', '.join(behind) or 'what was excluded'}."
        sources.update(behind)
    text += " Both are shown and neither is changed."
    return Issue(severity="warning", code="stage-conflict", text=text, sources=tuple(sorted(sources)))


def _agrees(stage: str, derived: EditionStage) -> bool | None:
    """True where the same or one refines the other, None where the record cannot tell, else False."""
    if derived.stage is None or stage in derived.could_be:
        return None
    return derived.stage == stage or stage in parents(derived.stage) or derived.stage in parents(stage)


def parents(stage: str) -> tuple[str, ...]:
    """The coarser stages above a stage: IIIC1 stands under IIIC and III."""
    roman = re.match(r"IV|III|II|I", stage)
    assert roman is not None
    rest = stage[roman.end() :]
    return tuple(roman.group() + rest[:length] for length in range(len(rest)))


def _stage(concept: Concept, rules: Rules) -> str | None:
    """The stage of a value: by code first, then in words; None where it is none that the cervix has."""
    for system, code in codes(concept):
        if system == NCIT:
            return FIGO_STAGES.get(code)  # the value set is shared with ovary and endometrium
        if system == SNOMED and code in rules.recorded.groups:
            return rules.recorded.groups[code]
    texts = (concept.text, *(c.display for c in concept.codings), *(c.code for c in concept.codings if c.system != SNOMED))
    for text in texts:
        if text and (found := _words(_PREFIX.sub("", text))):
            return found
    return None


def _words(text: str) -> str | None:
    """The one stage that a text names; None where it names none, several, or one that it doubts. A lone "i" is a word."""
    if match := _ARABIC.match(text):
        found = _ROMAN[match.group(1)] + match.group(2).upper() + match.group(3)
        return found if found in FIGO_CODES else None
    named = set()
    for match in _STAGE.finditer(text):
        word, alone = match.group(2), match.group().strip() == text.strip()
        if match.group(1) or alone or (word.isupper() and word != "I"):
            named.add(word.upper())
    return named.pop() if len(named) == 1 and not _DOUBT.search(text) and named <= FIGO_CODES.keys() else None


def _is_stage(entry: RecordedStage, rules: Rules) -> bool:
    """Whether an entry of Condition.stage means FIGO or a stage group: by its type, by an NCIt code, or by its words."""
    pairs = [*codes(entry.type), *codes(entry.summary)]
    known = {*rules.recorded.methods, *rules.recorded.snomed, *rules.recorded.tnm_group_codes, *rules.recorded.groups}
    texts = [c.text for c in (entry.summary, entry.type) if c and c.text]
    return any(s == NCIT or c in known for s, c in pairs) or any(_LIKE_A_STAGE.search(text) for text in texts)


def _grouped(asked: Concept | None, method: Concept | None, value: Concept | None, rules: Rules) -> bool:
    """Whether a stage is a TNM stage group: by what was asked, by its version or by its value; a FIGO method or value says otherwise."""
    r = rules.recorded
    how, values = {code for _, code in codes(method)}, codes(value)
    if how.intersection(r.methods) or any(system == NCIT for system, _ in values):
        return False
    named = how.union(code for _, code in codes(asked))
    if named.intersection((*r.tnm_group_codes, *r.group_editions, *r.uicc)):
        return True
    return any(system in r.group_systems or code in r.groups for system, code in values)


def _apart(value: Concept) -> bool:
    """Whether a stage group was given after treatment, at a recurrence or at autopsy: yp, yc, r, a."""
    texts = (value.text, *(c.display for c in value.codings), *(c.code for c in value.codings if c.system != SNOMED))
    return any(text and (match := _PREFIX.match(text)) and match.group(1)[0].lower() in "yra" for text in texts)


def _coded_edition(concept: Concept | None, rules: Rules) -> str | None:
    return next((edition for _, code in codes(concept) if (edition := rules.recorded.ncit.get(code))), None)


def _edition(text: str, method: Concept | None, group: bool, rules: Rules) -> str | None:
    """The edition that a code of the method or the text names."""
    if group:
        for _, code in codes(method):
            if code in rules.recorded.group_editions:
                return rules.recorded.group_editions[code]
        if match := _VERSION.search(text):
            return "figo-2018" if (match.group(1) or match.group(2)) == "9" else "figo-2009"
    found = _EDITION.search(text)
    if found is None:
        return None
    return "figo-2018" if found.group(1) in ("2018", "2019") else "figo-2009"
