"""The ledger's tables. Instants are ISO 8601 text in UTC, so that they sort and mean the same in SQLite and PostgreSQL."""

from __future__ import annotations

import zlib
from typing import Literal, get_args

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

State = Literal["opened", "pulled", "staged", "answered", "stuck"]
STATES: tuple[str, ...] = get_args(State)
DONE = ("answered", "stuck")


class Case(SQLModel, table=True):
    """One patient to be answered once. `outcome` is the OperationOutcome of a stuck case, `retry_at` when it is tried again by itself.

    `launch` is the session whose user reads her; without it Figaro does, by its own right.
    """

    id: str = Field(primary_key=True)
    base: str
    patient: str
    as_of: str | None = None
    state: str = "opened"
    opened: str
    updated: str
    attempts: int = 1
    queued: bool = False
    retry_at: str | None = None
    outcome: str | None = None
    answer: int | None = None
    launch: str | None = None

    @property
    def run(self) -> str:
        """The id of the workflow that carries this attempt."""
        return f"{self.id}.{self.attempts}"


class InHand(SQLModel, table=True):
    """What a case has so far; deleted when it is answered. `raw` to `recommendation` are compressed JSON, the others as in Answer."""

    __tablename__ = "in_hand"

    case: str = Field(primary_key=True)
    digest: str
    raw: bytes
    record: bytes
    staging: bytes | None = None
    recommendation: bytes | None = None
    reader: str | None = None
    whole: bool = True


class Answer(SQLModel, table=True):
    """An answer that was published, with all that it was made of. Rows are added, and forgotten in the end; never changed.

    `mode` says how it was written: transaction, ordered, document, or page, where nothing was written and this is where it stands.
    `reader` is by whose right the record was read: None by our own, else the `reader_key` of a user and her grant. `whole`: that right
    reached all that our own would have read; without it nothing is written. `careplan_status` is that of the CarePlan when it was answered,
    `left_open` the references of earlier plans that a person's touch left open, with a blank between them.
    """

    id: int | None = Field(default=None, primary_key=True)
    case: str
    base: str
    patient: str
    answered: str
    digest: str
    staging_knowledge: str
    recommend_knowledge: str
    careplan: str | None = None
    careplan_version: str | None = None
    decision: str | None = None
    mode: str | None = None
    raw: bytes
    record: bytes
    staging: bytes
    recommendation: bytes
    reader: str | None = None
    whole: bool = True
    careplan_status: str | None = None
    left_open: str | None = None

    def says_the_same(self, other: Answer) -> bool:
        """Whether both give one answer, from one record, by one right and knowledge, in one CarePlan."""
        told = ("careplan", "careplan_version", "decision", "mode", "reader", "whole", "left_open")
        fields = ("digest", "staging_knowledge", "recommend_knowledge", *told)
        return all(getattr(self, field) == getattr(other, field) for field in fields)


class Due(SQLModel, table=True):
    """A patient of whom something may have changed. `marked` is the first time since the last case was opened, `marks` how often since."""

    base: str = Field(primary_key=True)
    patient: str = Field(primary_key=True)
    marked: str
    marks: int = 1


class Notice(SQLModel, table=True):
    """A resource that changed ("Condition/c1", or "Patient?identifier=…") and whose patient has to be looked up."""

    base: str = Field(primary_key=True)
    reference: str = Field(primary_key=True)
    marked: str


class Seen(SQLModel, table=True):
    """A version of a resource that has marked its patient, by a hash that tells nothing; kept for days, against repetitions."""

    base: str = Field(primary_key=True)
    version: str = Field(primary_key=True)
    at: str


class Source(SQLModel, table=True):
    """A resource ("Observation/n1") that a patient's last answer rests on, or the record of a case of hers that is under way."""

    base: str = Field(primary_key=True)
    reference: str = Field(primary_key=True)
    patient: str = Field(primary_key=True)


class Sweep(SQLModel, table=True):
    """When a server was last asked what has changed, and since when somebody wants it asked again. `begun` is when the last sweep began."""

    base: str = Field(primary_key=True)
    wanted: str | None = None
    begun: str | None = None
    swept: str | None = None
    failed: str | None = None


