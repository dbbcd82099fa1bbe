"""What stands beside the candidates as activities of the CarePlan: trials to ask about, and where she is on a published pathway.

A trial is a ServiceRequest (proposal) that names its registry entry. A pathway is an `activity.detail`, and so is each line of its
schedule: in days from day 1 of cycle 1 until a first cycle is on record, as dates from then on. Prognosis is no activity, and no risk of
hers: it stands in the narrative only. Source: FHIR R4 4.0.1 CarePlan.activity, ServiceRequest.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from shared.fhir.assertion import FIGARO, reference
from shared.oncology.recommendation import Activity, Pathway, Recommendation, Trial
from shared.oncology.stage import Staging

Json = dict[str, Any]
_REASONS = ("Condition/", "Observation/")  # of what R4 allows here, what a pathway rests on
_VERDICTS = {"holds": "met", "fails": "not met", "unknown": "not known"}
HELD = "Every candidate with a drug is ruled out on the record: the pathway does not go on as it stands."
RELATIVE = "counted from day 1 of cycle 1"


def trial(found: Trial, staging: Staging) -> Json:
    """A ServiceRequest to ask about a trial: each of its criteria, and what is known of it."""
    resource: Json = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "proposal",
        "code": {"coding": [{"system": f"{FIGARO}/CodeSystem/activity", "code": "ask-about-trial"}], "text": f"Ask about: {found.title}"},
        "subject": {"reference": staging.patient},
        "note": [{"text": " ".join(trial_words(found))}],
    }
    if found.registry:
        resource["instantiatesUri"] = [f"https://clinicaltrials.gov/study/{found.registry}"]
    if staging.primary.condition:
        resource["reasonReference"] = [reference(staging.primary.condition)]
    sources = dict.fromkeys(source for criterion in found.criteria for source in criterion.sources)
    if sources:
        resource["supportingInfo"] = [reference(source) for source in sources]
    return resource


def trial_words(found: Trial) -> list[str]:
    """Each criterion with its answer, then the remarks."""
    asked = [f"{c.text}: {_VERDICTS[c.verdict]}{f', ask: {c.ask}' if c.ask else ''}." for c in found.criteria]
    return [*asked, *found.notes]


def held(recommendation: Recommendation) -> bool:
    """Whether every candidate with a drug is ruled out: then no pathway goes on by itself, and none shows a schedule."""
    systemic = [candidate for candidate in recommendation.candidates if candidate.doses]
    return bool(systemic) and all(candidate.verdict == "ruled-out" for candidate in systemic)


def pathway(found: Pathway, today: str | None, edition: str, *, hold: bool) -> list[Json]:
    """The step she is at, then each line of the schedule. A day that is past is of unknown state: nobody has said that it took place."""
    canonical = f"{FIGARO}/PlanDefinition/{found.id}|{edition}"
    sources = dict.fromkeys(s for step in (*found.passed, found.current) for s in step.sources if s.startswith(_REASONS))
    step: Json = {
        "instantiatesCanonical": [canonical],
        "code": {"coding": [{"system": f"{FIGARO}/CodeSystem/pathway-{found.id}", "code": found.current.state}], "text": found.title},
        "status": "in-progress" if found.started else "not-started",
        "description": " ".join(pathway_words(found, hold=hold)),
    }
    if hold:
        step |= {"status": "on-hold", "statusReason": {"text": HELD}}
    if sources:
        step["reasonReference"] = [reference(source) for source in sources]
    return [step, *(_line(found, line, today, canonical) for line in found.schedule if not hold)]


def pathway_words(found: Pathway, *, hold: bool) -> list[str]:
    """Where she stands on the pathway: passed, now, next, what is missing, and what the work leaves open."""
    words = [f"Published pathway: {found.title}{f', {found.track} track' if found.track else ''}. Not an order to follow it."]
    words += [HELD] if hold else []
    words += [f"Passed: {step.says}" for step in found.passed]
    words.append(f"Now: {found.current.says}")
    words += [f"Next: {step}." for step in found.next]
    words += [f"Missing: {gap.ask}." for gap in found.missing]
    words += [f"Not defined: {text}" for text in found.undefined]
    return [*words, *found.notes]


def schedule_line(line: Activity, started: str | None) -> str:
    """When one activity falls: the date where a first cycle is on record, else the day of the schedule; and how it recurs."""
    when = f"{_date(started, line.day)} (day {line.day})" if started else f"day {line.day}"
    cycle = f", cycle {line.cycle}" if line.cycle else ""
    return f"{when}{cycle}{f', {line.repeats}' if line.repeats else ''}"


def _line(found: Pathway, line: Activity, today: str | None, canonical: str) -> Json:
    detail: Json = {
        "instantiatesCanonical": [canonical],
        "code": {"text": line.activity},
        "status": "not-started",
        "description": f"If the pathway is followed: {line.activity}; {schedule_line(line, found.started)}.",
    }
    if found.started is None:
        return detail | {"scheduledString": f"{schedule_line(line, None)}, {RELATIVE}"}
    begins = _date(found.started, line.day)
    if today and begins <= today[:10]:
        detail["status"] = "unknown"
    words = {"code": {"text": line.repeats}} if line.repeats else {}
    return detail | {"scheduledTiming": {"event": [begins], **words}}


def _date(started: str, day: int) -> str:
    return (date.fromisoformat(started[:10]) + timedelta(days=day - 1)).isoformat()
