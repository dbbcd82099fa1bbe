"""`figaro import` from HAPI's own bulk export: a Group, all patients, the whole server; and what has changed since."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web

from shared.fhir.client import FhirClient
from tests.cli.test_import import figaro_import
from tests.ingest.patients import SYNTHETIC, bundle, cervical_cancer, ecog, patient
from tests.journeys.test_kill import free_port
from tests.peers.faults import Proxy, faulty

pytestmark = pytest.mark.hapi


async def sooner(proxy: Proxy, request: web.Request) -> web.StreamResponse:
    """HAPI's own answer, without its `Retry-After: 120`, which it sends however little there is to export."""
    status, headers, body = await proxy.fetch(request)
    return web.Response(status=status, headers={name: said for name, said in headers.items() if name.lower() != "retry-after"}, body=body)


async def test_bd_01_bd_06_bd_07_hapi_exports_a_group_all_patients_and_the_whole_server(hapi: str, tmp_path: Path) -> None:
    """Two patients in a Group, one of them with a cancer of the cervix; a third in none."""
    run = f"bulk-{free_port()}"
    ours, well, other = f"{run}-1", f"{run}-2", f"{run}-3"
    group = {"resourceType": "Group", "id": run, "meta": SYNTHETIC, "type": "person", "actual": True}
    members = [{"entity": {"reference": f"Patient/{one}"}} for one in (ours, well)]
    proxy: Proxy
    async with FhirClient(hapi) as server:
        people = [patient(one) for one in (ours, well, other)]
        found = [
            cervical_cancer(f"{run}-c", f"Patient/{ours}"),
            ecog(f"{run}-e", f"Patient/{ours}", 1),
            ecog(f"{run}-f", f"Patient/{well}", 0),
        ]
        await server.transaction(bundle([*people, *found, {**group, "member": members}]))

        async with faulty(hapi) as proxy:
            proxy.plan(*[sooner] * 1000)
            code, rows, told = await figaro_import(proxy.base_url, "--group", run, "--to", str(tmp_path / "group"))
            assert code == 0, told
            assert (rows["Patient"], rows["Condition"], rows["Observation"], rows["patients with a cancer of the cervix"]) == (2, 1, 2, 1)
            assert "The server exports no Medication with its patients" in told

            since = re.search(r"--since (\S+)", told)
            assert since is not None
            await server.update(ecog(f"{run}-f", f"Patient/{well}", 1))
            later = str(tmp_path / "since")
            code, rows, told = await figaro_import(proxy.base_url, "--group", run, "--since", since[1], "--to", later)
            assert (code, rows) == (0, {"Observation": 1, "patients with a cancer of the cervix": 0}), told

            for name, *level in (("all",), ("system", "--system")):
                code, rows, told = await figaro_import(
                    proxy.base_url, *level, "--type", "Patient", "--type", "Condition", "--to", str(tmp_path / name)
                )
                assert code == 0, told
                text = "".join(file.read_text() for file in (tmp_path / name).glob("*.ndjson"))
                assert all(f'"{one}"' in text for one in (ours, well, other, f"{run}-c"))
