"""What clinicians decided, in the ledger: found, added, marked. Every function is one transaction and blocks."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, false
from sqlmodel import Session, col, or_, select, update
from sqlmodel.sql.expression import SelectOfScalar

from services.ingest.store import Store
from services.ingest.tables import DONE, Answer, Case, ClinicianDecision

# Why an act is only kept. `changed`: the record, the plan or what was decided had changed; she has to look again, and it does not stand.
WHY = {
    "pending": "It is not in the hospital's record yet: the writing was cut off. Send it again.",
    "no-scope": "It is kept here only: your sign-in does not allow this app to write to the hospital's record.",
    "no-plan": "It is kept here only: there is no CarePlan in the hospital's record to write it to.",
    "refused": "It is kept here only: the hospital's record did not take it.",
    "signed-out": "It is kept here only: your sign-in had ended. Open Figaro from the patient's chart again, and send it again.",
    "unavailable": "It is kept here, and whether it is in the hospital's record is not known: nothing answered. Send it again.",
    "changed": "It does not stand: the record or the plan had changed before it could be written. Look again, then decide.",
}
AGAIN = ("pending", "unavailable", "refused", "signed-out")  # what may be sent again as it is


def decisions_of(store: Store, base: str, patient: str) -> Sequence[ClinicianDecision]:
    """All that was decided for a patient, the earliest first; what does not stand has the `why` "changed"."""
    with store.transaction() as session:
        return session.exec(_of(base, patient)).all()


def seen(decisions: Sequence[ClinicianDecision]) -> str:
    """What a page that shows these decisions sends back in its form: up to which of them it was read."""
    return str(max((one.number or 0 for one in decisions), default=0))


def decision(store: Store, act_id: str) -> ClinicianDecision | None:
    """One act."""
    with store.transaction() as session:
        return session.exec(select(ClinicianDecision).where(ClinicianDecision.id == act_id)).first()


def add(store: Store, act: ClinicianDecision, shown: Answer, seen_up_to: str) -> bool:
    """Adds an act to what was decided; False where the page it comes from is stale, and nothing is added.

    Stale is a page that shows another than the patient's latest answer, or not the latest decision, or while a newer case is under way.
    """
    with store.transaction() as session:
        decided = session.exec(_of(act.base, act.patient)).all()
        if any(one.id == act.id for one in decided):
            return True  # a form that is sent twice at once is one act
        if not _fresh(session, shown) or seen(decided) != seen_up_to:
            return False
        values = act.model_dump(exclude={"number"}) | {"careplan_version": _version(session, shown)}
        session.exec(store.insert(ClinicianDecision, [values]).on_conflict_do_nothing(index_elements=["id"]))
        return True


def still_current(store: Store, act: ClinicianDecision) -> bool:
    """Whether what it was decided on is still the latest that there is, and nobody has decided anything since."""
    with store.transaction() as session:
        shown = session.get(Answer, act.answer)
        later = _of(act.base, act.patient).where(col(ClinicianDecision.number) > act.number).limit(1)
        return shown is not None and _fresh(session, shown) and session.exec(later).first() is None


def written(store: Store, act_id: str, version: str | None, by: str | None) -> ClinicianDecision:
    """The act stands in the CarePlan of this version; `by` is the clinician's name, where the server told it."""
    return _mark(store, act_id, state="written", why=None, written_version=version, display=by)


def kept(store: Store, act_id: str, why: str) -> ClinicianDecision:
    """The act is not written, and why; unless the same act, sent twice at once, has been written meanwhile."""
    return _mark(store, act_id, col(ClinicianDecision.state) != "written", why=why)


def _mark(store: Store, act_id: str, *only: ColumnElement[bool], **values: str | None) -> ClinicianDecision:
    with store.transaction() as session:
        session.exec(update(ClinicianDecision).where(col(ClinicianDecision.id) == act_id, *only).values(**values))
        return session.exec(select(ClinicianDecision).where(ClinicianDecision.id == act_id)).one()


def _of(base: str, patient: str) -> SelectOfScalar[ClinicianDecision]:
    asked = select(ClinicianDecision).where(ClinicianDecision.base == base, ClinicianDecision.patient == patient)
    return asked.order_by(col(ClinicianDecision.number))


def _fresh(session: Session, shown: Answer) -> bool:
    # What another grant has read is another view of the record, and no later one. What we have read ourselves is, where hers is whole.
    right = or_(col(Answer.reader) == shown.reader, col(Answer.reader).is_(None) if shown.whole else false())
    about = select(Answer).where(Answer.base == shown.base, Answer.patient == shown.patient, right)
    latest = session.exec(about.order_by(col(Answer.id).desc()).limit(1)).one()
    # A later answer that differs by nothing but our own writing to its CarePlan says what the page says.
    same = latest.id == shown.id or (_says(latest) == _says(shown) and latest.careplan_version == _version(session, shown))
    mine = select(Case).where(Case.base == shown.base, Case.patient == shown.patient, col(Case.as_of).is_(None))
    mine = mine.where(col(Case.state).not_in(DONE), Case.id > latest.case)
    return same and session.exec(mine.limit(1)).first() is None


def _says(answer: Answer) -> tuple[str | None, ...]:
    return answer.digest, answer.staging_knowledge, answer.recommend_knowledge, answer.careplan, answer.decision


def _version(session: Session, shown: Answer) -> str | None:
    """The version of the CarePlan that the page knows: the one published, or the last that a decision made of it since."""
    asked = select(ClinicianDecision).where(
        ClinicianDecision.base == shown.base,
        ClinicianDecision.careplan == shown.careplan,
        ClinicianDecision.state == "written",
        ClinicianDecision.at > shown.answered,
    )
    last = session.exec(asked.order_by(col(ClinicianDecision.number).desc()).limit(1)).first()
    return last.written_version if last is not None else shown.careplan_version
