"""The database that the steps of a run share: each finds it empty, within its bounds, and leaves no file."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from services.cohort.patients import database

MUCH = "CREATE TEMP TABLE found AS SELECT md5(n::VARCHAR) AS one, md5((-n)::VARCHAR) AS other FROM range(250_000) AS r(n)"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "spill").mkdir()
    return tmp_path


def test_each_use_finds_no_table_of_another_and_leaves_no_file(work: Path) -> None:
    for _ in range(2):
        with database(work) as db:
            db.execute("CREATE TEMP TABLE found AS SELECT 1 AS n")
            assert db.execute("SELECT count(*) FROM duckdb_tables()").fetchall() == [(1,)]
    assert list((work / "spill").iterdir()) == []


def test_after_one_that_went_to_the_disk_or_failed_the_next_goes_to_a_folder_of_its_own(work: Path) -> None:
    for _ in range(2):
        with database(work) as db:
            assert db.execute("SELECT current_setting('memory_limit')").fetchall() == [("244.1 MiB",)]
            db.execute("SET memory_limit = '16MB'")
            db.execute(MUCH)
            (folder,) = (work / "spill").iterdir()
            assert list(folder.iterdir()) != []
            assert db.execute("SELECT count(DISTINCT one) FROM found").fetchall() == [(250_000,)]
        assert list((work / "spill").iterdir()) == []
    with pytest.raises(duckdb.BinderException), database(work) as db:
        db.execute("SELECT nothing")
    with database(work) as db:
        assert db.execute("SELECT 1").fetchall() == [(1,)]
