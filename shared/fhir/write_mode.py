"""How an answer is written to a server that takes less than all of it. Decided from what it offers; opens no connection.

    transaction   the whole answer at once, all or nothing
    ordered       one conditional create after another, the CarePlan near the end and the Provenance last
    document      a DocumentReference: the narrative to read, the answer as a Bundle beside it
    page          nothing is written: the answer stands on our own page

No mode is used that could write a thing twice: a kind that can be neither created conditionally nor searched for what is there is left out.
Source: FHIR R4 4.0.1, CapabilityStatement.rest.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from shared.fhir.capability import Capabilities

Mode = Literal["transaction", "ordered", "document", "page"]
# The options are one choice among regimens: a group without its requests, or requests without their group, would be another sentence.
CHOICE: Final = ("RequestGroup", "MedicationRequest", "ServiceRequest")
KINDS: Final = ("CarePlan", *CHOICE, "Observation", "DetectedIssue", "Task", "Device", "Provenance")


class Offer(msgspec.Struct, frozen=True):
    """What a server says of itself, and whether it took a transaction when tried."""

    said: Capabilities
    transactions: bool

    def takes(self, kind: str, *, lookup: bool = True) -> bool:
        """Whether the kind can be created, and created once; without `lookup` by a conditional create only."""
        offer = self.said.of(kind)
        if offer is None or not self.said.allows(kind, "create"):
            return False
        if kind == "Provenance":  # it has no identifier in R4: it goes to an id of ours, or is found by its target
            return offer.update_create or (not lookup) or self.said.searches(kind, "target")
        return offer.conditional_create or (lookup and self.said.searches(kind, "identifier"))

    def conditional(self, kind: str) -> bool:
        """Whether the server itself sees to it that the kind is created once."""
        offer = self.said.of(kind)
        return offer is not None and offer.conditional_create

    def changes(self, kind: str) -> bool:
        """Whether what we wrote can be withdrawn: updated, at a version."""
        offer = self.said.of(kind)
        return self.said.allows(kind, "update") and offer is not None and offer.versioning != "no-version"


class Writing(msgspec.Struct, frozen=True):
    """The mode for a server, the kinds that are left out of the answer there, and why in a sentence."""

    mode: Mode
    lacking: tuple[str, ...] = ()
    why: str = ""


def writing(offer: Offer) -> Writing:
    """The fullest mode that the server takes."""
    if not offer.takes("CarePlan"):
        if offer.takes("DocumentReference"):
            return Writing("document", KINDS, "it takes no CarePlan, but documents: narrative and answer go into a DocumentReference")
        return Writing("page", KINDS, "it takes neither CarePlans nor documents once: the answer stands on our own page only")
    whole = offer.transactions and offer.takes("CarePlan", lookup=False)
    lacking = [kind for kind in KINDS if not offer.takes(kind, lookup=not whole)]
    if any(kind in lacking for kind in CHOICE):
        lacking = [kind for kind in KINDS if kind in lacking or kind in CHOICE]
    if "Device" in lacking and "Provenance" not in lacking:
        lacking.append("Provenance")  # which names the Device
    left_out = f", without {', '.join(lacking)}" if lacking else ""
    if whole:
        return Writing("transaction", tuple(lacking), f"one transaction of conditional creates{left_out}")
    return Writing("ordered", tuple(lacking), f"no transaction: one conditional write after another{left_out}")
