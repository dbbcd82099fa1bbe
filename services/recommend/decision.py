"""What is decided, and by what it is known: the hash of both answers and of every finding they cite."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

from shared.fhir.assertion import FIGARO
from shared.oncology.recommendation import Recommendation
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
    """The hash of everything this decision rests on (32 hexadecimal digits)."""
    cited = set(sources(answer))
    versions = sorted(f"{f.source}|{f.version}" for f in answer.record.findings if f.source in cited)
    parts = [answer.record.patient.encode(), encode(answer.staging), encode(answer.recommendation), "\n".join(versions).encode()]
    return sha256(b"\0".join(parts)).hexdigest()[:32]


def sources(answer: Answer) -> list[str]:
    """Every finding that either answer cites, each once, in order."""
    staging, recommendation = answer.staging, answer.recommendation
    found = [s for e in staging.editions.values() for b in e.because for s in b.sources]
    found += [s for m in staging.metastases for s in m.sources] + [r.source for r in staging.recorded]
    for candidate in recommendation.candidates:
        found += [s for reason in candidate.reasons for s in reason.sources]
        found += [s for caution in (*candidate.blocks, *candidate.cautions) for s in caution.sources]
    if staging.primary.condition:
        found.append(staging.primary.condition)
    known = {f.source for f in answer.record.findings}
    return sorted({source for source in found if source in known})
