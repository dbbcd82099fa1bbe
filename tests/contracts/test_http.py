"""What the services of staging and recommend answer over HTTP: values, many at a time, and errors as OperationOutcome."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from pydantic import SecretStr

from services.recommend.app import create as create_recommend
from services.recommend.settings import RecommendSettings
from services.staging.app import create as create_staging
from services.staging.knowledge import rules
from services.staging.settings import StagingSettings
from services.staging.stage import stage
from shared.fhir.r4 import complaints
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from shared.service.access import SERVICE
from shared.service.serving import served
from tests import synthetic

SECRET = SecretStr("a service secret of this test")
NDJSON = {"Content-Type": "application/x-ndjson"}
FHIR = "application/fhir+json"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def staging() -> AsyncIterator[str]:
    async with served(create_staging(StagingSettings())) as address:
        yield address


@pytest.fixture
async def recommend() -> AsyncIterator[str]:
    async with served(create_recommend(RecommendSettings(fhir_base="http://127.0.0.1:9/fhir", service_secret=SECRET))) as address:
        yield address


async def post(http: aiohttp.ClientSession, url: str, body: bytes, **more: Any) -> tuple[int, str, bytes]:
    headers = {"Content-Type": "application/json", SERVICE: SECRET.get_secret_value(), **more.pop("headers", {})}
    async with http.post(url, data=body, headers=headers, **more) as answer:
        return answer.status, answer.content_type, await answer.read()


def record(case: str) -> bytes:
    return encode(read_bundle(synthetic.raw(case)))


def staged(case: str) -> bytes:
    known = read_bundle(synthetic.raw(case))
    return msgspec.json.encode({"record": msgspec.Raw(encode(known)), "staging": msgspec.Raw(encode(stage(known, rules())))})


async def test_a_record_in_gives_its_staging(http: aiohttp.ClientSession, staging: str) -> None:
    status, kind, body = await post(http, f"{staging}/stage", record("iva-bladder-mucosa"))
    assert (status, kind) == (200, "application/json")
    assert json.loads(body)["editions"]["figo-2018"]["label"] == "IVA"


async def test_many_records_are_answered_in_order_with_an_outcome_where_one_cannot_be_read(
    http: aiohttp.ClientSession, staging: str
) -> None:
    lines = b"\n".join([record("iva-bladder-mucosa"), b'{"patient": 17}', b"", record("ivb-cps-10"), b"[" * 100_000])
    status, kind, body = await post(http, f"{staging}/stage", lines, headers=NDJSON)
    answers = [json.loads(line) for line in body.splitlines()]
    assert (status, kind) == (200, "application/x-ndjson")
    assert [a.get("resourceType", a.get("patient")) for a in answers] == [
        "Patient/syn-118",
        "OperationOutcome",
        "Patient/syn-129",
        "OperationOutcome",
    ]


@pytest.mark.parametrize("body", [b"", b"nonsense", b"{}", b'{"patient":"Patient/1","birth_date":"soon"}', b"[" * 100_000])
async def test_what_is_no_record_is_refused_as_an_outcome(http: aiohttp.ClientSession, staging: str, body: bytes) -> None:
    status, kind, said = await post(http, f"{staging}/stage", body)
    assert (status, kind) == (422, FHIR)
    assert json.loads(said)["resourceType"] == "OperationOutcome"
    assert b"soon" not in said


async def test_a_bundle_in_gives_the_derived_stages_as_valid_observations(http: aiohttp.ClientSession, staging: str) -> None:
    status, kind, body = await post(http, f"{staging}/fhir/$stage", synthetic.raw("iiic1r-small-tumour"))
    observations = [entry["resource"] for entry in json.loads(body)["entry"] if "mcode-cancer-stage" in str(entry["resource"]["meta"])]
    assert (status, kind) == (200, FHIR)
    assert [o["method"]["text"] for o in observations] == ["FIGO 2018", "FIGO 2009"]
    assert observations[0]["valueCodeableConcept"]["text"] == "IIIC1r"
    assert observations[0]["status"] == "preliminary"
    assert [complaints(json.dumps(o).encode()) for o in observations] == [[], []]


async def test_the_operation_takes_the_bundle_as_a_parameter_too_and_gives_the_same_bytes(
    http: aiohttp.ClientSession, staging: str
) -> None:
    bundle = synthetic.bundle("ivb-cps-10")
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "record", "resource": bundle}]}
    bare = await post(http, f"{staging}/fhir/$stage", json.dumps(bundle).encode(), headers={"Content-Type": FHIR})
    wrapped = await post(http, f"{staging}/fhir/$stage", json.dumps(parameters).encode(), headers={"Content-Type": FHIR})
    assert bare == wrapped
    assert bare[0] == 200


@pytest.mark.parametrize("parameters", [[], [{"name": "record"}], [{"name": "a", "resource": {}}, {"name": "b", "resource": {}}]])
async def test_parameters_without_exactly_one_resource_are_refused(
    http: aiohttp.ClientSession, staging: str, parameters: list[dict[str, Any]]
) -> None:
    body = json.dumps({"resourceType": "Parameters", "parameter": parameters}).encode()
    status, kind, said = await post(http, f"{staging}/fhir/$stage", body)
    assert (status, kind) == (422, FHIR)
    assert b"Bundle of one patient" in said


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"resourceType": "Parameters", "parameter": [', b"[" * 100_000, b'{"a": "\xff"}'])
async def test_what_is_no_json_is_refused_by_the_operation_as_by_the_reader(http: aiohttp.ClientSession, staging: str, body: bytes) -> None:
    status, kind, said = await post(http, f"{staging}/fhir/$stage", body, headers={"Content-Type": FHIR})
    assert (status, kind) == (422, FHIR)
    assert json.loads(said)["issue"][0]["details"]["text"].startswith("The input is")


@pytest.mark.parametrize(
    ("headers", "query", "wanted"),
    [
        ({"Content-Type": "application/fhir+json; fhirVersion=4.0"}, "", 200),
        ({"Content-Type": "application/json; charset=utf-8"}, "", 200),
        ({"Content-Type": "application/fhir+xml"}, "", 415),
        ({"Content-Type": "text/xml"}, "", 415),
        ({"Content-Type": "application/x-ndjson"}, "", 415),
        ({"Accept": "application/fhir+xml"}, "", 406),
        ({"Accept": "application/fhir+xml, application/fhir+json;q=0.5"}, "", 200),
        ({"Accept": "application/fhir+xml"}, "?_format=json", 200),
        ({}, "?_format=application/fhir+json", 200),
        ({}, "?_format=xml", 406),
    ],
)
async def test_the_operation_speaks_json_and_says_so_to_who_speaks_another_format(
    http: aiohttp.ClientSession, staging: str, headers: dict[str, str], query: str, wanted: int
) -> None:
    status, kind, body = await post(http, f"{staging}/fhir/$stage{query}", synthetic.raw("ivb-cps-10"), headers=headers)
    assert (status, kind) == (wanted, FHIR)
    assert json.loads(body)["resourceType"] == ("Bundle" if wanted == 200 else "OperationOutcome")


async def test_outside_the_scope_the_answer_has_no_stage_and_says_why(http: aiohttp.ClientSession, staging: str) -> None:
    status, _, body = await post(http, f"{staging}/fhir/$stage", synthetic.raw("carcinoma-in-situ"))
    said = [entry["resource"] for entry in json.loads(body)["entry"]]
    assert status == 200
    assert [(r["resourceType"], r["code"]["text"]) for r in said] == [("DetectedIssue", "outside scope")]
    assert "in situ" in said[0]["detail"]


async def test_the_editions_in_force_are_told(http: aiohttp.ClientSession, staging: str) -> None:
    async with http.get(f"{staging}/editions") as answer:
        said = await answer.json()
    assert [e["id"] for e in said["editions"]] == ["figo-2018", "figo-2009"]
    assert said["knowledge"]["digest"] == rules().knowledge.digest


async def test_record_and_staging_in_give_a_recommendation(http: aiohttp.ClientSession, recommend: str) -> None:
    status, _, body = await post(http, f"{recommend}/recommend", staged("ivb-cps-10"))
    assert status == 200
    assert json.loads(body)["situation"] == {"setting": "first-line-metastatic", "stage": "IVB", "line": 1}


async def test_many_are_recommended_in_order(http: aiohttp.ClientSession, recommend: str) -> None:
    _, _, body = await post(http, f"{recommend}/recommend", staged("ivb-cps-10") + b"\nnonsense\n" + staged("ivb-no-cps"), headers=NDJSON)
    assert ["resourceType" in json.loads(line) for line in body.splitlines()] == [False, True, False]


async def test_a_careplan_is_written_to_no_server_that_the_settings_do_not_name(http: aiohttp.ClientSession, recommend: str) -> None:
    _, _, recommendation = await post(http, f"{recommend}/recommend", staged("ivb-cps-10"))
    body = json.loads(staged("ivb-cps-10")) | {"recommendation": json.loads(recommendation), "fhir_base": "http://169.254.169.254/fhir"}
    status, kind, said = await post(http, f"{recommend}/careplans", json.dumps(body).encode())
    assert (status, kind) == (403, FHIR)
    assert b"FIGARO_FHIR_BASE" in said


async def test_a_fhir_server_that_is_away_is_unavailable_and_not_our_fault(http: aiohttp.ClientSession, recommend: str) -> None:
    _, _, recommendation = await post(http, f"{recommend}/recommend", staged("ivb-cps-10"))
    body = json.loads(staged("ivb-cps-10")) | {"recommendation": json.loads(recommendation)}
    status, kind, _ = await post(http, f"{recommend}/careplans", json.dumps(body).encode())
    assert (status, kind) == (503, FHIR)


async def test_regimens_are_listed_and_shown_and_an_unknown_one_is_named(http: aiohttp.ClientSession, recommend: str) -> None:
    async with http.get(f"{recommend}/regimens") as answer:
        ids = {regimen["id"] for regimen in await answer.json()}
    assert "cisplatin-paclitaxel" in ids
    async with http.get(f"{recommend}/regimens/cisplatin-paclitaxel") as answer:
        assert (await answer.json())["id"] == "cisplatin-paclitaxel"
    async with http.get(f"{recommend}/regimens/no-such-thing") as answer:
        assert (answer.status, answer.content_type) == (404, FHIR)


@pytest.mark.parametrize("route", ["/health/live", "/health/ready", "/metrics", "/docs"])
async def test_every_service_has_health_metrics_and_documentation(
    http: aiohttp.ClientSession, staging: str, recommend: str, route: str
) -> None:
    for address in (staging, recommend):
        async with http.get(address + route) as answer:
            assert answer.status == 200
