"""The ledger's schema, step by step, applied when the service starts."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

_LOCK = 0x46494741524F  # any number that is always the same: two processes that start together migrate one after the other


def engine_for(url: str) -> sa.Engine:
    """An engine for sqlite:///… or postgresql://…; a SQLite file and its folder are made readable to their owner only."""
    address = sa.make_url(url)
    if address.get_backend_name() == "postgresql":
        return sa.create_engine(address.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    for_us_alone(url)
    engine = sa.create_engine(address)
    sa.event.listen(engine, "connect", _tune_sqlite)
    return engine


def for_us_alone(url: str) -> None:
    """Has the file of a SQLite URL be there, for its owner only; -wal and -shm get its mode from SQLite. Nothing for other databases."""
    address = sa.make_url(url)
    if address.get_backend_name() != "sqlite" or address.database in (None, "", ":memory:"):
        return
    file = Path(str(address.database))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)
    for one in (file, *(file.with_name(f"{file.name}-{beside}") for beside in ("wal", "shm"))):
        with suppress(FileNotFoundError, PermissionError):  # PermissionError: it is not ours
            one.chmod(0o600)


def migrate(engine: sa.Engine) -> None:
    """Brings the schema up to date, from nothing or from any earlier release."""
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _tune_sqlite(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
    cursor = connection.cursor()
    # What was accepted must survive a power cut: the log is flushed at every commit.
    # What is forgotten is overwritten, and does not stay in the file's free pages.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
