"""`figaro cohort --report` as one types it, on the synthetic cohort that stands in for the study."""

from __future__ import annotations

import shlex
from pathlib import Path

import duckdb
import pytest

from examples.study_cohort import export
from services.cohort.engines import engine
from services.cohort.result import TABLE
from services.cohort_study import STUDY
from tests.cohort.export import done, planned, write
from tests.cohort.study_rows import Patient
from tests.cohort.test_command import figaro
from tests.docs.markdown import ROOT, blocks

PAGE = ROOT / "docs/read-the-cohort-report.md"


@pytest.mark.server
def test_the_commands_of_the_page_give_the_figures_of_the_page(tmp_path: Path) -> None:
    """Its flow and its survival table stand in the terminal, line by line."""
    study, result, report = tmp_path / "study", tmp_path / "result", tmp_path / "report"
    typed = blocks(PAGE)[0].splitlines()
    assert [shlex.split(line)[0] for line in typed] == [".venv/bin/python", ".venv/bin/figaro"]
    export(study, others=True)
    words = [{"var/study": study, "var/study-result": result, "var/study-report": report}.get(w, w) for w in shlex.split(typed[1])[1:]]
    said = figaro(*words)
    assert said.returncode == 0, said.stderr
    shown = [line.split() for line in said.stdout.splitlines()]
    for block in [text for text in blocks(PAGE) if text.lstrip().startswith(("who is counted", "overall survival"))]:
        assert [line for line in block.splitlines() if line.strip() and line.split() not in shown and "──" not in line] == []
    assert {path.name for path in report.iterdir()} >= {"report.html", "report.pdf", "overall-survival.svg"}
    assert "no effect of the treatment" in said.stderr
    with duckdb.connect() as db:
        counted = 'SELECT "group", count(*), count(*) FILTER (died) FROM read_parquet($1) WHERE counted GROUP BY 1 ORDER BY 1'
        assert db.execute(counted, [str(result / TABLE)]).fetchall() == [("A", 36, 25), ("B", 12, 11)]


@pytest.mark.server
def test_a_cohort_without_anyone_to_count_says_so_and_keeps_its_rows(tmp_path: Path) -> None:
    write(tmp_path / "export", Patient().chart.resources)
    said = figaro("cohort", tmp_path / "export", "--report", tmp_path / "report")
    assert said.returncode != 0
    assert "Nobody in this cohort meets the study's criteria" in said.stderr
    assert (tmp_path / "export-cohort" / TABLE).exists()
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_the_study_s_columns_are_the_same_bytes_from_one_process_and_from_the_pool(tmp_path: Path) -> None:
    given = export(tmp_path / "study")
    files = []
    for name in ("process", "pool"):
        with engine(name, workers=2) as working:
            manifest, _ = done(planned(given, to=tmp_path / name, study=STUDY, piece=100_000), working)
        files.append(manifest.files)
    assert files[0] == files[1]
