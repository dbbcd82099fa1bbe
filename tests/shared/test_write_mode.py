"""Which way an answer takes to a server, from what that server offers."""

from __future__ import annotations

import msgspec
import pytest

from shared.fhir.capability import Capabilities, ResourceCapability
from shared.fhir.write_mode import CHOICE, KINDS, Offer, writing

CREATE = ({"code": "create"},)


def offer(*kinds: str, transactions: bool = True, conditional: bool = True, searched: bool = True, named: bool = True) -> Offer:
    """A server that creates these kinds."""
    parameter = [{"name": "identifier" if kind != "Provenance" else "target"} for kind in kinds]
    resource = [
        {
            "type": kind,
            "interaction": CREATE,
            "conditionalCreate": conditional,
            "updateCreate": named,
            "searchParam": [one] if searched else [],
        }
        for kind, one in zip(kinds, parameter, strict=True)
    ]
    said = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [{"resource": resource}]}
    return Offer(msgspec.convert(said, Capabilities), transactions)


@pytest.mark.parametrize(
    ("given", "mode", "lacking"),
    [
        (offer(*KINDS), "transaction", ()),
        (offer(*KINDS, transactions=False), "ordered", ()),
        (offer(*KINDS, conditional=False), "ordered", ()),
        (offer(*KINDS, transactions=False, searched=False), "ordered", ()),
        (offer(*KINDS, transactions=False, searched=False, named=False), "ordered", ("Provenance",)),
        (offer("CarePlan"), "transaction", KINDS[1:]),
        (
            offer("CarePlan", "RequestGroup", "MedicationRequest", "Observation", "Device", "Provenance"),
            "transaction",
            (*CHOICE, "DetectedIssue", "Task"),
        ),
        (offer("DocumentReference"), "document", KINDS),
        (offer("CarePlan", "DocumentReference", conditional=False, searched=False), "page", KINDS),
        (offer(), "page", KINDS),
    ],
)
def test_fc12_the_fullest_mode_is_taken_that_writes_nothing_twice(given: Offer, mode: str, lacking: tuple[str, ...]) -> None:
    assert (writing(given).mode, set(writing(given).lacking)) == (mode, set(lacking))


def test_without_a_device_no_provenance_names_one() -> None:
    assert set(writing(offer(*(kind for kind in KINDS if kind != "Device"))).lacking) == {"Device", "Provenance"}


def test_why_names_what_is_left_out() -> None:
    assert writing(offer("CarePlan")).why.endswith(
        "without RequestGroup, MedicationRequest, ServiceRequest, Observation, DetectedIssue, Task, Device, Provenance"
    )
    assert writing(offer(*KINDS)).why == "one transaction of conditional creates"


def test_what_is_kept_without_versions_cannot_be_withdrawn() -> None:
    said = Capabilities(rest=())
    assert not Offer(said, True).changes("CarePlan")
    kept = msgspec.structs.replace(offer("CarePlan").said.rest[0], resource=(ResourceCapability("CarePlan", versioning="no-version"),))
    assert not Offer(msgspec.structs.replace(said, rest=(kept,)), True).changes("CarePlan")
