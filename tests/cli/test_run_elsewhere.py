"""`figaro run` against servers that take less than all of an answer."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests import synthetic
from tests.peers.small_server import Switches, small_server

FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]


async def run(base: str, **told: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_")}
    command, environment = [*FIGARO, "run", base], environment | told
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=environment, timeout=120, check=False)


@pytest.mark.parametrize(
    ("switches", "kind", "word"),
    [
        (Switches(transactions=False, conditional=False), "CarePlan", "CarePlan"),
        (Switches(creates=("DocumentReference",)), "DocumentReference", "document"),
        (Switches(creates=()), None, "unwritten: nothing was written to this server"),
    ],
)
async def test_every_patient_is_answered_and_a_second_run_writes_nothing(switches: Switches, kind: str | None, word: str) -> None:
    async with small_server(switches) as small:
        for case in ("iva-bladder-mucosa", "ivb-cps-10"):
            small.load(synthetic.bundle(case))
        first = await run(small.base_url)
        writes = small.writes
        assert (first.returncode, "stuck" in first.stdout) == (0, False), first.stderr
        assert "IVA" in first.stdout
        assert word in first.stdout
        assert ("unwritten" in first.stdout) == (kind is None)
        assert len(small.all(kind) if kind else ()) == (2 if kind else 0)
        second = await run(small.base_url)
        assert (second.returncode, small.writes) == (0, writes)


async def test_it_runs_beside_an_installation_that_others_reach() -> None:
    """The services of this run are for nobody else, whatever lets others into those."""
    async with small_server(Switches(transactions=False)) as small:
        small.load(synthetic.bundle("iva-bladder-mucosa"))
        told = {"FIGARO_PUBLIC_URL": "https://figaro.example/ingest", "FIGARO_TRUSTED_PROXIES": '["10.0.0.1"]', "FIGARO_HOST": "0.0.0.0"}
        done = await run(small.base_url, **told)
        assert (done.returncode, len(small.all("CarePlan"))) == (0, 1), done.stderr
