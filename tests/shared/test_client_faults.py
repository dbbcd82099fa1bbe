"""What the client does when a FHIR server misbehaves: a real server, behind a proxy that fails as told."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import stamina
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.fhir.client import FhirClient
from shared.fhir.guard import Reach
from shared.fhir.outcome import Conflict, FigaroError, Gone, NotFhir, NotFound, Refused, Rejected, Unauthorised, Unavailable
from shared.fhir.pace import Pace
from shared.fhir.reach import guarded
from shared.fhir.transport import Limits
from shared.service.embedded import embedded_fhir_server
from tests.peers.faults import (
    Fault,
    Proxy,
    answered,
    busy,
    changed,
    faulty,
    lost_reply,
    next_link,
    passed,
    reset,
    silent,
    slow,
    truncated,
    web_page,
    without_total,
)

SYSTEM = "https://figaro.example/fhir/test"
QUICK = Limits(connect=1, read=0.5, total=2, size=200_000, pages=20)
SYNTHETIC = {"tag": [{"system": SYSTEM, "code": "synthetic"}]}


@pytest.fixture(autouse=True)
def no_pauses(request: pytest.FixtureRequest) -> Any:
    """Repetitions follow at once, except where the pause itself is tested."""
    if "pauses" in request.fixturenames:
        yield
        return
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def pauses() -> None:
    """Waits between repetitions as in earnest."""


@pytest.fixture
async def proxy(sekmet: str) -> AsyncIterator[Proxy]:
    async with faulty(sekmet) as server:
        yield server


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[FhirClient]:
    async with FhirClient(proxy.base_url, limits=QUICK) as server:
        yield server


@pytest.fixture
async def key(sekmet: str) -> str:
    """An identifier that five synthetic patients on the server carry."""
    value = str(uuid4())
    async with FhirClient(sekmet) as server:
        for _ in range(5):
            await server.create(patient(value))
    return value


def patient(key: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "meta": SYNTHETIC, "identifier": [{"system": SYSTEM, "value": key}]}


def by(key: str, **more: str) -> dict[str, str]:
    return {"identifier": f"{SYSTEM}|{key}", **more}


def searchset(**more: Any) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "searchset", **more}).encode()


async def test_fc01_it_asks_for_fhir_json_and_a_fresh_answer(client: FhirClient, proxy: Proxy, key: str) -> None:
    await client.search("Patient", by(key))
    headers = proxy.seen[-1].headers
    assert (headers["Accept"], headers["Cache-Control"]) == ("application/fhir+json", "no-cache")


@pytest.mark.parametrize("media", ["application/fhir+json; charset=UTF-8", "application/json+fhir", "application/json", "text/json"])
async def test_fc01_every_json_media_type_is_read(client: FhirClient, proxy: Proxy, media: str) -> None:
    proxy.plan(answered(200, searchset(), Content_Type=media))
    assert len(await client.search("Patient")) == 0


async def test_fc01_a_406_without_a_body_is_rejected_clearly(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(answered(406))
    with pytest.raises(Rejected, match="406"):
        await client.search("Patient")


async def test_fc02_a_link_that_comes_again_ends_the_search_with_an_error(client: FhirClient, proxy: Proxy, key: str) -> None:
    again = next_link(f"{proxy.base_url}/Patient?identifier={SYSTEM}%7C{key}&_count=2")
    proxy.plan(again, again, again, again)
    with pytest.raises(NotFhir, match="never comes to a last page"):
        await client.search("Patient", by(key, _count="2"))
    assert len(proxy.seen) == 2


async def test_fc02_ever_new_links_end_at_the_page_cap(client: FhirClient, proxy: Proxy) -> None:
    pages = [searchset(link=[{"relation": "next", "url": f"{proxy.base_url}/Patient?n={n}"}]) for n in range(50)]
    proxy.plan(*map(partial(answered, 200), pages))
    with pytest.raises(NotFhir, match="never comes to a last page"):
        await client.search("Patient", {"_count": "1"})
    assert len(proxy.seen) == QUICK.pages


async def test_fc02_a_page_sent_twice_gives_each_resource_once(client: FhirClient, proxy: Proxy, key: str) -> None:
    proxy.plan(next_link(f"{proxy.base_url}/Patient?identifier={SYSTEM}%7C{key}&_format=json"), passed)
    found = await client.search("Patient", by(key))
    assert (len(found), found.pages) == (5, 2)


async def test_fc02_of_two_versions_the_newest_is_kept_wherever_it_stands(client: FhirClient, proxy: Proxy) -> None:
    def entry(version: int) -> dict[str, Any]:
        meta = {"versionId": str(version), "lastUpdated": f"2026-01-{version:02}T00:00:00Z"}
        return {"resource": {"resourceType": "Patient", "id": "a", "meta": meta}}

    for order in ((9, 10), (10, 9)):
        proxy.plan(answered(200, searchset(entry=[entry(version) for version in order])))
        assert [one.version for one in await client.search("Patient")] == ["10"]


async def test_fc02_an_operation_outcome_among_the_entries_is_a_warning_and_no_match(client: FhirClient, proxy: Proxy) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "not-supported", "diagnostics": "partly"}]}
    proxy.plan(answered(200, searchset(entry=[{"resource": outcome, "search": {"mode": "outcome"}}])))
    found = await client.search("Patient")
    assert len(found) == 0
    assert [(issue.severity, issue.code, issue.text) for issue in found.warnings] == [("warning", "not-supported", "partly")]


async def test_fc02_an_entry_that_is_no_resource_is_set_aside_and_named(client: FhirClient, proxy: Proxy) -> None:
    good = {"resource": {"resourceType": "Patient", "id": "a"}}
    proxy.plan(answered(200, searchset(entry=[{"resource": {"id": "b"}}, good, {"resource": 7}])))
    found = await client.search("Patient")
    assert [entry.reference for entry in found] == ["Patient/a"]
    assert [issue.code for issue in found.warnings] == ["structure", "structure"]


async def test_fc02_a_missing_total_is_no_matter(client: FhirClient, proxy: Proxy, key: str) -> None:
    proxy.plan(without_total)
    found = await client.search("Patient", by(key))
    assert (len(found), found.total) == (5, None)


@pytest.mark.parametrize(
    "link",
    [
        "http://evil.example/fhir/Patient?page=2",
        "{base}.evil.example/Patient?page=2",
        "http://user@{host}/fhir/Patient?page=2",
        "{root}/other/Patient?page=2",
        "{base}/../admin?page=2",
        "{base}/%2e%2e/admin",
        "{base}2/Patient?page=2",
        "https://{host}/fhir/Patient?page=2",
        "file:///etc/passwd",
    ],
)
async def test_fc02_se10_a_next_link_that_leaves_the_base_is_not_followed(proxy: Proxy, key: str, link: str) -> None:
    root = proxy.base_url.removesuffix("/fhir")
    proxy.plan(next_link(link.format(base=proxy.base_url, root=root, host=root.removeprefix("http://"))))
    async with FhirClient(proxy.base_url, limits=QUICK, token="secret-token") as client:
        with pytest.raises(NotFhir, match="set the server's own public address"):
            await client.search("Patient", by(key))
    assert len(proxy.seen) == 1


async def test_fc02_a_relative_next_link_is_followed(client: FhirClient, proxy: Proxy, key: str) -> None:
    proxy.plan(next_link(f"Patient?identifier={SYSTEM}%7C{key}&_format=json"), passed)
    assert (await client.search("Patient", by(key))).pages == 2


@pytest.mark.parametrize("status", [404, 410])
async def test_fc03_an_expired_page_starts_the_search_over_once(client: FhirClient, proxy: Proxy, key: str, status: int) -> None:
    proxy.plan(passed, answered(status))
    assert len(await client.search("Patient", by(key, _count="2"))) == 5
    assert len(proxy.seen) == 2 + 3


async def test_fc03_a_page_that_expires_again_is_gone(client: FhirClient, proxy: Proxy, key: str) -> None:
    proxy.plan(passed, answered(410), passed, answered(410))
    with pytest.raises(Gone):
        await client.search("Patient", by(key, _count="2"))
    assert len(proxy.seen) == 4


async def test_fc03_a_search_that_was_never_found_is_not_asked_twice(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(answered(404))
    with pytest.raises(NotFound):
        await client.search("Patient")
    assert len(proxy.seen) == 1


async def test_fc04_a_posted_search_keeps_the_identifier_out_of_the_url(client: FhirClient, proxy: Proxy, key: str) -> None:
    assert len(await client.search("Patient", by(key), post=True)) == 5
    assert (proxy.seen[0].method, proxy.seen[0].path) == ("POST", "/fhir/Patient/_search")


async def test_fc05_strict_handling_is_asked_for(client: FhirClient, proxy: Proxy, key: str) -> None:
    await client.search("Patient", by(key, _count="2"))
    assert [seen.headers["Prefer"] for seen in proxy.seen] == ["handling=strict"] * 3


async def test_fc05_a_parameter_missing_from_the_self_link_is_a_warning(client: FhirClient, proxy: Proxy, key: str) -> None:
    def forget(bundle: dict[str, Any]) -> None:
        bundle["link"] = [{"relation": "self", "url": f"{proxy.base_url}/Patient?active=true"}]

    proxy.plan(changed(forget))
    found = await client.search("Patient", by(key, active="true"))
    assert [issue.text for issue in found.warnings] == ["The server did not apply the search parameter identifier."]


@pytest.mark.parametrize("fault", [busy("0"), busy("0", 429), answered(502), answered(504), reset, truncated], ids=range(6))
async def test_fc06_a_read_is_repeated(client: FhirClient, proxy: Proxy, key: str, fault: Fault) -> None:
    proxy.plan(fault, fault)
    assert len(await client.search("Patient", by(key))) == 5
    assert len(proxy.seen) == 3


async def test_fc06_repetitions_are_bounded_and_the_last_answer_tells_when_to_come_back(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(*[busy("7")] * 9)
    with pytest.raises(Unavailable) as late:
        await client.search("Patient")
    assert (len(proxy.seen), late.value.retry_after) == (4, 7.0)


@pytest.mark.usefixtures("pauses")
async def test_fc06_retry_after_is_waited_for_in_seconds_and_as_a_date(client: FhirClient, proxy: Proxy, key: str) -> None:
    for form in (str, lambda seconds: format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)):
        proxy.plan(busy(form(2)))
        begun = time.monotonic()
        await client.search("Patient", by(key))
        assert 0.9 <= time.monotonic() - begun < 4


@pytest.mark.usefixtures("pauses")
async def test_fc06_an_endless_retry_after_is_clamped(proxy: Proxy, key: str) -> None:
    async with FhirClient(proxy.base_url, limits=Limits(retry_after=0.1)) as client:
        proxy.plan(busy("86400"))
        begun = time.monotonic()
        await client.search("Patient", by(key))
        assert time.monotonic() - begun < 2


@pytest.mark.parametrize("status", [400, 401, 403, 409, 422, 500])
async def test_fc06_other_refusals_are_not_repeated(client: FhirClient, proxy: Proxy, status: int) -> None:
    proxy.plan(answered(status))
    with pytest.raises(FigaroError):
        await client.search("Patient")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("fault", [busy("0"), answered(502), answered(500), reset, lost_reply], ids=range(5))
async def test_fc06_a_write_is_never_repeated(client: FhirClient, proxy: Proxy, fault: Fault) -> None:
    for write in (client.create(patient("x")), client.transaction({"resourceType": "Bundle", "type": "transaction"})):
        proxy.seen.clear()
        proxy.plan(fault, fault, fault)
        with pytest.raises(Unavailable):
            await write
        assert len(proxy.seen) == 1


@pytest.mark.parametrize("fault", [lost_reply, truncated, reset, answered(502), slow(0.3), silent(1)], ids=range(6))
async def test_fc07_a_lost_reply_to_a_write_is_an_unknown_outcome(client: FhirClient, proxy: Proxy, fault: Fault) -> None:
    proxy.plan(fault)
    with pytest.raises(Unavailable) as lost:
        await client.create(patient(str(uuid4())))
    assert lost.value.outcome_unknown


async def test_fc07_a_refused_write_is_known_not_to_have_happened(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(busy("3"))
    with pytest.raises(Unavailable) as busy_now:
        await client.create(patient("x"))
    assert not busy_now.value.outcome_unknown


async def test_fc07_after_a_lost_reply_the_write_is_found_by_identifier_and_not_made_twice(client: FhirClient, proxy: Proxy) -> None:
    key = str(uuid4())
    condition = f"identifier={SYSTEM}|{key}"
    proxy.plan(lost_reply)
    with pytest.raises(Unavailable):
        await client.create(patient(key), if_none_exist=condition)
    (there,) = await client.find("Patient", f"{SYSTEM}|{key}")
    again = await client.create(patient(key), if_none_exist=condition)
    assert (again.created, again.reference) == (False, there.reference)


@pytest.mark.parametrize("status", [409, 412])
async def test_fc08_409_and_412_are_both_a_conflict(client: FhirClient, proxy: Proxy, status: int) -> None:
    proxy.plan(answered(status))
    with pytest.raises(Conflict):
        await client.update({**patient("x"), "id": "a"}, if_match="1")
    assert proxy.seen[0].headers["If-Match"] == 'W/"1"'


@pytest.mark.parametrize(
    "location", ["{base}/Patient/7/_history/3", "http://inner.example/r4/Patient/7/_history/3", "Patient/7/_history/3", "/fhir/Patient/7"]
)
async def test_fc10_an_empty_201_is_read_from_its_location(client: FhirClient, proxy: Proxy, location: str) -> None:
    proxy.plan(answered(201, Location=location.format(base=proxy.base_url)))
    made = await client.create(patient("x"))
    assert (made.reference, made.created, made.resource) == ("Patient/7", True, None)
    assert made.version == ("3" if "_history" in location else None)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"resourceType":"Patient"}'])
async def test_fc10_a_transaction_whose_answer_is_no_bundle_is_an_unknown_outcome(client: FhirClient, proxy: Proxy, body: bytes) -> None:
    proxy.plan(answered(200, body))
    with pytest.raises(Unavailable) as lost:
        await client.transaction({"resourceType": "Bundle", "type": "transaction"})
    assert lost.value.outcome_unknown


@pytest.mark.parametrize("body", [b'{"resourceType":"Condition","id":"a"}', b"{}", b"null"])
async def test_a_read_that_is_answered_with_something_else_is_no_fhir(client: FhirClient, proxy: Proxy, body: bytes) -> None:
    proxy.plan(answered(200, body))
    with pytest.raises(NotFhir):
        await client.read("Patient", "a")


async def test_fc02_a_search_ends_at_its_time_cap(proxy: Proxy) -> None:
    pages = [searchset(link=[{"relation": "next", "url": f"{proxy.base_url}/Patient?n={n}"}]) for n in range(9)]
    proxy.plan(*map(partial(answered, 200), pages))
    async with FhirClient(proxy.base_url, limits=Limits(search=0)) as client:
        with pytest.raises(Unavailable, match="took over 0 s"):
            await client.search("Patient")


async def test_fc10_a_201_that_says_nothing_is_an_unknown_outcome(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(answered(201))
    with pytest.raises(Unavailable) as lost:
        await client.create(patient("x"))
    assert lost.value.outcome_unknown


async def test_fc13_a_server_s_words_are_kept_and_reach_no_text_and_no_log(
    proxy: Proxy, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "value", "diagnostics": "canary"}]}
    async with FhirClient(proxy.base_url, limits=QUICK, token="canary-token") as client:
        for status in (422, 503, 200):
            proxy.plan(*[answered(status, json.dumps(outcome).encode())] * 4)
            with pytest.raises(FigaroError) as refusal:
                await client.read("Patient", "canary-id")
            assert "canary" not in str(refusal.value) + repr(refusal.value)
            assert status == 200 or refusal.value.outcome[0].text == "canary"
    printed = capsys.readouterr()
    assert "canary" not in caplog.text + printed.out + printed.err


async def test_fc15_what_we_do_not_understand_comes_through_as_it_was_sent(client: FhirClient, proxy: Proxy) -> None:
    odd = b'{"resourceType":"Patient","id":"a","gender":"unheard-of","extension":[{"url":"https://who.example/x","valueDecimal":1.10}]}'
    bundle = (
        b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":%s},{"resource":{"resourceType":"Patient","id":"b"}}]}' % odd
    )
    proxy.plan(answered(200, bundle))
    found = await client.search("Patient")
    assert [entry.id for entry in found] == ["a", "b"]
    assert bytes(found.entries[0].resource or b"") == odd


async def test_fc16_an_answer_in_drops_ends_at_the_total_time(client: FhirClient, proxy: Proxy, key: str) -> None:
    proxy.plan(slow(0.3))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="no whole answer within 2 s"):
        await client.search("Patient", by(key))
    assert time.monotonic() - begun < 3


async def test_fc16_a_silent_server_ends_at_the_read_time_and_is_asked_once(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(silent(1))
    with pytest.raises(Unavailable, match=r"silent for 0\.5 s"):
        await client.search("Patient")
    assert len(proxy.seen) == 1


@pytest.mark.parametrize("packed", [False, True])
async def test_fc16_an_answer_over_the_cap_is_given_up_also_when_packed(client: FhirClient, proxy: Proxy, packed: bool) -> None:
    body = searchset(note="x" * 10_000_000)
    proxy.plan(answered(200, gzip.compress(body), Content_Encoding="gzip") if packed else answered(200, body))
    with pytest.raises(NotFhir, match="more than"):
        await client.search("Patient")


async def test_fc16_a_gzip_answer_is_unpacked(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(answered(200, gzip.compress(searchset(total=3)), Content_Encoding="gzip"))
    assert (await client.search("Patient")).total == 3


async def test_fc16_nesting_without_end_is_no_fhir(client: FhirClient, proxy: Proxy) -> None:
    proxy.plan(answered(200, b'{"resourceType":"Bundle","type":' + b"[" * 90_000))
    with pytest.raises(NotFhir):
        await client.search("Patient")


async def test_fc16_no_more_requests_than_allowed_are_under_way(proxy: Proxy) -> None:
    under_way = most = 0

    async def counted(_proxy: Proxy, _request: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.02)
        under_way -= 1
        return await answered(200, searchset())(_proxy, _request)

    proxy.plan(*[counted] * 30)
    async with FhirClient(proxy.base_url, concurrency=3) as client:
        await asyncio.gather(*(client.search("Patient") for _ in range(30)))
    assert most == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_se09_a_redirect_is_not_followed_and_its_host_is_named(client: FhirClient, proxy: Proxy, status: int) -> None:
    proxy.plan(answered(status, Location="https://login.example/start?secret=1"))
    with pytest.raises(NotFhir, match=r"login\.example") as refusal:
        await client.search("Patient")
    assert "secret" not in refusal.value.text
    assert len(proxy.seen) == 1


async def test_se10_a_token_goes_to_the_server_and_into_no_text(sekmet: str) -> None:
    with embedded_fhir_server(token="right-token") as base_url:
        async with FhirClient(base_url, token="right-token") as client:
            assert len(await client.search("Patient")) == 0
        async with FhirClient(base_url, token="wrong-token") as client:
            with pytest.raises(Unauthorised, match="401") as refusal:
                await client.search("Patient")
    assert "wrong-token" not in str(refusal.value)


async def test_a_token_can_be_fetched_afresh_for_each_request(proxy: Proxy) -> None:
    given = iter(["first", "second"])

    async def token() -> str:
        return next(given)

    async with FhirClient(proxy.base_url, token=token) as client:
        await client.search("Patient", by("nobody"))
        await client.search("Patient", by("nobody"))
    assert [seen.headers["Authorization"] for seen in proxy.seen] == ["Bearer first", "Bearer second"]


class Renewed:
    """An authority whose first token is spent."""

    def __init__(self, *headers: str) -> None:
        self.headers = list(headers)
        self.told: list[str | None] = []

    async def header(self) -> str | None:
        return self.headers[0]

    async def refused(self, header: str | None = None) -> None:
        self.told.append(header)
        self.headers = self.headers[1:] or self.headers


async def test_se10_a_401_is_told_and_answered_once_with_a_fresh_token_also_for_a_write(proxy: Proxy) -> None:
    for call in (lambda client: client.search("Patient", by("nobody")), lambda client: client.create(patient(str(uuid4())))):
        proxy.seen.clear()
        authority = Renewed("Bearer spent", "Bearer fresh")
        async with FhirClient(proxy.base_url, token=authority) as client:
            proxy.plan(answered(401))
            await call(client)
        assert authority.told == ["Bearer spent"]
        assert [seen.headers["Authorization"] for seen in proxy.seen] == ["Bearer spent", "Bearer fresh"]


async def test_se10_a_401_to_the_only_token_there_is_ends_it(proxy: Proxy) -> None:
    async with FhirClient(proxy.base_url, token=Renewed("Bearer only")) as client:
        proxy.plan(answered(401), answered(401))
        with pytest.raises(Unauthorised):
            await client.search("Patient", by("nobody"))
    assert len(proxy.seen) == 1


def resolving(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """The name server's answers for one name, one after another; the last one stays."""
    real, left = socket.getaddrinfo, list(addresses)

    def getaddrinfo(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != name:
            return real(host, port, *args, **more)
        return real(left.pop(0) if len(left) > 1 else left[0], port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def test_se09_a_name_that_leads_into_a_private_network_is_not_asked_unless_that_is_in_the_settings(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "ehr.example.org", "127.0.0.1")
    base = proxy.base_url.replace("127.0.0.1", "ehr.example.org")
    async with FhirClient(base, limits=QUICK) as client:
        with pytest.raises(Unavailable, match=r"leads into a private network.*FIGARO_FHIR_NETWORKS") as refusal:
            await client.search("Patient")
    assert (proxy.seen, refusal.value.code, "127.0.0.1" in refusal.value.text) == ([], "security", False)
    async with FhirClient(base, limits=QUICK, reach=Reach(["127.0.0.0/8"])) as client:
        await client.search("Patient", by("nobody"))
    assert len(proxy.seen) == 1


async def test_se09_a_name_that_changes_its_mind_between_two_requests_is_not_followed(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, "ehr.example.org", "127.0.0.1", "169.254.169.254")
    base = proxy.base_url.replace("127.0.0.1", "ehr.example.org")
    async with guarded(Reach(["127.0.0.0/8"])) as session:
        assert session.connector is not None
        async with FhirClient(base, limits=QUICK, session=session) as client:
            await client.search("Patient", by("nobody"))
            session.connector.clear_dns_cache()  # type: ignore[attr-defined]
            proxy.plan(answered(200, searchset(), Connection="close"))
            await client.search("Patient")
            with pytest.raises(Unavailable, match="leads where nothing is ever asked"):
                await client.search("Patient")
    assert len(proxy.seen) == 2


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f000001"])
async def test_se09_an_address_in_disguise_is_not_asked(proxy: Proxy, host: str) -> None:
    async with FhirClient(proxy.base_url.replace("127.0.0.1", host), limits=QUICK) as client:
        with pytest.raises(Unavailable):
            await client.search("Patient")
    assert proxy.seen == []


async def test_fc04_where_no_search_can_be_posted_it_is_sent_by_get_and_not_posted_again(
    client: FhirClient, proxy: Proxy, key: str
) -> None:
    proxy.plan(answered(405))
    for _ in range(2):
        assert len(await client.search("Patient", by(key), post=True)) == 5
    assert [seen.method for seen in proxy.seen] == ["POST", "GET", "GET"]
    assert not client.posts


async def test_fc06_a_server_that_is_down_is_left_alone_by_all_its_clients(proxy: Proxy) -> None:
    pace = Pace(failures=4, rest=60)
    async with FhirClient(proxy.base_url, pace=pace) as one, FhirClient(proxy.base_url, pace=pace) as other:
        proxy.plan(*[busy("0")] * 9)
        with pytest.raises(Unavailable, match="answered 503"):
            await one.search("Patient")
        for call in (other.search("Patient"), other.create(patient("x"))):
            with pytest.raises(Unavailable, match="left alone") as resting:
                await call
            assert not resting.value.outcome_unknown
    assert len(proxy.seen) == 4


async def test_fc09_a_conflict_keeps_the_reason_that_the_server_gives(client: FhirClient, proxy: Proxy) -> None:
    issue = {"severity": "error", "code": "duplicate", "expression": ["Patient.identifier"]}
    proxy.plan(answered(409, json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()))
    with pytest.raises(Conflict) as conflict:
        await client.create(patient("x"))
    assert [(issue.code, issue.expression) for issue in conflict.value.outcome] == [("duplicate", ("Patient.identifier",))]


async def test_fc10_what_is_to_come_back_is_asked_for(client: FhirClient, proxy: Proxy) -> None:
    await client.create(patient(str(uuid4())))
    assert proxy.seen[-1].headers["Prefer"] == "return=representation"


@pytest.mark.parametrize(
    ("status", "declared", "taken"), [(404, True, False), (405, True, False), (501, True, False), (403, True, False), (400, True, True)]
)
async def test_fc12_a_transaction_that_is_offered_is_tried_without_entries(proxy: Proxy, status: int, declared: bool, taken: bool) -> None:
    proxy.plan(passed, answered(status))
    async with FhirClient(proxy.base_url) as client:
        offer = await client.offer()
        assert (offer.said.system("transaction"), offer.transactions) == (declared, taken)
        assert (await client.offer()) == offer
    assert [seen.method for seen in proxy.seen] == ["GET", "POST"]


async def test_fc17_the_server_s_clock_is_compared_with_ours(client: FhirClient, proxy: Proxy) -> None:
    late = format_datetime(datetime.now(UTC) - timedelta(minutes=12), usegmt=True)
    proxy.plan(answered(200, searchset(), Date=late))
    assert client.skew is None
    await client.search("Patient")
    assert client.skew is not None
    assert -725 < client.skew < -715


async def test_lg02_the_request_id_goes_along(client: FhirClient, proxy: Proxy) -> None:
    with structlog.contextvars.bound_contextvars(request_id="abc-1"):
        await client.search("Patient")
    assert proxy.seen[0].headers["X-Request-Id"] == "abc-1"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (web_page(), "a web page, not FHIR JSON"),
        (web_page(404), "a web page, not FHIR JSON"),
        (answered(200, b""), "empty body"),
        (answered(200, b"<Bundle/>", Content_Type="application/fhir+xml"), "application/fhir\\+xml, not FHIR JSON"),
        (answered(200, b'{"resourceType":"Patient"}'), "is no CapabilityStatement"),
        (answered(200, b'{"resourceType":"CapabilityStatement","fhirVersion":"5.0.0"}'), "speaks FHIR 5.0.0; we speak R4"),
        (answered(200, b'{"resourceType":"CapabilityStatement"}'), "speaks FHIR \\?"),
        (answered(200, b'{"resourceType":"Capab'), "is no CapabilityStatement"),
    ],
)
async def test_what_is_no_fhir_r4_is_refused_naming_the_base(client: FhirClient, proxy: Proxy, fault: Fault, says: str) -> None:
    proxy.plan(fault)
    with pytest.raises(NotFhir, match=says) as refusal:
        await client.capabilities()
    assert proxy.base_url in refusal.value.text


