"""A Bulk Data export against a server that does what the specification allows, and some that it does not."""

from __future__ import annotations

import asyncio
import gzip
import json
import stat
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from shared.fhir.bulk import BulkExports
from shared.fhir.bulk_files import BulkFiles
from shared.fhir.bulk_job import STATE, Told, export, held
from shared.fhir.bulk_manifest import Ask, Manifest
from shared.fhir.bulk_wire import BulkLimits, BulkWire
from shared.fhir.guard import Reach
from shared.fhir.outcome import FigaroError, NotFhir, Refused, Rejected, Unauthorised, Unavailable
from shared.fhir.reach import guarded
from tests.peers.bulk_server import Bulk, bulk_server, half_packed, page, said, sent, truncated

QUICK = BulkLimits(shortest=0.01, longest=0.2, read=2)
NAMES = ["Condition.001.ndjson", "Patient.001.ndjson"]
pytestmark = pytest.mark.server


class Tokens:
    """A client whose token is renewed when it is refused."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)

    async def header(self) -> str:
        return f"Bearer {self.tokens[0]}"

    async def refused(self, header: str | None = None) -> None:
        if len(self.tokens) > 1:
            self.tokens.pop(0)


def lines(kind: str, count: int = 50) -> list[Any]:
    return [{"resourceType": kind, "id": f"{kind[0].lower()}{n}", "text": {"div": "x" * 200}} for n in range(count)]


def two() -> Any:
    return bulk_server({"Condition.ndjson": lines("Condition"), "Patient.ndjson": lines("Patient", 3)})


async def fetched(
    server: Bulk,
    folder: Path,
    ask: Ask | None = None,
    *,
    tokens: Tokens | None = None,
    hosts: Sequence[str] = (),
    limits: BulkLimits = QUICK,
    told: Told | None = None,
) -> dict[str, bytes]:
    """What the folder holds afterwards, `export.json` left out."""
    async with guarded(Reach(bases=[server.base_url, "http://127.0.0.2", "http://localhost"])) as session:
        wire = BulkWire(server.base_url, session=session, authority=tokens, hosts=hosts, limits=limits)
        await export(wire, ask or Ask(), folder, told=told or Told())
    return held_in(folder)


def held_in(folder: Path) -> dict[str, bytes]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != STATE]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("ask", "path"),
    [
        (Ask(), "/fhir/Patient/$export"),
        (Ask(system=True), "/fhir/$export"),
        (Ask(group="g.1", kinds=("Condition", "Patient"), since="2026-01-31", filters=("Condition?code=C53",)), "/fhir/Group/g.1/$export"),
    ],
)
async def test_bd_01_an_export_starts_at_each_level_by_post_with_its_parameters(ask: Ask, path: str, tmp_path: Path) -> None:
    async with two() as server:
        await fetched(server, tmp_path / "e", ask)
        (start,) = server.asked("POST", path)
    assert (start.path, start.headers["Prefer"], start.headers["Accept"]) == (path, "respond-async", "application/fhir+json")
    told = [(one["name"], one.get("valueString") or one["valueInstant"]) for one in json.loads(start.body)["parameter"]]
    assert told[0] == ("_outputFormat", "application/fhir+ndjson")
    if ask.group:
        assert told[1:] == [("_type", "Condition,Patient"), ("_since", "2026-01-31T00:00:00Z"), ("_typeFilter", "Condition?code=C53")]


async def test_bd_01_a_server_that_takes_no_post_is_asked_by_get(tmp_path: Path) -> None:
    async with two() as server:
        server.post = False
        assert list(await fetched(server, tmp_path / "e", Ask(kinds=("Condition",), since="2026-01-31T08:00:00+01:00"))) == NAMES
        (start,) = server.asked("GET", "/fhir/Patient/$export")
    assert start.path.endswith("?_outputFormat=application/fhir%2Bndjson&_type=Condition&_since=2026-01-31T08:00:00%2B01:00")


async def test_bd_01_a_server_without_export_is_one_sentence_that_says_so(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("start", said(400, "not-supported"), said(400, "not-supported"))
        with pytest.raises(Rejected, match=r"starts no export of all patients \(400\): it may have bulk export at another level") as error:
            await fetched(server, tmp_path / "e")
    assert "Mrs Example" not in str(error.value)


async def test_bd_01_a_server_that_exports_no_medication_with_its_patients_is_asked_without_and_that_is_kept(tmp_path: Path) -> None:
    """As HAPI does, which answers 400."""
    async with two() as server:
        server.plan("start", said(400, "processing"), said(400, "processing"))
        assert list(await fetched(server, tmp_path / "e")) == NAMES
        first, second = (json.loads(one.body)["parameter"][1]["valueString"] for one in server.asked("POST", "/fhir/Patient/$export"))
        assert set(first.split(",")) - set(second.split(",")) == {"Medication"}
        job = held(tmp_path / "e")
        assert job is not None
        assert job.left_out == ("Medication",)
        server.plan("start", said(400, "processing"), said(400, "processing"))
        with pytest.raises(Rejected):
            await fetched(server, tmp_path / "f", Ask(system=True))


@pytest.mark.parametrize(
    "wrong",
    [{"group": "../x"}, {"group": ".."}, {"kinds": ("A,B",)}, {"since": "yesterday"}, {"group": "1", "system": True}],
    ids=str,
)
def test_bd_01_what_cannot_be_asked_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        Ask(**wrong)


async def test_bd_02_another_export_that_runs_is_waited_for_and_a_lost_answer_is_not_repeated(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("start", said(429, Retry_After="0"))
        await fetched(server, tmp_path / "e")
        assert (len(server.asked("POST", "/fhir/Patient")), server.exports) == (2, 1)
    async with two() as server:
        server.plan("start", truncated_start)
        with pytest.raises(Unavailable, match="broke the connection"):
            await fetched(server, tmp_path / "f")
        assert len(server.asked("POST", "/fhir/Patient")) == 1


async def truncated_start(_server: Bulk, request: Any, _body: bytes) -> Any:
    request.transport.abort()
    raise ConnectionResetError


@pytest.mark.parametrize("place", ["status_root", "file_root"])
async def test_bd_02_se_09_what_points_to_another_host_is_not_asked_unless_it_is_listed(place: str, tmp_path: Path) -> None:
    async with two() as server, two() as other:
        setattr(server, place, other.root.replace("127.0.0.1", "localhost"))
        for hosts in ((), ("localhost",)):  # a bare name is its usual port
            with pytest.raises(NotFhir, match=r"sends us to localhost:\d+, .* add localhost:\d+ to `hosts` of the issuer"):
                await fetched(server, tmp_path / "e", hosts=hosts)
        assert other.seen == []
        if place == "file_root":
            with_port = other.root.removeprefix("http://").replace("127.0.0.1", "localhost")
            assert list(await fetched(server, tmp_path / "f", hosts=[with_port])) == NAMES
            assert len(other.seen) == 2


async def test_se_09_another_port_of_the_same_host_is_another_host(tmp_path: Path) -> None:
    async with two() as server, two() as other:
        server.file_root = other.root
        server.token, server.requires = "right", True
        with pytest.raises(NotFhir, match="which is not that server"):
            await fetched(server, tmp_path / "e", tokens=Tokens("right"))
        assert other.seen == []


@pytest.mark.parametrize("link", ["file:///etc/passwd", "http://u:p@127.0.0.1/x", "http://127.0.0.1\\@evil/x", "//evil.example/x"])
async def test_se_09_an_address_that_is_none_is_not_asked(link: str) -> None:
    async with two() as server, guarded(Reach(bases=[server.base_url])) as session:
        with pytest.raises(NotFhir):
            BulkWire(server.base_url, session=session).admitted(link)


async def test_bd_03_polls_go_on_through_202_429_one_500_and_a_transient_failure(tmp_path: Path) -> None:
    heard: list[str] = []
    async with two() as server:
        server.polls = 2
        server.plan("poll", said(429, Retry_After="0"), said(500), said(503), *[said(500, "transient")] * 4)
        assert list(await fetched(server, tmp_path / "e", told=Told(progress=heard.append))) == NAMES
        assert server.asked("GET", "/fhir/status")[0].headers["Accept"] == "application/json"
    assert heard == ["1 of 2", "2 of 2"]


async def test_bd_03_an_export_that_failed_says_so_and_the_next_try_begins_anew(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("poll", *[said(500, "exception")] * 3)
        with pytest.raises(Unavailable, match=r"\(wait for an export\) answered 500: it failed") as error:
            await fetched(server, tmp_path / "e")
        assert "Mrs Example" not in str(error.value)
        assert server.open == set()
        assert list(await fetched(server, tmp_path / "e")) == NAMES
        assert server.exports == 2


async def test_bd_03_an_export_that_never_ends_is_cancelled_at_the_limit_in_one_sentence(tmp_path: Path) -> None:
    async with two() as server:
        server.polls = 10**6
        began = time.monotonic()
        with pytest.raises(Unavailable, match=r"was not ready within .* h and was cancelled: export less at once") as error:
            await fetched(server, tmp_path / "e", limits=BulkLimits(shortest=0.05, longest=0.1, export=0.5))
        assert time.monotonic() - began < 2
        assert (error.value.code, server.open) == ("timeout", set())


@pytest.mark.parametrize("told", ["1790000000000", "1790000000", "3600", "Tue, 01 Jan 2030 00:00:00 GMT"])
async def test_bd_04_a_wait_beyond_reason_is_cut(told: str, tmp_path: Path) -> None:
    async with two() as server:
        server.plan("poll", said(429, Retry_After=told), said(503, Retry_After=told))
        async with asyncio.timeout(5):
            await fetched(server, tmp_path / "e")


async def test_bd_05_a_manifest_in_parts_is_read_to_its_end(tmp_path: Path) -> None:
    async with two() as server:
        server.parts = True
        assert list(await fetched(server, tmp_path / "e")) == NAMES


async def test_bd_05_errors_under_either_name_and_deletions_have_folders_of_their_own(tmp_path: Path) -> None:
    async with bulk_server(
        {"Condition.ndjson": lines("Condition"), "e.ndjson": [{"resourceType": "OperationOutcome"}], "d.ndjson": []}
    ) as server:
        server.errors, server.deleted = ["e.ndjson"], ["d.ndjson"]
        assert list(await fetched(server, tmp_path / "e")) == [NAMES[0], "deleted/001.ndjson", "error/001.ndjson"]
    new = Manifest(transaction_time="", requires_access_token=False, output=(), outcome=held_file(tmp_path).error)
    assert [name for name, _ in new.placed()] == ["error/001.ndjson"]


def held_file(folder: Path) -> Manifest:
    job = held(folder / "e")
    assert job is not None
    assert job.manifest is not None
    return job.manifest


@pytest.mark.parametrize("body", [b"{}", b"[]", b"<html/>", b'{"transactionTime":"x","requiresAccessToken":"no","output":[]}'])
async def test_bd_05_what_is_no_manifest_is_named(body: bytes, tmp_path: Path) -> None:
    async with two() as server:
        server.polls = 0
        server.plan("poll", sent(body))
        with pytest.raises(NotFhir, match="no manifest of files"):
            await fetched(server, tmp_path / "e")


@pytest.mark.parametrize("time", ["\x1b]0;owned\x07", "2026-03-01", "yesterday", "2026-03-01T08:00:00Z\n", "", None])
async def test_bd_07_an_export_without_the_instant_that_the_next_one_starts_from_is_refused(time: str | None, tmp_path: Path) -> None:
    """BD-07: it is printed for the next --since, so that nothing else may stand there."""
    async with two() as server:
        server.polls = 0
        server.plan("poll", sent(json.dumps({"transactionTime": time, "requiresAccessToken": False, "output": []}).encode()))
        with pytest.raises(NotFhir, match=r"transactionTime has to be a FHIR instant") as refusal:
            await fetched(server, tmp_path / "e")
    assert refusal.value.text.isprintable()


async def test_a_type_that_is_a_path_stays_in_the_folder(tmp_path: Path) -> None:
    async with bulk_server({"..%2f..%2fx": lines("Condition", 1)}) as server:
        server.polls = 0
        made = {
            "transactionTime": "2026-03-01T08:00:00Z",
            "requiresAccessToken": False,
            "output": [{"type": "../../x", "url": f"{server.root}/fhir/files/1/y.ndjson"}],
        }
        server.files["y.ndjson"] = b"{}\n"
        server.plan("poll", sent(json.dumps(made).encode()))
        assert list(await fetched(server, tmp_path / "e")) == ["other.001.ndjson"]


@pytest.mark.parametrize("requires", [True, False])
async def test_bd_06_a_file_gets_the_token_where_the_manifest_says_so_and_only_there(requires: bool, tmp_path: Path) -> None:
    """The server refuses a file with a token that it did not ask for."""
    async with two() as server:
        server.token, server.requires = "right", requires
        await fetched(server, tmp_path / "e", tokens=Tokens("right"))
        files = server.asked("GET", "/fhir/files")
        assert {one.headers.get("Authorization") for one in files} == {"Bearer right" if requires else None}
        assert {one.headers["Accept"] for one in files} == {"application/fhir+ndjson"}
        assert all("Authorization" in one.headers for one in server.seen if one not in files)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("ranges", [True, False])
async def test_bd_06_a_file_that_breaks_off_comes_whole(packed: bool, ranges: bool, tmp_path: Path) -> None:
    """It goes on where it broke, or starts anew; either way every byte is right."""
    async with two() as server:
        server.gzip, server.ranges = packed, ranges
        server.plan("Condition.ndjson", truncated, said(500), said(429, Retry_After="0"))
        got = await fetched(server, tmp_path / "e")
        assert got == {"Condition.001.ndjson": server.files["Condition.ndjson"], "Patient.001.ndjson": server.files["Patient.ndjson"]}
        last = server.asked("GET", "/fhir/files/1/Condition")[-1]
        assert ("Range" in last.headers) is ranges
        assert last.headers["Accept-Encoding"] == "gzip"
    assert stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "e").iterdir()} == {0o600}


async def test_bd_06_half_a_gzip_that_calls_itself_whole_is_fetched_again(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("Condition.ndjson", half_packed)
        assert (await fetched(server, tmp_path / "e"))[NAMES[0]] == server.files["Condition.ndjson"]


async def test_bd_06_a_file_that_is_packed_by_itself_is_unpacked_and_a_bomb_is_not(tmp_path: Path) -> None:
    async with two() as server:
        packed = gzip.compress(b"x" * 10_000_000)
        server.plan("Condition.ndjson", sent(packed, Content_Type="application/octet-stream"))
        with pytest.raises(Refused, match="sends a file of more than 1000000 bytes"):
            await fetched(server, tmp_path / "e", limits=BulkLimits(shortest=0.01, file=1_000_000))
        assert not [path for path in (tmp_path / "e").iterdir() if path.name.startswith("Condition")]
        server.plan("Condition.ndjson", sent(packed, Content_Type="application/octet-stream"))
        assert len((await fetched(server, tmp_path / "e"))[NAMES[0]]) == 10_000_000


async def test_an_export_beyond_the_size_limit_stops(tmp_path: Path) -> None:
    async with two() as server:
        with pytest.raises(Refused, match="is larger than 0 GB"):
            await fetched(server, tmp_path / "e", limits=BulkLimits(shortest=0.01, whole=1_000))
        with pytest.raises(NotFhir, match="names more than 1 files"):
            await fetched(server, tmp_path / "f", limits=BulkLimits(shortest=0.01, files=1))


async def test_bd_06_a_file_that_is_gone_is_looked_for_in_the_manifest_of_now_once(tmp_path: Path) -> None:
    """A store in a cloud says 403 where a signed address has expired."""
    async with two() as server:
        for status in (410, 403):
            server.plan("Condition.ndjson", said(status))
            assert list(await fetched(server, tmp_path / str(status))) == NAMES
        server.plan("Condition.ndjson", said(404), said(404))
        with pytest.raises(FigaroError, match=r"\(Condition.001.ndjson\) answered 404"):
            await fetched(server, tmp_path / "f")


async def test_bd_06_a_log_in_page_is_no_file(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("Condition.ndjson", page("Please log in"))
        with pytest.raises(NotFhir, match="answered with a web page and no NDJSON"):
            await fetched(server, tmp_path / "e")


async def test_bd_06_files_are_fetched_several_at_once_and_never_more_than_four(tmp_path: Path) -> None:
    async with bulk_server({f"Condition.{n}": lines("Condition", 2) for n in range(12)}) as server:
        counts: list[tuple[int, int]] = []
        assert len(await fetched(server, tmp_path / "e", told=Told(files=lambda done, total: counts.append((done, total))))) == 12
        assert 2 <= server.most_at_once <= 4
    assert counts == [(n, 12) for n in range(13)]


async def test_bd_08_the_server_is_told_to_delete_the_export_when_all_is_stored_and_not_before(tmp_path: Path) -> None:
    async with two() as server:
        await fetched(server, tmp_path / "e")
        assert [one.method for one in server.seen][-1] == "DELETE"
        assert server.open == set()
        server.plan("Condition.ndjson", said(403), said(403))
        with pytest.raises(Unauthorised):
            await fetched(server, tmp_path / "f")
        assert server.open == {"2"}


async def test_bd_09_a_token_that_expires_between_two_requests_is_renewed(tmp_path: Path) -> None:
    async def expired(server: Bulk, _request: Any, _body: bytes) -> Any:
        server.token = "second"
        return web.Response(status=401)

    for what in ("poll", "Condition.ndjson"):
        async with two() as server:
            server.token, server.requires = "first", True
            server.plan(what, expired)
            assert list(await fetched(server, tmp_path / what[0], tokens=Tokens("first", "second"))) == NAMES


async def test_bd_10_what_was_cut_off_goes_on_without_another_export_or_a_file_twice(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("Condition.ndjson", *[said(500)] * 6)
        with pytest.raises(Unavailable):
            await fetched(server, tmp_path / "e")
        job = held(tmp_path / "e")
        assert job is not None
        assert not job.complete
        assert list(await fetched(server, tmp_path / "e")) == NAMES
        assert (server.exports, len(server.asked("GET", "/fhir/files/1/Patient"))) == (1, 1)
        asked = len(server.seen)
        assert list(await fetched(server, tmp_path / "e")) == NAMES
        assert len(server.seen) == asked


async def test_bd_10_an_export_that_the_server_has_forgotten_meanwhile_is_begun_anew(tmp_path: Path) -> None:
    async with two() as server:
        server.plan("Condition.ndjson", *[said(500)] * 6)
        with pytest.raises(Unavailable):
            await fetched(server, tmp_path / "e")
        server.open.clear()
        server.plan("Condition.ndjson", said(404))
        server.files["Patient.ndjson"] = b"{}\n"
        assert (await fetched(server, tmp_path / "e"))["Patient.001.ndjson"] == b"{}\n"
        assert server.exports == 2


async def test_bd_10_a_folder_of_another_export_or_of_other_things_is_refused(tmp_path: Path) -> None:
    async with two() as server:
        await fetched(server, tmp_path / "e")
        with pytest.raises(Refused, match="holds another export"):
            await fetched(server, tmp_path / "e", Ask(group="other"))
        (tmp_path / "f").mkdir()
        (tmp_path / "f" / "thesis.txt").write_text("mine")
        with pytest.raises(Refused, match="holds something else"):
            await fetched(server, tmp_path / "f")
        (tmp_path / "e" / STATE).write_text("{")
        with pytest.raises(Refused, match="cannot be read"):
            await fetched(server, tmp_path / "e")
        with pytest.raises(Refused, match="cannot be used as a folder"):
            await fetched(server, tmp_path / "f" / "thesis.txt")
        assert server.exports == 1


async def test_two_at_once_do_not_fill_one_folder(tmp_path: Path) -> None:
    async with two() as server:
        server.polls = 20
        first = asyncio.create_task(fetched(server, tmp_path / "e"))
        await asyncio.sleep(0.2)
        with pytest.raises(Refused, match="is being filled by another"):
            await fetched(server, tmp_path / "e")
        assert list(await first) == NAMES
        assert server.exports == 1


async def test_sekmet_exports_what_it_holds_and_forgets_the_export(sekmet: str, tmp_path: Path) -> None:
    """BD-01 to BD-08 against a server of somebody else's."""
    from shared.fhir.client import FhirClient
    from tests import synthetic

    async with FhirClient(sekmet) as client:
        await client.transaction(synthetic.bundle("ivb-cps-10"))
    async with guarded(Reach(bases=[sekmet])) as session:
        wire = BulkWire(sekmet, session=session, limits=QUICK)
        exports = BulkExports(wire)
        status = await exports.start(Ask(kinds=("Condition", "Patient")))
        manifest = await exports.wait(status)
        assert {file.type for file in manifest.output} == {"Condition", "Patient"}
        await BulkFiles(wire, tmp_path, with_token=manifest.requires_access_token).fetch(manifest.placed())
        for name, file in manifest.placed():
            assert len((tmp_path / name).read_bytes().splitlines()) == file.count
        assert await exports.end(status)
        assert not await exports.end(status)


