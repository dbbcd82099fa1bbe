"""READ FIRST: Record + Staging → Recommendation. Candidates for a board, in the order a policy declares; never an order to treat.

What belongs to the setting is listed; what is ruled out stands last, with the reason. `record.as_of` hides what was approved or
published later.
"""

from __future__ import annotations

import msgspec

from services.recommend.dates import known
from services.recommend.dosing import dose
from services.recommend.eligibility import UNCHECKED, Facts, Judgement, ask, judge
from services.recommend.evidence import Figure, Work
from services.recommend.fitness import Fitness, fitness
from services.recommend.library import Library
from services.recommend.policy import Policy
from services.recommend.radiotherapy import course
from services.recommend.regimen import Agency, AgencyStatus, Because, Gives, Irradiation, Predicate, Regimen, Remark
from services.recommend.situation import Disease, disease
from services.recommend.treatments import history
from shared.fhir.outcome import Refused
from shared.oncology.recommendation import (
    Activity,
    Candidate,
    Caution,
    EvidenceFigure,
    Grade,
    Note,
    Reason,
    Recommendation,
    Regulatory,
    Situation,
)
from shared.oncology.record import Record
from shared.oncology.stage import Missing, Staging
from shared.oncology.verdict import HOLDS

LABELLED = ("approved", "accelerated", "conditional")


def recommend(
    record: Record, staging: Staging, library: Library, *, policy: str = "default", region: Agency | None = None
) -> Recommendation:
    """The candidates for this record as staged; raises Refused for a policy that is not there."""
    if policy not in library.policies:
        raise Refused(f"There is no policy {policy}; there are: {', '.join(sorted(library.policies))}.")
    asked = library.policies[policy]
    nobody = Recommendation(patient=record.patient, situation=Situation(setting=None, stage=None, line=None), knowledge=library.knowledge)
    if not staging.primary.applies:
        why = (staging.primary.why_not or "no invasive carcinoma of the cervix").rstrip(".")
        return msgspec.structs.replace(nobody, notes=(Note(text=f"Outside the scope: {why}."),))
    if record.deceased and record.deceased <= (record.today or record.deceased):
        return msgspec.structs.replace(nobody, notes=(Note(text="The patient has died; nothing is proposed."),))
    given = history(record, staging, library.book, asked)
    about, herself = disease(record, staging, given, library.book), fitness(record, library.book, asked)
    answer = _Answer(record, library, asked, region, about, herself)
    candidates = answer.candidates()
    return Recommendation(
        patient=record.patient,
        situation=about.situation,
        candidates=candidates,
        notes=answer.notes(candidates),
        knowledge=library.knowledge,
    )


