"""What is taken out of a notification's body: types, ids, versions, patients; and what is left alone."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from services.ingest.notification import Change, Notification, notification, of_address
from shared.fhir.outcome import Unreadable
from tests.ingest.patients import bundle, cervical_cancer, ecog, patient
from tests.ingest.topics import EVENT, HANDSHAKE, camel, event, status, told

BASE = "https://ehr.example/fhir"
Json = dict[str, Any]


def read(body: Json | bytes) -> Notification:
    return notification(body if isinstance(body, bytes) else json.dumps(body).encode(), BASE)


def about(said: Notification) -> list[str]:
    return [change.about for change in said.changes]


@pytest.mark.parametrize("body", [b"", b"  \n", b"\xef\xbb\xbf" * 0])
def test_su_11_an_empty_body_says_only_that_something_changed(body: bytes) -> None:
    """SU-11, SU-01: without a payload the server sends a ping."""
    assert read(body) == Notification(kind="ping", vague=True)


def test_su_25_of_a_resource_only_its_patient_and_its_version_are_taken() -> None:
    """SU-25: the content is read again from the server on our list."""
    condition = cervical_cancer("c1", "Patient/17") | {"meta": {"versionId": "3", "lastUpdated": "2026-03-01T10:00:00Z"}}
    said = read(condition)
    assert about(said) == ["Patient/17"]
    assert read(condition | {"code": {"text": "changed by nobody"}}) == said, "the version says which it is"
    assert read(condition | {"meta": {"versionId": "4", "lastUpdated": "2026-03-01T10:00:00Z"}}).changes != said.changes
    assert "17" not in (said.changes[0].version or "")


def test_su_42_a_resource_without_version_is_told_apart_by_its_content() -> None:
    """SU-42: a hash where there is no versionId."""
    one = ecog("e", "Patient/17", 1) | {"meta": {}}
    assert read(one) == read(dict(reversed(one.items())))
    assert read(one) != read(one | {"valueInteger": 2})


@pytest.mark.parametrize(
    ("reference", "found"),
    [
        ("Patient/17", ["Patient/17"]),
        ("Patient/17/_history/2", ["Patient/17"]),
        (f"{BASE}/Patient/17", ["Patient/17"]),
        (f"{BASE}/Patient/17/_history/2", ["Patient/17"]),
        ("Patient?identifier=urn:mrn|4711", ["Patient?identifier=urn:mrn|4711"]),
        ("https://elsewhere.example/fhir/Patient/17", []),
        (f"{BASE}.evil.example/Patient/17", []),
        ("Patient/../17", []),
        ("Patient/..", []),
        ("Group/17", []),
        ("#inside", []),
        ("urn:uuid:unknown", []),
        ("", []),
    ],
)
def test_su_44_only_a_patient_of_this_server_is_marked(reference: str, found: list[str]) -> None:
    """SU-44, FC-14: a reference is resolved against the base that the channel belongs to, else set aside and counted."""
    said = read(cervical_cancer("c1", reference))
    assert about(said) == found
    assert said.set_aside == (not found)


def test_a_patient_named_by_an_identifier_is_to_be_looked_up() -> None:
    logical = cervical_cancer("c1", "") | {"subject": {"identifier": {"system": "urn:mrn", "value": "4711"}}}
    assert about(read(logical)) == ["Patient?identifier=urn:mrn|4711"]


def test_su_47_what_a_machine_asserted_or_we_wrote_sets_nothing_going() -> None:
    """SU-47: by the AIAST label, and by our identifiers."""
    label = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}]}
    stage = ecog("s", "Patient/17", 1) | {"meta": label}
    request = {
        "resourceType": "MedicationRequest",
        "subject": {"reference": "Patient/17"},
        "identifier": [{"system": "https://figaro.example/fhir/x"}],
    }
    assert (read(stage).changes, read(stage).own) == ((), 1)
    assert (read(request).changes, read(request).own) == ((), 1)


def test_a_type_that_no_rule_reads_is_passed_over() -> None:
    assert read({"resourceType": "Encounter", "id": "1", "subject": {"reference": "Patient/17"}}) == Notification(passed=1)


@pytest.mark.parametrize("kind", ["message", "transaction", "history", "collection", "subscription-notification", "searchset"])
def test_a_bundle_of_any_type_marks_each_patient_once(kind: str) -> None:
    """What engines send that know no Subscriptions."""
    entries = bundle([patient("17"), cervical_cancer("c1", "Patient/17"), ecog("e1", "Patient/18", 1)])
    header = {"resource": {"resourceType": "MessageHeader"}}
    said = read({**entries, "type": kind, "entry": [header, *entries["entry"]]})
    assert {change.about for change in said.changes} == {"Patient/17", "Patient/18"}
    assert said.passed == 1


def test_a_patient_within_the_bundle_is_found_by_its_full_url() -> None:
    """As engines build it from HL7 v2: urn:uuid references, and a Patient that has an identifier but no id."""
    person = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "4711"}]}
    entries = [{"fullUrl": "urn:uuid:p", "resource": person}, {"fullUrl": "urn:uuid:c", "resource": cervical_cancer("c1", "urn:uuid:p")}]
    said = read({"resourceType": "Bundle", "type": "message", "entry": entries})
    assert {change.about for change in said.changes} == {"Patient?identifier=urn:mrn|4711"}


def test_an_entry_that_is_only_an_address_is_a_change_or_a_deletion() -> None:
    entries = [{"request": {"method": "DELETE", "url": "Condition/c1"}}, {"request": {"method": "DELETE", "url": "Encounter/1"}}]
    said = read({"resourceType": "Bundle", "type": "history", "entry": entries})
    assert (said.changes, said.passed) == ((Change("Condition/c1"),), 1)


def test_su_11_below_the_endpoint_the_address_alone_tells_what_was_deleted() -> None:
    assert of_address("Condition/c1").changes == (Change("Condition/c1"),)
    assert of_address("Encounter/1").passed == of_address("../x").passed == 1


@pytest.mark.parametrize("as_r4b", [False, True])
def test_su_22_a_handshake_changes_nothing(as_r4b: bool) -> None:
    """SU-22, SU-23, SU-24: as Parameters and as SubscriptionStatus."""
    said = read(told(status(HANDSHAKE, counted=0), as_r4b=as_r4b))
    assert (said.kind, said.changes, said.vague, said.counted) == ("handshake", (), False, 0)
    assert said.subscription == "Subscription/s1"


@pytest.mark.parametrize("as_r4b", [False, True])
def test_su_25_an_id_only_event_names_a_resource_to_be_looked_up(as_r4b: bool) -> None:
    """SU-25, SU-26: several events in one notification."""
    said = read(told(status(EVENT, event(4, "Condition/c1"), event(5, f"{BASE}/Observation/o1"), counted=5), as_r4b=as_r4b))
    assert about(said) == ["Condition/c1", "Observation/o1"]
    assert (said.events, said.counted, said.vague) == ((4, 5), 5, False)


def test_su_25_a_full_event_names_the_patient_at_once() -> None:
    said = read(told(status(EVENT, event(4, "Condition/c1"), counted=4), cervical_cancer("c1", "Patient/17")))
    assert about(said) == ["Patient/17"]


def test_su_25_an_empty_event_says_only_that_something_changed() -> None:
    said = read(told(status(EVENT, event(4, None), counted=4)))
    assert (said.changes, said.vague, said.events) == ((), True, (4,))


@pytest.mark.parametrize("number", ["9007199254740993", 9007199254740993])
def test_su_29_an_event_number_of_r5_is_read_to_its_last_digit(number: str | int) -> None:
    """SU-29: integer64, which R5 writes as a string, beyond what a float holds; the Bundle has the type of R5 and no requests."""
    said: Json = told(status(EVENT, event(4, "Condition/c1"), counted=4), as_r4b=True)
    numbered = {"eventNumber": number, "timestamp": "2026-03-01T10:00:00Z", "focus": {"reference": "Condition/c1"}}
    r5 = {**said["entry"][0]["resource"], "eventsSinceSubscriptionStart": number, "notificationEvent": [numbered]}
    heard = read({"resourceType": "Bundle", "type": "subscription-notification", "entry": [{"fullUrl": "urn:uuid:0", "resource": r5}]})
    assert (heard.events, heard.counted, about(heard)) == ((9007199254740993,), 9007199254740993, ["Condition/c1"])


def test_su_44_a_focus_on_another_server_is_set_aside() -> None:
    said = read(told(status(EVENT, event(4, "https://elsewhere.example/fhir/Condition/c1"))))
    assert (said.changes, said.set_aside) == ((), 1)


def test_su_24_names_in_camel_case_and_instants_of_any_type_are_understood() -> None:
    """SU-16, SU-24: `notificationEvent` beside `notification-event`, `valueDate` beside `valueInstant`."""
    said = status(EVENT, event(4, "Condition/c1"), counted=4)
    plain, renamed = read(told(said)), read(told(camel(said)))
    assert about(renamed) == about(plain) == ["Condition/c1"]
    assert msgspec.structs.replace(renamed, changes=()) == msgspec.structs.replace(plain, changes=())


def test_su_23_entries_without_request_are_accepted() -> None:
    body = told(status(EVENT, event(1, "Condition/c1")), cervical_cancer("c1", "Patient/17"))
    for entry in body["entry"]:
        entry.pop("request", None)
    assert about(read(body)) == ["Patient/17"]


@pytest.mark.parametrize(
    "body",
    [
        b"nonsense",
        b"[]",
        b"{}",
        b"17",
        b'{"resourceType": 17}',
        b'{"resourceType":"Condition","resourceType":"Patient"}',
        b'{"resourceType":"Condition","subject":{"reference":"Patient/1","reference":"Patient/2"}}',
        b"[" * 200_000,
        b'{"resourceType":"Condition","id":"\xff"}',
    ],
)
def test_what_cannot_be_read_is_refused_without_its_words(body: bytes) -> None:
    """Also what can be read in two ways: a member twice."""
    with pytest.raises(Unreadable) as refused:
        read(body)
    assert "Patient/1" not in str(refused.value)


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "entry": 17},
        {"resourceType": "Bundle", "entry": [None, {"resource": 3}, {"request": 4}]},
        {"resourceType": "Condition", "subject": 17, "meta": 3, "identifier": 4},
        {"resourceType": "Parameters", "parameter": [None, {"name": 4}, {"name": "notification-event", "part": 1}]},
        {"resourceType": "Observation", "subject": {"reference": {"a": 1}, "identifier": []}},
    ],
)
def test_a_strange_shape_marks_nobody_and_breaks_nothing(body: Json) -> None:
    assert not [change for change in read(body).changes if change.about.startswith("Patient")]
