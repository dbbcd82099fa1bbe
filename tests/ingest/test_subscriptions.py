"""Our Subscriptions on a server: as they should be, kept so, watched, and never anybody else's."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr
from sqlmodel import select
from structlog.testing import capture_logs

from services.ingest.instants import now
from services.ingest.settings import IngestSettings
from services.ingest.subscription_resource import HEARTBEAT as HEARTBEAT_SECONDS
from services.ingest.subscription_resource import Wish, as_wished, resource, topical, topics_by_type, wishes
from services.ingest.subscriptions import Standing, Subscriptions
from services.ingest.tables import Channel
from services.subscribing import address, subscribe
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Refused, Rejected, quoted, to_bytes
from shared.fhir.r4 import complaints
from tests.ingest.doorbell import SECRET, Bell, ringing
from tests.ingest.topics import HEARTBEAT, status
from tests.ingest.topics import told as told_of
from tests.journeys.test_subscription import topic

PLACE = "http://127.0.0.1:9/ingest"
Json = dict[str, Any]


@pytest.fixture
async def server(sekmet: str) -> AsyncIterator[FhirClient]:
    async with FhirClient(sekmet) as client:
        for entry in await client.search("Subscription", {"_count": "200"}):
            await client.delete("Subscription", entry.id)
        yield client


def told(server: FhirClient, **more: Any) -> IngestSettings:
    return IngestSettings(**{"fhir_base": server.base_url, "public_url": PLACE, "notification_secret": SECRET, **more})


async def there(server: FhirClient) -> list[Json]:
    return [json.loads(bytes(entry.resource or b"")) for entry in await server.search("Subscription", {"_count": "200"})]


def by(stands: list[Standing], what: str) -> int:
    return sum(one.done == what for one in stands)


@pytest.mark.parametrize("wish", [Wish("condition", "Condition", "Condition?"), topical("https://ehr.example/topics/x")])
def test_su_01_su_20_a_subscription_is_valid_r4_with_a_secret_and_an_end(wish: Wish) -> None:
    """SU-01, SU-14; and by topic SU-20, SU-25: ids only."""
    made = resource(wish, f"{PLACE}/notifications/default/x/y", SECRET, "2027-01-01T00:00:00+00:00")
    assert complaints(json.dumps(made).encode()) == []
    assert (made["status"], made["channel"]["type"]) == ("requested", "rest-hook")
    assert made["channel"]["header"] == [f"Authorization: Bearer {SECRET}"]
    assert made["criteria"] == wish.criteria
    assert ("id-only" in json.dumps(made)) == wish.topical


def test_every_type_of_a_record_is_wished_for_once_on_a_channel_of_its_own() -> None:
    every = wishes({})
    assert len({wish.channel for wish in every}) == len(every)
    assert {"Patient", "Condition", "Observation", "Procedure", "MedicationAdministration"} <= {wish.type for wish in every}
    assert [wish.criteria for wish in wishes({"Condition": "https://t.example/c"}) if wish.topical] == ["https://t.example/c"]


def test_su_21_only_a_topic_that_fires_at_every_change_stands_for_a_type() -> None:
    """SU-21: one that is narrowed would hide changes."""
    always, narrowed, created = topic("a", "Condition"), topic("b", "Observation"), topic("c", "Procedure")
    narrowed["extension"][1]["extension"].append({"url": "fhirPathCriteria", "valueString": "%current.status = 'final'"})
    created["extension"][1]["extension"].pop()
    of_the_guide = topic("e", "Patient")  # whose examples have the trigger in the extension of R4B
    of_the_guide["extension"][1]["url"] = of_the_guide["extension"][1]["url"].replace("/5.0/", "/4.3/")
    found = topics_by_type([always, narrowed, created, topic("d", "Encounter"), of_the_guide])
    assert found == {"Condition": "https://ehr.example/topics/a", "Patient": "https://ehr.example/topics/e"}


def test_a_server_that_hides_the_header_is_believed() -> None:
    wanted = resource(Wish("c", "Condition", "Condition?"), "https://x.example/n", SECRET, "2027-01-01")
    assert as_wished(wanted, wanted)
    assert as_wished({**wanted, "channel": {**wanted["channel"], "header": ["Authorization: [redacted]"]}}, wanted)
    assert not as_wished({**wanted, "channel": {**wanted["channel"], "header": ["Authorization: Bearer old"]}}, wanted)
    assert not as_wished({**wanted, "criteria": "Condition?code=x"}, wanted)


async def test_su_28_subscribe_is_safe_to_repeat_and_mends_what_is_broken(server: FhirClient) -> None:
    """SU-28: an error is repaired, an end that is near is put off, a changed secret is taken over, a double is deleted."""
    theirs = {
        "resourceType": "Subscription",
        "status": "off",
        "reason": "x",
        "criteria": "Condition?",
        "channel": {"type": "rest-hook", "endpoint": "http://127.0.0.1:9/theirs"},
    }
    await server.create(theirs)
    first = await subscribe(server.base_url, told(server), remove=False, topics=())
    ours = [one for one in first if one.channel.startswith(("condition", "procedure", "extent"))]
    assert by(first, "created") == len(first) == 10
    assert {one.status for one in ours} == {"active"}
    before = await there(server)
    again = await subscribe(server.base_url, told(server), remove=False, topics=())
    assert {one.reference for one in again} == {one.reference for one in first}
    assert {one.done for one in again if not one.channel.startswith("topic")} == {"kept"}
    broken = next(one for one in before if one["criteria"] == "Condition?" and PLACE in one["channel"]["endpoint"])
    await server.update({**broken, "status": "error"})
    ending = next(one for one in before if one["criteria"] == "Procedure?")
    await server.update({**ending, "end": "2026-12-01T00:00:00Z"})
    await server.create({key: value for key, value in ending.items() if key not in ("id", "meta")})
    mended = await subscribe(server.base_url, told(server), remove=False, topics=())
    assert {one.channel for one in mended if one.done == "renewed" and not one.channel.startswith("topic")} == {"condition", "procedure"}
    assert len([one for one in await there(server) if one["criteria"] == "Procedure?"]) == 1
    next_secret = told(server, notification_secret="the next secret of this test", notification_secret_before=SECRET)
    turned = await subscribe(server.base_url, next_secret, remove=False, topics=())
    assert {one.done for one in turned} == {"renewed"}
    gone = await subscribe(server.base_url, next_secret, remove=True, topics=())
    assert by(gone, "removed") == 10
    assert [one["channel"]["endpoint"] for one in await there(server)] == ["http://127.0.0.1:9/theirs"], "other people's are left alone"


@pytest.mark.parametrize("lacking", ["public_url", "notification_secret"])
async def test_what_is_missing_is_named_before_anything_is_asked(server: FhirClient, lacking: str) -> None:
    with pytest.raises(Refused, match=f"FIGARO_{lacking.upper()}"):
        await subscribe(server.base_url, told(server, **{lacking: None}), remove=False, topics=())
    with pytest.raises(Refused):
        await subscribe("https://elsewhere.example/fhir", told(server), remove=False, topics=())


def test_the_address_for_an_engine_is_made_without_a_network() -> None:
    settings = IngestSettings(fhir_base="https://ehr.example/fhir", public_url=PLACE + "/", notification_secret=SecretStr(SECRET))
    assert address("https://ehr.example/fhir", settings).startswith(f"{PLACE}/notifications/default/push/")


async def test_su_10_a_server_without_subscriptions_is_told_from_one_that_has_them() -> None:
    async def metadata(_: web.Request) -> web.Response:
        said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": []}]}
        return web.json_response(said, content_type="application/fhir+json")

    app = web.Application()
    app.router.add_get("/fhir/metadata", metadata)
    async with TestServer(app, host="127.0.0.1") as bare, FhirClient(str(bare.make_url("/fhir"))) as client:
        with pytest.raises(Refused, match="FIGARO_SWEEP_SECONDS"):
            await Subscriptions(client, PLACE).ensure(lambda channel: channel, SECRET)


@pytest.mark.parametrize("command", ["subscribe {base}", "subscribe {base} --json-errors"])
async def test_what_a_server_says_against_what_it_was_asked_is_shown_to_whoever_gave_the_command(command: str) -> None:
    """Without what a terminal takes for an order, and without our secret."""
    rest = {"mode": "server", "resource": [{"type": "Subscription", "interaction": [{"code": "create"}]}, {"type": "Condition"}]}
    words = f"HAPI-0011: criteria must be \x1b[31mA?b=c, not this one with Authorization: Bearer {SECRET.split()[0]}"

    async def answer(request: web.Request) -> web.Response:
        said: Json = {"resourceType": "Bundle", "type": "searchset"}
        if request.path.endswith("/metadata"):
            said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}
        if refused := request.method == "POST":
            said = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing", "diagnostics": words}]}
        return web.json_response(said, status=422 if refused else 200, content_type="application/fhir+json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as strict:
        base = str(strict.make_url("/fhir"))
        env = {"FIGARO_FHIR_BASE": base, "FIGARO_PUBLIC_URL": PLACE, "FIGARO_NOTIFICATION_SECRET": SECRET}
        given = command.format(base=base).split()
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", "from services.cli import main; main()", *given],
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    said = json.loads(done.stderr)["issue"][-1]["diagnostics"] if "--json-errors" in given else done.stderr
    assert "HAPI-0011: criteria must be [31mA?b=c, not this one with Authorization: Bearer …" in said
    assert "its own issues tell why." in done.stderr


async def test_what_a_server_says_of_a_patient_is_not_shown_and_where_to_look_is() -> None:
    said = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "processing", "diagnostics": "Zxqname is wrong"}]}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(said, status=422, content_type="application/fhir+json")

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as strict, FhirClient(str(strict.make_url("/fhir"))) as client:
        with pytest.raises(Rejected, match="look into its log") as caught:
            await client.search("Condition", {"patient": "1"})
        assert quoted(caught.value) == []
        assert b"Zxqname" not in to_bytes(caught.value, quoting=True)
        with pytest.raises(Rejected, match=r"its own issues tell why\.$") as asked:
            await client.capabilities()
        assert quoted(asked.value) == ["Zxqname is wrong"]
        assert b"Zxqname" not in to_bytes(asked.value), "an HTTP answer of ours quotes nobody"


async def test_su_28_a_subscription_in_error_or_gone_shows_in_health_and_metrics_and_a_sweep_goes_on(
    server: FhirClient, tmp_path: Path
) -> None:
    """SU-28, SU-26: `error`, `missing`, and `silent` where the heartbeat has stopped; none of it makes ingest not ready."""
    async with ringing(tmp_path, server.base_url, public_url=PLACE) as bell:
        made = await subscribe(server.base_url, told(server), remove=False, topics=())
        condition, procedure = (next(one for one in made if one.channel == name) for name in ("condition", "procedure"))
        silent = next(one for one in made if one.channel.startswith("topic"))
        whole = {one["id"]: one for one in await there(server)}
        await server.update({**whole[condition.reference.partition("/")[2]], "status": "error"})
        await server.update({**whole[silent.reference.partition("/")[2]], "status": "off"})
        await bell.ingest.rounds.sweep(bell.base)
        await server.delete(*procedure.reference.split("/"))
        await server.update({**whole[condition.reference.partition("/")[2]], "status": "error"})  # it was restarted, and fails again
        await bell.ingest.rounds.sweep(bell.base)
        stands = {channel.name: channel.status for channel in bell.ingest.inbox.channels()}
        assert (stands["condition"], stands["procedure"], stands["extent"]) == ("error", "missing", "active")
        said = await bell.ingest.rounds.stands()
        assert {one["channel"]: one["status"] for one in said["subscriptions"]} == stands  # type: ignore[attr-defined]
        async with bell.session.get(f"{bell.url}/metrics") as answer:
            text = await answer.text()
        assert 'figaro_subscription_active{channel="condition",issuer="default"} 0.0' in text
        assert 'figaro_subscription_active{channel="extent",issuer="default"} 1.0' in text
        assert 'figaro_sweep_age_seconds{issuer="default"}' in text
        waiting = bell.ingest.inbox.waiting().get(bell.base, 0)
        assert f'figaro_waiting{{issuer="default"}} {waiting}.0' in text
    await subscribe(server.base_url, told(server), remove=True, topics=())


async def test_su_28_the_running_service_restarts_a_stopped_subscription_less_and_less_often(server: FhirClient, tmp_path: Path) -> None:
    """SU-28: at once, with today's secret; where it stops again only after a time that doubles; and from the start once it has worked."""
    endpoint = f"{PLACE}/notifications/default/condition/old"
    await server.create(resource(Wish("condition", "Condition", "Condition?"), endpoint, SECRET, "2027-01-01T00:00:00Z"))
    async with ringing(tmp_path, server.base_url, public_url=PLACE, notification_secret="the next secret of this test") as bell:

        async def stopped(status: str) -> Json:
            """The Subscription for Conditions after the server has stopped it and ingest has made its round."""
            [one] = [one for one in await there(server) if one["criteria"] == "Condition?"]
            await server.update({**one, "status": status, "channel": {**one["channel"], "header": ["Authorization: [redacted]"]}})
            await bell.ingest.rounds.sweep(bell.base)
            return json.loads(await server.read("Subscription", one["id"]))  # type: ignore[no-any-return]

        def waits() -> tuple[int, str | None]:
            [row] = [row for row in bell.ingest.inbox.channels() if row.name == "condition"]
            return row.restarts, row.restart_at

        one = await stopped("error")
        assert one["status"] in ("requested", "active")
        assert one["channel"]["header"] == ["Authorization: Bearer the next secret of this test"]
        assert one["channel"]["endpoint"].endswith(bell.ingest.channels.path(bell.ingest.servers.issuer(None), "condition"))
        assert now(timedelta(minutes=4)) < (waits()[1] or "") < now(timedelta(minutes=6))
        assert (await stopped("off"))["status"] == "off"
        assert waits()[0] == 1
        past(bell, "condition")
        assert (await stopped("off"))["status"] in ("requested", "active")
        assert now(timedelta(minutes=9)) < (waits()[1] or "") < now(timedelta(minutes=11))
        past(bell, "condition")
        await bell.ingest.rounds.sweep(bell.base)
        assert waits() == (0, None)
        said = await bell.ingest.rounds.stands()
        assert {"restarts": 0, "restart_at": None}.items() <= said["subscriptions"][0].items()  # type: ignore[index]


