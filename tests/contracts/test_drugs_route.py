"""`POST /drugs` of recommend: which anticancer drugs a medication names."""

from __future__ import annotations

import aiohttp

from services.recommend.app import create
from services.recommend.settings import RecommendSettings
from shared.service.serving import served

RXNORM, ATC = "http://www.nlm.nih.gov/research/umls/rxnorm", "http://www.whocc.no/atc"


async def test_each_medication_is_answered_in_its_place_by_code_or_name() -> None:
    asked: list[dict[str, object]] = [
        {"coding": [{"system": RXNORM, "code": "2555"}]},
        {"text": "ramipril 5 mg"},
        {"coding": [{"system": ATC, "code": "L01CD01"}], "text": "x"},
        {"text": "Keytruda 100 mg/4 mL"},
        {},
    ]
    async with served(create(RecommendSettings())) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/drugs", json=asked) as answer:
            assert await answer.json() == [["cisplatin"], [], ["paclitaxel"], ["pembrolizumab"], []]
        for wrong in ("no list", [5]):
            async with session.post(f"{url}/drugs", json=wrong) as answer:
                assert answer.status == 422
                assert (await answer.json(content_type=None))["resourceType"] == "OperationOutcome"
