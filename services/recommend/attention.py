"""What a person is to look at, as FHIR: a DetectedIssue for a conflict or a contraindication, a Task where nothing can be chosen."""

from __future__ import annotations

from typing import Any

from shared.fhir.stage_observation import FIGARO
from shared.oncology.recommendation import Candidate, Recommendation
from shared.oncology.record import Issue
from shared.oncology.stage import Staging

Json = dict[str, Any]
CONFLICTS = ("stage-conflict", "extent-conflict")


def conflict(issue: Issue, stage: str) -> Json:
    """Findings, or a recorded stage, that contradict the derived one; `stage` is the reference of the derived stage."""
    return _issue(issue.code, issue.text, "moderate", [*issue.sources, stage], list(issue.sources))


def block(candidate: Candidate, requests: list[str]) -> Json:
    """What rules a candidate out, implicating its requests."""
    text = f"{candidate.title}: " + "; ".join(b.says for b in candidate.blocks)
    return _issue("contraindication", text, "high", requests, sorted({s for b in candidate.blocks for s in b.sources}))


def review(staging: Staging, recommendation: Recommendation, why: str) -> Json:
    """A Task to look at the record, with what is missing and what the knowledge says."""
    asked = [m.ask for m in staging.editions["figo-2018"].missing]
    asked += [m.ask for c in recommendation.candidates if c.verdict == "cannot-tell" for m in c.missing]
    words = [why]
    words += ["Missing: " + "; ".join(dict.fromkeys(asked)) + "."] if asked else []
    words += [note.text for note in recommendation.notes] if not recommendation.candidates else []
    return {
        "resourceType": "Task",
        "status": "draft",
        "intent": "proposal",
        "code": {"text": "Review the record for the tumour board"},
        "description": " ".join(words),
        "for": {"reference": staging.patient},
    }


def _issue(code: str, text: str, severity: str, implicated: list[str], evidence: list[str]) -> Json:
    resource: Json = {
        "resourceType": "DetectedIssue",
        "status": "preliminary",
        "code": {"coding": [{"system": f"{FIGARO}/CodeSystem/issue", "code": code}], "text": code.replace("-", " ")},
        "severity": severity,
        "implicated": [{"reference": reference} for reference in implicated],
        "detail": text,
    }
    if evidence:
        resource["evidence"] = [{"detail": [{"reference": s} for s in evidence]}]
    return resource
