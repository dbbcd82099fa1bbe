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
    """A patient of whom something may have changed. `marked` is the first time since the last case was opened."""

    base: str = Field(primary_key=True)
    patient: str = Field(primary_key=True)
    marked: str


def compressed(data: bytes) -> bytes:
    """Bytes for a column of InHand or Answer."""
    return zlib.compress(data, 6)


def expanded(data: bytes) -> bytes:
    """The bytes in a column of InHand or Answer."""
    return zlib.decompress(data)
