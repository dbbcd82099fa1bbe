"""READ FIRST: Record + Staging → Recommendation. Candidates for a board, in the order a policy declares; never an order to treat.

What belongs to the setting is listed; what is ruled out stands last, with the reason. `record.as_of` hides what was approved or
published later.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from services.recommend.approval import LABELLED, approval
from services.recommend.beside import beside
from services.recommend.dates import after, known
from services.recommend.dose_sum import remark as dose_remark
from services.recommend.dose_sum import spent
from services.recommend.dosing import INPUT, dose, overstated, reduced
from services.recommend.eligibility import Facts, Judgement, ask, judge
from services.recommend.fitness import Fitness, fitness
from services.recommend.hypersensitivity import allergy_rules
from services.recommend.marks import activity, evidence_figure, marked, places, regulatory, unchecked, works
from services.recommend.not_read import criteria, silence, unread_questions
from services.recommend.operations import PLANNED
from services.recommend.policy import Policy
from services.recommend.radiotherapy import course
from services.recommend.regimen import Agency, Because, Gives, Predicate, Regimen
from services.recommend.shelf import Library
from services.recommend.situation import Disease, disease
from services.recommend.treatments import history
from services.recommend.under_policy import counted
from services.recommend.under_way import UnderWay, response
from services.recommend.unread import unread
from shared.fhir.outcome import Refused
from shared.oncology.recommendation import Candidate, Caution, DoseAmount, EvidenceFigure, Grade, Note, Recommendation, Situation
from shared.oncology.record import Record
from shared.oncology.stage import Missing, Staging
from shared.oncology.verdict import HOLDS, UNKNOWN


def recommend(
    record: Record, staging: Staging, library: Library, *, policy: str = "default", region: Agency | None = None
) -> Recommendation:
    """The candidates for this record as staged; raises Refused for a policy or an agency that is not there."""
    asked = library.policy(policy)
    if region is not None and region not in get_args(Agency):
        raise Refused(f"There is no agency {region}; there are: {', '.join(get_args(Agency))}.")
    region = region or asked.region
    nobody = Recommendation(patient=record.patient, situation=Situation(setting=None, stage=None, line=None), knowledge=library.knowledge)
    if not staging.primary.applies:
        why = (staging.primary.why_not or "no invasive carcinoma of the cervix").rstrip(".")
        return msgspec.structs.replace(nobody, notes=(Note(text=f"Outside the scope: {why}."),))
    if record.dead or (record.deceased and not (record.as_of and after(record.deceased, record.as_of))):
        return msgspec.structs.replace(nobody, notes=(Note(text="The patient has died; nothing is proposed."),))
    record = _then(record)
    staging, under = counted(staging, asked)
    given = history(record, staging, library.book, asked)
    about, herself = disease(record, staging, given, library.book), fitness(record, library.book, asked)
    answer = _Answer(record, library, asked, region, about, herself)
    candidates = answer.candidates()
    more = beside(record, staging, given, library, asked, about, answer.facts)
    found = Recommendation(
        patient=record.patient,
        situation=about.situation,
        candidates=candidates,
        trials=more.trials,
        pathways=more.pathways,
        prognosis=more.prognosis,
        notes=(*under, *silence(record.unread), *unread(record, staging, library.book), *answer.notes(candidates), *more.notes),
        knowledge=library.knowledge,
    )
    return msgspec.structs.replace(found, works=works(found, library, record.as_of))


def _then(record: Record) -> Record:
    """The record without what happened, or was written down, later than the day asked for; what is planned for later stays."""
    as_of = record.as_of
    if as_of is None:
        return record
    there = [
        f for f in record.findings if not any(date and after(date, as_of) for date in (None if f.status == PLANNED else f.when, f.recorded))
    ]
    return msgspec.structs.replace(record, findings=tuple(there))


class _Answer:
    """One recommendation being made."""

    def __init__(self, record: Record, library: Library, policy: Policy, region: Agency | None, about: Disease, herself: Fitness) -> None:
        self.record, self.library, self.policy, self.region, self.about, self.herself = record, library, policy, region, about, herself
        self.facts = Facts({**herself.known, **about.facts.known}, {**about.facts.asks, **herself.asks})
        self.facts = msgspec.structs.replace(self.facts, known={**self.facts.known, **response(self.facts.known, about.situation.ongoing)})
        self.under_way = UnderWay(about.situation.ongoing, library.book) if about.situation.ongoing else None
        self.as_of = record.as_of

    def candidates(self) -> tuple[Candidate, ...]:
        """Every candidate of the setting, ranked."""
        listed = [(regimen, self._candidate(regimen)) for regimen in self.library.regimens.values() if self._belongs(regimen)]
        listed.sort(key=lambda pair: self._place(*pair))
        return tuple(msgspec.structs.replace(candidate, rank=rank) for rank, (_, candidate) in enumerate(listed, 1))

    def _belongs(self, regimen: Regimen) -> bool:
        if not set(regimen.belongs.settings) & set(self.about.settings):
            return False
        if not set(self.about.states) & set(regimen.belongs.disease):
            return False
        if any(not self._may_hold(question) for question in regimen.belongs.when):
            return False
        return self._available(regimen)

    def _may_hold(self, question: Predicate) -> bool:
        """Whether it holds; of contradicting histologies, whether it holds for one of them."""
        verdict = ask(question, self.facts.known, self.policy.number)
        return verdict is HOLDS or (verdict is UNKNOWN and question.fact == "histology" and "histology" in self.facts.known)

    def _available(self, regimen: Regimen) -> bool:
        """Approved by then, if anybody approved it; else published by then. Support needs neither."""
        approvals = [status.since for status in regimen.regulatory if status.status in LABELLED and status.since]
        works = [self.library.works[shown.work].published for shown in regimen.evidence]
        dated = [date for date in works if date]
        return regimen.intent == "supportive" or any(known(date, self.as_of) for date in approvals or dated or works)

    def _candidate(self, regimen: Regimen) -> Candidate:
        judged = self._judge(regimen)
        doses = [self._dose(given) for given in regimen.gives]
        courses = [given for given in regimen.radiotherapy if self._cites_any(given.because)]
        irradiation = tuple(course(given, self._cites) for given in courses)
        gaps = [gap for _, missing in doses for m in missing for gap in (m, *self.facts.asks.get(m.fact, ()))]
        return Candidate(
            regimen=regimen.id,
            title=regimen.title,
            intent=regimen.intent,
            rank=0,
            verdict=judged.verdict,
            reasons=judged.reasons,
            missing=tuple(dict.fromkeys((*judged.missing, *gaps, *(unread_questions(self.record.unread) if regimen.gives else ())))),
            cautions=(*judged.cautions, *overstated(regimen.gives, self.facts.known, self.policy, self._cites), *self._stale(regimen)),
            blocks=judged.blocks,
            doses=tuple(amount for amount, _ in doses),
            radiotherapy=irradiation,
            schedule=(*map(activity, regimen.gives), *map(activity, courses)),
            grade=Grade(text=grade.text, by=grade.by) if (grade := regimen.grade) and self._cites_any(grade.because) else None,
            evidence=tuple(self._evidence(regimen)),
            regulatory=tuple(regulatory(status, self._cites) for status in regimen.regulatory if known(status.since, self.as_of)),
            notes=(*self._remarks(regimen), *([total] if (total := dose_remark(irradiation)) else [])),
        )

    def _dose(self, given: Gives) -> tuple[DoseAmount, tuple[Missing, ...]]:
        """The dose; without an amount where a precaution of the drug asks for less of it than the regimen says."""
        amount, missing = dose(given, self.facts.known, self.policy, self._cites)
        file = self.library.precautions.get(given.drug)
        less = next((rule for rule in file.contraindications if rule.reduces_dose and self._holds(rule)), None) if file else None
        return reduced(amount, less.says) if less else (amount, missing)

    def _remarks(self, regimen: Regimen) -> list[str]:
        """That it is ongoing; the remarks of the regimen and of its drugs; which of its works are past a review date of their own."""
        remarks = self.under_way.remarks(regimen) if self.under_way else []
        remarks += [
            f"{marked(r)} {places(r.because, self._cites)}"
            for r in self.library.remarks(regimen)
            if self._holds(r.when) and self._cites_any(r.because)
        ]
        works = [self.library.works[shown.work] for shown in regimen.evidence if self._cites(shown.work)]
        past = [work for work in works if work.next_review and (self.record.today or "9999") > work.next_review]
        return remarks + [f"{work.citation.rstrip('.')}: past its own review date of {work.next_review}." for work in past]

    def _stale(self, regimen: Regimen) -> list[Caution]:
        """Values older than the policy allows, of those that this regimen's criteria, precautions and doses rest on."""
        asked = (*self.library.needs(regimen), *self.library.contraindications(regimen))
        facts = {rule.fact for rule in asked} | {INPUT.get(given.dose.per, "") for given in regimen.gives}
        sources = {source for fact in facts if (known := self.facts.known.get(fact)) for source in known.sources}
        return [caution for caution in self.herself.stale if sources & set(caution.sources)]

    def _judge(self, regimen: Regimen) -> Judgement:
        needs, facts = [self.policy.worded(need) for need in self.library.needs(regimen)], self.facts
        known = self.facts.known
        listed = self.library.contraindications(regimen)
        held = {s for rule in listed if rule.fact.endswith("-hypersensitivity") and self._holds(rule) for s in known[rule.fact].sources}
        allergic = [r for r in allergy_rules(regimen.drugs, set(known), self.library.book) if not set(known[r.fact].sources) <= held]
        contraindications = map(self.policy.worded, (*listed, *allergic))
        extra = [approval(regimen, self.region, self.as_of, self._cites)] if self.region and regimen.gives and not regimen.generic else []
        extra += criteria(self.record.unread) if needs or regimen.gives or regimen.radiotherapy else []
        if self.under_way and self.under_way.changed_by(regimen):
            needs, facts = self.under_way.asked(needs), self.under_way.opened(facts)
            if not any(need.fact == "line" and ask(need, facts.known, self.policy.number) is UNKNOWN for need in needs):
                extra.append(self.under_way.criterion())
        elif self.under_way and self.under_way.is_(regimen):
            extra.append(self.under_way.given())
        return judge(needs, contraindications, facts, self.policy.number, self._cites, extra)

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
                found += [evidence_figure(work, figure) for figure in figures] or [evidence_figure(work, None)]
        return found

    def _place(self, regimen: Regimen, candidate: Candidate) -> tuple[int, ...]:
        """Ruled-out last; what the policy lifts first; support after treatment; what is ongoing; tier; settled before open; place."""
        holding = [p for p in self.policy.preferences if self._holds(p.when) and self._cites_any(p.because)]
        lifted = any(p.regimen == regimen.id for p in holding)
        preferred = any(p.drug in regimen.drugs for p in holding if p.drug)
        tiers = [tier.regimens for order in self.policy.order if order.setting in self.about.settings for tier in order.tiers]
        tier, place = next((i, tier.index(regimen.id)) for i, tier in enumerate(tiers) if regimen.id in tier)
        return (
            candidate.verdict == "ruled-out",
            not lifted,
            regimen.intent == "supportive",
            not (self.under_way and self.under_way.leads(regimen)),
            tier,
            candidate.verdict != "eligible",
            not preferred,
            place,
        )

    def notes(self, candidates: tuple[Candidate, ...]) -> tuple[Note, ...]:
        """What a reader must know beside the candidates."""
        notes = [*self.herself.notes, *spent(self.about.situation.radiotherapy)]
        setting, policy = self.about.situation.setting, self.policy
        if setting is None:
            settles = "; ".join(gap.ask for gap in self.facts.asks.get("figo-2018", ()))
            text = "The record does not tell the stage, and so no setting: nothing is listed until it does."
            notes.append(Note(text=f"{text} To settle it: {settles}." if settles else text))
        if setting == "early":
            notes.append(Note(text="Stages IA to IB2 and IIA1 are outside what this knowledge covers: nothing is listed."))
        for remark in policy.remarks:
            if self._holds(remark.when) and self._cites_any(remark.because):
                notes.append(Note(text=marked(remark), sources=tuple(place.work for place in remark.because if self._cites(place.work))))
        if open_points := unchecked(candidates):
            notes.append(Note(text=f"{open_points} thresholds and doses used here are not checked against the source; each is marked."))
        if drafts := self.library.drafts:
            notes.append(Note(text=f"No clinician has signed off {drafts} of the knowledge files; every option needs a check of its own."))
        if self.record.today and self.record.today > self.library.next_review:
            notes.append(Note(text=f"The knowledge is past its review date of {self.library.next_review}."))
        return tuple(dict.fromkeys(notes))
