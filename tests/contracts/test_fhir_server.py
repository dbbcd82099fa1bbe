"""What Figaro relies on in any FHIR R4 server: one suite, run against sekmet-fhir and HAPI FHIR."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, Gone, NotFound, Rejected, ServerAnswer

SYSTEM = "https://figaro.example/fhir/test"


@pytest.fixture
async def server(fhir_base: str) -> AsyncIterator[FhirClient]:
    async with FhirClient(fhir_base) as client:
        yield client


@pytest.fixture
def key() -> str:
    """An identifier that nothing else on the server carries."""
    return str(uuid4())


def patient(key: str, **more: Any) -> dict[str, Any]:
    """A synthetic patient, and marked so."""
    tag = {"tag": [{"system": SYSTEM, "code": "synthetic"}]}
    return {"resourceType": "Patient", "meta": tag, "identifier": [{"system": SYSTEM, "value": key}], **more}


def condition(subject: str, key: str) -> dict[str, Any]:
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "C53.9"}]}
    return {"resourceType": "Condition", "identifier": [{"system": SYSTEM, "value": key}], "code": code, "subject": {"reference": subject}}


def transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def post(resource: dict[str, Any], full_url: str, **request: str) -> dict[str, Any]:
    return {"fullUrl": full_url, "resource": resource, "request": {"method": "POST", "url": resource["resourceType"], **request}}


async def test_it_speaks_r4_and_offers_what_we_write(server: FhirClient) -> None:
    said = await server.capabilities()
    assert said.fhir_version.startswith("4.0.")
    assert said.system("transaction")
    assert all(said.allows(type, "create") for type in ("CarePlan", "RequestGroup", "Observation", "DetectedIssue", "Provenance"))


async def test_what_is_created_can_be_read(server: FhirClient, key: str) -> None:
    made = await server.create(patient(key))
    assert made.created
    assert made.version == "1"
    read = json.loads(await server.read("Patient", made.id))
    assert read["identifier"] == [{"system": SYSTEM, "value": key}]


async def test_fc07_a_conditional_create_makes_once_and_then_finds(server: FhirClient, key: str) -> None:
    condition = f"identifier={SYSTEM}|{key}"
    first = await server.create(patient(key), if_none_exist=condition)
    second = await server.create(patient(key), if_none_exist=condition)
    assert (first.created, second.created) == (True, False)
    assert second.reference == first.reference
    assert len(await server.find("Patient", f"{SYSTEM}|{key}")) == 1


async def test_fc07_a_conditional_create_that_matches_several_is_a_conflict(server: FhirClient, key: str) -> None:
    await server.create(patient(key))
    await server.create(patient(key))
    with pytest.raises(Conflict):
        await server.create(patient(key), if_none_exist=f"identifier={SYSTEM}|{key}")


async def test_fc12_a_transaction_turns_urn_uuid_references_into_real_ones(server: FhirClient, key: str) -> None:
    urn = f"urn:uuid:{uuid4()}"
    made, about = await server.transaction(transaction(post(patient(key), urn), post(condition(urn, key), f"urn:uuid:{uuid4()}")))
    assert made.created
    assert about.created
    read = json.loads(await server.read("Condition", about.id))
    assert read["subject"]["reference"] == made.reference


async def test_fc12_a_transaction_creates_conditionally_too(server: FhirClient, key: str) -> None:
    entry = post(patient(key), f"urn:uuid:{uuid4()}", ifNoneExist=f"identifier={SYSTEM}|{key}")
    (first,) = await server.transaction(transaction(entry))
    (second,) = await server.transaction(transaction(entry))
    assert (first.created, second.created) == (True, False)
    assert second.reference == first.reference


async def test_fc12_a_transaction_with_one_bad_entry_leaves_nothing(server: FhirClient, key: str) -> None:
    bad = {**patient(key), "gender": 7, "birthDate": "not a date"}
    with pytest.raises(Rejected) as refusal:
        await server.transaction(transaction(post(patient(key), f"urn:uuid:{uuid4()}"), post(bad, f"urn:uuid:{uuid4()}")))
    assert refusal.value.outcome
    assert await server.find("Patient", f"{SYSTEM}|{key}") == ()


async def test_fc02_paging_while_rows_arrive_sees_every_earlier_row_once(server: FhirClient, key: str) -> None:
    about = (await server.create(patient(key))).reference
    early = {(await server.create(condition(about, key))).reference for _ in range(12)}
    seen = []
    async for page in server.search_pages("Condition", {"patient": about, "_count": "5", "_sort": "-_lastUpdated"}):
        seen += [entry.reference for entry in page.entries]
        await server.create(condition(about, key))
    assert early <= set(seen)
    found = await server.search("Condition", {"patient": about, "_count": "5"})
    assert early <= {entry.reference for entry in found}
    assert len({entry.reference for entry in found}) == len(found) >= 15
    assert found.pages >= 3
    assert found.warnings == ()


async def test_fc04_a_posted_search_finds_the_same(server: FhirClient, key: str) -> None:
    made = await server.create(patient(key))
    for post in (False, True):
        (found,) = await server.find("Patient", f"{SYSTEM}|{key}", post=post)
        assert found.reference == made.reference


async def test_fc05_an_unknown_parameter_is_refused_and_not_dropped(server: FhirClient) -> None:
    with pytest.raises(Rejected) as refusal:
        await server.search("Condition", {"favourite-colour": "blue"})
    assert refusal.value.status == 400
    assert "favourite-colour" in refusal.value.text
    assert "blue" not in str(refusal.value)


async def test_fc08_an_update_of_an_older_version_is_a_conflict(server: FhirClient, key: str) -> None:
    made = await server.create(patient(key))
    newer = await server.update(patient(key, id=made.id, active=True), if_match=made.version)
    assert newer.version == "2"
    with pytest.raises(Conflict):
        await server.update(patient(key, id=made.id, active=False), if_match=made.version)
    assert json.loads(await server.read("Patient", made.id))["active"] is True


async def test_fc11_what_was_deleted_is_gone_and_what_never_was_is_not_found(server: FhirClient, key: str) -> None:
    made = await server.create(patient(key))
    await server.delete("Patient", made.id)
    await server.delete("Patient", made.id)
    with pytest.raises(Gone):
        await server.read("Patient", made.id)
    with pytest.raises(NotFound):
        await server.read("Patient", f"never-{key}")


async def test_the_history_tells_versions_and_the_deletion(server: FhirClient, key: str) -> None:
    made = await server.create(patient(key))
    await server.update(patient(key, id=made.id, active=True))
    await server.delete("Patient", made.id)
    told = await server.history("Patient", made.id)
    assert [entry.deleted for entry in told] == [True, False, False]
    assert [entry.version for entry in told][1:] == ["2", "1"]
    assert {entry.reference for entry in told} == {made.reference}


async def test_last_updated_finds_what_changed_since(server: FhirClient, key: str) -> None:
    first = await server.create(patient(key))
    (entry,) = await server.find("Patient", f"{SYSTEM}|{key}")
    assert entry.last_updated is not None
    later = await server.search("Patient", {"identifier": f"{SYSTEM}|{key}", "_lastUpdated": f"gt{entry.last_updated}"})
    since = await server.search("Patient", {"identifier": f"{SYSTEM}|{key}", "_lastUpdated": f"ge{entry.last_updated}"})
    assert [entry.reference for entry in later] == []
    assert [entry.reference for entry in since] == [first.reference]


async def test_fc02_an_include_is_marked_as_no_match(server: FhirClient, key: str) -> None:
    about = (await server.create(patient(key))).reference
    await server.create(condition(about, key))
    found = await server.search("Condition", {"patient": about, "_include": "Condition:subject"})
    assert {entry.type: entry.mode for entry in found} == {"Condition": "match", "Patient": "include"}


async def test_fc13_the_server_s_own_words_are_kept_and_not_printed(server: FhirClient, key: str) -> None:
    with pytest.raises(ServerAnswer) as refusal:
        await server.create({**patient(key), "birthDate": "canary-date"})
    assert refusal.value.outcome
    assert "canary" not in str(refusal.value) + repr(refusal.value)
