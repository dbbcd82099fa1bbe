"""`figaro import` as an integrator types it: from a server, from a folder, with cases in a running service."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from tests import synthetic
from tests.docs.markdown import ROOT, blocks
from tests.journeys.figaro import Cases, Process, until
from tests.peers.bulk_server import Bulk, bulk_server, said

FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]
PAGE = ROOT / "docs/import-a-bulk-export.md"
OURS = ("ivb-cps-10", "equivocal-lung-nodules", "carcinoma-in-situ")


async def figaro_import(*words: str, **settings: str) -> tuple[int, dict[str, int], str]:
    """The exit, the rows of the table, and what was said on standard error, on one line."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_")} | settings
    done = await asyncio.to_thread(
        subprocess.run, [*FIGARO, "import", *words], capture_output=True, text=True, env=environment, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    return done.returncode, rows_of(done.stdout), " ".join(done.stderr.split())


def rows_of(table: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^ +(\S.*?)  +(\d+) *$", table, re.MULTILINE)}


def resources(*cases: str) -> dict[str, list[Any]]:
    """The resources of synthetic patients by type."""
    found: dict[str, list[Any]] = {}
    for case in cases:
        for entry in synthetic.bundle(case)["entry"]:
            found.setdefault(f"{entry['resource']['resourceType']}.ndjson", []).append(entry["resource"])
    return found


def folder_of(path: Path, *cases: str) -> Path:
    path.mkdir()
    for name, found in resources(*cases).items():
        (path / f"{name}.gz").write_bytes(gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in found)))
    return path


async def test_a_folder_is_counted_and_its_patients_of_ours_are_found(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "e", *OURS)
    code, rows, told = await figaro_import(str(folder))
    assert code == 0, told
    assert (rows["Patient"], rows["patients with a cancer of the cervix"]) == (3, 2)


async def test_bd_06_a_broken_line_is_named_without_its_words_and_the_rest_is_used(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "e", *OURS)
    with gzip.open(folder / "Condition.ndjson.gz", "ab") as file:
        file.write(
            b'{"resourceType":"Condition","note":"Mrs Example\n{"resourceType":"Condition","subject":{"reference":"Patient/1"},"code":7}\n'
        )
    (folder / "z.ndjson").write_bytes(
        b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"timeout","diagnostics":"Mrs Example"}]}\n'
    )
    code, rows, told = await figaro_import(str(folder))
    conditions = len(resources(*OURS)["Condition.ndjson"])
    assert (code, rows["patients with a cancer of the cervix"]) == (2, 2)
    assert f"Condition.ndjson.gz, line {conditions + 1}: is no FHIR resource in JSON" in told
    assert f"Condition.ndjson.gz, line {conditions + 2}: is a Condition that cannot be read" in told
    assert "The server says: 1 x error, timeout" in told
    assert "Mrs Example" not in told


async def test_what_is_named_stands_on_one_line_however_long(tmp_path: Path) -> None:
    """So that a name or an instant can be taken from it as it is."""
    name = f"{'Condition-of-a-ward-' * 5}.ndjson"
    (tmp_path / name).write_text("nonsense")
    command = [*FIGARO, "import", str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=120, check=False)
    assert f"{name}, line 1: is no FHIR resource in JSON; it is not used." in done.stderr.splitlines()


async def test_bd_05_what_the_server_could_not_export_and_what_is_too_short_are_shown(tmp_path: Path) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "not-found", "diagnostics": "Mrs Example"}]}
    async with bulk_server({**resources(*OURS), "e.ndjson": [outcome, outcome], "d.ndjson": [{"resourceType": "Bundle"}]}) as server:
        server.errors, server.deleted, server.counts["Patient.ndjson"] = ["e.ndjson"], ["d.ndjson"], 5
        code, rows, told = await figaro_import(server.base_url, "--to", str(tmp_path / "e"))
        assert server.open == {"1"}
        server.counts["Patient.ndjson"] = 3
        whole = await figaro_import(server.base_url, "--to", str(tmp_path / "f"))
        asked = len(server.seen)
        again = await figaro_import(server.base_url, "--to", str(tmp_path / "f"))
        assert "the server is not asked again" in again[2]
        assert (again[:2], len(server.seen)) == (whole[:2], asked)
    assert (code, rows["patients with a cancer of the cervix"]) == (1, 2)
    assert "The server says: 2 x error, not-found" in told
    assert "Patient.001.ndjson has 3 resources of 5." in told
    assert "1 deletions are told" in told
    assert "--since" not in told
    assert "Mrs Example" not in told


