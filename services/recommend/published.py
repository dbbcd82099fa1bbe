"""What of ours stands on a server already: which answer, and whether a person has touched it. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import msgspec

from services.recommend.decision import CAREPLAN, DECISION, Answer, decision, proposes
from services.recommend.withdrawn import WITHDRAWN, by_us
from shared.fhir.asked import is_hers
from shared.fhir.client import FhirClient
from shared.fhir.outcome import NotFhir
from shared.fhir.paging import Entry
from shared.fhir.write_mode import Mode, Offer

Json = dict[str, Any]
_OPEN = ("draft", "active", "on-hold", "current")
FIRST = "1"  # the version of what nobody has written to since, on servers that count


class Publication(msgspec.Struct, frozen=True):
    """Where the answer stands: reference and version of the CarePlan, or of the DocumentReference in its stead; whether this call wrote it.

    `careplan` is None where there is nothing to propose, and in the mode `page`, where nothing may be written. `status` is what the
    server says of it; `left` are the references of earlier plans of ours that are still open there, because a person has touched them or
    their options.
    """

    careplan: str | None = None
    version: str | None = None
    decision: str | None = None
    written: bool = False
    mode: Mode = "transaction"
    status: str | None = None
    left: tuple[str, ...] = ()

    @property
    def versioned(self) -> str:
        """The reference with its version, as far as the server tells one."""
        return f"{self.careplan}/_history/{self.version}" if self.version else str(self.careplan)


class Earlier(NamedTuple):
    """A CarePlan or DocumentReference of ours on the server."""

    reference: str
    version: str | None
    resource: Json

    def under(self, system: str) -> str | None:
        """Its identifier of that system."""
        found = [i.get("value") for i in self.resource.get("identifier", ()) if i.get("system") == system]
        return found[0] if found else None

    @property
    def open(self) -> bool:
        return self.resource.get("status") in _OPEN

    @property
    def withdrawn(self) -> bool:
        """Whether we closed it ourselves, and nobody has written to it since."""
        return not self.open and by_us(self.resource, self.version)

    @property
    def again(self) -> int:
        """How often its decision had been written before it."""
        _, _, count = (self.under(CAREPLAN) or "").partition("-")
        return int(count) if count.isdecimal() else 0


async def written_earlier(server: FhirClient, kind: Literal["CarePlan", "DocumentReference"], patient: str) -> list[Earlier]:
    """Everything of ours of that kind for the patient. Raises Stuck where the server shows another patient's."""
    found = [Earlier(entry.reference, entry.version, resource) for entry, resource in await of_patient(server, kind, patient)]
    return [one for one in found if one.under(CAREPLAN)]


async def of_patient(server: FhirClient, kind: str, patient: str) -> list[tuple[Entry, Json]]:
    """Every resource of that kind that says it is the patient's. Raises Stuck where one is another's (FC-05)."""
    entries = [entry for entry in await server.search(kind, {"patient": patient, "_count": "200"}) if entry.type == kind]
    read = [(entry, plain(entry.resource)) for entry in entries]
    return [(entry, resource) for entry, resource in read if is_hers(resource, patient, server.base_url)]


async def read_of(server: FhirClient, reference: str, patient: str) -> Json:
    """One resource of the patient's. Raises Stuck where it is another's, NotFhir where it is another resource."""
    kind, _, name = reference.partition("/")
    resource = plain(await server.read(kind, name))
    if resource.get("id") != name or not is_hers(resource, patient, server.base_url):
        raise NotFhir(f"The FHIR server at {server.base_url} answered a read of {kind} with another one, or one that is nobody's.")
    return resource


def standing(earlier: Collection[Earlier], answer: Answer) -> Earlier | None:
    """What stands for this decision, unless a later one of ours has replaced it. One that a person revoked stands: it was her word.

    One that we withdrew ourselves does not: a decision that comes back is written anew.
    """
    if not proposes(answer):
        return None
    wanted, replaced = decision(answer), {reference for one in earlier for reference in _replaces(one.resource)}
    mine = [one for one in earlier if one.under(DECISION) == wanted and not one.withdrawn]
    stand = [one for one in mine if one.open or one.reference not in replaced]
    return min(stand, key=lambda one: not one.open, default=None)


def _replaces(resource: Json) -> list[str]:
    plans = [reference.get("reference") for reference in resource.get("replaces", ())]
    documents = [one.get("target", {}).get("reference") for one in resource.get("relatesTo", ()) if one.get("code") == "replaces"]
    return [reference for reference in (*plans, *documents) if reference]


async def untouched(server: FhirClient, offer: Offer, reference: str, resource: Json) -> bool:
    """Whether it is still the draft that we wrote, and may be withdrawn: one version, and no other."""
    kind, _, name = reference.partition("/")
    draft = resource.get("status") in ("draft", "preliminary") if kind in WITHDRAWN else resource.get("docStatus") == "preliminary"
    if not draft or not offer.changes(kind):
        return False
    if not offer.said.allows(kind, "history-instance"):
        return bool(resource.get("meta", {}).get("versionId") == FIRST)
    return len(await server.history(kind, name)) == 1


def plain(raw: bytes | msgspec.Raw | None) -> Json:
    """A resource as JSON."""
    found: Json = msgspec.json.decode(raw) if raw is not None else {}
    return found
