"""The first patient, end to end: the demo as a newcomer runs it, and the same code against a HAPI FHIR server."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from shared.fhir.client import FhirClient
from tests import synthetic

pytestmark = pytest.mark.slow


def figaro(*arguments: str, patience: float = 300) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from services.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=patience, check=False)


def test_the_demo_shows_every_patient_and_counts_that_agree_with_table_2() -> None:
    done = figaro("demo", "--no-stay")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    found = dict(
        re.findall(r"(bone|lung\*|liver|spleen|brain|adrenal|one organ|distant nodes too|oligometastatic) +(\d+) +\d+ +agrees", done.stdout)
    )
    assert found == {
        "bone": "28",
        "lung*": "16",
        "liver": "10",
        "spleen": "3",
        "brain": "1",
        "adrenal": "1",
        "one organ": "37",
        "distant nodes too": "20",
        "oligometastatic": "21",
    }
    assert "prints 14 for lung" in done.stdout
    assert "sarcoma" in done.stdout
    assert "84 CarePlans written, 0 stuck" in done.stdout


CASES = ("iva-bladder-mucosa", "ivb-cps-10", "recurrent-lung-after-chemoradiation", "recorded-iib-derived-iiic1", "carcinoma-in-situ")


@pytest.mark.hapi
async def test_on_hapi_with_referential_integrity_every_patient_is_answered_once(hapi: str) -> None:
    names = []
    async with FhirClient(hapi) as server:
        for case in CASES:
            bundle = synthetic.renamed(case, "journey")
            await server.transaction(bundle)
            names.append(next(e["request"]["url"] for e in bundle["entry"] if e["request"]["url"].startswith("Patient/")))
        options = [option for name in names for option in ("--patient", name.partition("/")[2])]
        first = figaro("run", hapi, *options)
        assert first.returncode == 0, (first.stdout[-2000:], first.stderr[-2000:])
        plans = {name: await _written(server, name) for name in names}
        assert [len(found) for found in plans.values()] == [1, 1, 1, 1, 0]
        for plan in plans[names[0]]:
            assert (plan["status"], plan["intent"]) == ("draft", "proposal")
        again = figaro("run", hapi, *options)
        assert again.returncode == 0
        assert {name: await _written(server, name) for name in names} == plans


async def _written(server: FhirClient, patient: str) -> list[dict[str, Any]]:
    found = await server.search("CarePlan", {"patient": patient})
    return [json.loads(bytes(entry.resource)) for entry in found if entry.resource is not None]
