"""`figaro check`, against real servers and against small ones that lack something."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from services.check import Row, table, usable
from shared.service.embedded import embedded_fhir_server
from tests.docs.markdown import ROOT, blocks
from tests.peers.faults import answered, faulty
from tests.peers.small_server import WRITTEN, Switches, small_server

FIGARO = [sys.executable, "-c", "from services.cli import main; main()"]


async def check(base: str, *options: str, **settings: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """The exit, the rows by name, and what was said on standard error."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_")} | settings
    done = await asyncio.to_thread(
        subprocess.run, [*FIGARO, "check", base, *options], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    rows = [line.split(None) for line in done.stdout.splitlines()]
    answers = ("yes", "no", "fallback")
    split = [next(n for n, word in enumerate(row) if n and word in answers) for row in rows]
    found = {" ".join(row[:n]): (row[n], " ".join(row[n + 1 :])) for row, n in zip(rows, split, strict=True)}
    return done.returncode, found, done.stderr


async def test_a_whole_server_says_yes_to_everything_that_is_written(fhir_base: str) -> None:
    code, rows, said = await check(fhir_base)
    assert (code, said) == (0, "")
    assert rows["version"][1].startswith("FHIR 4.0.1, ")
    needed = ("auth", "clock", "search Condition", "search Observation", "posted search", "subscriptions", "transaction")
    written = [f"write {kind}" for kind in ("CarePlan", "RequestGroup", "Observation", "Provenance", "AuditEvent")]
    assert {rows[name][0] for name in (*needed, *written, "the answer")} == {"yes"}
    assert rows["bulk export"][0] in ("yes", "fallback")
    assert rows["the answer"][1].startswith("transaction: ")


@pytest.mark.parametrize(
    ("switches", "plan", "answer", "begins"),
    [
        (Switches(transactions=False), "yes", "fallback", "ordered: no transaction: one conditional write after another"),
        (Switches(transactions=False, conditional=False), "yes", "fallback", "ordered: "),
        (Switches(creates=("DocumentReference",)), "fallback", "fallback", "document: it takes no CarePlan, but documents"),
        (Switches(creates=()), "no", "no", "page: "),
        (Switches(transactions=False, creates=("CarePlan",)), "yes", "fallback", "ordered: "),
    ],
)
async def test_a_server_that_lacks_something_is_usable_and_told_what_happens_instead(
    switches: Switches, plan: str, answer: str, begins: str
) -> None:
    async with small_server(switches) as small:
        code, rows, _ = await check(small.base_url)
        assert small.writes == 0
    assert code == 0
    assert rows["write CarePlan"][0] == plan
    assert rows["the answer"][0] == answer
    assert rows["the answer"][1].startswith(begins)
    assert rows["posted search"][0] == rows["subscriptions"][0] == rows["bulk export"][0] == "fallback"
    assert rows["write AuditEvent"] == ("fallback", "our own audit log (figaro.audit)")
    if switches.creates == WRITTEN:
        assert rows["write RequestGroup"][0] == "yes"


async def test_a_server_that_asks_for_a_token_is_usable_with_it_only() -> None:
    with embedded_fhir_server(token="right-token") as base:
        code, rows, said = await check(base)
        assert (code, rows["auth"][0], rows["search Condition"][0]) == (1, "no", "no")
        assert "SMART configuration" in rows["auth"][1]
        given = {"FIGARO_FHIR_BASE": base, "FIGARO_FHIR_TOKEN": "right-token", "FIGARO_FHIR_WRITE_TOKEN": "right-token"}
        code, rows, said = await check(base, **given)
        assert (code, rows["auth"], said) == (0, ("yes", "our token is taken"), "")


async def test_se10_the_token_of_another_server_is_not_sent() -> None:
    async with small_server(Switches(token="right-token")) as small:
        given = {"FIGARO_FHIR_BASE": "https://ehr.example.org/fhir", "FIGARO_FHIR_TOKEN": "right-token"}
        code, rows, said = await check(small.base_url, **given)
    assert (code, rows["auth"][0]) == (1, "no")
    assert said == f"figaro: {small.base_url} is not FIGARO_FHIR_BASE, nor in FIGARO_FHIR_BASES: asked without credentials.\n"


async def test_se10_a_server_that_is_not_in_the_issuers_file_is_asked_without_credentials_and_that_is_said(tmp_path: Path) -> None:
    """SE-10: the credentials of every issuer are for its own base; with an issuer of that base nothing is said."""
    file = tmp_path / "issuers.yaml"

    def issuers(base: str) -> dict[str, str]:
        client = {"auth": "bearer", "token": {"env": "OF_THE_OTHER"}}
        file.write_text(json.dumps({"issuers": [{"id": "other", "base": base, "read": client, "write": client}]}))
        return {"FIGARO_ISSUERS": str(file), "OF_THE_OTHER": "right-token"}

    async with small_server(Switches(token="right-token")) as small:
        code, rows, said = await check(small.base_url, **issuers("https://ehr.example.org/fhir"))
        assert (code, rows["auth"][0]) == (1, "no")
        assert said == f"figaro: {small.base_url} is not in the issuers file: asked without credentials.\n"
        code, rows, said = await check(small.base_url, **issuers(small.base_url))
        assert (code, rows["auth"], said) == (0, ("yes", "our token is taken"), "")


async def test_what_is_no_server_is_one_sentence_and_leaves_with_1() -> None:
    code, rows, said = await check("http://127.0.0.1:1/fhir")
    assert (code, rows) == (1, {})
    assert (
        said == "figaro: The FHIR server at http://127.0.0.1:1/fhir (metadata) refuses connections: is it running, and is that its port?\n"
    )
    code, _, said = await check("http://127.0.0.1:1/fhir", "--json-errors")
    assert (code, json.loads(said)["resourceType"]) == (1, "OperationOutcome")


async def test_another_version_of_fhir_is_not_usable(sekmet: str) -> None:
    async with faulty(sekmet) as proxy:
        proxy.plan(answered(200, b'{"resourceType":"CapabilityStatement","fhirVersion":"5.0.0"}'))
        code, _, said = await check(proxy.base_url)
    assert code == 1
    assert "speaks FHIR 5.0.0" in said


def test_a_terminal_gets_a_table_and_a_missing_need_is_not_usable() -> None:
    rows = [Row("version", "yes", "FHIR 4.0.1", True), Row("search Condition", "no", "by patient: it answered 403", True)]
    assert not usable(rows)
    assert usable(rows[:1])
    assert table(rows, "http://127.0.0.1/fhir").row_count == 2


@pytest.mark.hapi
async def test_what_the_page_shows_is_what_hapi_answers(hapi: str) -> None:
    (shown,) = blocks(ROOT / "docs/check-a-server.md", "text")
    done = await asyncio.to_thread(subprocess.run, [*FIGARO, "check", hapi], capture_output=True, text=True, timeout=60, check=True)
    clock = re.compile(r"^(clock +)\S.*$", re.MULTILINE)
    assert clock.sub(r"\1", done.stdout) == clock.sub(r"\1", shown)
