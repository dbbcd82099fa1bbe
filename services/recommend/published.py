"""What of ours stands on a server already: which answer, whether a person has touched it, and what a new one replaces. Reads only."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import msgspec

from services.recommend.careplan import WITHDRAWN, Replaced
from services.recommend.decision import CAREPLAN, DECISION, Answer, decision, proposes
from shared.fhir.client import FhirClient
from shared.fhir.write_mode import Mode, Offer

Json = dict[str, Any]
_OPEN = ("draft", "active", "on-hold", "current")
_OPTIONS = ("MedicationRequest", "ServiceRequest", "DetectedIssue", "Task")
_FIRST = "1"  # the version of what nobody has written to since, on servers that count


class Publication(msgspec.Struct, frozen=True):
    """Where the answer stands: reference and version of the CarePlan, or of the DocumentReference in its stead; whether this call wrote it.

    `careplan` is None where there is nothing to propose, and in the mode `page`, where nothing may be written.
    """

    careplan: str | None = None
    version: str | None = None
    decision: str | None = None
    written: bool = False
    mode: Mode = "transaction"

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
    def again(self) -> int:
        """How often its decision had been written before it."""
        _, _, count = (self.under(CAREPLAN) or "").partition("-")
        return int(count) if count.isdecimal() else 0


async def written_earlier(server: FhirClient, kind: Literal["CarePlan", "DocumentReference"], patient: str) -> list[Earlier]:
    """Everything of ours of that kind for the patient."""
    found = []
    for entry in await server.search(kind, {"patient": patient}):
        one = Earlier(entry.reference, entry.version, plain(entry.resource))
        if one.under(CAREPLAN):
            found.append(one)
    return found


def standing(earlier: Collection[Earlier], answer: Answer) -> Earlier | None:
    """What stands for this decision, unless a later one of ours has replaced it. One that a person revoked stands: it was her word."""
    if not proposes(answer):
        return None
    wanted, replaced = decision(answer), {reference for one in earlier for reference in _replaces(one.resource)}
    return next((one for one in earlier if one.under(DECISION) == wanted and (one.open or one.reference not in replaced)), None)


def _replaces(resource: Json) -> list[str]:
    plans = [reference.get("reference") for reference in resource.get("replaces", ())]
    documents = [one.get("target", {}).get("reference") for one in resource.get("relatesTo", ()) if one.get("code") == "replaces"]
    return [reference for reference in (*plans, *documents) if reference]


async def to_replace(server: FhirClient, offer: Offer, patient: str, plans: Collection[Earlier]) -> tuple[Replaced, ...]:
    """These open plans; and of those that nobody else has written to, all that was written with them and is untouched too."""
    found: list[Replaced] = []
    withdrawn: set[str] = set()
    for plan in plans:
        if not await untouched(server, offer, plan.reference, plan.resource):
            found.append(Replaced(plan.reference))
            continue
        found.append(Replaced(plan.reference, plan.resource, plan.version))
        withdrawn.update(filter(None, [plan.under(DECISION)]))
        for activity in plan.resource.get("activity", ()):
            reference = activity.get("reference", {}).get("reference", "")
            if reference.startswith("RequestGroup/"):
                group = plain(await server.read(*reference.split("/")[:2]))
                if await untouched(server, offer, reference, group):
                    found.append(Replaced(reference, group, group.get("meta", {}).get("versionId")))
    for kind in _OPTIONS if withdrawn else ():
        if offer.said.searches(kind, "patient") and offer.changes(kind):
            found += await _options(server, kind, patient, withdrawn)
    return tuple(found)


async def _options(server: FhirClient, kind: str, patient: str, withdrawn: set[str]) -> list[Replaced]:
    """What was written of one type with the withdrawn decisions, and is still as we wrote it."""
    found = []
    for entry in await server.search(kind, {"patient": patient, "_count": "200"}):
        resource = plain(entry.resource)
        tags = {tag.get("code") for tag in resource.get("meta", {}).get("tag", ()) if tag.get("system") == DECISION}
        if tags & withdrawn and entry.version == _FIRST and resource.get("status") in ("draft", "preliminary"):
            found.append(Replaced(entry.reference, resource, entry.version))
    return found


async def untouched(server: FhirClient, offer: Offer, reference: str, resource: Json) -> bool:
    """Whether it is still the draft that we wrote, and may be withdrawn: one version, and no other."""
    kind, _, name = reference.partition("/")
    draft = resource.get("status") == "draft" if kind in WITHDRAWN else resource.get("docStatus") == "preliminary"
    if not draft or not offer.changes(kind):
        return False
    if not offer.said.allows(kind, "history-instance"):
        return bool(resource.get("meta", {}).get("versionId") == _FIRST)
    return len(await server.history(kind, name)) == 1


def plain(raw: bytes | msgspec.Raw | None) -> Json:
    """A resource as JSON."""
    found: Json = msgspec.json.decode(raw) if raw is not None else {}
    return found