def past(bell: Bell, channel: str) -> None:
    """As if the wait were over."""
    with bell.ingest.ledger.transaction() as session:
        for row in session.exec(select(Channel).where(Channel.name == channel)):
            row.restart_at = now(-timedelta(seconds=1))


def unheard(bell: Bell, channel: str) -> None:
    """As if it had been quiet for longer than two heartbeats take."""
    with bell.ingest.ledger.transaction() as session:
        for row in session.exec(select(Channel).where(Channel.name == channel)):
            row.heard = now(-timedelta(seconds=2 * HEARTBEAT_SECONDS + 1))


@pytest.mark.parametrize("allowed", [True, False])
async def test_su_28_where_we_may_not_write_subscriptions_that_is_logged_and_not_asked_at_every_round(
    tmp_path: Path, allowed: bool
) -> None:
    """SU-28: whether the server says so before, or only when it is asked."""
    stopped = {
        **resource(
            Wish("condition", "Condition", "Condition?"), f"{PLACE}/notifications/default/condition/y", SECRET, "2027-01-01T00:00:00Z"
        ),
        "id": "s1",
        "status": "error",
    }
    puts = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "PUT":
            puts.append(request.path)
            return web.json_response({"resourceType": "OperationOutcome"}, status=403, content_type="application/fhir+json")
        said: Json = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": stopped}]}
        if request.path.endswith("/metadata"):
            offers = [{"code": code} for code in ("search-type", *(["update"] if allowed else []))]
            rest = {"mode": "server", "resource": [{"type": "Subscription", "interaction": offers}]}
            said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}
        return web.json_response(
            said if "Subscription" in str(said) and request.method == "GET" else {}, content_type="application/fhir+json"
        )

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as bare, ringing(tmp_path, str(bare.make_url("/fhir")), public_url=PLACE) as bell:
        with capture_logs() as logs:
            await bell.ingest.rounds.sweep(bell.base)
            await bell.ingest.rounds.sweep(bell.base)
        assert len(puts) == int(allowed)
        assert [line["channel"] for line in logs if line["event"] == "subscription_not_restarted"] == ["condition"]
        async with bell.session.get(f"{bell.url}/metrics") as shown:
            assert 'figaro_subscription_active{channel="condition",issuer="default"} 0.0' in await shown.text()


