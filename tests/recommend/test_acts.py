"""A clinician's act as FHIR, before any server sees it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.recommend.acts import accepted, called, decided, local, provenance, sentence, stands, status
from shared.fhir.r4 import complaints
from shared.oncology.act import Act, Author, may_decide

Json = dict[str, Any]
BASE = "https://ehr.example/fhir"
PLAN: Json = {
    "resourceType": "CarePlan",
    "id": "1",
    "status": "draft",
    "intent": "proposal",
    "subject": {"reference": "Patient/1"},
    "author": {"reference": "Device/1"},
    "text": {"status": "additional", "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>x</p></div>'},
}


def act(kind: Any = "accept", **more: Any) -> Act:
    given: Json = {
        "regimen": "cisplatin",
        "author": Author("Practitioner/7", "Dr Seven"),
        "at": "2026-11-22T12:00:00Z",
        "id": "act-0001",
    } | more
    return Act(act=kind, patient="Patient/1", careplan="CarePlan/1", version="3", decision="d", **given)


@pytest.mark.parametrize(
    ("reference", "author", "agent"),
    [
        ("Practitioner/7", {"authorReference": {"reference": "Practitioner/7"}}, {"reference": "Practitioner/7"}),
        (f"{BASE}/Practitioner/7", {"authorReference": {"reference": "Practitioner/7"}}, {"reference": "Practitioner/7"}),
        ("PractitionerRole/7", {"authorString": "PractitionerRole/7"}, {"reference": "PractitionerRole/7"}),
        (
            "https://else.example/fhir/Practitioner/7",
            {"authorString": "https://else.example/fhir/Practitioner/7"},
            {"identifier": {"system": "urn:ietf:rfc:3986", "value": "https://else.example/fhir/Practitioner/7"}},
        ),
    ],
)
def test_sm53_the_author_is_named_as_r4_allows_wherever_she_is_known(reference: str, author: Json, agent: Json) -> None:
    given = act(author=Author(reference))
    note = decided(PLAN, given, BASE)["note"][-1]
    assert {key: note[key] for key in note if key.startswith("author")} == author
    told = provenance(PLAN, given, BASE)
    assert told["agent"][0]["who"] == agent
    assert told["agent"][1]["who"] == {"reference": "Device/1"}
    for resource in (decided(PLAN, given, BASE), told):
        assert complaints(msgspec.json.encode(resource)) == []


def test_the_status_follows_the_act_and_the_intent_never_does() -> None:
    taken = decided(PLAN, act(), BASE)
    assert (taken["status"], taken["intent"], accepted(taken)) == ("active", "proposal", "cisplatin")
    other = decided(taken, act("decline", regimen="carboplatin", text="no"), BASE)
    assert (other["status"], accepted(other)) == ("active", "cisplatin")
    withdrawn = decided(other, act("decline", text="no"), BASE)
    assert (withdrawn["status"], accepted(withdrawn)) == ("on-hold", None)
    assert status(withdrawn, act("comment", text="well")) == "on-hold"
    assert status(PLAN, act("decline", text="no")) == "draft"
    assert status(taken, act("decline", regimen=None, text="no")) == "revoked"


def test_an_act_is_known_by_its_id_in_the_plan_and_in_its_provenance() -> None:
    assert stands(decided(PLAN, act(), BASE), act())
    assert stands(provenance(PLAN, act(), BASE), act())
    assert not stands(decided(PLAN, act(), BASE), act(id="act-0002"))
    assert not stands(PLAN, act())


def test_the_act_stands_above_the_rest_of_the_narrative_and_what_was_there_stays() -> None:
    div = decided(PLAN, act("comment", text="<b>a & b</b>"), BASE)["text"]["div"]
    assert div.index("A clinician has decided.") < div.index("<p>x</p>")
    assert "&lt;b&gt;a &amp; b&lt;/b&gt;" in div
    assert "text" not in decided({key: value for key, value in PLAN.items() if key != "text"}, act(), BASE)


def test_the_words_of_each_act() -> None:
    assert sentence(act(), "Cisplatin") == "Accepted: Cisplatin."
    assert sentence(act("decline", text="too old"), "Cisplatin") == "Declined: Cisplatin. Reason: too old"
    assert sentence(act("decline", regimen=None, text="no"), None) == "Declined: the plan as a whole. Reason: no"
    assert sentence(act("comment", text="a\x00b"), "Cisplatin") == "Comment on Cisplatin: ab"
    assert sentence(act("comment", regimen=None, text="ab"), None) == "Comment: ab"


def test_a_practitioner_is_called_as_her_record_calls_her() -> None:
    assert (
        called({"name": [{"family": "Old", "use": "old"}, {"use": "official", "prefix": ["Dr"], "given": ["Eva"], "family": "Seven"}]})
        == "Dr Eva Seven"
    )
    assert called({"name": [{"text": "Dr Seven", "family": "x"}]}) == "Dr Seven"
    assert called({}) is None
    assert called({"name": [{}]}) is None


@pytest.mark.parametrize(
    "reference", ["Patient/1", f"{BASE}/RelatedPerson/1", "Person/1", "Device/1", "Practitioner", "Practitioner/", "", None]
)
def test_sm54_who_may_not_decide(reference: str | None) -> None:
    assert not may_decide(reference)


def test_a_reference_to_elsewhere_is_not_local() -> None:
    assert local(f"{BASE}/Practitioner/7", BASE) == "Practitioner/7"
    assert local("https://ehr.example.evil.test/fhir/Practitioner/7", BASE) is None
    assert local(f"{BASE}/../Practitioner/7", BASE) is None
