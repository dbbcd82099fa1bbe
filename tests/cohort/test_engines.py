"""Whoever does the work, the same bytes come out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples import population_export
from services.cohort.engines import engine
from services.cohort.result import ROWS, TABLE
from services.cohort.run import run
from shared.fhir.outcome import Refused, Unavailable
from tests.cohort.export import done, planned
from tests.cohort.test_bad_input import FULL
from tests.docs.markdown import ROOT


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines") / "export"
    population_export.write(600, 3, folder, packed=False, per_file=400)
    population_export.write(200, 3, folder / "more", packed=True)
    for file in (folder / "more").iterdir():
        file.rename(folder / f"packed.{file.name}")
    return folder


@pytest.fixture(scope="module")
def alone(export: Path) -> dict[str, bytes]:
    plan = planned(export, to=export.with_name("alone"), piece=300_000)
    manifest, rows = done(plan)
    assert len(plan.pieces()) > 20
    assert len(rows) > 20
    assert manifest.counts.copies > 20  # the packed patients stand in both
    return {name: (plan.folder / name).read_bytes() for name in (ROWS, TABLE)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pool", "dask"])
def test_each_engine_gives_the_bytes_of_one_process(export: Path, alone: dict[str, bytes], name: str) -> None:
    plan = planned(export, to=export.with_name(name), piece=300_000)
    with engine(name, workers=2) as working:
        run(plan, working)
    assert {file: (plan.folder / file).read_bytes() for file in alone} == alone


@pytest.mark.slow
def test_a_dask_scheduler_by_its_address_gives_the_same_bytes(export: Path, alone: dict[str, bytes]) -> None:
    from distributed import LocalCluster

    plan = planned(export, to=export.with_name("scheduler"), piece=300_000)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster,
        engine("dask", scheduler=cluster.scheduler_address) as working,
    ):
        run(plan, working)
    assert {file: (plan.folder / file).read_bytes() for file in alone} == alone


@pytest.mark.slow
def test_what_one_engine_began_another_goes_on_with(export: Path, alone: dict[str, bytes]) -> None:
    plan = planned(export, to=export.with_name("both"), piece=300_000)

    def cut(step: str, count: int, total: int) -> None:
        if step == "stage" or count == total // 2 > 0:
            raise KeyboardInterrupt

    with engine("pool", workers=2) as working, pytest.raises(KeyboardInterrupt):
        run(plan, working, cut)
    with engine("process") as working:
        run(plan, working)
    assert {file: (plan.folder / file).read_bytes() for file in alone} == alone


@pytest.mark.slow
def test_the_disk_of_a_worker_that_fills_is_one_sentence(export: Path, tmp_path: Path) -> None:
    script = tmp_path / "full.py"
    script.write_text(FULL)
    (tmp_path / "export").symlink_to(export)
    command = [sys.executable, str(script), str(tmp_path / "export"), "10000", "pool"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert "No room is left on the disk" in told.stdout, told.stderr


def test_an_engine_that_there_is_not_and_a_scheduler_without_dask_are_refused() -> None:
    with pytest.raises(Refused, match="process, pool or dask"), engine("spark"):
        pass
    with pytest.raises(Refused, match="--engine dask"), engine("pool", scheduler="tcp://127.0.0.1:1"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "no address"])
def test_a_scheduler_that_does_not_answer_is_named(address: str) -> None:
    with pytest.raises(Unavailable, match=address), engine("dask", scheduler=address):
        pass
