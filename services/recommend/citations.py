"""What a candidate rests on, as FHIR: RelatedArtifacts on its action, the one place where R4 gives a request its citations.

A work is a `citation` with its figure in words where the figure was checked; a criterion is a `justification` with its work and the place
in it; the regimen's file is what the action is `derived-from`. Source: FHIR R4 4.0.1 RelatedArtifact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.recommend.eligibility import UNCHECKED
from shared.fhir.assertion import FIGARO
from shared.oncology.recommendation import Candidate, Caution, Citation, EvidenceFigure, Reason
from shared.oncology.wording import address_of, sentence

Json = dict[str, Any]


def documentation(candidate: Candidate, works: dict[str, Citation], edition: str) -> list[Json]:
    """The regimen's file, the works that are cited for it, and the work and place of each criterion, dose and course."""
    regimen = {
        "type": "derived-from",
        "label": f"regimens/{candidate.regimen}.yaml",
        "display": f"{candidate.title}, as edition {edition} of the knowledge has it",
        "resource": f"{FIGARO}/PlanDefinition/{candidate.regimen}|{edition}",
    }
    return [regimen, *(document(figure) for figure in candidate.evidence), *_justifications(candidate, works)]


def document(figure: EvidenceFigure) -> Json:
    """A citation, with its figure in words and the place of it where the figure was checked against the work."""
    found: Json = {"type": "citation", "label": figure.id, "citation": figure.citation}
    if address := address_of(figure):
        found["url"] = address
    if said := sentence(figure):
        found["display"] = f"{said}{f' [{figure.at}; checked against the source]' if figure.at else ''}"
    return found


def places(rule: Reason | Caution) -> str:
    """The works of a criterion, each with the place in it."""
    return "; ".join(f"{work}, {at}" for work, at in zip(rule.evidence, rule.at, strict=False))


def _justifications(candidate: Candidate, works: dict[str, Citation]) -> list[Json]:
    """For each place in a work: what is taken from there, and whether somebody has compared it."""
    taken: dict[tuple[str, str], list[str]] = {}
    rules: tuple[Reason | Caution, ...] = (*candidate.reasons, *candidate.cautions, *candidate.blocks)
    for rule in rules:
        for work, at in zip(rule.evidence, rule.at, strict=False):
            taken.setdefault((work, at), []).append(_marked(f"criterion {rule.criterion}", UNCHECKED not in rule.says))
    parts = [(d.reference, d.at, f"dose of {d.drug}", d.checked) for d in candidate.doses]
    parts += [(c.reference, c.at, f"{c.course} radiotherapy", c.checked) for c in candidate.radiotherapy]
    parts += [(r.reference, r.at, f"{r.agency} status", r.checked) for r in candidate.regulatory]
    for reference, place, what, checked in parts:
        if reference and place:
            taken.setdefault((reference, place), []).append(_marked(what, checked))
    return [_justification(work, at, what, works.get(work)) for (work, at), what in taken.items()]


def _marked(what: str, checked: bool) -> str:
    return f"{what} ({'checked' if checked else 'not checked'} against the source)"


def _justification(work: str, at: str, what: Iterable[str], known: Citation | None) -> Json:
    found: Json = {"type": "justification", "label": work, "display": f"{at}: {'; '.join(dict.fromkeys(what))}"}
    if known and (address := address_of(known)):
        found["url"] = address
    return found
