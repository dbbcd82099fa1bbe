"""`figaro cohort` as one types it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from examples import population_export
from services.cohort.engines import MISSING
from services.cohort.result import staged_patients
from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from tests import synthetic
from tests.cohort.export import done, planned, resources, write
from tests.docs.markdown import ROOT, blocks
from tests.journeys.figaro import Process

PAGE = ROOT / "docs/stage-an-export.md"
FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]
WITHOUT = [sys.executable, "-c", "import sys; sys.modules['duckdb'] = None\nfrom services.cli import main; main()"]
OURS = ("ivb-cps-10", "equivocal-lung-nodules", "carcinoma-in-situ")

pytestmark = pytest.mark.server


def figaro(*words: object, command: list[str] = FIGARO, **settings: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_")}
    environment |= {f"FIGARO_{name.upper()}": str(value) for name, value in settings.items()}
    done = subprocess.run([*command, *map(str, words)], capture_output=True, text=True, env=environment, check=False, cwd=ROOT, timeout=120)
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path / "export", resources(map(synthetic.bundle, OURS)))


def test_the_summary_goes_to_standard_output_and_the_rest_to_standard_error(export: Path) -> None:
    with (export / "Observation.ndjson").open("ab") as file:
        file.write(b"no JSON\n")
    done = figaro("cohort", export)
    assert done.returncode == 0, done.stderr
    assert re.search(r"patients staged +2 ", done.stdout)
    assert re.search(r"IVB +1 ", done.stdout)
    assert "carcinoma in situ: FIGO has no stage 0" in done.stdout
    assert "is no FHIR resource in JSON; it is not used." in done.stderr
    assert (tuple(sorted(path.name for path in (export.parent / "export-cohort").iterdir()))) == (
        "cohort.ndjson",
        "cohort.parquet",
        "manifest.json",
    )
    assert (export.parent / "export-cohort").stat().st_mode & 0o077 == 0


def test_lines_are_the_rows_on_standard_output(export: Path, tmp_path: Path) -> None:
    done = figaro("cohort", export, "--lines", "--to", tmp_path / "result")
    assert [json.loads(line)["figo_2018"]["stage"] for line in done.stdout.splitlines()].count("IVB") == 1
    assert done.stdout.encode() == (tmp_path / "result/cohort.ndjson").read_bytes()
    assert "patients staged" in done.stderr


def test_bad_input_is_one_sentence_and_the_exit_is_2(export: Path, tmp_path: Path) -> None:
    for words, told in (
        ((tmp_path / "nowhere",), "cannot be opened as a folder"),
        ((export, "--engine", "spark"), "There is no engine spark: give process, pool or dask."),
        ((export, "--engine", "pool", "--scheduler", "tcp://127.0.0.1:1"), "give --engine dask"),
        ((export, "--as-of", "soon"), "--as-of takes a day"),
        ((export, "--open-cases", "--stage", "V"), "--stage takes a stage of FIGO 2018"),
        ((export, "--stage", "IVB"), "give both"),
        ((export, "--to", export / "Condition.ndjson"), "cannot be read or written"),
    ):
        done = figaro("cohort", *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert told in " ".join(done.stderr.split())
    done = figaro("cohort", tmp_path / "nowhere", "--json-errors")
    assert json.loads(done.stderr)["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(("stages", "count"), [((), 2), (("IVB",), 1), (("IV",), 1), (("I",), 0), (("II", "IVA"), 0), (("III", "IVB"), 2)])
def test_cases_are_opened_for_chosen_stages_and_those_below_them(export: Path, stages: tuple[str, ...], count: int) -> None:
    plan = planned(export)
    done(plan)
    assert len(list(staged_patients(plan.folder, stages))) == count


def test_where_small_numbers_are_hidden_the_progress_bar_tells_none(export: Path) -> None:
    assert re.search(r"\d/\d", figaro("cohort", export).stderr)
    hidden = figaro("cohort", export, "--hide-below", 5, "--to", export.with_name("hidden"))
    assert "write the rows" in hidden.stderr
    assert not re.search(r"\d/\d", hidden.stderr)


def test_a_threshold_that_hides_nothing_is_refused_before_anything_is_read(export: Path) -> None:
    said = figaro("cohort", export, "--hide-below", 2, "--report", export.with_name("report"))
    assert (said.returncode, said.stderr) == (2, "figaro: --hide-below takes 3 or more: below that a hidden number is 1.\n")
    assert not export.with_name(f"{export.name}-cohort").exists()


def test_without_the_extra_libraries_it_says_what_to_install(export: Path) -> None:
    done = figaro("cohort", export, command=WITHOUT)
    assert (done.returncode, done.stderr) == (2, f"figaro: {MISSING}\n")
    assert figaro("--help", command=WITHOUT).returncode == 0


@pytest.mark.slow
async def test_the_page_followed_word_for_word_leads_from_an_export_to_cases(tmp_path: Path) -> None:
    """Every command of docs/stage-an-export.md, in its order; only folders are this machine's. Its patients stand on a server too."""
    lines = [line.split("#")[0] for block in blocks(PAGE, "") for line in block.splitlines()]
    commands = [shlex.split(line)[1:] for line in lines if line.startswith((".venv/bin/figaro cohort", ".venv/bin/python -m examples"))]
    assert len(commands) >= 5
    with embedded_fhir_server() as base, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        settings = {"fhir_base": base, "data_directory": tmp_path / "var", "debounce_seconds": 0}
        service = Process(None, port, tmp_path / "log", **settings, drain_seconds=1)
        await service.start()
        try:
            for words in commands:
                here = [str(tmp_path / word) if word.startswith(("export", "result")) else word for word in words]
                if "examples.population" in here:
                    await asyncio.to_thread(subprocess.run, [sys.executable, *here], check=True, cwd=ROOT)
                    async with FhirClient(base) as client:
                        for bundle in map(_transaction, population_export.export(300, 1)):
                            if b"-primary" in bundle:
                                await client.transaction(bundle)
                    continue
                done = await asyncio.to_thread(figaro, *here, **settings)
                assert done.returncode == 0, (words, done.stderr)
                if "--open-cases" in here:
                    count = re.search(r"patients staged +(\d+)", done.stdout)
                    assert count is not None
                    assert f"answered: {count[1]}" in done.stderr
        finally:
            service.stop()


def _transaction(given: list[tuple[str, bytes]]) -> bytes:
    entries = [json.loads(line) for _, line in given]
    put = [{"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}} for each in entries]
    return json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": put}).encode()
