"""A FHIR server whose resources are nested without end: no case, no sweep and no door breaks at them, and each says what is wrong."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import SecretStr

from services.together import TogetherSettings, together
from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from shared.service.log import configure
from tests.ingest.doorbell import ringing
from tests.ingest.patients import bundle, cervical_cancer, ecog, extent, patient
from tests.journeys.figaro import Cases
from tests.peers.faults import Proxy, faulty

pytestmark = pytest.mark.server
Json = dict[str, Any]
HERE: Json = {"url": "https://ehr.example/e", "valueString": "HERE"}


class Nesting(Proxy):
    """The real server, with its resources nested further where they say HERE: no server of ours would store that."""

    times = 2_000

    async def fetch(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = await super().fetch(request)
        return status, headers, nested(body, self.times)


def nested(body: bytes, times: int) -> bytes:
    """Extensions of extensions where there was a text."""
    inside = b'"extension":[{"url":"https://ehr.example/e",' * times + b'"valueCode":"x"' + b"}]" * times
    return body.replace(b'"valueString":"HERE"', inside).replace(b'"valueString": "HERE"', inside)


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    handlers = logging.getLogger().handlers
    stream = io.StringIO()
    configure("INFO", stream)
    yield stream
    logging.getLogger().handlers = handlers


@pytest.mark.parametrize("times", [60, 200, 450, 2_000])
async def test_a_case_whose_record_is_nested_without_end_is_answered_or_stuck_with_one_clear_sentence(
    fhir: str, tmp_path: Path, logged: io.StringIO, times: int
) -> None:
    """Whichever resource it is: all are used, and without the Patient there is no record, until it is mended there: tried again later."""
    who = f"deep-{times}"
    me = f"Patient/{who}"
    findings = [cervical_cancer(f"{who}-c", me), extent(f"{who}-p", me, "parametrium", True), ecog(f"{who}-e", me, 1)]
    async with FhirClient(fhir) as server:
        await server.transaction(bundle([patient(who), *(one | {"extension": [HERE]} for one in findings)]))
        await server.transaction(bundle([patient(f"{who}-p", extension=[HERE])]))
    async with faulty(fhir, Nesting) as proxy:
        proxy.times = times
        given = TogetherSettings(
            fhir_base=proxy.base_url, data_directory=tmp_path, port=0, poll_seconds=0.05, api_secret=SecretStr("of this test only")
        )
        async with together(given) as address:
            cases = Cases(f"{address}/ingest", secret="of this test only")
            case = await cases.done(await cases.open(me))
            stuck = await cases.done(await cases.open(f"{me}-p"))
    assert case["state"] == "answered", case
    assert case["staging"]["primary"]["applies"]
    named = {issue["sources"][0]: issue["text"] for issue in case["staging"]["issues"] if issue["code"] == "resource-invalid"}
    assert named.keys() == {f"Condition/{who}-c", f"Observation/{who}-p", f"Observation/{who}-e"}
    assert all("more than 100 levels deep" in text for text in named.values())
    assert (stuck["state"], stuck["attempts"], stuck["retry_at"] is not None) == ("stuck", 1, True)
    (issue,) = stuck["outcome"]["issue"]
    assert "a read of Patient with a resource nested more than 100 levels deep" in issue["details"]["text"]
    assert "step_failed" not in logged.getvalue()
    assert "ecursion" not in logged.getvalue()


@pytest.mark.parametrize("times", [200, 450, 2_000])
async def test_a_sweep_that_meets_it_marks_its_patient_and_goes_on(fhir: str, tmp_path: Path, times: int) -> None:
    """Else no change of that type would ever be found again: the sweep begins where the one before broke off."""
    who = f"swept-{times}"
    async with faulty(fhir, Nesting) as proxy, ringing(tmp_path, proxy.base_url, debounce_seconds=0) as bell:
        proxy.times = times
        await bell.ingest.rounds.sweep(bell.base)
        async with FhirClient(fhir) as server:
            odd = cervical_cancer(f"{who}-c", f"Patient/{who}")
            odd["meta"] = {**odd.get("meta", {}), "extension": [HERE]}  # which is asked for by sweeps
            await server.transaction(bundle([patient(who), odd, patient(f"{who}-other")]))
        await bell.ingest.rounds.sweep(bell.base)
        stands = bell.sweep()
        assert stands is not None
        assert stands.failed is None
        assert {*bell.due(), *bell.notices()} >= {f"Patient/{who}", f"Patient/{who}-other"}


async def test_a_notification_that_is_nested_without_end_is_refused_in_one_sentence(fhir: str, tmp_path: Path) -> None:
    """And its sender told what to do instead."""
    async with ringing(tmp_path, fhir) as bell:
        for times in (200, 450, 2_000):
            body = nested(json.dumps(cervical_cancer("c", "Patient/rung") | {"extension": [HERE]}).encode(), times)
            status, said = await bell.ring(body)
            if status == 200:
                continue
            assert status == 422
            assert "nested too deeply" in said["issue"][0]["details"]["text"]
            assert "send ids only" in said["issue"][0]["details"]["text"]
        assert status == 422
        assert bell.due().keys() == {"Patient/rung"}
