"""What leaves us is checked for what the models leave open."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fhir.r4 import check, complaints, references

Json = dict[str, Any]
STAGE = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-cancer-stage"
LUNG = {"coding": [{"system": "http://snomed.info/sct", "code": "94391008"}]}
PRESENT = {"coding": [{"system": "http://snomed.info/sct", "code": "52101004"}]}
OBSERVATION: Json = {
    "resourceType": "Observation",
    "status": "preliminary",
    "category": [{"text": "exam"}],
    "code": LUNG,
    "subject": {"reference": "Patient/1"},
    "valueCodeableConcept": PRESENT,
}


def wrong(**elements: Any) -> list[str]:
    resource = {k: v for k, v in (OBSERVATION | elements).items() if v is not None}
    return check({"entry": [{"fullUrl": "urn:uuid:1", "resource": resource}]})


def test_a_sound_observation_passes() -> None:
    assert wrong() == []
    assert wrong(meta={"profile": [STAGE]}) == []
    assert wrong(subject={"display": "entry 1"}) == []


@pytest.mark.parametrize(
    ("elements", "complaint"),
    [
        ({"status": "certain"}, "status is not a code"),
        ({"subject": {"reference": "Condition/1"}}, "subject may not refer to a Condition"),
        ({"derivedFrom": [{"reference": "Condition/1"}]}, "derivedFrom may not refer to a Condition"),
        ({"derivedFrom": [{"reference": "urn:uuid:2"}]}, "urn:uuid:2 is not in the transaction"),
        ({"note": [{"authorReference": {"reference": "Device/1"}, "text": "…"}]}, "note.author may not refer to a Device"),
        ({"dataAbsentReason": {"text": "unknown"}}, "obs-6"),
        ({"component": [{"code": LUNG, "valueBoolean": True}]}, "obs-7"),
        ({"meta": {"profile": [STAGE]}, "category": None}, "mcode-cancer-stage: category is required"),
        ({"meta": {"profile": [STAGE.replace("cancer-stage", "tnm-regional-nodes-category")]}}, "method is required"),
        ({"favouriteColour": "blue"}, "favouriteColour"),
    ],
)
def test_what_r4_or_mcode_forbids_is_named(elements: Json, complaint: str) -> None:
    assert any(complaint in said for said in wrong(**elements))


CAREPLAN: Json = {"resourceType": "CarePlan", "status": "draft", "intent": "proposal", "subject": {"reference": "Patient/1"}}
GROUP: Json = {"resourceType": "RequestGroup", "status": "draft", "intent": "proposal", "subject": {"reference": "Patient/1"}}
ORDER: Json = {"resource": {"reference": "MedicationRequest/1"}}


@pytest.mark.parametrize(
    ("resource", "complaint"),
    [
        (CAREPLAN | {"activity": [{"reference": {"reference": "RequestGroup/1"}}]}, None),
        (CAREPLAN | {"activity": [{"reference": {"reference": "RequestGroup/1"}, "detail": {"status": "scheduled"}}]}, "cpl-3"),
        (GROUP | {"action": [{"title": "one of", "action": [ORDER, {"title": "none"}]}]}, None),
        (GROUP | {"action": [ORDER | {"action": [{"title": "below an order"}]}]}, "rqg-1"),
        (GROUP | {"action": [{"title": "one of", "action": [{"action": [ORDER | {"action": [{"title": "deep"}]}]}]}]}, "rqg-1"),
    ],
)
def test_an_activity_or_an_action_is_one_thing_at_any_depth(resource: Json, complaint: str | None) -> None:
    said = check({"entry": [{"fullUrl": "urn:uuid:1", "resource": resource}]})
    assert [each.split(": ")[1] for each in said] == ([complaint] if complaint else [])


@pytest.mark.parametrize(
    "raw",
    [b"nonsense", b"{}", b"[]", b"null", b"[" * 3, b'{"resourceType": 7}', b'{"resourceType": null}', b'{"resourceType": "Nonsense"}'],
)
def test_what_is_no_resource_of_r4_is_a_complaint_and_no_error(raw: bytes) -> None:
    assert complaints(raw) == ["resourceType: not a type of FHIR R4"]


def test_an_element_that_only_r4b_has_does_not_leave() -> None:
    plan = {"resourceType": "PlanDefinition", "status": "draft", "action": [{"title": "…"}]}
    for more, complaint in (({}, []), ({"subjectCanonical": "https://figaro.example/fhir/Group/1"}, ["subjectCanonical"])):
        said = check({"entry": [{"fullUrl": "urn:uuid:1", "resource": plan | more}]})
        assert [each.split(": ")[1].split()[0] for each in said] == complaint


def test_a_complaint_names_the_place_and_never_the_value() -> None:
    (said,) = complaints(b'{"resourceType": "Patient", "birthDate": "canary"}')
    assert said.startswith("birthDate: ")
    assert "canary" not in said


def test_references_are_found_however_deep() -> None:
    assert list(references({"a": [{"reference": "A/1"}, {"b": {"reference": "B/2"}}], "reference": "C/3"})) == ["C/3", "A/1", "B/2"]
