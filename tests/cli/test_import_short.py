"""`figaro import` where something of an export is missing, is told twice, or is told in the server's own words."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_import import OURS, figaro_import, resources
from tests.peers.bulk_server import Bulk, Fault, bulk_server, said, sent

pytestmark = pytest.mark.server
ISSUE = {"severity": "error", "code": "not-found", "diagnostics": "Mrs Example"}
OUTCOME = {"resourceType": "OperationOutcome", "issue": [ISSUE]}


def half(server: Bulk, name: str) -> Fault:
    """A file that ends early, and says that this is all."""
    return sent(b"".join(server.files[name].splitlines(keepends=True)[:1]))


def manifest(server: Bulk, *output: dict[str, Any]) -> Fault:
    told = {"transactionTime": "2026-03-01T08:00:00Z", "requiresAccessToken": False, "output": output}
    return sent(json.dumps(told).encode())


async def test_bd_07_no_next_export_is_offered_where_a_file_is_short_and_the_same_command_asks_for_that_file_again(tmp_path: Path) -> None:
    async with bulk_server(resources(*OURS)) as server:
        server.plan("Patient.ndjson", half(server, "Patient.ndjson"))
        words = (server.base_url, "--to", str(tmp_path / "e"))
        code, rows, told = await figaro_import(*words)
        assert (code, rows["Patient"], server.open) == (1, 1, {"1"}), told
        assert "Patient.001.ndjson has 1 resources of 3" in told
        assert "the same command asks for Patient.001.ndjson again" in told
        assert "--since" not in told
        code, rows, told = await figaro_import(str(tmp_path / "e"))
        assert (code, rows["Patient"]) == (1, 1)
        assert "--since" not in told
        code, rows, told = await figaro_import(*words)
        assert "not asked again" not in told
        assert (code, rows["Patient"], server.exports, server.open) == (0, 3, 1, set()), told
        assert "--since 2026-03-01T08:00:00.000Z" in told
        assert [len(server.asked("GET", f"/fhir/files/1/{kind}")) for kind in ("Patient", "Condition")] == [2, 1]


async def test_bd_07_an_export_that_is_gone_with_a_file_short_is_begun_anew(tmp_path: Path) -> None:
    async with bulk_server(resources(*OURS)) as server:
        server.plan("Patient.ndjson", half(server, "Patient.ndjson"), said(404))
        words = (server.base_url, "--to", str(tmp_path / "e"))
        assert (await figaro_import(*words))[0] == 1
        server.open.clear()
        code, rows, told = await figaro_import(*words)
        assert (code, rows["Patient"], server.exports) == (0, 3, 2), told


async def test_bd_07_a_short_file_stays_until_the_whole_one_is_here(tmp_path: Path) -> None:
    async with bulk_server(resources(*OURS)) as server:
        server.plan("Patient.ndjson", half(server, "Patient.ndjson"), said(400))
        words = (server.base_url, "--to", str(tmp_path / "e"))
        await figaro_import(*words)
        short = (tmp_path / "e" / "Patient.001.ndjson").read_bytes()
        code, _, told = await figaro_import(*words)
        assert (code, "answered 400" in told) == (1, True), told
        assert (tmp_path / "e" / "Patient.001.ndjson").read_bytes() == short


@pytest.mark.parametrize("line", [b'{"resourceType":"Patient","id":"Mrs Exa', b"[]"])
async def test_bd_07_no_next_export_is_offered_where_a_line_is_lost(line: bytes, tmp_path: Path) -> None:
    async with bulk_server({**resources(OURS[0]), "Observation.1": [line]}) as server:
        server.counts["Observation.1"] = None
        words = (server.base_url, "--to", str(tmp_path / "e"))
        for _ in range(2):
            code, _, told = await figaro_import(*words)
            assert code == 2, told
            assert "1 line is lost" in told
            assert "make the export again" in told
            assert "--since" not in told
            assert "is complete" not in told


async def test_bd_07_no_next_export_is_offered_where_the_server_names_what_it_lost(tmp_path: Path) -> None:
    async with bulk_server({**resources(OURS[0]), "e.ndjson": [OUTCOME]}) as server:
        server.errors = ["e.ndjson"]
        code, _, told = await figaro_import(server.base_url, "--to", str(tmp_path / "e"))
    assert (code, "--since" in told) == (1, False), told
    assert "The server says: 1 x error, not-found; in its words in error/001.ndjson." in told
    assert "make the export again" in told


async def test_bd_07_a_warning_is_no_loss(tmp_path: Path) -> None:
    async with bulk_server({**resources(OURS[0]), "e.ndjson": [{**OUTCOME, "issue": [{**ISSUE, "severity": "warning"}]}]}) as server:
        server.errors = ["e.ndjson"]
        code, _, told = await figaro_import(server.base_url, "--to", str(tmp_path / "e"))
    assert (code, "--since 2026-03-01T08:00:00.000Z" in told) == (0, True), told


@pytest.mark.parametrize("what", ["start", "poll", "Patient.ndjson"])
async def test_fc_13_the_words_of_a_refusal_stay_in_the_folder_and_the_sentence_names_the_file(what: str, tmp_path: Path) -> None:
    async with bulk_server(resources(OURS[0])) as server:
        server.plan(what, *[said(422 if what != "poll" else 500, "exception")] * 4)
        words = (server.base_url, "--to", str(tmp_path / "e"))
        code, _, told = await figaro_import(*words)
        kept = tmp_path / "e" / "error" / "answer.json"
        assert code == 1, told
        assert "Mrs Example" not in told
        assert f"The server says: 1 x error, exception; in its words in {kept}." in told
        assert json.loads(kept.read_bytes())["issue"][0]["diagnostics"] == "Mrs Example"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        for more in ((), ("--json-errors",)):
            server.plan(what, *[said(422 if what != "poll" else 500, "exception")] * 4)
            code, _, told = await figaro_import(server.base_url, "--to", str(tmp_path / f"f{len(more)}"), *more)
            assert (code, "Mrs Example" in told) == (1, False), told
        server.plan(what)
        code, _, told = await figaro_import(*words)
        assert (code, "error, exception" in told, kept.exists()) == (0, False, False), told


async def test_after_a_refusal_the_folder_is_free_for_another_export(tmp_path: Path) -> None:
    async with bulk_server(resources(OURS[0])) as server:
        server.plan("start", *[said(422, "exception")] * 4)
        to = ("--to", str(tmp_path / "e"))
        assert (await figaro_import(server.base_url, *to))[0] == 1
        code, _, told = await figaro_import(server.base_url, *to, "--system")
        assert code == 0, told


async def test_the_words_of_an_outcome_among_the_data_are_named_by_file_and_line(tmp_path: Path) -> None:
    async with bulk_server({**resources(OURS[0]), "Observation.1": [OUTCOME, OUTCOME]}) as server:
        server.counts["Observation.1"] = None
        code, _, told = await figaro_import(server.base_url, "--to", str(tmp_path / "e"))
    assert code == 1
    where = "Observation.002.ndjson, line 1; Observation.002.ndjson, line 2"
    assert f"The server says: 2 x error, not-found; in its words in {where}." in told
    assert not (tmp_path / "e" / "error").exists()


@pytest.mark.parametrize("count", [None, 2])
async def test_deletions_are_counted_where_the_manifest_has_no_count(count: int | None, tmp_path: Path) -> None:
    """As HAPI's has none."""
    gone = {"resourceType": "Bundle", "type": "transaction", "entry": [{"request": {"method": "DELETE", "url": "Patient/zxq1"}}]}
    async with bulk_server({**resources(OURS[0]), "d.ndjson": [gone, gone]}) as server:
        server.deleted, server.counts["d.ndjson"] = ["d.ndjson"], count
        code, _, told = await figaro_import(server.base_url, "--to", str(tmp_path / "e"))
    assert code == 0
    assert "2 deletions are told in deleted/" in told
    assert "zxq1" not in told


async def test_a_file_that_the_manifest_lists_twice_is_fetched_and_counted_once(tmp_path: Path) -> None:
    async with bulk_server(resources(*OURS)) as server:
        server.polls = 0
        one = {"type": "Patient", "url": f"{server.base_url}/files/1/Patient.ndjson", "count": 3}
        server.plan("poll", manifest(server, one, one, {**one, "count": 3}))
        code, rows, told = await figaro_import(server.base_url, "--to", str(tmp_path / "e"))
        assert (code, rows["Patient"]) == (0, 3), told
        assert len(server.asked("GET", "/fhir/files/1/Patient")) == 1


async def test_fc_13_a_severity_or_a_code_that_fhir_does_not_have_is_not_repeated(tmp_path: Path) -> None:
    odd = {"resourceType": "OperationOutcome", "issue": [{"severity": "Mrs-Example", "code": "Mrs-Example"}]}
    (tmp_path / "z.ndjson").write_text(json.dumps(odd))
    code, _, told = await figaro_import(str(tmp_path))
    assert "The server says: 1 x other, other" in told
    assert "Mrs-Example" not in told
    assert code == 0
