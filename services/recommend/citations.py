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


def sentence(figure: EvidenceFigure) -> str | None:
    """A checked figure as one would say it: endpoint, hazard ratio with interval, medians, n, population, arms. None where unchecked."""
    if not figure.checked or figure.endpoint is None:
        return None
    parts = []
    if figure.hazard_ratio is not None:
        interval = f" ({figure.level or 95} % CI {figure.ci[0]:.2f} to {figure.ci[1]:.2f})" if figure.ci else ""
        parts.append(f"HR {figure.hazard_ratio:.2f}{interval}")
    if figure.months:
        parts.append(f"median {figure.months[0]:g} against {figure.months[1]:g} months")
    if figure.says:
        parts.append(figure.says)
    if figure.p:
        parts.append(f"p {figure.p}")
    if figure.n:
        parts.append(f"n {figure.n}")
    if figure.population:
        parts.append(figure.population)
    if figure.arms and parts:
        parts.append(" against ".join(figure.arms))
    return f"{figure.endpoint}: {', '.join(parts)}" if parts else None


def places(rule: Reason | Caution) -> str:
    """The works of a criterion, each with the place in it."""
    return "; ".join(f"{work}, {at}" for work, at in zip(rule.evidence, rule.at, strict=False))


def identifiers(work: Citation | EvidenceFigure) -> str:
    """DOI, PubMed and registry number in words, those that were checked."""
    named = {"doi": work.doi, "PMID": work.pmid, "": work.nct}
    return ", ".join(f"{name} {value}".strip() for name, value in named.items() if value)


def address_of(work: Citation | EvidenceFigure) -> str | None:
    """Where the work is found: by its DOI, else in PubMed, else in its registry."""
    if work.doi:
        return f"https://doi.org/{work.doi}"
    if work.pmid:
        return f"https://pubmed.ncbi.nlm.nih.gov/{work.pmid}/"
    return f"https://clinicaltrials.gov/study/{work.nct}" if work.nct else None


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
