"""The database that ingest remembers in, and what a transaction on it is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from threading import RLock
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel

from services.ingest.migrations import engine_for, migrate
from shared.fhir.outcome import Unavailable


class Store:
    """One database, sqlite:///… or postgresql://…, its schema up to date. Raises Unavailable while it does not answer."""

    def __init__(self, url: str) -> None:
        self._engine = engine_for(url)
        # Writers that meet in SQLite sleep, up to a tenth of a second at a time, and whoever comes later may go first.
        self._turn = RLock() if self._engine.dialect.name == "sqlite" else nullcontext()
        try:
            migrate(self._engine)
        except sa.exc.OperationalError as error:
            raise _away() from error

    def close(self) -> None:
        """Lets go of every connection."""
        self._engine.dispose()

    def scrub(self) -> None:
        """Has what was deleted leave the files too: SQLite has overwritten it, and its log is emptied. PostgreSQL does so by its vacuum."""
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def transaction(self) -> Transaction:
        """To be used with `with`: committed at its end, rolled back by an error."""
        return Transaction(self._engine, self._turn)

    def insert(self, table: type[SQLModel], rows: list[dict[str, Any]]) -> Any:
        """An INSERT that may say what happens ON CONFLICT, as both databases have it."""
        kind = postgresql.insert if self._engine.dialect.name == "postgresql" else sqlite.insert
        return kind(table).values(rows)


class Transaction(Session):
    """A session that is one transaction. It waits for its `turn`."""

    def __init__(self, engine: sa.Engine, turn: AbstractContextManager[Any]) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._turn = turn

    def __enter__(self) -> Self:
        self._turn.__enter__()
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
        except sa.exc.OperationalError as late:
            raise _away() from late
        finally:
            try:
                super().__exit__(kind, error, trace)
            finally:
                self._turn.__exit__(None, None, None)
        if isinstance(error, sa.exc.OperationalError):
            raise _away() from error


def _away() -> Unavailable:
    return Unavailable("The ledger's database does not answer: is it running, and is FIGARO_DATABASE_URL right?", retry_after=5)