class Cursor(SQLModel, table=True):
    """Up to which instant of the server's clock one type of resource has been swept."""

    base: str = Field(primary_key=True)
    type: str = Field(primary_key=True)
    until: str


class Channel(SQLModel, table=True):
    """One way in which a server notifies us. `heard` is when it last did; `status` and `ends` are what the server says of the Subscription.

    `last_event` is the highest event number of a topic-based one, `missing` the first number that did not come. `restarts` counts how often
    the server was asked to try again since it last worked for a while, `restart_at` is when it may be asked once more. `heartbeat` counts
    the heartbeats that came.
    """

    base: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    heard: str | None = None
    last_event: int | None = Field(default=None, sa_type=BigInteger)
    missing: int | None = Field(default=None, sa_type=BigInteger)
    subscription: str | None = None
    status: str | None = None
    ends: str | None = None
    heartbeat: int | None = None
    restarts: int = 0
    restart_at: str | None = None


class SignIn(SQLModel, table=True):
    """A sign-in that has begun at an authorization server. `state`, `browser` and `network`, whence it was begun, are hashes.

    `sealed` is what only its callback may read.
    """

    __tablename__ = "sign_in"

    state: str = Field(primary_key=True)
    browser: str
    network: str = ""
    base: str
    sealed: bytes
    created: str
    used: str | None = None


class LaunchSession(SQLModel, table=True):
    """One launch: a user, a patient, what was granted. `sealed` are the tokens, encrypted; `turn` counts how often they were replaced.

    `browser` is the hash of its cookie, `claimed` since when one process renews the tokens, `viewed` the answer that its page last showed.
    A row goes when the session ends.
    """

    __tablename__ = "launch_session"

    id: str = Field(primary_key=True)
    browser: str
    base: str
    patient: str
    encounter: str | None = None
    user_issuer: str | None = None
    user_subject: str | None = None
    fhir_user: str | None = None
    scopes: str
    need_patient_banner: bool = True
    csrf: str
    case: str | None = None
    sealed: bytes
    turn: int = 1
    claimed: str | None = None
    created: str
    seen: str
    ends: str
    viewed: int | None = None


class ClinicianDecision(SQLModel, table=True):
    """What a clinician decided on an answer: rows are added as `kept`, and become `written` when they stand in the CarePlan.

    `id` is the act's own, made of what was sent; `why` says why it is only kept. `careplan_version` is the one she saw, `written_version`
    the one with her act in it. `reason` is her own words: forgotten with the answers.
    """

    __tablename__ = "clinician_decision"

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    base: str
    patient: str
    launch: str
    answer: int
    careplan: str | None = None
    careplan_version: str | None = None
    decision: str | None = None
    act: str
    regimen: str | None = None
    title: str | None = None
    reason: str | None = None
    fhir_user: str
    user_issuer: str | None = None
    user_subject: str | None = None
    display: str | None = None
    at: str
    state: str = "kept"
    why: str | None = None
    written_version: str | None = None


class HookToken(SQLModel, table=True):
    """A CDS client's token that was used, by a hash; kept until it could not be used again anyway."""

    __tablename__ = "hook_token"

    token: str = Field(primary_key=True)
    until: str


class HookCard(SQLModel, table=True):
    """A card that was given; nothing of whom it was about."""

    __tablename__ = "hook_card"

    id: str = Field(primary_key=True)
    client: str
    service: str
    kind: str
    issued: str


class HookFeedback(SQLModel, table=True):
    """What somebody did with a card, `at` by the client's clock. `comment` is what they typed, where the settings keep it."""

    __tablename__ = "hook_feedback"

    client: str = Field(primary_key=True)
    card: str = Field(primary_key=True)
    outcome: str = Field(primary_key=True)
    at: str = Field(primary_key=True)
    service: str
    reason: str | None = None
    comment: str | None = None
    received: str


def compressed(data: bytes) -> bytes:
    """Bytes for a column of InHand or Answer."""
    return zlib.compress(data, 6)


def expanded(data: bytes) -> bytes:
    """The bytes in a column of InHand or Answer."""
    return zlib.decompress(data)
