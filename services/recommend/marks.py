"""Parts of the knowledge as they go out: each carries the mark where nobody has compared it with its source."""

from __future__ import annotations

from services.recommend.eligibility import UNCHECKED
from services.recommend.evidence import Figure, Work
from services.recommend.regimen import AgencyStatus, Gives, Irradiation, Remark
from shared.oncology.recommendation import Activity, Candidate, Caution, EvidenceFigure, Reason, Regulatory

FIGURES = ("endpoint", "hazard_ratio", "ci", "level", "p", "months", "n", "population", "says")


def marked(remark: Remark) -> str:
    """The sentence, with its mark."""
    return remark.says if remark.checked else f"{remark.says.rstrip('.')}{UNCHECKED}."


def regulatory(status: AgencyStatus) -> Regulatory:
    """What an agency has said."""
    return Regulatory(agency=status.agency, status=status.status, since=status.since, use=status.use, checked=status.checked)


def evidence_figure(work: Work, figure: Figure | None) -> EvidenceFigure:
    """A figure with its citation, or the citation alone. An identifier that nobody has checked is left out."""
    numbers = {} if figure is None else {name: getattr(figure, name) for name in FIGURES}
    identifiers = {name: None if name in work.unchecked else getattr(work, name) for name in ("doi", "pmid", "nct")}
    citation = work.citation + (UNCHECKED if "citation" in work.unchecked else "")
    return EvidenceFigure(id=work.id, citation=citation, **identifiers, **numbers, checked=figure is not None)


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
