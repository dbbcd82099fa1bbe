"""Writes the CarePlan, once. The same decision is found again and not repeated; what a person has touched is left alone."""

from __future__ import annotations

from typing import Any

import msgspec

from services.recommend.careplan import CAREPLAN, Answer, Replaced, decision, transaction
from services.recommend.options import Drug
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, FigaroError
from shared.fhir.r4 import check

Json = dict[str, Any]
_OPEN = ("draft", "active", "on-hold")


class Publication(msgspec.Struct, frozen=True):
    """Where the answer stands: reference and version of the CarePlan (None: nothing to write), and whether this call wrote it."""

    careplan: str | None = None
    version: str | None = None
    decision: str | None = None
    written: bool = False


async def publish(server: FhirClient, answer: Answer, drugs: dict[str, Drug], *, at: str, software: str) -> Publication:
    """Writes the decision unless it stands already. `at` is an instant.

    Raises what the server answers; FigaroError where our own transaction is not valid FHIR, which is then not sent.
    """
    if not answer.staging.primary.applies:
        return Publication()
    wanted = decision(answer)
    if (standing := await _standing(server, wanted)) is not None:
        return standing
    earlier = await _earlier(server, answer.record.patient)
    try:
        await _write(server, answer, drugs, at, software, earlier)
    except Conflict:
        # Somebody has touched an earlier draft since we looked, or has written this decision: look again, once.
        if (standing := await _standing(server, wanted)) is not None:
            return standing
        await _write(server, answer, drugs, at, software, await _earlier(server, answer.record.patient))
    written = await _standing(server, wanted)
    if written is None:
        raise FigaroError("The FHIR server took the CarePlan and does not find it by its identifier: look at its search index.")
    return msgspec.structs.replace(written, written=True)


async def _standing(server: FhirClient, wanted: str) -> Publication | None:
    """The CarePlan of this decision, if it is on the server."""
    found = await server.find("CarePlan", f"{CAREPLAN}|{wanted}")
    return Publication(found[0].reference, found[0].version, wanted) if found else None


async def _write(
    server: FhirClient, answer: Answer, drugs: dict[str, Drug], at: str, software: str, earlier: tuple[Replaced, ...]
) -> None:
    bundle = transaction(answer, drugs, at=at, software=software, replaces=earlier)
    wrong = check(bundle)
    if wrong:
        raise FigaroError(f"The CarePlan was not sent, because it is not valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
    await server.transaction(bundle)


async def _earlier(server: FhirClient, patient: str) -> tuple[Replaced, ...]:
    """Our open plans for the patient, with the RequestGroups below them; with their resource where nobody else has written to them."""
    found: list[Replaced] = []
    for entry in await server.search("CarePlan", {"patient": patient}):
        plan = _plain(entry.resource)
        if plan.get("status") not in _OPEN or not any(i.get("system") == CAREPLAN for i in plan.get("identifier", ())):
            continue
        untouched = await _untouched(server, entry.reference, plan)
        found.append(Replaced(entry.reference, plan, entry.version) if untouched else Replaced(entry.reference))
        for reference in [a["reference"]["reference"] for a in plan.get("activity", ()) if "reference" in a] if untouched else ():
            group = _plain(await server.read(*reference.split("/")[:2]))
            if await _untouched(server, reference, group):
                found.append(Replaced(reference, group, group.get("meta", {}).get("versionId")))
    return tuple(found)


async def _untouched(server: FhirClient, reference: str, resource: Json) -> bool:
    """Whether it is still the draft that we wrote: one version, and no other."""
    kind, _, name = reference.partition("/")
    return resource.get("status") == "draft" and len(await server.history(kind, name)) == 1


def _plain(raw: bytes | msgspec.Raw | None) -> Json:
    plain: Json = msgspec.json.decode(raw) if raw is not None else {}
    return plain