@pytest.mark.parametrize(
    ("base_url", "says"),
    [("http://127.0.0.1:1/fhir", "refuses connections"), ("http://no-such-host.invalid/fhir", "does not resolve")],
)
async def test_a_server_that_is_not_there_is_named(base_url: str, says: str) -> None:
    async with FhirClient(base_url, limits=QUICK) as client:
        with pytest.raises(Unavailable, match=says) as absent:
            await client.capabilities()
    assert base_url in absent.value.text


async def test_a_server_that_speaks_no_tls_is_named(sekmet: str) -> None:
    async with FhirClient(sekmet.replace("http:", "https:"), limits=QUICK) as client:
        with pytest.raises(Unavailable, match="does not speak TLS") as refusal:
            await client.capabilities()
    assert refusal.value.code == "security"


async def test_a_server_with_a_certificate_of_its_own_making_is_named(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(self_signed(tmp_path))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0, ssl=tls)
    async with server, FhirClient(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/fhir", limits=QUICK) as client:
        with pytest.raises(Unavailable, match="certificate that this machine does not trust"):
            await client.capabilities()


def self_signed(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody has issued, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "both.pem").write_bytes(private + certificate)
    return folder / "both.pem"


@pytest.mark.parametrize(
    "call",
    [lambda server: server.create({"id": "x"}), lambda server: server.update(patient("x")), lambda server: server.create(b"no json")],
)
async def test_what_is_no_resource_is_refused_before_it_is_sent(
    client: FhirClient, proxy: Proxy, call: Callable[[FhirClient], Any]
) -> None:
    with pytest.raises(Refused):
        await call(client)
    assert proxy.seen == []
