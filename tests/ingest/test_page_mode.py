"""An answer that is not written to the FHIR server stands in the ledger, and says so (`write_mode: page`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from sqlmodel import select

from services.ingest.ledger import Ledger
from services.ingest.tables import Answer, expanded
from services.recommend.candidates import recommend
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from services.together import TogetherSettings, together
from shared.oncology.record import Record, encode
from tests import synthetic
from tests.ingest.patients import concept
from tests.journeys.figaro import Cases
from tests.peers.small_server import Small, Switches, small_server

pytestmark = pytest.mark.server
Json = dict[str, Any]


async def answered(ingest: str, patient: str) -> Json:
    cases = Cases(ingest)
    return await cases.done(await cases.open(patient))


async def test_what_is_proposed_is_kept_with_its_mode_and_goes_when_its_ground_is_gone(tmp_path: Path) -> None:
    async with small_server() as small:
        small.load(synthetic.bundle("ivb-cps-10"))
        [patient] = small.all("Patient")
        me = f"Patient/{patient['id']}"
        (tmp_path / "issuers.yaml").write_text(f"issuers: [{{id: archive, base: {small.base_url}, write_mode: page}}]")
        settings = TogetherSettings(issuers=tmp_path / "issuers.yaml", port=0, data_directory=tmp_path, poll_seconds=0.05)
        async with together(settings) as address:
            case = await answered(f"{address}/ingest", me)
            assert (case["state"], case["mode"], case["careplan"]) == ("answered", "page", None)
            assert case["decision"]
            assert case["recommendation"]["candidates"]
            refuted(small)
            case = await answered(f"{address}/ingest", me)
            assert (case["mode"], case["careplan"], case["decision"]) == ("page", None, None)
            assert case["recommendation"]["candidates"] == []
        assert small.writes == 0
        assert {method for method, _ in small.asked} <= {"GET", "POST"}
        assert {path for method, path in small.asked if method == "POST"} <= {path for _, path in small.asked if path.endswith("_search")}


async def test_lg07_from_what_was_kept_the_same_answer_comes_again(tmp_path: Path) -> None:
    """LG-07: record, editions and digest are kept with each answer, and the resources as they were read, in their versions."""
    async with small_server(Switches(transactions=False)) as small:
        small.load(synthetic.bundle("ivb-cps-10"))
        [patient] = small.all("Patient")
        async with together(TogetherSettings(fhir_base=small.base_url, port=0, data_directory=tmp_path, poll_seconds=0.05)) as address:
            case = await answered(f"{address}/ingest", f"Patient/{patient['id']}")
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    with ledger.transaction() as session:
        [kept] = session.exec(select(Answer)).all()
    ledger.close()
    record = msgspec.json.decode(expanded(kept.record), type=Record)
    assert record.digest() == kept.digest == case["digest"]
    staging = stage(record, rules())
    assert encode(staging) == expanded(kept.staging)
    assert encode(recommend(record, staging, library())) == expanded(kept.recommendation)
    assert kept.staging_knowledge == f"{staging.knowledge.edition}/{staging.knowledge.digest}"
    versions = [one["meta"]["versionId"] for one in msgspec.json.decode(expanded(kept.raw)) if "meta" in one]
    assert len(versions) > 1


def refuted(small: Small) -> None:
    for versions in small.stored["Condition"].values():
        status = concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "refuted")
        versions.append({**versions[-1], "verificationStatus": status})


async def test_a_written_answer_says_how(tmp_path: Path, fhir_base: str) -> None:
    async with aiohttp.ClientSession() as session:
        bundle = synthetic.bundle("ivb-cps-10")
        async with session.post(fhir_base, json=bundle, headers={"Content-Type": "application/fhir+json"}) as answer:
            assert answer.status == 200
    [patient] = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Patient"]
    settings = TogetherSettings(fhir_base=fhir_base, port=0, data_directory=tmp_path, poll_seconds=0.05)
    async with together(settings) as address:
        case = await answered(f"{address}/ingest", f"Patient/{patient['id']}")
        assert case["mode"] == "transaction", case
        assert case["careplan"]
