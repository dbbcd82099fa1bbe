"""The scopes that docs/backend-services.md lists are what the code needs: all of it, and nothing beside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from structlog.testing import capture_logs

from examples.resources import key_of
from examples.synthetic_patients import patients
from services.ingest.notification import SUBJECTS
from services.ingest.searches import searches_for
from services.subscribing import subscribe
from services.together import TogetherSettings, together
from shared.fhir.client import FhirClient
from shared.fhir.write_mode import KINDS
from shared.service.embedded import embedded_fhir_server
from shared.smart.issuers import Issuers, read_issuers
from shared.smart.keys import jwks, keys_in, new_key
from shared.smart.servers import Servers, reaching
from tests.docs.markdown import ROOT, blocks
from tests.ingest.patients import ecog
from tests.journeys.figaro import Cases, until

PAGE = ROOT / "docs/backend-services.md"
PLACE = "http://127.0.0.1:9/ingest"


def listed(role: str) -> list[str]:
    """The scopes of the page's first issuer."""
    [file] = [block for block in blocks(PAGE, "yaml") if block.startswith("issuers:")]
    scopes: list[str] = yaml.safe_load(file)["issuers"][0][role]["scopes"]
    return scopes


def test_the_types_to_read_are_those_of_a_record_and_those_of_choice() -> None:
    searched = [dict(one.params) for one in searches_for("x")]
    included = {found["_include"].rpartition(":")[2].capitalize() for found in searched if "_include" in found}
    types = {scope.removeprefix("system/").partition(".")[0] for scope in listed("read")}
    assert types == {*SUBJECTS, *included, "AuditEvent", "Subscription", "Basic"}
    assert len(types) == len(listed("read"))


def test_the_types_to_write_are_those_of_an_answer_in_any_mode() -> None:
    types = {scope.removeprefix("system/").partition(".")[0] for scope in listed("write")}
    assert types == {*KINDS, "DocumentReference", "AuditEvent"}
    assert len(types) == len(listed("write"))


@pytest.mark.server
async def test_sm82_a_patient_is_seen_through_with_the_listed_scopes_and_no_others(tmp_path: Path) -> None:
    """SM-82: at a server that asks for each scope: found by a sweep, answered, changed, replaced, told in AuditEvents and Subscriptions."""
    clients: list[dict[str, Any]] = [{"client_id": "loader", "client_secret": "of-the-test", "scopes": "system/*.cruds"}]
    for name in ("read", "write"):
        new_key(tmp_path / name, "ES384")
        clients.append({"client_id": name, "jwks": jwks(keys_in(tmp_path / name)), "scopes": " ".join(listed(name))})
    with embedded_fhir_server(clients=clients) as base:
        await _through(tmp_path, base)


def _files(folder: Path, base: str) -> Issuers:
    """Writes the issuers file, and gives the one by which patients are loaded."""
    (folder / "secret").write_text("of-the-test\n")
    (folder / "notices").write_text("a secret of this test only\n")
    ours = {"id": "hospital", "base": base, "subscription": {"secrets": [{"file": "notices"}]}}
    ours |= {name: {"auth": "private-key-jwt", "client_id": name, "keys": name, "scopes": listed(name)} for name in ("read", "write")}
    (folder / "issuers.yaml").write_text(json.dumps({"issuers": [ours]}))
    loader = {"auth": "client-secret", "client_id": "loader", "secret": {"file": "secret"}, "scopes": ["system/*.cruds"]}
    (folder / "loading.yaml").write_text(json.dumps({"issuers": [{"id": "loading", "base": base, "write": loader}]}))
    return Issuers(read_issuers(folder / "loading.yaml"))


async def _through(folder: Path, base: str) -> None:
    loading = _files(folder, base)
    settings = TogetherSettings(
        issuers=folder / "issuers.yaml",
        data_directory=folder / "data",
        port=0,
        public_url=PLACE,
        debounce_seconds=0,
        poll_seconds=0.05,
        drain_seconds=1,
        sweep_seconds=1,
    )
    (her,) = [each for each in patients() if key_of(each) == "syn-123"]
    async with reaching(loading, ()) as session:
        loader = Servers(loading, "write", session)(None)
        await loader.transaction(her)
        assert {one.done for one in await subscribe(base, settings, remove=False, topics=())} == {"created"}
        with capture_logs() as logs:
            async with together(settings) as address:
                await _seen_twice(f"{address}/ingest", loader)
        warned = {(line["event"], line.get("type")) for line in logs if line["log_level"] in ("warning", "error")}
        assert {event for event, _ in warned} <= {"subscription_not_active"}, warned
        assert "subscription_restarted" in {line["event"] for line in logs}
        events = [json.loads(bytes(it.resource or b"")) for it in await loader.search("AuditEvent", {"entity": "Patient/syn-123"})]
        assert {one["subtype"][0]["code"] for one in events} == {"search", "create"}
        assert {one.done for one in await subscribe(base, settings, remove=True, topics=())} == {"removed"}


async def _seen_twice(ingest: str, loader: FhirClient) -> None:
    """Nobody notifies: a sweep finds her, finds what is new of her, and what was deleted; and a Subscription is tried again."""
    cases = Cases(ingest)

    async def plans() -> list[str]:
        async with aiohttp.ClientSession() as session, session.get(cases.url) as answer:
            ids = [case["id"] for case in (await answer.json())["cases"] if case["state"] == "answered"]
        return [case["careplan"]["reference"] for case in [await cases.show(id) for id in reversed(ids)]]

    async def first() -> bool:
        return len(await plans()) == 1

    async def second() -> bool:
        return len(set(await plans())) == 2

    async def third() -> bool:
        return len(await plans()) == 3

    await until(first, seconds=40)
    worse = ecog("x", "Patient/syn-123", 4) | {"effectiveDateTime": "2026-11-01"}
    made = await loader.create({name: value for name, value in worse.items() if name != "id"})
    await until(second, seconds=40)
    await loader.delete("Observation", made.id)
    [stopped] = [it for it in await loader.search("Subscription", {"criteria": "Procedure?"}) if it.resource]
    await loader.update(json.loads(bytes(stopped.resource or b"")) | {"status": "error"})
    await until(third, seconds=40)

    async def again() -> bool:
        return bool(json.loads(await loader.read("Subscription", stopped.id))["status"] != "error")

    await until(again, seconds=20)
