"""Pulling a record from a real FHIR server, and from one that misbehaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from services.ingest.pull import patient_reference, pull
from services.ingest.searches import searches_for
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Gone, NotFhir, NotFound, Refused, Rejected, Stuck
from tests.ingest.patients import SYNTHETIC, bundle, cervical_cancer, concept, ecog, extent, metastatic, observation, patient


@pytest.fixture
async def server(fhir_base: str) -> AsyncIterator[FhirClient]:
    async with FhirClient(fhir_base) as client:
        yield client


async def test_a_record_holds_what_every_search_found(server: FhirClient) -> None:
    drug = {"resourceType": "Medication", "id": "m1", "meta": SYNTHETIC, "code": {"text": "cisplatin"}}
    given = {
        "resourceType": "MedicationAdministration",
        "id": "a1",
        "meta": SYNTHETIC,
        "status": "completed",
        "subject": {"reference": "Patient/full"},
        "medicationReference": {"reference": "Medication/m1"},
        "effectiveDateTime": "2026-03-01",
    }
    allergy = {
        "resourceType": "AllergyIntolerance",
        "id": "al1",
        "meta": SYNTHETIC,
        "patient": {"reference": "Patient/full"},
        "code": {"text": "carboplatin"},
    }
    surgery = {
        "resourceType": "Procedure",
        "id": "pr1",
        "meta": SYNTHETIC,
        "status": "completed",
        "subject": {"reference": "Patient/full"},
        "code": concept("http://snomed.info/sct", "116142003"),
        "performedDateTime": "2026-02-25",
    }
    lesion = {
        "resourceType": "BodyStructure",
        "id": "b1",
        "meta": SYNTHETIC,
        "location": concept("http://snomed.info/sct", "10200004"),
        "patient": {"reference": "Patient/full"},
    }
    size = observation("size", "Patient/full", concept("http://loinc.org", "21889-1"), focus=[{"reference": "BodyStructure/b1"}])
    noise = observation("noise", "Patient/full", concept("http://loinc.org", "8310-5"), valueInteger=37)
    await server.transaction(bundle([*metastatic("full"), drug, given, allergy, surgery, lesion, size, noise]))
    record, raw, _ = await pull(server, "Patient/full")
    kinds = {finding.kind for finding in record.findings}
    assert kinds >= {"condition", "observation", "procedure", "medication-administration", "allergy"}
    by_source = {finding.source: finding for finding in record.findings}
    assert by_source["MedicationAdministration/a1"].concept.text == "cisplatin"
    assert "Observation/full-p" in by_source, "our own code system is searched as a whole"
    assert by_source["Observation/size"].lesions, "whose size it is stands in another resource"
    assert "Observation/noise" not in by_source, "body temperature is asked by nobody"
    assert len(json.loads(raw)) == 12
    assert record.digest() == (await pull(server, "Patient/full"))[0].digest()


async def test_a_resource_that_is_not_valid_is_used_and_named(server: FhirClient) -> None:
    odd = cervical_cancer("odd-c", "Patient/odd", recordedDate="not a date")
    async with Answering({"Patient/odd": patient("odd"), "Condition": [odd]}) as strange:
        record, _, _ = await pull(strange, "Patient/odd")
    assert [finding.source for finding in record.findings] == ["Condition/odd-c"]
    invalid = [issue for issue in record.issues if issue.code == "resource-invalid"]
    assert len(invalid) == 1
    assert invalid[0].sources == ("Condition/odd-c",)
    assert "not a date" not in invalid[0].text


async def test_fc_05_a_server_that_ignores_the_patient_parameter_is_found_out() -> None:
    """FC-05: resources of another patient are never used."""
    other = cervical_cancer("x", "Patient/other")
    async with Answering({"Patient/one": patient("one"), "Condition": [cervical_cancer("c", "Patient/one"), other]}) as strange:
        with pytest.raises(Stuck, match="of another"):
            await pull(strange, "Patient/one")


async def test_fc_05_a_resource_that_names_nobody_is_set_aside_and_named() -> None:
    """FC-05: what cannot be verified is not used."""
    nameless = cervical_cancer("n", "Patient/one") | {"subject": {"identifier": {"value": "1"}}}
    async with Answering({"Patient/one": patient("one"), "Condition": [nameless]}) as strange:
        record, _, _ = await pull(strange, "Patient/one")
    assert record.findings == ()
    assert [(issue.code, issue.sources) for issue in record.issues] == [("resource-unreadable", ("Condition/n",))]


@pytest.mark.parametrize("times", [60, 200, 500, 2_000])
@pytest.mark.parametrize("where", ["extension", "contained", "element"])
async def test_a_resource_nested_without_end_is_used_and_named_and_takes_nothing_from_the_others(times: int, where: str) -> None:
    """What decodes it, checks it and compares it recurses: each gives up at another depth, and took the whole record with it."""
    odd = cervical_cancer("deep", "Patient/one")
    if where == "contained":
        odd["contained"] = [{"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "extension": ["HERE"]}]
    elif where == "element":
        odd["code"] = {**odd["code"], "extension": ["HERE"]}
    else:
        odd["extension"] = ["HERE"]
    answers: dict[str, object] = {"Patient/one": patient("one"), "Condition": [cervical_cancer("flat", "Patient/one"), odd]}
    nested = '{"url":"https://ehr.example/e","extension":[' * times + '{"url":"https://ehr.example/i","valueCode":"x"}' + "]}" * times
    async with Answering(answers, '"HERE"', nested) as strange:
        record, raw, _ = await pull(strange, "Patient/one")
    assert {finding.source for finding in record.findings} == {"Condition/deep", "Condition/flat"}
    assert [(issue.code, issue.sources) for issue in record.issues] == [("resource-invalid", ("Condition/deep",))]
    assert "nested more than 100 levels deep" in record.issues[0].text
    assert len(json.loads(raw)) == 3


async def test_a_patient_nested_without_end_is_one_clear_refusal() -> None:
    """Without the Patient there is no record."""
    answers: dict[str, object] = {"Patient/one": patient("one") | {"extension": ["HERE"]}}
    async with Answering(answers, '"HERE"', "[" * 3_000 + "]" * 3_000) as strange:
        with pytest.raises(NotFhir, match=r"a read of Patient with a resource nested more than 100 levels deep.* mended there"):
            await pull(strange, "Patient/one")


async def test_fc_14_the_patient_may_be_named_in_full_and_by_version() -> None:
    """FC-14: an absolute reference to the same base, and one to a version, is the patient."""
    async with Answering({"Patient/one": patient("one"), "Condition": []}) as strange:
        conditions = [cervical_cancer("a", f"{strange.base_url}/Patient/one"), cervical_cancer("b", "Patient/one/_history/3")]
        strange_app[strange.base_url]["Condition"] = conditions
        record, _, _ = await pull(strange, "Patient/one")
        assert {finding.source for finding in record.findings} == {"Condition/a", "Condition/b"}
        strange_app[strange.base_url]["Condition"] = [cervical_cancer("a", "https://elsewhere.example/fhir/Patient/one")]
        with pytest.raises(Stuck):
            await pull(strange, "Patient/one")


async def test_fc_11_an_unknown_patient_a_deleted_and_a_merged_one_are_told_apart(server: FhirClient) -> None:
    """FC-11: 404, 410 and Patient.link replaced-by each stop the case with their own sentence."""
    with pytest.raises(NotFound, match="no such patient"):
        await pull(server, "Patient/nobody")
    merged = patient("merged", link=[{"other": {"reference": "Patient/new"}, "type": "replaced-by"}])
    await server.transaction(bundle([patient("new"), merged, patient("gone-since")]))
    with pytest.raises(Stuck, match="merged"):
        await pull(server, "Patient/merged")
    await server.delete("Patient", "gone-since")
    with pytest.raises(Gone, match="deleted"):
        await pull(server, "Patient/gone-since")


async def test_a_search_that_only_some_servers_know_may_be_refused() -> None:
    async with Answering({"Patient/one": patient("one"), "Condition": [], "refuse": "code:missing"}) as strange:
        assert (await pull(strange, "Patient/one")).record.findings == ()
    async with Answering({"Patient/one": patient("one"), "Condition": [], "refuse": "Procedure"}) as strange:
        with pytest.raises(Rejected):
            await pull(strange, "Patient/one")


async def test_what_we_wrote_ourselves_is_no_finding(server: FhirClient) -> None:
    mine = extent("own-d", "Patient/own", "parametrium", True)
    mine["meta"] = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}]}
    await server.transaction(bundle([patient("own"), cervical_cancer("own-c", "Patient/own"), ecog("own-e", "Patient/own", 0), mine]))
    record, _, _ = await pull(server, "Patient/own")
    assert [finding.source for finding in record.findings] == ["Condition/own-c", "Observation/own-e"]


@pytest.mark.parametrize("text", ["17", "Patient/17", "a.b-C"])
def test_a_patient_is_named_by_reference_or_id(text: str) -> None:
    assert patient_reference(text).startswith("Patient/")


@pytest.mark.parametrize("text", ["", "Patient/", "Patient/1/2", "Patient/../x", "Group/1", "a b", "x" * 65, "17\n"])
def test_what_is_no_patient_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        patient_reference(text)


def test_no_search_asks_for_too_long_an_address() -> None:
    assert max(sum(len(value) for _, value in search.params) for search in searches_for("x" * 64)) < 1200


strange_app: dict[str, dict[str, object]] = {}


class Answering:
    """A FHIR server that answers each search with what the test says."""

    def __init__(self, answers: dict[str, object], *written: str) -> None:
        """`written` are a text and what stands in its place in an answer as it is sent: what json itself does not write."""
        self._written = written or ("", "")
        app = web.Application()
        app.router.add_get("/fhir/Patient/{id}", self._read)
        app.router.add_get("/fhir/{type}", self._search)
        self._server = TestServer(app, host="127.0.0.1")
        self._answers = answers

    async def __aenter__(self) -> FhirClient:
        await self._server.start_server()
        self._client = FhirClient(str(self._server.make_url("/fhir")), retries=0)
        strange_app[self._client.base_url] = self._answers
        return await self._client.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._client.__aexit__(None, None, None)
        await self._server.close()

    async def _read(self, request: web.Request) -> web.Response:
        return self._said(self._answers[f"Patient/{request.match_info['id']}"])

    def _said(self, said: object) -> web.Response:
        old, new = self._written
        text = json.dumps(said)
        return web.Response(text=text.replace(old, new) if old else text, content_type="application/fhir+json")

    async def _search(self, request: web.Request) -> web.Response:
        kind = request.match_info["type"]
        if self._answers.get("refuse") in {kind, *request.query}:
            return web.json_response({"resourceType": "OperationOutcome", "issue": []}, status=400, content_type="application/fhir+json")
        found = self._answers.get(kind, [])
        assert isinstance(found, list)
        answer = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": resource} for resource in found]}
        return self._said(answer)
