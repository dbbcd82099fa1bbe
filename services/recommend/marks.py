"""Parts of the knowledge as they go out: each carries the mark where nobody has compared it with its source."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from services.recommend.dates import known
from services.recommend.eligibility import UNCHECKED
from services.recommend.evidence import Figure, Work
from services.recommend.regimen import AgencyStatus, Because, Gives, Irradiation, Remark
from services.recommend.shelf import Library
from shared.oncology.recommendation import (
    Activity,
    Candidate,
    Caution,
    Citation,
    DoseAmount,
    EvidenceFigure,
    Radiotherapy,
    Reason,
    Recommendation,
    Regulatory,
)

FIGURES = ("endpoint", "arms", "hazard_ratio", "ci", "level", "p", "months", "n", "population", "says")


def marked(remark: Remark) -> str:
    """The sentence, with its mark."""
    return remark.says if remark.checked else f"{remark.says.rstrip('.')}{UNCHECKED}."


def places(because: Because, cites: Callable[[str], bool]) -> str:
    """The works that were there by then, each with the place in it: "[yin-2019, Table 3]"."""
    return f"[{'; '.join(f'{place.work}, {place.at}' for place in because if cites(place.work))}]"


def regulatory(status: AgencyStatus, cites: Callable[[str], bool] = lambda work: True) -> Regulatory:
    """What an agency has said."""
    place = next((place for place in status.because if cites(place.work)), None)
    return Regulatory(
        agency=status.agency,
        status=status.status,
        since=status.since,
        use=status.use,
        reference=place.work if place else None,
        at=place.at if place else None,
        checked=status.checked,
    )


def citation(work: Work) -> Citation:
    """The work as it is cited. An identifier that nobody has checked is left out."""
    identifiers = {name: None if name in work.unchecked else getattr(work, name) for name in ("doi", "pmid", "nct")}
    return Citation(citation=work.citation + (UNCHECKED if "citation" in work.unchecked else ""), **identifiers)


def evidence_figure(work: Work, figure: Figure | None) -> EvidenceFigure:
    """A figure with its citation, or the citation alone. An identifier that nobody has checked is left out."""
    numbers = {} if figure is None else {name: getattr(figure, name) for name in FIGURES}
    cited = msgspec.structs.asdict(citation(work))
    return EvidenceFigure(id=work.id, **cited, **numbers, at=figure.at if figure else None, checked=figure is not None)


def activity(given: Gives | Irradiation) -> Activity:
    """One line of the schedule: what, on which day it begins, and how it repeats."""
    phase = f" ({given.phase})" if given.phase else ""
    if isinstance(given, Irradiation):
        return Activity(activity=f"{given.course} radiotherapy to {given.target}{phase}", day=given.first_day)
    mark = {name: UNCHECKED if name in given.unchecked else "" for name in ("over", "cycles", "until")}
    repeats = given.rhythm
    repeats += f", at most {given.cycles} cycles{mark['cycles']}" if given.cycles else ""
    repeats += f", until {given.until}{mark['until']}" if given.until and not given.cycles else ""
    infusion = f" over {given.over}{mark['over']}" if given.over else ""
    return Activity(activity=f"{given.drug} {given.dose} {given.route}{infusion}{phase}", day=given.first_day, cycle=1, repeats=repeats)


def unchecked(candidates: tuple[Candidate, ...]) -> int:
    """How many criteria, doses, lines of a schedule and courses of radiotherapy stand in the answer unchecked, each counted once."""
    found: set[tuple[str, ...]] = set()
    for candidate in candidates:
        rules: tuple[Reason | Caution, ...] = (*candidate.reasons, *candidate.cautions, *candidate.blocks)
        found |= {(rule.criterion,) for rule in rules if UNCHECKED in rule.says}
        found |= {(dose.drug, dose.rule) for dose in candidate.doses if not dose.checked}
        found |= {(course.course, course.target) for course in candidate.radiotherapy if not course.checked}
        found |= {(line.activity, line.repeats or "") for line in candidate.schedule if UNCHECKED in f"{line.activity}{line.repeats}"}
    return len(found)


def works(answer: Recommendation, library: Library, as_of: str | None) -> dict[str, Citation]:
    """Every work that the answer cites and that was there by then, by its id."""
    named = {work for trial in answer.trials for criterion in trial.criteria for work in criterion.evidence}
    named |= {work for pathway in answer.pathways for work in pathway.evidence} | {factor.work for factor in answer.prognosis}
    named |= {source for note in answer.notes for source in note.sources}
    for candidate in answer.candidates:
        rules: tuple[Reason | Caution, ...] = (*candidate.reasons, *candidate.cautions, *candidate.blocks)
        named |= {work for rule in rules for work in rule.evidence}
        referring: tuple[DoseAmount | Radiotherapy | Regulatory, ...] = (*candidate.doses, *candidate.radiotherapy, *candidate.regulatory)
        named |= {part.reference for part in referring if part.reference}
        named |= {figure.id for figure in candidate.evidence}
        named |= {place.work for remark in library.remarks(library.regimens[candidate.regimen]) for place in remark.because}
    return {work.id: citation(work) for work in library.works.values() if work.id in named and known(work.published, as_of)}
