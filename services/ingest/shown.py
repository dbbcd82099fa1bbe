"""What a page shows of a patient, out of the ledger: the case of its launch, the latest answer that this launch may see, what was decided.

An answer holds what one right has read, and the EHR may show another user less. So a launch sees what was read by the same user with the
same grant, what its own case found, and what Figaro has read by its own right once the EHR has shown it the patient, as far as its grant
reaches and the EHR has refused its own pull nothing of it. This is the one place that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple, Protocol

import msgspec
from sqlmodel import Session as Transaction
from sqlmodel import col, or_, select

from services.ingest.searches import OPTIONAL, searches_for
from services.ingest.store import Store
from services.ingest.tables import Answer, Case, ClinicianDecision, InHand, expanded
from shared.smart.scopes import Granted, scope

_READ: Final = ("pulled", "staged", "answered")  # states of a case whose token has read the patient


class User(Protocol):
    """Who signed in."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...


class Launch(Protocol):
    """One launch of one patient by one user, as far as it matters for what may be shown."""

    @property
    def id(self) -> str: ...
    @property
    def base(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def user(self) -> User | None: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def case(self) -> str | None: ...


class Shown(NamedTuple):
    """All of it as one transaction saw it. `case` is None where it was forgotten, `answer` where there is none that she may see yet."""

    case: Case | None
    answer: Answer | None
    decisions: Sequence[ClinicianDecision]


class _Resource(msgspec.Struct):
    resource: str = msgspec.field(name="resourceType", default="")


class _Record(msgspec.Struct):
    unread: tuple[str, ...] = ()


def reader_key(launch: str, user: User | None, scopes: Iterable[str]) -> str:
    """Names one right to read: a user with her grant; without a user that launch alone, because nobody can tell who comes again."""
    read = sorted({text for text in scopes if (one := scope(text)) is not None and one.letters & {"r", "s"}})
    who = [user.issuer, user.subject] if user is not None else [launch]
    return sha256(msgspec.json.encode([who, read])).hexdigest()


def shown(store: Store, launch: Launch) -> Shown:
    """What there is for a launch. Blocks: call it in a thread."""
    with store.transaction() as session:
        decided = select(ClinicianDecision).where(ClinicianDecision.base == launch.base, ClinicianDecision.patient == launch.patient)
        decisions = session.exec(decided.order_by(col(ClinicianDecision.number))).all()
        return Shown(_case(session, launch), _latest(session, launch), decisions)


def answer_shown(store: Store, launch: Launch, answer_id: int) -> Answer | None:
    """An answer that the page of this launch may have shown; None where it is another patient's, not for her, or forgotten. Blocks."""
    with store.transaction() as session:
        found = session.get(Answer, answer_id)
        if found is None or (found.base, found.patient) != (launch.base, launch.patient):
            return None
        return found if _hers(session, launch, found) or (found.reader is None and _ours(session, launch, found)) else None


def _latest(session: Transaction, launch: Launch) -> Answer | None:
    case, about = _case(session, launch), select(Answer).where(Answer.base == launch.base, Answer.patient == launch.patient)
    newest = about.order_by(col(Answer.id).desc()).limit(1)
    mine = or_(col(Answer.reader) == _key(launch), col(Answer.id) == (case.answer if case else None))
    hers, ours = session.exec(newest.where(mine)).first(), session.exec(newest.where(col(Answer.reader).is_(None))).first()
    seen = [one for one in (hers, ours if ours is not None and _ours(session, launch, ours) else None) if one is not None]
    return max(seen, key=lambda one: one.id or 0, default=None)


def _hers(session: Transaction, launch: Launch, answer: Answer) -> bool:
    case = _case(session, launch)
    return answer.reader == _key(launch) or (case is not None and case.answer == answer.id)


def _ours(session: Transaction, launch: Launch, answer: Answer) -> bool:
    """Whether an answer that Figaro read by its own right is for her: her token has read the patient, and reaches all that it rests on.

    What she was granted says what she may ask for; what the EHR refused her all the same is known once her own pull has ended (SM-34).
    """
    case, granted = _case(session, launch), Granted(launch.scopes)
    refused = _refused(session, case) if case is not None else None
    if refused is None or granted.reach("Patient", "r") != "all":
        return False
    hidden = refused | {one.type for one in searches_for("") if granted.reach(one.type, "s", one.params) != "all"}
    if hidden - OPTIONAL:
        return False
    there = {one.resource for one in msgspec.json.decode(expanded(answer.raw), type=list[_Resource])} if hidden else set()
    return not there & hidden


def _refused(session: Transaction, case: Case) -> frozenset[str] | None:
    """The types that the pull of her own case was refused; None where that has not ended, or nothing is left of it."""
    if case.state not in _READ:
        return None
    read = session.get(Answer, case.answer or 0) if case.state == "answered" else session.get(InHand, case.id)
    return frozenset(msgspec.json.decode(expanded(read.record), type=_Record).unread) if read is not None else None


def _case(session: Transaction, launch: Launch) -> Case | None:
    case = session.get(Case, launch.case) if launch.case else None
    return case if case is not None and (case.base, case.patient) == (launch.base, launch.patient) else None


def _key(launch: Launch) -> str:
    return reader_key(launch.id, launch.user, launch.scopes)
