"""Writes the CarePlan, once. The same decision is found again and not repeated; what a person has touched is left alone."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from services.recommend.careplan import WITHDRAWN, Replaced, transaction
from services.recommend.decision import CAREPLAN, DECISION, Answer, decision, proposes
from services.recommend.options import Drug
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, FigaroError
from shared.fhir.r4 import check

Json = dict[str, Any]
_OPEN = ("draft", "active", "on-hold")
_OPTIONS = ("MedicationRequest", "ServiceRequest", "DetectedIssue", "Task")
_FIRST = "1"  # the version of what nobody has written to since, on servers that count


class Publication(msgspec.Struct, frozen=True):
    """Where the answer stands: reference and version of the CarePlan (None: nothing to propose), and whether this call wrote it."""

    careplan: str | None = None
    version: str | None = None
    decision: str | None = None
    written: bool = False


class _Plan(NamedTuple):
    """A CarePlan of ours on the server."""

    reference: str
    version: str | None
    resource: Json

    @property
    def decision(self) -> str | None:
        """The decision it was written for."""
        found = [i["value"] for i in self.resource["identifier"] if i.get("system") == DECISION]
        return found[0] if found else None

    @property
    def open(self) -> bool:
        return self.resource.get("status") in _OPEN


async def publish(server: FhirClient, answer: Answer, drugs: dict[str, Drug], *, at: str, software: str) -> Publication:
    """Writes the decision unless it stands already; withdraws untouched drafts where there is nothing to propose. `at` is an instant.

    Raises what the server answers; FigaroError where our own transaction is not valid FHIR, which is then not sent.
    """
    for last in (False, True):
        plans = await _plans(server, answer.record.patient)
        if (standing := _standing(plans, answer)) is not None:
            return standing
        try:
            created = await _write(server, answer, drugs, at, software, plans)
            break
        except Conflict:
            # Somebody has touched an earlier draft since we looked, or has written this decision: look again, once.
            if last:
                raise
    if not proposes(answer):
        return Publication()
    written = _standing(await _plans(server, answer.record.patient), answer)
    if written is None:
        raise FigaroError("The FHIR server took the CarePlan and does not find it among the patient's: look at its search index.")
    return msgspec.structs.replace(written, written=created)


def _standing(plans: list[_Plan], answer: Answer) -> Publication | None:
    """The CarePlan of this decision, unless a later one of ours has replaced it. One that a person revoked stands: it was her word."""
    if not proposes(answer):
        return None
    wanted, replaced = decision(answer), _replaced(plans)
    standing = [p for p in plans if p.decision == wanted and (p.open or p.reference not in replaced)]
    return Publication(standing[0].reference, standing[0].version, wanted) if standing else None


def _replaced(plans: list[_Plan]) -> set[str]:
    return {earlier["reference"] for plan in plans for earlier in plan.resource.get("replaces", ())}


async def _write(server: FhirClient, answer: Answer, drugs: dict[str, Drug], at: str, software: str, plans: list[_Plan]) -> bool:
    """Sends the transaction; whether a CarePlan came into being by it."""
    again = sum(plan.decision == decision(answer) for plan in plans)
    earlier = await _earlier(server, answer.record.patient, [plan for plan in plans if plan.open])
    bundle = transaction(answer, drugs, at=at, software=software, replaces=earlier, again=again)
    if not bundle["entry"]:
        return False
    if wrong := check(bundle):
        raise FigaroError(f"The CarePlan was not sent, because it is not valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
    return any(done.type == "CarePlan" and done.created for done in await server.transaction(bundle))


async def _plans(server: FhirClient, patient: str) -> list[_Plan]:
    """Every CarePlan of ours for the patient."""
    found = []
    for entry in await server.search("CarePlan", {"patient": patient}):
        plan = _plain(entry.resource)
        if any(i.get("system") == CAREPLAN for i in plan.get("identifier", ())):
            found.append(_Plan(entry.reference, entry.version, plan))
    return found


async def _earlier(server: FhirClient, patient: str, plans: list[_Plan]) -> tuple[Replaced, ...]:
    """Our open plans; and of those that nobody else has written to, all that was written with them and is untouched too."""
    found: list[Replaced] = []
    withdrawn: set[str] = set()
    for plan in plans:
        if not await _untouched(server, plan.reference, plan.resource):
            found.append(Replaced(plan.reference))
            continue
        found.append(Replaced(plan.reference, plan.resource, plan.version))
        withdrawn.update([plan.decision] if plan.decision else [])
        for activity in plan.resource.get("activity", ()):
            reference = activity.get("reference", {}).get("reference", "")
            if reference.startswith("RequestGroup/"):
                group = _plain(await server.read(*reference.split("/")[:2]))
                if await _untouched(server, reference, group):
                    found.append(Replaced(reference, group, group.get("meta", {}).get("versionId")))
    for kind in _OPTIONS if withdrawn else ():
        found += await _options(server, kind, patient, withdrawn)
    return tuple(found)


async def _options(server: FhirClient, kind: str, patient: str, withdrawn: set[str]) -> list[Replaced]:
    """What was written of one type with the withdrawn decisions, and is still as we wrote it."""
    found = []
    for entry in await server.search(kind, {"patient": patient, "_count": "200"}):
        resource = _plain(entry.resource)
        tags = {tag.get("code") for tag in resource.get("meta", {}).get("tag", ()) if tag.get("system") == DECISION}
        if tags & withdrawn and entry.version == _FIRST and resource.get("status") in ("draft", "preliminary"):
            found.append(Replaced(entry.reference, resource, entry.version))
    return found


async def _untouched(server: FhirClient, reference: str, resource: Json) -> bool:
    """Whether it is still the draft that we wrote: one version, and no other."""
    kind, _, name = reference.partition("/")
    return kind in WITHDRAWN and resource.get("status") == "draft" and len(await server.history(kind, name)) == 1


def _plain(raw: bytes | msgspec.Raw | None) -> Json:
    plain: Json = msgspec.json.decode(raw) if raw is not None else {}
    return plain