_FETCHING = """
import asyncio, re, sys
from pathlib import Path
from shared.fhir.bulk_job import Told, export
from shared.fhir.bulk_manifest import Ask
from shared.fhir.bulk_wire import BulkLimits, BulkWire
from shared.fhir.guard import Reach
from shared.fhir.reach import guarded

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

async def fetch(base, folder):
    async with guarded(Reach(bases=[base])) as session:
        await export(BulkWire(base, session=session, limits=BulkLimits(shortest=0.05)), Ask(), folder, told=Told())

before = peak()
asyncio.run(fetch(sys.argv[1], Path(sys.argv[2])))
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
async def test_320_mb_are_fetched_in_little_memory(packed: bool, tmp_path: Path) -> None:
    line = b'{"resourceType":"Observation","id":"o","text":{"div":"' + b"x" * 1_500 + b'"}}'
    async with bulk_server({f"Observation.{n}": [line] * 50_000 for n in range(4)}) as server:
        server.gzip = packed
        command = [sys.executable, "-c", _FETCHING, server.base_url, str(tmp_path / "e")]
        done = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        grown, _ = await asyncio.wait_for(done.communicate(), 60)
    assert sum(len(body) for body in held_in(tmp_path / "e").values()) > 300_000_000
    assert int(grown) < 30_000  # kB
