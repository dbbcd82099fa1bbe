"""The ledger's tables. Instants are ISO 8601 text in UTC, so that they sort and mean the same in SQLite and PostgreSQL."""

from __future__ import annotations

import zlib
from typing import Literal, get_args

from sqlmodel import Field, SQLModel

State = Literal["opened", "pulled", "staged", "answered", "stuck"]
STATES: tuple[str, ...] = get_args(State)
DONE = ("answered", "stuck")


class Case(SQLModel, table=True):
    """One patient to be answered once. `outcome` is the OperationOutcome of a stuck case, `retry_at` when it is tried again by itself."""

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

    @property
    def run(self) -> str:
        """The id of the workflow that carries this attempt."""
        return f"{self.id}.{self.attempts}"


class InHand(SQLModel, table=True):
    """What a case has so far; deleted when it is answered. All but the digest are compressed JSON."""

    __tablename__ = "in_hand"

    case: str = Field(primary_key=True)
    digest: str
    raw: bytes
    record: bytes
    staging: bytes | None = None
    recommendation: bytes | None = None


class Answer(SQLModel, table=True):
    """An answer that was published, with all that it was made of. Rows are added, and forgotten in the end; never changed."""

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
    raw: bytes
    record: bytes
    staging: bytes
    recommendation: bytes

    def says_the_same(self, other: Answer) -> bool:
        """Whether both give one answer, from one record, by one knowledge, in one CarePlan."""
        fields = ("digest", "staging_knowledge", "recommend_knowledge", "careplan", "careplan_version", "decision")
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


class Sweep(SQLModel, table=True):
    """When a server was last asked what has changed, and since when somebody wants it asked again."""

    base: str = Field(primary_key=True)
    wanted: str | None = None
    swept: str | None = None
    failed: str | None = None


class Cursor(SQLModel, table=True):
    """Up to which instant of the server's clock one type of resource has been swept."""

    base: str = Field(primary_key=True)
    type: str = Field(primary_key=True)
    until: str


class Channel(SQLModel, table=True):
    """One way in which a server notifies us. `heard` is when it last did; `status` and `ends` are what the server says of the Subscription.

    `last_event` is the highest event number of a topic-based one, `missing` the first number that did not come.
    """

    base: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    heard: str | None = None
    last_event: int | None = None
    missing: int | None = None
    subscription: str | None = None
    status: str | None = None
    ends: str | None = None
    heartbeat: int | None = None


def compressed(data: bytes) -> bytes:
    """Bytes for a column of InHand or Answer."""
    return zlib.compress(data, 6)


def expanded(data: bytes) -> bytes:
    """The bytes in a column of InHand or Answer."""
    return zlib.decompress(data)
