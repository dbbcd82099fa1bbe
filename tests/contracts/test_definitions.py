"""The exported definitions on real FHIR servers: loaded whole, loaded again, valid to a validator that we did not write; and over HTTP."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import aiohttp
import pytest

from services.knowledge_commands import definitions
from services.recommend.app import create
from services.recommend.settings import RecommendSettings
from shared.fhir.r4 import complaints
from shared.service.serving import served

Json = dict[str, Any]
FHIR = "application/fhir+json"
OURS = "https://figaro.example/fhir"


@cache
def exported() -> bytes:
    return json.dumps(definitions()).encode()


async def post(session: aiohttp.ClientSession, url: str, body: bytes) -> tuple[int, Json]:
    async with session.post(url, data=body, headers={"Content-Type": FHIR}) as answer:
        return answer.status, await answer.json(content_type=None)


async def get(session: aiohttp.ClientSession, address: str, **parameters: str) -> Json:
    async with session.get(address, params=parameters, headers={"Cache-Control": "no-cache"}) as answer:
        assert answer.status == 200, await answer.text()
        found: Json = await answer.json(content_type=None)
        return found


async def test_the_export_loads_and_loading_it_again_changes_no_number(fhir_base: str) -> None:
    async with aiohttp.ClientSession() as session:
        status, first = await post(session, fhir_base, exported())
        assert status == 200, json.dumps(first)[:2000]
        status, second = await post(session, fhir_base, exported())
        assert status == 200
        assert {entry["response"]["status"][:3] for entry in second["entry"]} == {"200"}
        kinds = Counter(entry["resource"]["resourceType"] for entry in json.loads(exported())["entry"])
        for kind, number in kinds.items():
            found = await get(session, f"{fhir_base}/{kind}", publisher="Figaro", _summary="count")
            assert found["total"] == number, kind


@pytest.mark.hapi
async def test_every_definition_is_valid_r4_to_hapi(hapi: str) -> None:
    """No error in any of them; the code systems are there, so that their codes are known."""
    async with aiohttp.ClientSession() as session:
        await post(session, hapi, exported())
        _, outcome = await post(session, f"{hapi}/Bundle/$validate", exported())
    assert outcome["resourceType"] == "OperationOutcome"
    assert [f"{i.get('location')}: {i['diagnostics']}" for i in outcome["issue"] if i["severity"] in ("error", "fatal")] == []


@pytest.mark.hapi
async def test_hapi_finds_what_is_wrong_in_a_definition(hapi: str) -> None:
    (plan,) = [e["resource"] for e in json.loads(exported())["entry"] if e["request"]["url"] == "PlanDefinition/cisplatin-paclitaxel"]
    plan["status"] = "proposed"
    async with aiohttp.ClientSession() as session:
        _, outcome = await post(session, f"{hapi}/PlanDefinition/$validate", json.dumps(plan).encode())
    assert any(issue["severity"] == "error" and "proposed" in issue["diagnostics"] for issue in outcome["issue"])


@pytest.mark.hapi
async def test_hapi_translates_and_finds_by_setting(hapi: str) -> None:
    """What the page on the export shows."""
    async with aiohttp.ClientSession() as session:
        await post(session, hapi, exported())
        cm = "http://hl7.org/fhir/sid/icd-10-cm"
        lung = await get(session, f"{hapi}/ConceptMap/$translate", url=f"{OURS}/ConceptMap/secondary-to-site", system=cm, code="C78.0")
        assert '"lung"' in json.dumps(lung)
        later = f"{OURS}/CodeSystem/setting|later-line"
        plans = await get(session, f"{hapi}/PlanDefinition", context=later, _count="100")
        assert "PlanDefinition/tisotumab-vedotin" in json.dumps(plans)
        assert 'PlanDefinition/cisplatin-chemoradiation"' not in json.dumps(plans)


@pytest.fixture
async def recommend() -> AsyncIterator[str]:
    async with served(create(RecommendSettings())) as address:
        yield address


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html", "application/json"),
        (FHIR, FHIR),
        (f"{FHIR}; fhirVersion=4.0", FHIR),
        (f"application/json;q=0.8, {FHIR}", FHIR),
        (f"{FHIR};q=0.5, application/json", "application/json"),
        (f"{FHIR};q=high", "application/json"),
    ],
)
@pytest.mark.parametrize("path", ["/regimens", "/regimens/cisplatin-paclitaxel"])
async def test_regimens_come_as_json_unless_fhir_is_asked_for(recommend: str, path: str, accept: str, kind: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(recommend + path, headers={"Accept": accept}) as answer:
        assert (answer.status, answer.content_type, answer.headers["Vary"]) == (200, kind, "Accept")


async def test_as_fhir_the_list_is_a_searchset_of_valid_definitions(recommend: str) -> None:
    """Each PlanDefinition is a match, and the ActivityDefinitions that it names are included; one regimen is the same PlanDefinition."""
    async with aiohttp.ClientSession(headers={"Accept": FHIR}) as session:
        bundle = await get(session, f"{recommend}/regimens")
        one = await get(session, f"{recommend}/regimens/cisplatin-paclitaxel")
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    matches = [entry["resource"] for entry in bundle["entry"] if entry["search"]["mode"] == "match"]
    included = {f"{e['resource']['url']}|{e['resource']['version']}" for e in bundle["entry"] if e["search"]["mode"] == "include"}
    assert bundle["total"] == len(matches)
    named = {part["definitionCanonical"] for plan in matches for part in plan["action"][0]["action"]}
    assert named == included
    assert one in matches
    assert [
        complaints(json.dumps(entry["resource"]).encode())
        for entry in bundle["entry"]
        if complaints(json.dumps(entry["resource"]).encode())
    ] == []


async def test_an_unknown_regimen_is_an_outcome_whatever_is_accepted(recommend: str) -> None:
    async with aiohttp.ClientSession(headers={"Accept": FHIR}) as session, session.get(f"{recommend}/regimens/laetrile") as answer:
        assert (answer.status, answer.content_type) == (404, FHIR)
        assert (await answer.json(content_type=None))["resourceType"] == "OperationOutcome"
