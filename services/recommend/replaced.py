"""What a new answer replaces on a server: earlier plans of ours, and all that was written with them. Reads, and withdraws doubles.

What a person has touched is left alone: a plan with an option that somebody made active is touched, and so are all its options.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import Any, Final, NamedTuple

from services.recommend.decision import CAREPLAN, DECISION
from services.recommend.published import FIRST, Earlier, of_patient, read_of, untouched
from services.recommend.withdrawn import WITHDRAWN, Replaced, by_us, withdrawn
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, Gone, NotFound
from shared.fhir.r4 import references
from shared.fhir.write_mode import Offer

Json = dict[str, Any]
_WITH: Final = tuple(kind for kind in WITHDRAWN if kind != "CarePlan")  # what is written with a plan
_OPTIONS: Final = ("RequestGroup", "MedicationRequest", "ServiceRequest")
_DRAFT: Final = ("draft", "preliminary")


class Belonging(NamedTuple):
    """One resource that was written with a plan of ours, and whether a person has touched it."""

    reference: str
    resource: Json
    version: str | None
    touched: bool

    @property
    def kind(self) -> str:
        return self.reference.partition("/")[0]

    @property
    def decisions(self) -> set[str]:
        return {tag.get("code", "") for tag in self.resource.get("meta", {}).get("tag", ()) if tag.get("system") == DECISION}

    @property
    def open(self) -> bool:
        return self.resource.get("status") in _DRAFT


class Before(NamedTuple):
    """What a new plan replaces, and how often its decision had been written and withdrawn before."""

    replaced: tuple[Replaced, ...]
    again: int


async def to_replace(
    server: FhirClient, offer: Offer, patient: str, plans: Collection[Earlier], *, there: Earlier | None, wanted: str
) -> Before:
    """Of all `plans` of ours: every open one, and all of earlier decisions that is still open and that nobody else has written to.

    `there` is a plan that was begun and is not finished, `wanted` the decision that is to be written: neither is replaced. What belongs to
    a plan that is no longer there is withdrawn all the same.
    """
    belonging = await _belonging(server, offer, patient, plans)
    by_decision: dict[str, list[Belonging]] = defaultdict(list)
    for one in belonging:
        for decision in one.decisions:
            by_decision[decision].append(one)
    found: list[Replaced] = []
    kept = {wanted}
    for plan in (plan for plan in plans if plan is not there):
        decision = plan.under(DECISION) or ""
        if not plan.open:
            kept |= {decision} if plan.resource.get("status") == "completed" else set()
        elif _touched(by_decision[decision]) or not await untouched(server, offer, plan.reference, plan.resource):
            found.append(Replaced(plan.reference))
            kept.add(decision)
        else:
            found.append(Replaced(plan.reference, plan.resource, plan.version))
    for one in belonging:
        earlier = bool(one.decisions) and not one.decisions & kept
        if earlier and one.open and not one.touched and offer.changes(one.kind):
            found.append(Replaced(one.reference, one.resource, one.version))
    closed = sum(one.kind == "RequestGroup" and by_us(one.resource, one.version) for one in by_decision[wanted])
    return Before(tuple(found), max(closed, sum(plan.under(DECISION) == wanted for plan in plans)))


def _touched(options: Iterable[Belonging]) -> bool:
    return any(one.touched for one in options if one.kind in _OPTIONS)


async def _belonging(server: FhirClient, offer: Offer, patient: str, plans: Collection[Earlier]) -> list[Belonging]:
    """All that was written with any plan of ours for the patient, also with one that is not there any more."""
    kinds = [kind for kind in _WITH if offer.takes(kind) and offer.said.searches(kind, "patient")]
    searched = await asyncio.gather(*(of_patient(server, kind, patient) for kind in kinds))
    read = [(entry.reference, resource, entry.version) for some in searched for entry, resource in some]
    if "RequestGroup" not in kinds:
        named = {place for plan in plans if plan.open for place in references(plan.resource) if place.startswith("RequestGroup/")}
        for place in sorted(named):
            group = await read_of(server, place, patient)
            read.append((place, group, group.get("meta", {}).get("versionId")))
    found = [Belonging(reference, resource, version, _is_touched(resource, version)) for reference, resource, version in read]
    return [one for one in found if one.decisions]


def _is_touched(resource: Json, version: str | None) -> bool:
    """Whether somebody else has written to it: it is another version than we wrote, as far as the server counts, or another status."""
    if by_us(resource, version):
        return False
    later = version is not None and version.isdecimal() and version != FIRST
    return later or resource.get("status") not in _DRAFT


async def without_doubles(server: FhirClient, offer: Offer, patient: str, plans: list[Earlier]) -> list[Earlier]:
    """The plans without those that stand open twice under one identifier, as a lost reply and a late search index leave them.

    The oldest stays, or what a person has touched; the others are withdrawn with what belongs to them alone, themselves last.
    """
    groups: dict[str, list[Earlier]] = defaultdict(list)
    for plan in plans:
        if plan.open:
            groups[plan.under(CAREPLAN) or ""].append(plan)
    gone: set[str] = set()
    for group in groups.values():
        if len(group) > 1:
            gone |= await _only_one(server, offer, patient, sorted(group, key=_age))
    return [plan for plan in plans if plan.reference not in gone]


def _age(plan: Earlier) -> tuple[str, str, str]:
    return str(plan.resource.get("created", "")), str(plan.resource.get("meta", {}).get("lastUpdated", "")), plan.reference


async def _only_one(server: FhirClient, offer: Offer, patient: str, group: list[Earlier]) -> set[str]:
    free = [plan for plan in group if await untouched(server, offer, plan.reference, plan.resource)]
    others = free[1:] if len(free) == len(group) else free
    kept = [plan for plan in group if plan not in others]
    needed = {place for plan in kept for place in await _named(server, patient, plan.resource)}
    for plan in others:
        decision = plan.under(DECISION) or ""
        for place, resource in (await _named(server, patient, plan.resource)).items():
            if place not in needed and await untouched(server, offer, place, resource):
                await withdraw(server, withdrawn(resource, decision), resource.get("meta", {}).get("versionId"))
        await withdraw(server, withdrawn(plan.resource, decision), plan.version)
    return {plan.reference for plan in others}


async def _named(server: FhirClient, patient: str, resource: Json) -> dict[str, Json]:
    """What a plan names of what was written with it, and what its RequestGroup names, each as it stands."""
    found: dict[str, Json] = {}
    for place in references(resource):
        if place.partition("/")[0] in _WITH and "/_history/" not in place and place not in found:
            try:
                found[place] = await read_of(server, place, patient)
            except (NotFound, Gone):
                continue
            if place.startswith("RequestGroup/"):
                found |= await _named(server, patient, found[place])
    return found


async def withdraw(server: FhirClient, resource: Json, version: str | None) -> None:
    """Puts the withdrawn resource at the version that was looked at; one that somebody has touched since is hers."""
    if version is None:
        return
    try:
        await server.update(resource, if_match=version)
    except (Conflict, Gone, NotFound):
        return
