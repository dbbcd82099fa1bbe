"""What stands behind the regimens as FHIR R4: a Library for each cited work and for each file of rules, and our code systems.

R4 has no Citation. A work is a Library of the type asset-collection: it can be cited by its canonical, and holds nothing of the work.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.recommend.citations import document
from services.recommend.codes import Derived, Disorder, Measure, Scale
from services.recommend.definitions import SETTINGS
from services.recommend.evidence import Work
from services.recommend.marks import evidence_figure
from services.recommend.regimen import Because
from services.recommend.shelf import Library
from shared.fhir import definitions as fhir
from shared.fhir.definitions import Json
from shared.oncology.wording import sentence

_IDENTIFIERS = {"doi": "https://doi.org", "pmid": "https://pubmed.ncbi.nlm.nih.gov", "nct": "https://clinicaltrials.gov"}
FOLDERS = {"precautions": "Precautions", "policy": "Policy", "trials": "Trial", "pathways": "Pathway", "prognosis": "Prognostic table"}


def sources(library: Library, folder: Path) -> Iterator[Json]:
    """Every Library and CodeSystem of recommend; reads the files in the folder."""
    edition = library.knowledge.edition
    for work in library.works.values():
        yield _evidence(work, edition)
    yield from _files(library, folder, edition)
    yield from _code_systems(library, edition)


def _evidence(work: Work, edition: str) -> Json:
    """A work, with the figures that somebody has checked and no others."""
    shown = evidence_figure(work, None)
    told = {name: getattr(shown, name) for name in _IDENTIFIERS}
    figures = [evidence_figure(work, figure) for figure in work.figures if figure.checked]
    lines = [work.says, f"Design: {work.design}. Published: {work.published or 'not known'}. Read in: {work.seen}.", *work.notes]
    lines += [f"- {said}" for figure in figures if (said := sentence(figure))]
    return fhir.library(
        f"evidence-{work.id}",
        shown.citation,
        edition,
        kind="asset-collection",
        identifier=[{"system": _IDENTIFIERS[name], "value": value} for name, value in told.items() if value],
        description="\n\n".join(lines),
        effectivePeriod={"end": work.next_review} if work.next_review else None,
        relatedArtifact=[document(shown)],
    )


def _files(library: Library, folder: Path, edition: str) -> Iterator[Json]:
    """Each file of rules that is no regimen. A prognostic table goes without its content: it may hold figures that nobody has checked."""
    shelves: dict[str, dict[str, Any]] = {
        "precautions": {p.of: p for p in library.precautions.values()},
        "policy": {p.id: p for p in library.policies.values()},
        "trials": dict(library.trials),
        "pathways": dict(library.pathways),
        "prognosis": dict(library.prognoses),
    }
    for name, files in shelves.items():
        for key, file in files.items():
            path = folder / name / f"{key}.yaml"
            if not path.is_file():
                continue  # a hospital's own policy is no part of what we publish
            yield fhir.library(
                f"{name}-{key}",
                f"{FOLDERS[name]}: {getattr(file, 'title', None) or fhir.words(key)}",
                edition,
                content=None if name == "prognosis" else path.read_bytes(),
                useContext=fhir.use_context(),
                relatedArtifact=[document(evidence_figure(library.works[work], None)) for work in _cited(file)],
                **fhir.reviewed(file.review),
            )
    yield fhir.library("codes", "Which codes, units and words mean which fact", edition, content=(folder / "codes.yaml").read_bytes())


def _cited(file: Any) -> list[str]:
    """The works that a file cites, whatever its parts are called, each once."""
    found: dict[str, None] = {}
    names = ("needs", "contraindications", "remarks", "parameters", "preferences", "criteria", "states", "visits", "factors")
    for part in (file, *(part for name in names for part in getattr(file, name, ()))):
        because: Because = getattr(part, "because", ())
        found |= dict.fromkeys(place.work for place in because)
    return list(found)


def _code_systems(library: Library, edition: str) -> Iterator[Json]:
    book = library.book
    regimens = [fhir.concept(regimen.id, regimen.title) for regimen in library.regimens.values()]
    yield fhir.code_system("regimen", "Regimens, and local and supportive treatments", edition, regimens)
    yield fhir.code_system("activity", "Activities beside the regimens", edition, [fhir.concept("ask-about-trial", "Ask about a trial")])
    yield fhir.listed("setting", "Settings of treatment", edition, SETTINGS)
    read: tuple[Measure | Scale | Disorder | Derived, ...] = (*book.measures, *book.scales, *book.disorders, *book.derived)
    told = {each.fact: each.says for each in read}
    facts = [fhir.concept(fact, told.get(fact, fhir.words(fact)), f"In {unit}" if unit else None) for fact, unit in book.units.items()]
    yield fhir.code_system("regimen-fact", "Facts that regimens ask for", edition, facts)
