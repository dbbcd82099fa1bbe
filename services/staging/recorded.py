"""The FIGO stage as somebody recorded it: read from observations and from Condition.stage, and compared with the derived one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from services.staging.knowledge import Meaning, Rules
from services.staging.primary import USABLE, Tumour
from shared.fhir.codes import FIGO_CODES, FIGO_STAGES, NCIT, SNOMED, codes
from shared.oncology.record import Concept, Finding, Issue
from shared.oncology.stage import EditionStage, Recorded

_STAGE = re.compile(
    r"(?<![A-Za-z])(?:FIGO)?\s*(?:stage|Stadium)?\s*(IV[AB]?|III[ABC]?[12]?|II[AB]?[12]?|I[AB]?[123]?)\s*([rp])?(?![A-Za-z0-9])",
    re.IGNORECASE,
)
_EDITION = re.compile(r"\b(2009|2014|2008|2018|2019)\b")
_IN_FORCE = "2018-10"
# Labels whose meaning differs between the editions: without an edition they fill no gap.
_AMBIGUOUS = frozenset({"IB1", "IB2", "IB3", "IIIC", "IIIC1", "IIIC2"})


class Given(NamedTuple):
    """A stage as given: the edition the sender named (or None), the stage, and where it stands."""

    edition: str | None
    stage: str
    source: str
    when: str


def of_observation(finding: Finding, meaning: Meaning, rules: Rules) -> Iterator[Given]:
    """The stage that an observation of stage records."""
    if finding.status not in USABLE:
        return
    stage = _stage(finding.value.concept) or _stage(Concept(text=finding.value.text))
    if stage is not None:
        edition = meaning.detail or _named(finding, rules)
        yield Given(edition, stage, finding.source, finding.when or "")


def of_conditions(tumour: Tumour, rules: Rules, seen: set[str]) -> Iterator[Given]:
    """The stages that the primary itself records, unless the observation behind one was read already."""
    for condition in tumour.conditions:
        for entry in condition.stages:
            if seen.intersection(entry.assessments):
                continue
            kinds = {code for _, code in codes(entry.type)}
            stage = _stage(entry.summary)
            if stage is not None and not kinds.intersection(rules.recorded.tnm_group_codes):
                texts = [c.text for c in (entry.summary, entry.type) if c and c.text]
                yield Given(_edition(" ".join(texts)), stage, condition.source, condition.when or "")


def meant(given: Given) -> str | None:
    """The edition that a stage was given in: the one named, else the one in force on its day, else not known."""
    if given.edition is not None or not given.when:
        return given.edition
    return "figo-2018" if given.when[:7] >= _IN_FORCE else "figo-2009"


def usable(given: list[Given], edition: str) -> list[Given]:
    """The recorded stages that speak in this edition; of an unknown edition only those that mean the same in both."""
    return [g for g in given if meant(g) == edition or (meant(g) is None and g.stage not in _AMBIGUOUS)]


def compare(given: list[Given], editions: Mapping[str, EditionStage]) -> tuple[tuple[Recorded, ...], tuple[Issue, ...]]:
    """Each recorded stage beside the derived one of its edition; a disagreement is an issue. The recorded one is never replaced."""
    told, issues = [], []
    for g in sorted(set(given), key=lambda g: (g.source, g.stage)):
        edition = meant(g)
        compared = [edition] if edition is not None and edition in editions else list(editions)
        answers = [_agrees(g.stage, editions[e]) for e in compared]
        agrees = True if True in answers else None if None in answers or not answers else False
        told.append(Recorded(edition=g.edition, stage=g.stage, source=g.source, agrees=agrees))
        if agrees is False:
            derived = editions[compared[0]]
            sources = {g.source, *(source for b in derived.because for source in b.sources)}
            text = f"Recorded as {g.stage}, derived as {derived.label}; both are shown and neither is changed."
            issues.append(Issue(severity="warning", code="stage-conflict", text=text, sources=tuple(sorted(sources))))
    return tuple(told), tuple(issues)


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


def _stage(concept: Concept | None) -> str | None:
    if concept is None:
        return None
    for system, code in codes(concept):
        if system == NCIT and code in FIGO_STAGES:
            return FIGO_STAGES[code]
        if system == NCIT:
            return None  # a stage of another organ: the value set is shared with ovary and endometrium
    for text in (concept.text, *(c.display for c in concept.codings)):
        if text and (match := _STAGE.search(text)) and match.group(1).upper() in FIGO_CODES:
            return match.group(1).upper()
    return None


def _named(finding: Finding, rules: Rules) -> str | None:
    for pair in codes(finding.concept):
        if (meaning := rules.meanings.get(pair)) and meaning.kind == "figo" and meaning.detail:
            return meaning.detail
    texts = [c.text for c in (finding.method, finding.concept, finding.value.concept) if c and c.text]
    displays = [c.display for concept in (finding.method,) if concept for c in concept.codings if c.system != SNOMED and c.display]
    return _edition(" ".join([*texts, *displays]))


def _edition(text: str) -> str | None:
    found = _EDITION.search(text)
    if found is None:
        return None
    return "figo-2018" if found.group(1) in ("2018", "2019") else "figo-2009"
