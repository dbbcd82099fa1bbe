"""Topics that a server only names, in its CapabilityStatement: what they fire at is unknown, so they are used by those who know it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.ingest.notification import SUBJECTS
from services.ingest.subscription_resource import topics_by_type, unexplained, wishes
from tests.cli.test_check import check
from tests.ingest.doorbell import SECRET
from tests.journeys.test_subscription import topic

pytestmark = pytest.mark.server
Json = dict[str, Any]
NAMES = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"
KNOWN, UNKNOWN = "https://ehr.example/topics/patients", "https://ehr.example/topics/admissions|2.1"


def defined(canonical: str, kind: str, *interactions: str, **more: Json) -> Json:
    """A SubscriptionTopic, as R4B has it."""
    trigger = {"resource": kind, "supportedInteraction": list(interactions), **more}
    return {"resourceType": "SubscriptionTopic", "id": "t", "url": canonical, "status": "active", "resourceTrigger": [trigger]}


DEFINED = defined(KNOWN, "http://hl7.org/fhir/StructureDefinition/Patient", "create", "update")


class Naming:
    """A FHIR server that names its topics, defines one of them, and takes Subscriptions to those and by criteria."""

    def __init__(self) -> None:
        self.taken: list[Json] = []

    def said(self) -> Json:
        kinds = [{"type": kind, "interaction": [{"code": "search-type"}]} for kind in (*SUBJECTS, "SubscriptionTopic")]
        named = [{"url": NAMES, "valueCanonical": one} for one in (KNOWN, UNKNOWN, UNKNOWN)]
        ours = {"type": "Subscription", "interaction": [{"code": "create"}], "extension": [*named, {"url": "https://ehr.example/other"}]}
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"mode": "server", "resource": [*kinds, ours]}]}

    async def handle(self, request: web.Request) -> web.Response:
        match request.method, request.path.removeprefix("/fhir/").split("/"):
            case "GET", ["metadata"]:
                return _answer(self.said())
            case "POST", ["Subscription"]:
                made = await request.json()
                if "?" not in made["criteria"] and made["criteria"] not in (KNOWN, UNKNOWN):
                    return _answer({"resourceType": "OperationOutcome", "issue": []}, 422)
                self.taken.append({**made, "id": f"s{len(self.taken)}", "status": "active"})
                return _answer(self.taken[-1], 201)
            case "GET", ["Subscription", name]:
                return _answer(next(one for one in self.taken if one["id"] == name))
            case "GET", [kind]:
                found = {"SubscriptionTopic": [DEFINED], "Subscription": self.taken}.get(kind, [])
                return _answer({"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": one} for one in found]})
        return _answer({"resourceType": "OperationOutcome", "issue": []}, 404)

    def criteria(self) -> list[str]:
        return sorted(one["criteria"] for one in self.taken)


def _answer(said: Json, status: int = 200) -> web.Response:
    return web.json_response(said, status=status, content_type="application/fhir+json")


@asynccontextmanager
async def naming() -> AsyncIterator[tuple[Naming, str]]:
    server, app = Naming(), web.Application()
    app.router.add_route("*", "/{rest:.*}", server.handle)
    async with TestServer(app, host="127.0.0.1") as served:
        yield server, str(served.make_url("/fhir"))


async def subscribing(base: str, *options: str) -> subprocess.CompletedProcess[str]:
    env = {"FIGARO_FHIR_BASE": base, "FIGARO_PUBLIC_URL": "http://127.0.0.1:9/ingest", "FIGARO_NOTIFICATION_SECRET": SECRET}
    command = [sys.executable, "-c", "from services.cli import main; main()", "subscribe", base, *options]
    return await asyncio.to_thread(
        subprocess.run, command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60, check=False
    )


async def test_su_21_a_topic_that_is_only_named_is_told_once_and_criteria_are_used() -> None:
    """SU-21: and one that the server names and defines is used for its type."""
    async with naming() as (server, base):
        done = await subscribing(base)
        assert done.returncode == 0, done.stderr
        assert server.criteria() == sorted(wish.criteria for wish in wishes({"Patient": KNOWN}))
        assert done.stderr.count(UNKNOWN) == done.stderr.count("\n") == 1
        assert KNOWN not in done.stderr
        assert "--topic URL" in done.stderr


async def test_su_21_a_topic_that_is_only_named_is_taken_by_who_knows_it() -> None:
    """SU-21: and then nothing is left to be told."""
    async with naming() as (server, base):
        done = await subscribing(base, "--topic", UNKNOWN)
        assert (done.returncode, done.stderr) == (0, "")
        assert server.criteria() == [UNKNOWN]


async def test_su_21_check_tells_how_many_topics_a_server_names() -> None:
    """SU-21: for who looks before hanging Figaro on."""
    async with naming() as (_, base):
        _, rows, _ = await check(base)
    assert rows["subscriptions"] == ("yes", "can be created; whether they fire is seen by `figaro subscribe`; topics it names: 2")


def test_su_21_a_subscription_topic_says_as_much_as_its_like_in_basic() -> None:
    """SU-21: an R4 server may have the resource itself."""
    narrowed = defined("https://ehr.example/topics/b", "Condition", "create", "update", queryCriteria={"current": "code=x"})
    created = defined("https://ehr.example/topics/c", "Procedure", "create")
    shown = [DEFINED, narrowed, created, {"resourceType": "SubscriptionTopic"}, topic("d", "Observation")]
    assert topics_by_type(shown) == {"Patient": KNOWN, "Observation": "https://ehr.example/topics/d"}
    named = [KNOWN, "https://ehr.example/topics/b|1", "https://ehr.example/topics/nobody-defines-this"]
    assert unexplained(named, shown) == named[2:]
