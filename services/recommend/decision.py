"""What is decided, and by what it is known: the hash of both answers and of every finding they cite."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from shared.fhir.assertion import FIGARO
from shared.fhir.detected_issue import SEVERITY
from shared.oncology.recommendation import Caution, DoseAmount, Reason, Recommendation
from shared.oncology.record import Record, encode
from shared.oncology.stage import Staging

Json = dict[str, Any]
DECISION = f"{FIGARO}/sid/decision"
CAREPLAN = f"{FIGARO}/sid/careplan"


class Answer(NamedTuple):
    """What is to be written: the three values of one case."""

    record: Record
    staging: Staging
    recommendation: Recommendation


def proposes(answer: Answer) -> bool:
    """Whether there is anything to propose: FIGO applies, and the patient is alive."""
    return answer.staging.primary.applies and not answer.record.dead


def decision(answer: Answer) -> str:
    """The hash of everything this decision rests on (32 hexadecimal digits).

    Left out is what no plan shows, or what a later day alone would change: remarks on the data, and the days since platinum.
    """
    staging, recommendation = answer.staging, answer.recommendation
    shown = tuple(issue for issue in staging.issues if issue.severity != "information" or issue.code in SEVERITY)
    staging = msgspec.structs.replace(staging, issues=shown)
    situation = msgspec.structs.replace(recommendation.situation, platinum_free_days=None)
    recommendation = msgspec.structs.replace(recommendation, situation=situation)
    cited = set(sources(answer))
    versions = sorted(f"{f.source}|{f.version}" for f in answer.record.findings if f.source in cited)
    parts = [answer.record.patient.encode(), encode(staging), encode(recommendation), "\n".join(versions).encode()]
    return sha256(b"\0".join(parts)).hexdigest()[:32]


def sources(answer: Answer) -> list[str]:
    """Every finding that either answer cites, each once, in order."""
    staging, recommendation = answer.staging, answer.recommendation
    found = [s for e in staging.editions.values() for b in e.because for s in b.sources]
    found += [s for m in staging.metastases for s in m.sources] + [r.source for r in staging.recorded]
    found += [s for issue in staging.issues if issue.code in SEVERITY for s in issue.sources]
    found += recommendation.situation.sources
    for candidate in recommendation.candidates:
        rules: tuple[Reason | Caution | DoseAmount, ...] = (*candidate.reasons, *candidate.blocks, *candidate.cautions, *candidate.doses)
        found += [s for part in rules for s in part.sources]
    found += [s for trial in recommendation.trials for criterion in trial.criteria for s in criterion.sources]
    found += [s for pathway in recommendation.pathways for step in (*pathway.passed, pathway.current) for s in step.sources]
    found += [s for factor in recommendation.prognosis for s in factor.sources] + [s for note in recommendation.notes for s in note.sources]
    if staging.primary.condition:
        found.append(staging.primary.condition)
    known = {f.source for f in answer.record.findings}
    return sorted({source for source in found if source in known})