async def test_su_26_a_topic_whose_heartbeat_has_stopped_is_asked_and_called_silent(tmp_path: Path) -> None:
    """SU-26, SU-27: by `$status`; one that never had a heartbeat is not asked about it."""
    there = resource(topical("https://t.example/c"), f"{PLACE}/notifications/default/topic-x/y", SECRET, "2027-01-01T00:00:00Z")
    said = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": status("query-status", counted=3)}]}
    found = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": {**there, "id": "s1", "status": "active"}}]}

    async def answer(request: web.Request) -> web.Response:
        body = {"/fhir/Subscription": found, "/fhir/Subscription/s1/$status": said}.get(request.path)
        return web.json_response(
            body or {"resourceType": "OperationOutcome"}, status=200 if body else 404, content_type="application/fhir+json"
        )

    app = web.Application()
    app.router.add_get("/{rest:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as bare, ringing(tmp_path, str(bare.make_url("/fhir")), public_url=PLACE) as bell:
        await bell.ingest.rounds.sweep(bell.base)
        assert [channel.status for channel in bell.ingest.inbox.channels()] == ["active"], "HAPI sends none, whatever it is asked for"
        await bell.at("topic-x").ring(told_of(status(HEARTBEAT, counted=3)))
        unheard(bell, "topic-x")
        await bell.ingest.rounds.sweep(bell.base)
        assert [channel.status for channel in bell.ingest.inbox.channels()] == ["silent"]
        await bell.at("topic-x").ring(b"")
        await bell.ingest.rounds.sweep(bell.base)
        assert [channel.status for channel in bell.ingest.inbox.channels()] == ["active"], "heard again"
