"""Whose a resource is: what cannot be hers is set aside or refused, without a word of who it may be. Synthetic patients only."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.fhir.outcome import Refused
from shared.fhir.reader import read_bundle

HERE = "https://fhir.example.org/r4"


def bundle(*resources: dict[str, Any], base: str | None = None) -> bytes:
    entries = [
        {"resource": each} | ({"fullUrl": f"{base}/{each['resourceType']}/{each['id']}"} if base and "id" in each else {})
        for each in resources
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


def condition(subject: dict[str, Any], id: str = "c1") -> dict[str, Any]:
    return {"resourceType": "Condition", "id": id, "subject": subject, "code": {"text": "synthetic"}}


PATIENT = {"resourceType": "Patient", "id": "17", "identifier": [{"system": "urn:synthetic", "value": "mrn-17"}]}


@pytest.mark.parametrize("address", ["Patient/17", f"{HERE}/Patient/17", f"{HERE}/Patient/17/_history/2"])
def test_the_patient_of_the_same_server_is_one(address: str) -> None:
    record = read_bundle(bundle(PATIENT, condition({"reference": address}), base=HERE))

    assert record.patient == "Patient/17"
    assert [f.source for f in record.findings] == ["Condition/c1"]


def test_the_same_number_on_another_server_is_another_patient() -> None:
    with pytest.raises(Refused, match="more than one server"):
        read_bundle(bundle(PATIENT, condition({"reference": "https://other.example.org/r4/Patient/17"}), base=HERE))


@pytest.mark.parametrize(
    "subject",
    [
        {"reference": "Group/1"},
        {"reference": f"{HERE}/Location/1"},
        {"reference": "#p"},
        {"reference": "Patient?identifier=urn:synthetic|mrn-18"},
        {"reference": "Patient?name=Synthetic"},
        {"identifier": {"system": "urn:synthetic", "value": "mrn-18"}},
    ],
)
def test_what_is_not_hers_is_set_aside_and_names_nobody(subject: dict[str, Any]) -> None:
    record = read_bundle(bundle(PATIENT, condition({"reference": "Patient/17"}, "c2"), condition(subject)))

    (issue,) = record.issues
    assert (issue.code, issue.sources) == ("resource-unreadable", ("Condition/c1",))
    assert "mrn" not in issue.text
    assert "Synthetic" not in issue.text
    assert [f.source for f in record.findings] == ["Condition/c2"]


@pytest.mark.parametrize(
    "subject", [{"reference": "Group/1"}, {"reference": "#p"}, {"reference": "Patient?identifier=urn:synthetic|mrn-17"}]
)
def test_a_record_of_no_patient_is_refused(subject: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="No resource names a patient"):
        read_bundle(bundle(condition(subject)))


def test_a_search_that_fits_her_identifier_is_hers() -> None:
    record = read_bundle(bundle(PATIENT, condition({"reference": "Patient?identifier=urn:synthetic|mrn-17"})))

    assert [f.source for f in record.findings] == ["Condition/c1"]
