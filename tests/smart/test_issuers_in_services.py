"""What recommend and ingest do by issuer: the policy, whether anything is written, and which servers are asked at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from pydantic import SecretStr

from services.recommend.app import create
from services.recommend.settings import RecommendSettings
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.outcome import Refused
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from shared.service.access import SERVICE
from shared.service.serving import served
from tests import synthetic

pytestmark = pytest.mark.server

SECRET = SecretStr("a service secret of this test")
HEADERS = {"Content-Type": "application/json", SERVICE: SECRET.get_secret_value()}
FILE = """\
issuers:
  - {id: strict, base: "https://strict.example/fhir", policy: cisplatin-60, write: {auth: none}}
  - {id: usual, base: "https://usual.example/fhir", write_mode: page}
"""


def staged(base: str, **more: Any) -> bytes:
    known = read_bundle(synthetic.raw("ivb-cps-10"))
    body = {"record": msgspec.Raw(encode(known)), "staging": msgspec.Raw(encode(stage(known, rules()))), "fhir_base": base}
    return msgspec.json.encode(body | more)


@pytest.fixture
async def recommend(tmp_path: Path) -> AsyncIterator[str]:
    file = tmp_path / "issuers.yaml"
    file.write_text(FILE)
    async with served(create(RecommendSettings(issuers=file, service_secret=SECRET))) as address:
        yield address


async def post(url: str, body: bytes) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=HEADERS) as answer:
        return answer.status, json.loads(await answer.read())


async def test_each_issuer_is_answered_by_its_own_policy(recommend: str) -> None:
    answers = [await post(f"{recommend}/recommend", staged(base)) for base in ("https://strict.example/fhir", "https://usual.example/fhir")]
    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["candidates"] != answers[1][1]["candidates"]


async def test_nothing_is_written_to_an_issuer_whose_write_mode_is_page(recommend: str) -> None:
    _, recommendation = await post(f"{recommend}/recommend", staged("https://usual.example/fhir"))
    status, published = await post(f"{recommend}/careplans", staged("https://usual.example/fhir", recommendation=recommendation))
    assert status == 200
    assert published == {"careplan": None, "version": None, "decision": None, "written": False} | published
    assert published["careplan"] is None


async def test_se08_an_issuer_that_is_not_on_the_list_is_refused(recommend: str) -> None:
    _, recommendation = await post(f"{recommend}/recommend", staged("https://usual.example/fhir"))
    body = staged("https://usual.example.evil.test/fhir", recommendation=recommendation)
    status, outcome = await post(f"{recommend}/careplans", body)
    assert (status, outcome["resourceType"]) == (403, "OperationOutcome")


def test_a_policy_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "issuers.yaml"
    file.write_text(FILE.replace("cisplatin-60", "made-up"))
    with pytest.raises(Refused, match="made-up"):
        create(RecommendSettings(issuers=file))
