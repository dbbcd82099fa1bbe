"""Who has read and written what of whom: on real servers as AuditEvent, and in our own log where they take none."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog

from services.ingest.pull import queries
from shared.fhir.audit import Auditor, Deed, Person
from shared.fhir.client import FhirClient
from shared.fhir.r4 import complaints
from shared.service import log
from tests.peers.small_server import Switches, small_server

KEY = "a key of the tests"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What stands in the log of a service whose operator wants to hear of errors only."""
    stream = io.StringIO()
    log.configure("ERROR", stream)
    yield stream
    structlog.reset_defaults()


async def test_lg05_a_pull_is_told_with_patient_queries_and_request_id(fhir_base: str) -> None:
    async with FhirClient(fhir_base) as server:
        made = await server.create({"resourceType": "Patient", "meta": {"tag": [{"code": "synthetic"}]}})
        with structlog.contextvars.bound_contextvars(request_id="case-7"):
            await Auditor("ingest", "0.1.0", KEY).tell(server, Deed("search", made.reference, queries=queries(made.reference)))
        [entry] = await server.search("AuditEvent", {"entity": made.reference})
    event = json.loads(bytes(entry.resource or b""))
    assert complaints(json.dumps(event).encode()) == []
    assert (event["action"], event["subtype"][0]["code"], event["outcome"]) == ("E", "search", "0")
    assert event["agent"][0]["who"]["display"] == "Figaro ingest 0.1.0"
    asked = [b64decode(one["query"]).decode() for one in event["entity"] if "query" in one]
    assert f"{fhir_base}/Condition?patient={made.id}" in asked
    assert event["entity"][-1]["what"]["identifier"]["value"] == "case-7"


async def test_lg05_a_written_careplan_is_told_in_its_version(fhir_base: str) -> None:
    async with FhirClient(fhir_base) as server:
        made = await server.create({"resourceType": "Patient", "meta": {"tag": [{"code": "synthetic"}]}})
        plan: dict[str, Any] = {
            "resourceType": "CarePlan",
            "status": "draft",
            "intent": "proposal",
            "subject": {"reference": made.reference},
        }
        there = await server.create(plan)
        await Auditor("recommend", "0.1.0").tell(server, Deed("create", made.reference, written=(there.versioned,)))
        [entry] = await server.search("AuditEvent", {"entity": there.reference})
    event = json.loads(bytes(entry.resource or b""))
    assert (event["action"], event["subtype"][0]["code"]) == ("C", "create")
    assert there.reference in json.dumps(event["entity"])


LOOKS = {
    "sign-in": ("110114", "E"),
    "view": ("110110", "R"),
    "source": ("110110", "R"),
    "print": ("110106", "R"),
    "decide": ("110110", "U"),
    "search": ("rest", "E"),
}


@pytest.mark.parametrize("interaction", LOOKS)
async def test_lg05_a_look_of_a_user_names_her_as_the_one_who_asked(fhir_base: str, interaction: Any) -> None:
    async with FhirClient(fhir_base) as server:
        made = await server.create({"resourceType": "Patient", "meta": {"tag": [{"code": "synthetic"}]}})
        her = await server.create({"resourceType": "Practitioner", "meta": {"tag": [{"code": "synthetic"}]}})
        person = Person("https://issuer.example", "dr-7", her.reference)
        deed = Deed(interaction, made.reference, user=person, case="case-7")
        assert await Auditor("ingest", "0.1.0", KEY).send(server, deed)
        [entry] = await server.search("AuditEvent", {"entity": made.reference})
    event = json.loads(bytes(entry.resource or b""))
    assert complaints(json.dumps(event).encode()) == []
    assert (event["type"]["code"], event["action"]) == LOOKS[interaction]
    [asked] = [one for one in event["agent"] if one["requestor"]]
    assert asked["who"]["reference"] == her.reference
    assert asked["who"]["identifier"] == {"system": "https://issuer.example", "value": "dr-7"}
    assert "case-7" in [one.get("what", {}).get("identifier", {}).get("value") for one in event["entity"]]


@pytest.mark.parametrize("switches", [Switches(), Switches(creates=("AuditEvent",), token="t")])
async def test_lg05_lg01_what_no_server_takes_stands_in_our_log_without_the_patient(switches: Switches, written: io.StringIO) -> None:
    canary = f"canary-{uuid4().hex[:6]}"
    async with small_server(switches) as small, FhirClient(small.base_url) as server:
        for key in (KEY, None):
            auditor = Auditor("ingest", "0.1.0", key)
            for _ in range(2):
                await auditor.tell(server, Deed("search", f"Patient/{canary}", queries=queries(f"Patient/{canary}")))
        assert small.writes == 0
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["access"] * 4
    assert "canary" not in written.getvalue()
    assert {line["server"] for line in lines} == {"127.0.0.1"}
    assert len(lines[0]["about"]) == 32
    assert lines[0]["about"] == lines[1]["about"]
    assert lines[2]["about"] is None
    assert "Condition" in lines[0]["kinds"]
