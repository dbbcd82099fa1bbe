"""Sees patients through: opens a case for each over HTTP, follows them to the end, and gives back what was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import aiohttp
import msgspec

from shared.fhir.answer import from_outcome
from shared.oncology.recommendation import Recommendation
from shared.oncology.stage import Staging

_LOOK_AGAIN = 0.3  # seconds


class Careplan(msgspec.Struct, frozen=True):
    """Where a CarePlan stands, and in which status it was found or written."""

    reference: str
    version: str | None = None
    status: str | None = None


class Outcome(msgspec.Struct, frozen=True):
    """The issues of an OperationOutcome, as far as a table shows them."""

    issue: tuple[dict[str, Any], ...] = ()

    @property
    def text(self) -> str:
        first = self.issue[0] if self.issue else {}
        return str(first.get("details", {}).get("text") or first.get("diagnostics") or "no reason given")


class Seen(msgspec.Struct, frozen=True):
    """One case as ingest shows it. `mode` is how its answer was written: transaction, ordered, document, or page: not at all.

    `left_open` are earlier plans of ours that stay open, because a person has touched them or their options.
    """

    id: str
    patient: str
    state: str
    staging: Staging | None = None
    recommendation: Recommendation | None = None
    careplan: Careplan | None = None
    decision: str | None = None
    mode: str | None = None
    left_open: tuple[str, ...] | None = None
    outcome: Outcome | None = None


class Doors(NamedTuple):
    """The services of one installation: the address of ingest, and a session to reach it."""

    session: aiohttp.ClientSession
    ingest: str


async def journey(doors: Doors, patients: Iterable[str], *, as_of: str | None = None, seen: Callable[[int], None]) -> list[Seen]:
    """Every patient ("Patient/17"), answered or stuck, in the order given. `seen` is told how many are done, again and again."""
    opened = [await _open(doors, patient, as_of) for patient in patients]
    waiting, done = set(opened), dict[str, Seen]()
    while waiting:
        for case in sorted(waiting):
            found = await show(doors, case)
            if found.state in ("answered", "stuck"):
                done[case] = found
                waiting.discard(case)
                seen(len(done))
            elif found.state == "opened":
                break  # cases are taken in order: what comes after this one has not begun either
        if waiting:
            await asyncio.sleep(_LOOK_AGAIN)
    return [done[case] for case in opened]


async def show(doors: Doors, case: str) -> Seen:
    """One case as it stands."""
    return msgspec.json.decode(await _ask(doors, "GET", f"/cases/{case}"), type=Seen)


async def _open(doors: Doors, patient: str, as_of: str | None) -> str:
    body = {"patient": patient, **({"as_of": as_of} if as_of else {})}
    return str(msgspec.json.decode(await _ask(doors, "POST", "/cases", body))["id"])


async def _ask(doors: Doors, method: str, route: str, body: Any = None) -> bytes:
    async with doors.session.request(method, doors.ingest + route, json=body) as answer:
        said = await answer.read()
        if answer.status >= 400:
            raise from_outcome(said, answer.status)
        return said
