"""What a person is to look at beside the stage, as FHIR: a DetectedIssue for a contraindication, a Task where nothing can be chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from services.recommend.citations import places
from shared.fhir.detected_issue import detected_issue
from shared.oncology.recommendation import Candidate, Caution, Citation, Recommendation
from shared.oncology.stage import Staging
from shared.oncology.wording import address_of

Json = dict[str, Any]


class Blocked(NamedTuple):
    """One contraindication that holds, and every candidate that it rules out."""

    block: Caution
    candidates: list[Candidate]

    @property
    def key(self) -> str:
        return f"{self.block.criterion}|{self.block.says}"


def blocked(candidates: Iterable[Candidate]) -> list[Blocked]:
    """Each contraindication once, in the order of the candidates."""
    found: dict[str, Blocked] = {}
    for candidate in candidates:
        for block in candidate.blocks:
            one = Blocked(block, [candidate])
            found.setdefault(one.key, Blocked(block, [])).candidates.append(candidate)
    return list(found.values())


def contraindication(patient: str, found: Blocked, requests: Iterable[str], works: dict[str, Citation]) -> Json:
    """One contraindication as an issue: what it rules out is implicated, what it rests on is the evidence, its work the reference."""
    block = found.block
    titles = "; ".join(candidate.title for candidate in found.candidates)
    text = f"{block.says.rstrip('.')}. Rules out: {titles}. [{': '.join(filter(None, (block.criterion, places(block))))}]"
    issue = detected_issue("contraindication", text, "high", patient, requests, sorted(set(block.sources)))
    address = next((url for work in block.evidence if work in works and (url := address_of(works[work]))), None)
    return issue | ({"reference": address} if address else {})


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
