"""What a person is to look at beside the stage, as FHIR: a DetectedIssue for a contraindication, a Task where nothing can be chosen."""

from __future__ import annotations

from typing import Any

from shared.fhir.detected_issue import detected_issue
from shared.oncology.recommendation import Candidate, Recommendation
from shared.oncology.stage import Staging

Json = dict[str, Any]


def block(patient: str, candidate: Candidate, requests: list[str]) -> Json:
    """What rules a candidate out, implicating its requests."""
    text = f"{candidate.title}: " + "; ".join(b.says for b in candidate.blocks)
    evidence = sorted({source for b in candidate.blocks for source in b.sources})
    return detected_issue("contraindication", text, "high", patient, requests, evidence)


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
