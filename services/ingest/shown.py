"""What a page shows of a patient, out of the ledger: the case of its launch, her latest answer, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlmodel import col, select

from services.ingest.store import Store
from services.ingest.tables import Answer, Case, ClinicianDecision


class Shown(NamedTuple):
    """All of it as one transaction saw it. `case` is None where it was forgotten, `answer` where there was none yet."""

    case: Case | None
    answer: Answer | None
    decisions: Sequence[ClinicianDecision]


def shown(store: Store, base: str, patient: str, case_id: str | None) -> Shown:
    """What there is for a patient of that FHIR server. Blocks: call it in a thread."""
    with store.transaction() as session:
        case = session.get(Case, case_id) if case_id else None
        asked = select(Answer).where(Answer.base == base, Answer.patient == patient).order_by(col(Answer.id).desc()).limit(1)
        decided = select(ClinicianDecision).where(ClinicianDecision.base == base, ClinicianDecision.patient == patient)
        answer = session.exec(asked).first()
        return Shown(case, answer, session.exec(decided.order_by(col(ClinicianDecision.number))).all())
