"""`run`, `check` and `subscribe` at servers that ask for a token: one in the environment, or a client of the issuers file."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from tests import synthetic
from tests.peers.small_server import Switches, small_server
from tests.smart.test_sekmet import hospital, load

pytestmark = pytest.mark.server
FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]
NOTICES = {"FIGARO_PUBLIC_URL": "http://127.0.0.1:9/ingest", "FIGARO_NOTIFICATION_SECRET": "a secret of this test only"}
COMMANDS = (("check",), ("run",), ("subscribe", "--remove"))


async def figaro(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_")} | settings
    return await asyncio.to_thread(
        subprocess.run, [*FIGARO, *words], capture_output=True, text=True, env=environment, timeout=120, check=False
    )


async def test_a_token_of_the_environment_is_used_by_every_command() -> None:
    """Whether FIGARO_FHIR_BASE names the server too, or only the command line."""
    with embedded_fhir_server(token="right-token") as base:
        async with FhirClient(base, token="right-token") as server:
            await server.transaction(synthetic.bundle("ivb-cps-10"))
        tokens = {"FIGARO_FHIR_TOKEN": "right-token", "FIGARO_FHIR_WRITE_TOKEN": "right-token", **NOTICES}
        for settings in (tokens, {**tokens, "FIGARO_FHIR_BASE": base}):
            for command in COMMANDS:
                done = await figaro(command[0], base, *command[1:], **settings)
                assert done.returncode == 0, (command, done.stdout, done.stderr)
                assert "right-token" not in done.stdout + done.stderr
        for command in COMMANDS:
            done = await figaro(command[0], base, *command[1:], **NOTICES)
            assert done.returncode != 0, command
            assert "oken" in done.stdout + done.stderr


async def test_a_client_of_the_issuers_file_is_used_by_every_command(tmp_path: Path) -> None:
    """Backend Services: a signed assertion each time, and nothing in the environment but the file."""
    with hospital(tmp_path, read="system/*.cruds") as file:
        file.write_text(file.read_text().replace('"system/*.rs"', '"system/*.cruds"') + "    subscription: {secrets: [{file: notices}]}\n")
        (tmp_path / "notices").write_text("a secret of this test only\n")
        base = next(line.split()[1] for line in file.read_text().splitlines() if line.strip().startswith("base:"))
        await load(file, synthetic.bundle("ivb-cps-10"))
        for command in COMMANDS:
            done = await figaro(command[0], base, *command[1:], FIGARO_ISSUERS=str(file), FIGARO_PUBLIC_URL=NOTICES["FIGARO_PUBLIC_URL"])
            assert done.returncode == 0, (command, done.stdout, done.stderr)


async def test_a_server_that_is_not_in_the_settings_is_refused_by_run_and_subscribe(tmp_path: Path) -> None:
    """SE-08: also where it stands on the command line; `check` asks it as nobody."""
    (tmp_path / "issuers.yaml").write_text("issuers: [{id: other, base: https://ehr.example.org/fhir, write_mode: page}]\n")
    async with small_server() as small:
        for given in ({"FIGARO_ISSUERS": str(tmp_path / "issuers.yaml")}, {"FIGARO_FHIR_BASE": "https://ehr.example.org/fhir"}):
            for command in ("run", "subscribe"):
                done = await figaro(command, small.base_url, **given, **NOTICES)
                assert done.returncode != 0
                assert "not in the settings" in done.stderr
        assert small.asked == []


async def test_se10_run_sends_the_token_of_another_server_to_nobody() -> None:
    """SE-10: the token is for FIGARO_FHIR_BASE; another server of the list is asked without one."""
    async with small_server(Switches(token="right-token")) as small:
        given = {"FIGARO_FHIR_BASE": "https://ehr.example.org/fhir", "FIGARO_FHIR_BASES": f'["{small.base_url}"]'}
        done = await figaro("run", small.base_url, FIGARO_FHIR_TOKEN="right-token", FIGARO_FHIR_WRITE_TOKEN="right-token", **given)
        assert done.returncode == 1
        assert "token" in done.stderr


async def test_run_is_by_itself_whatever_the_service_of_this_machine_is_told(tmp_path: Path) -> None:
    """It opens no door to others, asks for no secret of ours, and takes no case from the service's database."""
    async with small_server(Switches(transactions=False)) as small:
        small.load(synthetic.bundle("ivb-cps-10"))
        service = {"FIGARO_HOST": "0.0.0.0", "FIGARO_API_SECRET": "the secret of a service", "FIGARO_DATA_DIRECTORY": str(tmp_path)}
        done = await figaro("run", small.base_url, FIGARO_DATABASE_URL=f"sqlite:///{tmp_path / 'x.db'}", FIGARO_PORT="1", **service)
        assert done.returncode == 0, done.stderr
        assert "IVB" in done.stdout
        assert os.listdir(tmp_path) == []
