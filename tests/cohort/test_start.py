"""What `figaro cohort` loads before it works: not the libraries of the report, and not those that nothing of the export needs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from examples import population_export
from services.cohort_study import book, edition
from services.recommend.library import library
from tests.docs.markdown import ROOT

NOT_NEEDED = """
    aiohttp altair dask distributed fhir jinja2 lifelines pandas pint pyarrow.dataset scipy services.recommend.library structlog ucumvert
    vl_convert weasyprint
"""
LOADED = """
import json, sys
from services.cli import main
try:
    main()
finally:
    json.dump(sorted(sys.modules), open(sys.argv[2] + ".loaded", "w"))
"""


@pytest.mark.server
def test_without_a_report_no_library_of_the_report_is_loaded(tmp_path: Path) -> None:
    """Patients with drugs, doses and blood counts in several units are among them."""
    population_export.write(200, 1, tmp_path / "export")
    command = [sys.executable, "-c", LOADED, "cohort", str(tmp_path / "export"), "--engine", "process"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(json.loads((tmp_path / "export.loaded").read_text()))
    assert {"duckdb", "pyarrow", "services.cohort_study"} <= loaded
    assert sorted(loaded & set(NOT_NEEDED.split())) == []
    rows = [json.loads(line) for line in (tmp_path / "export-cohort/cohort.ndjson").read_bytes().splitlines()]
    assert any(row["leucocytes_10_9_l"] for row in rows)


def test_the_study_reads_by_the_book_of_recommend_and_names_its_edition() -> None:
    assert book() == library().book
    assert edition().endswith(f"+{library().knowledge.digest}")
