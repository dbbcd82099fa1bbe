"""What a server has written is words on a terminal, and never an order to it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from services import importing, subscribing
from services.bulk_reading import read
from services.check import Row, lines, table
from services.ingest.subscriptions import Standing
from tests.peers.faults import answered, faulty
from tests.peers.small_server import small_server

HOSTILE = "a\x1b]0;owned\x07\x9b31m\n[red]b"
FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]


def shown(*what: object) -> str:
    """As a terminal is sent it, without the colours that are ours."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=200)
    for one in what:
        console.print(one)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def harmless(text: str) -> bool:
    return all(c.isprintable() or c == "\n" for c in text)


def test_the_words_of_a_server_that_is_checked_are_words() -> None:
    row = Row("version", "yes", f"FHIR 4.0.1, {HOSTILE}")
    for text in (shown(table([row], "a server")), lines([row])):
        assert harmless(text.replace("\x1b[1m", "").replace("\x1b[0m", "")), repr(text)
        assert "[red]b" in text
    assert "\n" not in lines([row])


def test_the_words_of_a_subscription_are_words() -> None:
    text = shown(subscribing.table([Standing("c", HOSTILE, f"Subscription/{HOSTILE}", HOSTILE, HOSTILE, "kept", HOSTILE)]))
    assert harmless(text.replace("\x1b[1m", "").replace("\x1b[0m", "")), repr(text)
    assert "[red]b" in text


def test_what_an_export_holds_is_counted_by_names_that_are_ours(tmp_path: Path) -> None:
    """Types and codes that are none of FHIR's are counted as other."""
    issue = {"severity": HOSTILE, "code": HOSTILE}
    odd = [{"resourceType": HOSTILE, "id": "1"}, {"resourceType": "OperationOutcome", "issue": [issue]}]
    (tmp_path / "x.ndjson").write_text("".join(json.dumps(one) + "\n" for one in odd))
    holding = read(tmp_path, lambda _: False)
    assert dict(holding.kinds) == {"other": 1}
    assert dict(holding.said) == {("other", "other"): 1}
    assert harmless("".join(importing.notes(holding, None)))


@pytest.mark.server
async def test_an_error_with_words_of_a_server_is_words() -> None:
    said = json.dumps({"resourceType": "CapabilityStatement", "fhirVersion": "\x1b]0;owned\x07"}).encode()
    async with small_server() as small, faulty(small.base_url) as proxy:
        proxy.plan(answered(200, said))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_")}
        done = await asyncio.to_thread(
            subprocess.run, [*FIGARO, "check", proxy.base_url], capture_output=True, text=True, env=environment, timeout=60, check=False
        )
    assert done.returncode == 1
    assert "speaks FHIR" in done.stderr
    assert harmless(done.stderr + done.stdout)
