"""What ingest remembers: cases, answers, what is in hand between the two, and the patients marked as due.

Nothing else in Figaro keeps anything. Every method is one transaction and blocks: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlmodel import Session, case, col, delete, func, or_, select, update

from services.ingest import sources
from services.ingest.instants import now, time_sortable_id
from services.ingest.launched import User
from services.ingest.store import Store
from services.ingest.tables import (
    DONE,
    STATES,
    Answer,
    Case,
    ClinicianDecision,
    Due,
    HookCard,
    HookFeedback,
    InHand,
    LaunchSession,
    Source,
    State,
    compressed,
)
from shared.fhir.outcome import NotFound, Refused


class Ledger(Store):
    """The tables and the few questions asked of them. Every method raises Unavailable while the database does not answer."""

    def open(self, base: str, patient: str, *, as_of: str | None = None, launch: str | None = None) -> Case:
        """A new case; `launch` is the session whose user reads her."""
        with self.transaction() as session:
            case = _new_case(base, patient, as_of, launch)
            session.add(case)
            return case

    def case(self, case_id: str) -> Case:
        """One case. Raises NotFound."""
        with self.transaction() as session:
            return _found(session, case_id)

    def cases(self, *, state: str | None = None, limit: int = 100, before: str | None = None) -> Sequence[Case]:
        """Cases, the newest first; `before` is the id to go on from."""
        asked = select(Case).order_by(col(Case.id).desc()).limit(limit)
        if state is not None:
            asked = asked.where(Case.state == state)
        if before is not None:
            asked = asked.where(Case.id < before)
        with self.transaction() as session:
            return session.exec(asked).all()

    def counts(self) -> dict[str, int]:
        """How many cases stand in each state."""
        with self.transaction() as session:
            found = dict(session.exec(select(Case.state, func.count()).group_by(Case.state)).all())
        return {state: found.get(state, 0) for state in STATES}

    def counts_by_base(self) -> dict[tuple[str, str], int]:
        """How many cases of each FHIR server stand in each state."""
        with self.transaction() as session:
            asked = select(Case.base, Case.state, func.count()).group_by(Case.base, Case.state)
            return {(base, state): count for base, state, count in session.exec(asked)}

    def in_hand(self, case_id: str) -> InHand | None:
        """What an unanswered case has so far."""
        with self.transaction() as session:
            return session.get(InHand, case_id)

    def answer(self, answer_id: int) -> Answer | None:
        """An answer; None when it has been forgotten."""
        with self.transaction() as session:
            return session.get(Answer, answer_id)

    def user(self, launch: str) -> User | None:
        """Whose launch that is; None where nobody told, or its session has ended."""
        with self.transaction() as session:
            row = session.get(LaunchSession, launch)
            return User(row.user_issuer, row.user_subject, row.fhir_user) if row and row.user_issuer and row.user_subject else None

    def pulled(self, in_hand: InHand) -> None:
        """The record is here."""
        with self.transaction() as session:
            session.merge(in_hand)
            case = _move(session, in_hand.case, "pulled")
            lost = sources.read(self, session, case, in_hand.record)
            if lost:  # what moved while her record was being read, and its notification found nobody
                mark(self, session, [{"base": case.base, "patient": who, "marked": now(), "marks": 1} for who in sorted(lost)])

    def staged(self, case_id: str, staging: bytes) -> None:
        """The stage is here."""
        with self.transaction() as session:
            session.exec(update(InHand).where(col(InHand.case) == case_id).values(staging=compressed(staging)))
            _move(session, case_id, "staged")

    def recommended(self, case_id: str, recommendation: bytes) -> None:
        """The candidates are here; they count once they are published."""
        with self.transaction() as session:
            session.exec(update(InHand).where(col(InHand.case) == case_id).values(recommendation=compressed(recommendation)))

    def answered(self, answer: Answer) -> None:
        """The case is done. An answer that says what the patient's last one by the same right said is not kept twice."""
        with self.transaction() as session:
            case = _found(session, answer.case)
            if case.state == "answered":
                return
            asked = select(Answer).where(Answer.base == answer.base, Answer.patient == answer.patient, Answer.reader == answer.reader)
            last = session.exec(asked.order_by(col(Answer.id).desc()).limit(1)).first()
            if last is None or not last.says_the_same(answer):
                session.add(last := answer)
                session.flush()
            case.answer = last.id
            session.exec(delete(InHand).where(col(InHand.case) == case.id))
            sources.rests_on(self, session, case, answer.record)
            _move(session, case.id, "answered")

    def stuck(self, case_id: str, outcome: bytes, *, retry_at: str | None = None) -> None:
        """The case cannot go on, and why."""
        with self.transaction() as session:
            case = _move(session, case_id, "stuck")
            case.outcome, case.retry_at = outcome.decode(), retry_at

    def lost(self, run: str, outcome: bytes, *, retry_at: str | None = None) -> None:
        """That attempt will not come to an end: its case is stuck, unless it has gone on otherwise."""
        with self.transaction() as session:
            case = session.get(Case, run.rpartition(".")[0])
            if case is not None and case.run == run and case.state not in DONE:
                _move(session, case.id, "stuck")
                case.outcome, case.retry_at = outcome.decode(), retry_at

    def reopen(self, case_id: str) -> Case:
        """A stuck case starts again from the record. Raises NotFound, and Refused where it is not stuck."""
        with self.transaction() as session:
            case = _found(session, case_id, lock=True)
            if case.state != "stuck":
                raise Refused(f"The case is {case.state}; only a stuck case can be tried again.", status=409, code="conflict")
            return _reopen(session, case)

    def queued(self, case_id: str) -> None:
        """The case is in the hands of the queue."""
        with self.transaction() as session:
            _found(session, case_id).queued = True

    def unqueued(self) -> Sequence[Case]:
        """Cases that were opened and not yet given to the queue."""
        with self.transaction() as session:
            return session.exec(select(Case).where(Case.state == "opened", col(Case.queued).is_(False)).order_by(Case.id)).all()

    def mark_due(self, base: str, patients: Iterable[str]) -> None:
        """These patients are due. One who is due already keeps the first mark, so that many notices make one case."""
        rows = [{"base": base, "patient": patient, "marked": now(), "marks": 1} for patient in patients]
        if rows:
            with self.transaction() as session:
                mark(self, session, rows)

    def due(self, marked_before: str, *, limit: int = 500) -> Sequence[Due]:
        """Who has been due since then: first who has a draft of ours or a case that is not answered, then those who wait longest. Not yet
        who has a case that is still to read her record."""
        hers = select(Case.id).where(Case.base == Due.base, Case.patient == Due.patient)
        unread = hers.where(Case.state == "opened", col(Case.as_of).is_(None)).exists()
        drafted = select(Answer.id).where(Answer.base == Due.base, Answer.patient == Due.patient, proposed()).exists()
        known = or_(drafted, hers.where(Case.state != "answered").exists())
        asked = select(Due).where(Due.marked <= marked_before, ~unread).order_by(case((known, 0), else_=1), Due.marked)
        with self.transaction() as session:
            return session.exec(asked.limit(limit)).all()

    def open_due(self, due: Iterable[Due]) -> int:
        """One case for each who is still due; how many."""
        with self.transaction() as session:
            still = [one for one in due if session.exec(_unmark(one)).rowcount]
            session.add_all([_new_case(one.base, one.patient, None) for one in still])
            return len(still)

    def dismiss_due(self, due: Due) -> None:
        """No case for her, unless she was marked again since `due` was read."""
        with self.transaction() as session:
            session.exec(_unmark(due).where(col(Due.marks) == due.marks))

    def reopen_waiting(self, *, limit: int = 500) -> int:
        """The stuck cases whose time has come start again; how many."""
        with self.transaction() as session:
            waiting = select(Case).where(Case.state == "stuck", col(Case.retry_at) <= now()).limit(limit)
            again = session.exec(waiting.with_for_update(skip_locked=True)).all()
            for case in again:
                _reopen(session, case)
            return len(again)

    def known(self, base: str, patients: Iterable[str]) -> set[str]:
        """Those among the patients to whom we have proposed something, or with a case that is not answered yet."""
        asked = list(patients)
        with self.transaction() as session:
            planned = select(Answer.patient).where(Answer.base == base, col(Answer.patient).in_(asked), proposed())
            open_ = select(Case.patient).where(Case.base == base, col(Case.patient).in_(asked), Case.state != "answered")
            return {*session.exec(planned), *session.exec(open_)}

    def forget(self, days: int) -> None:
        """Deletes what was answered, decided, or got stuck, longer ago than that."""
        before = now(-timedelta(days=days))
        old = select(Case.id).where(col(Case.state).in_(DONE), Case.updated < before)
        with self.transaction() as session:
            session.exec(delete(InHand).where(col(InHand.case).in_(old)))
            session.exec(delete(Case).where(col(Case.id).in_(old)))
            still = select(Case.answer).where(col(Case.answer).is_not(None))
            session.exec(delete(Answer).where(col(Answer.answered) < before, col(Answer.id).not_in(still)))
            kept = select(Answer.id).where(Answer.base == Source.base, Answer.patient == Source.patient).exists()
            open_ = select(Case.id).where(Case.base == Source.base, Case.patient == Source.patient).exists()
            session.exec(delete(Source).where(~kept, ~open_))
            session.exec(delete(ClinicianDecision).where(col(ClinicianDecision.at) < before))
            session.exec(delete(HookCard).where(col(HookCard.issued) < before))
            session.exec(delete(HookFeedback).where(col(HookFeedback.received) < before))