class _Answer:
    """One recommendation being made."""

    def __init__(self, record: Record, library: Library, policy: Policy, region: Agency | None, about: Disease, herself: Fitness) -> None:
        self.record, self.library, self.policy, self.region, self.about, self.herself = record, library, policy, region, about, herself
        self.facts = Facts({**herself.known, **about.facts.known}, {**about.facts.asks, **herself.asks})
        self.as_of = record.as_of

    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate of the setting, ranked."""
        listed = [(regimen, self._candidate(regimen)) for regimen in self.library.regimens.values() if self._belongs(regimen)]
        listed.sort(key=lambda pair: self._place(*pair))
        return tuple(msgspec.structs.replace(candidate, rank=rank) for rank, (_, candidate) in enumerate(listed, 1))

    def _belongs(self, regimen: Regimen) -> bool:
        if not set(regimen.belongs.settings) & set(self.about.settings):
            return False
        state = self.facts.known["disease-state"]
        if str(state) not in regimen.belongs.disease:
            return False
        if any(ask(question, self.facts.known, self.policy.number) is not HOLDS for question in regimen.belongs.when):
            return False
        return self._available(regimen)

    def _available(self, regimen: Regimen) -> bool:
        """Approved by then, if anybody approved it; else published by then."""
        approvals = [status.since for status in regimen.regulatory if status.status in LABELLED and status.since]
        works = [self.library.works[shown.work].published for shown in regimen.evidence]
        return any(known(date, self.as_of) for date in approvals or works)

    def _candidate(self, regimen: Regimen) -> Candidate:
        judged = self._judge(regimen)
        doses = [dose(given, self.facts.known, self.policy) for given in regimen.gives]
        gaps = [gap for _, missing in doses for m in missing for gap in (m, *self.facts.asks.get(m.fact, ()))]
        return Candidate(
            regimen=regimen.id,
            title=regimen.title,
            intent=regimen.intent,
            rank=0,
            verdict=judged.verdict,
            reasons=judged.reasons,
            missing=tuple(dict.fromkeys((*judged.missing, *gaps))),
            cautions=judged.cautions,
            blocks=judged.blocks,
            doses=tuple(amount for amount, _ in doses),
            radiotherapy=tuple(course(given, self._cites) for given in regimen.radiotherapy),
            schedule=(*map(_activity, regimen.gives), *map(_activity, regimen.radiotherapy)),
            grade=Grade(text=regimen.grade.text, by=regimen.grade.by) if regimen.grade else None,
            evidence=tuple(self._evidence(regimen)),
            regulatory=tuple(_regulatory(status) for status in regimen.regulatory if known(status.since, self.as_of)),
            notes=tuple(_marked(remark) for remark in regimen.remarks if self._holds(remark.when) and self._cites_any(remark.because)),
        )

    def _judge(self, regimen: Regimen) -> Judgement:
        library = self.library
        approval = [self._approval(regimen)] if self.region and regimen.gives and not regimen.generic else []
        return judge(library.needs(regimen), library.contraindications(regimen), self.facts, self.policy.number, self._cites, approval)

    def _approval(self, regimen: Regimen) -> tuple[Reason, Missing | None]:
        """Whether the agency that the caller names has approved this regimen for this disease by the day asked for."""
        said = [status for status in regimen.regulatory if status.agency == self.region]
        name = f"approved-by-{str(self.region).lower()}"
        if not said:
            text = f"Whether the {self.region} has approved this regimen is not in the knowledge."
            return Reason(criterion=name, verdict="unknown", says=text), Missing(name, f"The {self.region} label of this regimen")
        held = [status for status in said if status.status in LABELLED and known(status.since, self.as_of)]
        best = (held or said)[0]
        text = f"{self.region}: {best.status}{f' since {best.since}' if best.since else ''}{f', for {best.use}' if best.use else ''}."
        return Reason(criterion=name, verdict="holds" if held else "fails", says=text, evidence=tuple(p.work for p in best.because)), None

    def _cites(self, work: str) -> bool:
        return known(self.library.works[work].published, self.as_of)

    def _cites_any(self, because: Because) -> bool:
        return any(self._cites(place.work) for place in because)

    def _holds(self, question: Predicate | None) -> bool:
        return question is None or ask(question, self.facts.known, self.policy.number) is HOLDS

    def _evidence(self, regimen: Regimen) -> list[EvidenceFigure]:
        """The figures to show of each work. A work whose figures nobody has checked keeps its citation, and no figure."""
        found = []
        for shown in regimen.evidence:
            work = self.library.works[shown.work]
            if known(work.published, self.as_of):
                figures = [figure for figure in work.figures if figure.id in shown.show and figure.checked]
                found += [_figure(work, figure) for figure in figures] or [_figure(work, None)]
        return found

    def _place(self, regimen: Regimen, candidate: Candidate) -> tuple[int, ...]:
        """Ruled-out last; what the policy lifts first; support after treatment; settled before open; tier; preference; place."""
        holding = [p for p in self.policy.preferences if self._holds(p.when)]
        lifted = any(p.regimen == regimen.id for p in holding)
        preferred = any(p.drug in regimen.drugs for p in holding if p.drug)
        tiers = [tier.regimens for order in self.policy.order if order.setting in self.about.settings for tier in order.tiers]
        tier, place = next((i, tier.index(regimen.id)) for i, tier in enumerate(tiers) if regimen.id in tier)
        return (
            candidate.verdict == "ruled-out",
            not lifted,
            regimen.intent == "supportive",
            candidate.verdict != "eligible",
            tier,
            not preferred,
            place,
        )

    def notes(self, candidates: tuple[Candidate, ...]) -> tuple[Note, ...]:
        """What a reader must know beside the candidates."""
        notes = list(self.herself.notes)
        setting, policy = self.about.situation.setting, self.policy
        if setting is None:
            notes.append(Note(text="The record does not tell the stage, and so no setting: nothing is listed until it does."))
        if setting == "early":
            notes.append(Note(text="Stages IA to IB2 and IIA1 are outside what this knowledge covers: nothing is listed."))
        for remark in policy.remarks:
            if self._holds(remark.when):
                notes.append(Note(text=_marked(remark), sources=tuple(place.work for place in remark.because if self._cites(place.work))))
        if open_points := _unchecked(candidates):
            notes.append(Note(text=f"{open_points} thresholds and doses used here are not checked against the source; each is marked."))
        if drafts := self.library.drafts:
            notes.append(Note(text=f"No clinician has signed off {drafts} of the knowledge files; every option needs a check of its own."))
        if self.record.today and self.record.today > self.library.next_review:
            notes.append(Note(text=f"The knowledge is past its review date of {self.library.next_review}."))
        return tuple(dict.fromkeys(notes))


def _unchecked(candidates: tuple[Candidate, ...]) -> int:
    """How many criteria, doses and courses of radiotherapy stand in the answer unchecked, each counted once."""
    found: set[tuple[str, ...]] = set()
    for candidate in candidates:
        rules: tuple[Reason | Caution, ...] = (*candidate.reasons, *candidate.cautions, *candidate.blocks)
        found |= {(rule.criterion,) for rule in rules if UNCHECKED in rule.says}
        found |= {(dose.drug, dose.rule) for dose in candidate.doses if not dose.checked}
        found |= {(course.course, course.target) for course in candidate.radiotherapy if not course.checked}
    return len(found)


def _marked(remark: Remark) -> str:
    return remark.says if remark.checked else f"{remark.says.rstrip('.')}{UNCHECKED}."


def _regulatory(status: AgencyStatus) -> Regulatory:
    return Regulatory(agency=status.agency, status=status.status, since=status.since, use=status.use, checked=status.checked)


def _figure(work: Work, figure: Figure | None) -> EvidenceFigure:
    numbers = (
        {}
        if figure is None
        else {name: getattr(figure, name) for name in ("endpoint", "hazard_ratio", "ci", "level", "p", "months", "n", "population", "says")}
    )
    identifiers = {name: None if name in work.unchecked else getattr(work, name) for name in ("doi", "pmid", "nct")}
    return EvidenceFigure(id=work.id, citation=work.citation, **identifiers, **numbers, checked=figure is not None)


def _activity(given: Gives | Irradiation) -> Activity:
    """One line of the schedule: what, on which day it begins, and how it repeats."""
    phase = f" ({given.phase})" if given.phase else ""
    if isinstance(given, Irradiation):
        return Activity(activity=f"{given.course} radiotherapy to {given.target}{phase}", day=given.first_day)
    days = ", ".join(str(day) for day in given.day)
    repeats = f"day {days} every {given.cycle_days} days"
    repeats += f", at most {given.cycles} cycles" if given.cycles else f", until {given.until}" if given.until else ""
    infusion = f" over {given.over}" if given.over else ""
    return Activity(activity=f"{given.drug} {given.dose} {given.route}{infusion}{phase}", day=given.first_day, cycle=1, repeats=repeats)
