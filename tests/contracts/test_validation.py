"""What we write, judged by a validator that we did not write: the one of HAPI FHIR, with the R4 4.0.1 definitions."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.careplan import transaction
from services.recommend.decision import Answer
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.derived import collection
from shared.fhir.reader import read_bundle
from tests import synthetic

Json = dict[str, Any]
pytestmark = pytest.mark.hapi
# Patients as different as the synthetic ones are: early, locally advanced, every kind of spread, blocked, undecided, recurrent.
CASES = (
    *("recorded-iib-derived-iiic1", "ivb-renal-impairment", "ib3-by-text", "iva-bladder-mucosa", "recurrent-lung-after-chemoradiation"),
    *("ia1-microscopic", "iiic1p-micrometastasis", "iib-metastases-never-looked-for", "equivocal-lung-nodules", "abdominal-node-not-told"),
    *("ivb-no-cps", "ivb-small-cell", "ivb-supraclavicular-only", "ivb-peritoneal", "ivb-fistula", "recurrent-local", "founding-01"),
)
DERIVED = (*CASES[:5], "carcinoma-in-situ", "abdominal-node-not-told")
# What this server cannot know: a label that came after R4 4.0.1, and the profiles of mCODE and US Core, which it does not hold.
UNKNOWN = ("v3-ObservationValue#AIAST", "http://hl7.org/fhir/us/")


def answer(case: str) -> Answer:
    record = read_bundle(synthetic.raw(case))
    staging = stage(record, rules())
    return Answer(record, staging, recommend(record, staging, library()))


async def errors(base: str, bundle: Json) -> list[str]:
    """What the validator calls an error in the Bundle, where it stands and why."""
    headers = {"Content-Type": "application/fhir+json"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{base}/Bundle/$validate", data=json.dumps(bundle), headers=headers) as response,
    ):
        outcome = await response.json(content_type=None)
    assert outcome["resourceType"] == "OperationOutcome"
    found = [i for i in outcome["issue"] if i["severity"] in ("error", "fatal")]
    return [f"{i.get('location')}: {i['diagnostics']}" for i in found if not any(known in i["diagnostics"] for known in UNKNOWN)]


@pytest.mark.parametrize("case", CASES)
async def test_the_transaction_is_valid_r4_to_hapi(hapi: str, case: str) -> None:
    bundle = transaction(answer(case), drugs(library()), at="2026-11-22T12:00:00Z", software="0.1.0")
    assert await errors(hapi, bundle) == []


@pytest.mark.parametrize("case", DERIVED)
async def test_what_staging_derives_is_valid_r4_to_hapi(hapi: str, case: str) -> None:
    given = answer(case)
    assert await errors(hapi, collection(given.record, given.staging)) == []


async def test_the_validator_finds_what_is_wrong(hapi: str) -> None:
    given = answer("ivb-renal-impairment")
    bundle = collection(given.record, given.staging)
    [site] = [e["resource"] for e in bundle["entry"] if e["resource"]["code"]["coding"][0]["code"] == "site-of-spread"][:1]
    site["dataAbsentReason"] = {"text": "unknown"}
    assert any("obs-6" in error for error in await errors(hapi, bundle))
