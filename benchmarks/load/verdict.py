"""What stands on the FHIR server when all is quiet, asked of the server itself: right, lost, doubled or left over."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from services.ingest.pull import pull
from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.careplan import WITHDRAWN, transaction
from services.recommend.decision import CAREPLAN, DECISION, Answer, decision
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.client import FhirClient

Json = dict[str, Any]
OURS: Final = ("CarePlan", "RequestGroup", "MedicationRequest", "ServiceRequest", "Task", "DetectedIssue", "Observation")
OPEN: Final = ("draft", "preliminary", "active", "on-hold", "requested")


class Found(NamedTuple):
    """One patient: what is `wrong`, how many CarePlans she ever had, and since when, in seconds since 1970, the current one stands."""

    who: str
    wrong: tuple[str, ...]
    plans: int
    since: float | None


async def judge(base: str, patients: Sequence[str], seen: Callable[[int], None], *, at_once: int = 4) -> list[Found]:
    """Every patient, from her final record."""
    found: list[Found] = []
    rest = iter(patients)
    async with FhirClient(base) as server, asyncio.TaskGroup() as group:

        async def some() -> None:
            for who in rest:
                found.append(await _judged(server, who))
                seen(len(found))

        for _ in range(at_once):
            group.create_task(some())
    return found


async def _judged(server: FhirClient, who: str) -> Found:
    record, _, _ = await pull(server, f"Patient/{who}")
    staging = stage(record, rules())
    answer = Answer(record, staging, recommend(record, staging, library()))
    ours = {kind: await _ours(server, kind, who) for kind in OURS}
    return _compared(who, answer, ours)


def _compared(who: str, answer: Answer, ours: dict[str, list[Json]]) -> Found:
    wanted, wrong = decision(answer), list[str]()
    plans = ours["CarePlan"]
    current = [plan for plan in plans if plan["status"] in OPEN]
    if len(current) != 1 or current[0]["status"] != "draft":
        wrong.append(f"{len(current)} current CarePlans")
    if current and _decided(current[0]) != wanted:
        wrong.append("the CarePlan is not of the final record")
    for kind, resources in ours.items():
        wrong += [f"{kind} twice" for count in Counter(map(_identity, resources)).values() if count > 1]
        left = [one for one in resources if kind in WITHDRAWN and one["status"] in OPEN and _tag(one) != wanted]
        wrong += [f"{kind} of a superseded decision still open"] * len(left)
    wrong += _missing(answer, wanted, ours)
    since = min((datetime.fromisoformat(plan["meta"]["lastUpdated"]).timestamp() for plan in current), default=None)
    return Found(who, tuple(wrong), len(plans), since)


def _missing(answer: Answer, wanted: str, ours: dict[str, list[Json]]) -> list[str]:
    """What belongs to the decision and is not there, or is there besides."""
    due = Counter(entry["resource"]["resourceType"] for entry in transaction(answer, drugs(library()), at="", software="")["entry"])
    wrong = []
    for kind, resources in ours.items():
        there = sum(_tag(one) == wanted and (kind not in WITHDRAWN or one["status"] in OPEN) for one in resources)
        if there < due[kind] or (there > due[kind] and kind != "Observation"):  # what was derived once stays
            wrong.append(f"{there} {kind} of the decision, and not {due[kind]}")
    return wrong


async def _ours(server: FhirClient, kind: str, who: str) -> list[Json]:
    found = [json.loads(bytes(entry.resource)) for entry in await server.search(kind, {"patient": who}) if entry.resource]
    return [resource for resource in found if _tag(resource)]


def _tag(resource: Json) -> str | None:
    return next((tag["code"] for tag in resource.get("meta", {}).get("tag", ()) if tag.get("system") == DECISION), None)


def _decided(plan: Json) -> str | None:
    return next((one["value"] for one in plan["identifier"] if one["system"] == DECISION), None)


def _identity(resource: Json) -> str:
    """What may stand there once only: our identifier, which for a CarePlan is not that of the decision."""
    known = [one for one in resource["identifier"] if one["system"] != DECISION] if resource["resourceType"] == "CarePlan" else None
    assert known is None or known[0]["system"] == CAREPLAN
    return json.dumps((known or resource["identifier"])[0], sort_keys=True)