async def test_bd_10_killed_while_it_fetches_it_goes_on_with_the_same_export(tmp_path: Path) -> None:
    begun = asyncio.Event()

    async def hanging(server: Bulk, request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(server.files["Condition.ndjson"][:100])
        begun.set()
        await asyncio.sleep(60)
        return response

    async with bulk_server(resources(*OURS)) as server:
        server.plan("Condition.ndjson", hanging)
        words = [server.base_url, "--to", str(tmp_path / "e")]
        process = await asyncio.create_subprocess_exec(*FIGARO, "import", *words, stderr=asyncio.subprocess.DEVNULL)
        await asyncio.wait_for(begun.wait(), 60)
        await until(lambda: asyncio.to_thread((tmp_path / "e" / "Patient.001.ndjson").exists))
        process.kill()
        await process.wait()
        code, rows, told = await figaro_import(*words)
        assert (code, rows["patients with a cancer of the cervix"], server.exports) == (0, 2, 1), told
        assert len(server.asked("GET", "/fhir/files/1/Patient")) == 1


async def test_an_export_that_cannot_be_had_is_one_sentence(tmp_path: Path) -> None:
    async with bulk_server(resources(OURS[0])) as server:
        to = ("--to", str(tmp_path / "e"))
        server.polls = 10**6
        code, _, told = await figaro_import(server.base_url, *to, "--within", "0.001")
        assert code == 1
        assert told.endswith(
            "was not ready within 0.001 h and was cancelled: export less at once (types, a Group, since), or give it more time."
        )
        assert server.open == set()
        server.plan("start", said(404), said(404))
        code, _, told = await figaro_import(server.base_url, "--to", str(tmp_path / "f"), "--json-errors")
        assert (code, json.loads(told)["resourceType"]) == (1, "OperationOutcome")
    for words, told in (
        ((server.base_url,), "Say where the files go: --to DIR"),
        ((str(tmp_path), "--group", "1"), "These options are for a server"),
        (("server.example/fhir", "--to", "e"), "no folder here, and a server's address begins with http:// or https://"),
        ((str(folder_of(tmp_path / "given", OURS[0])), "--open-cases"), "Say on which server these patients are: FIGARO_FHIR_BASE"),
        ((str(tmp_path / "nowhere"),), "cannot be opened as a folder"),
        ((server.base_url, *to, "--since", "soon"), "a day (2026-03-01) or an instant"),
    ):
        code, _, heard = await figaro_import(*words)
        assert code == 2
        assert told in heard


async def test_bd_09_the_token_of_the_settings_is_used_where_the_server_wants_one(tmp_path: Path) -> None:
    with embedded_fhir_server(token="right-token") as base:
        async with FhirClient(base, token="right-token") as client:
            await client.transaction(synthetic.bundle(OURS[0]))
        code, _, told = await figaro_import(base, "--to", str(tmp_path / "e"))
        assert code == 1
        assert "answered 401" in told
        code, rows, told = await figaro_import(base, "--to", str(tmp_path / "f"), FIGARO_FHIR_BASE=base, FIGARO_FHIR_TOKEN="right-token")
        assert (code, rows["patients with a cancer of the cervix"]) == (0, 1), told
    assert "right-token" not in "".join(path.read_text() for path in (tmp_path / "f").iterdir())


@pytest.mark.slow
async def test_the_page_followed_word_for_word_leads_from_a_server_to_careplans(tmp_path: Path) -> None:
    """Every command of docs/import-a-bulk-export.md, in its order, against sekmet; only address and folder are this machine's."""
    commands = [line for block in blocks(PAGE, "") for line in block.splitlines()]
    commands = [line.split("#")[0] for line in commands if line.startswith(".venv/bin/figaro import")]
    assert len(commands) >= 4
    with embedded_fhir_server() as base, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        listener.close()
        async with FhirClient(base) as client:
            for case in OURS:
                await client.transaction(synthetic.bundle(case))
            members = [
                {"entity": {"reference": f"Patient/{entry['resource']['id']}"}}
                for case in OURS
                for entry in synthetic.bundle(case)["entry"]
                if entry["resource"]["resourceType"] == "Patient"
            ]
            await client.update({"resourceType": "Group", "id": "gyn-oncology", "type": "person", "actual": True, "member": members})
        settings = {"fhir_base": base, "data_directory": tmp_path / "var"}
        told = {f"FIGARO_{name.upper()}": str(value) for name, value in settings.items()}
        service = Process(None, port, tmp_path / "log", **settings, drain_seconds=1)
        await service.start()
        try:
            for command in commands:
                words = [tmp_path.as_posix() + "/" + word if word.startswith("export") else word for word in shlex.split(command)[2:]]
                words = [base if word.startswith("http") else word for word in words]
                code, rows, heard = await figaro_import(*words, **told)
                assert code == 0, (command, heard)
                assert command != commands[0] or rows == rows_of(blocks(PAGE, "text")[0])
                assert rows["patients with a cancer of the cervix"] == 2 or "--since" in words
                if "--open-cases" in words:
                    assert rows.get("answered", 0) + rows.get("answered before", 0) == rows["patients with a cancer of the cervix"], rows
            shown = Cases(f"{service.url}/ingest")
            cases = [await shown.show(case["id"]) for case in (await listed(shown.url))["cases"]]
        finally:
            service.stop()
    assert {case["state"] for case in cases} == {"answered"}
    assert all(case["careplan"] for case in cases)


async def listed(url: str) -> Any:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return await answer.json()