def proposed() -> Any:
    """Of an answer: whether it proposes something, on the FHIR server or, where nothing may be written there, on our own page."""
    return or_(col(Answer.careplan).is_not(None), col(Answer.decision).is_not(None))


def _new_case(base: str, patient: str, as_of: str | None, launch: str | None = None) -> Case:
    at = now()
    return Case(id=time_sortable_id(), base=base, patient=patient, as_of=as_of, opened=at, updated=at, launch=launch)


def mark(store: Store, session: Session, rows: list[dict[str, Any]]) -> None:
    """Marks patients as due within a transaction; `marks` counts how often since the last case."""
    counted = {"marks": Due.marks + 1}
    session.exec(store.insert(Due, rows).on_conflict_do_update(index_elements=["base", "patient"], set_=counted))


def _unmark(due: Due) -> Any:
    return delete(Due).where(col(Due.base) == due.base, col(Due.patient) == due.patient, col(Due.marked) == due.marked)


def _found(session: Session, case_id: str, *, lock: bool = False) -> Case:
    case = session.get(Case, case_id, with_for_update=lock)
    if case is None:
        raise NotFound("There is no case of this id.")
    return case


def _move(session: Session, case_id: str, state: State) -> Case:
    case = _found(session, case_id)
    case.state, case.updated, case.outcome, case.retry_at = state, now(), None, None
    session.add(case)
    return case


def _reopen(session: Session, case: Case) -> Case:
    _move(session, case.id, "opened")
    case.attempts += 1
    case.queued = False
    return case
