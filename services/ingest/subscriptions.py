"""Creates, verifies, renews and removes our Subscriptions on a FHIR server, and sees how they are."""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import structlog

from services.ingest.channels import PUSH
from services.ingest.inbox import Inbox
from services.ingest.instants import now
from services.ingest.notification import notification
from services.ingest.subscription_resource import (
    HEARTBEAT,
    Wish,
    as_wished,
    by_criteria,
    channel_of,
    filtered,
    resource,
    topical,
    topics_by_type,
    types_of_topic,
    unexplained,
    wishes,
)
from shared.fhir.capability import Capabilities
from shared.fhir.client import FhirClient
from shared.fhir.outcome import FigaroError, Refused, Rejected, ServerAnswer, Unavailable

Json = dict[str, Any]
LASTS: Final = timedelta(days=90)
RENEWED: Final = timedelta(days=30)  # before its end
SETTLES: Final = 20.0  # seconds
log = structlog.get_logger("figaro.ingest")


def end() -> str:
    """Until when a Subscription is asked for now."""
    return (datetime.now(UTC) + LASTS).isoformat(timespec="seconds")


class Standing(NamedTuple):
    """One Subscription, and what was done: created, renewed, kept, removed."""

    channel: str
    criteria: str
    reference: str
    status: str
    ends: str
    done: str
    error: str = ""

    @property
    def works(self) -> bool:
        """Whether it notifies us, or is gone as it should be."""
        return self.status == "active" or self.done == "removed"


class Subscriptions:
    """Ours on one server: those whose endpoint is below `place` (…/notifications/{issuer}/).

    `unused`, once `ensure` was asked for no topics: those the server names without saying what they fire at (SU-21).
    """

    def __init__(self, server: FhirClient, place: str) -> None:
        self._server = server
        self._place = place
        self.unused: list[str] = []

    async def ensure(self, endpoint: Callable[[str], str], secret: str, topics: Iterable[str] = ()) -> list[Standing]:
        """Has the server notify us of every type we read, once each, and waits until it says that it will. Safe to repeat.

        `endpoint` gives the address of a channel. With `topics` (canonicals) only these are subscribed to, with a filter where the server
        refuses that without one, as HAPI. Without, a topic that it refuses is done without: criteria tell the same.
        """
        said = await self._server.capabilities()
        if not said.allows("Subscription", "create"):
            raise Refused(
                f"The FHIR server at {self._server.base_url} takes no Subscriptions: with FIGARO_SWEEP_SECONDS it is asked what changed."
            )
        shown = [*await self._topics(said, "Basic", code="SubscriptionTopic"), *await self._topics(said, "SubscriptionTopic")]
        named = [topical(topic) for topic in topics]
        self.unused = [] if named else unexplained(said.topics, shown)
        wanted = named or wishes(topics_by_type(shown))
        wanted = [wish for wish in wanted if wish.topical or said.of(wish.type) is not None]
        there = await self.ours()
        done: dict[str, tuple[Wish, str, str]] = {}
        queue = deque(wanted)
        while queue:
            wish = queue.popleft()
            made = resource(wish, endpoint(wish.channel), secret, end())
            found = there.pop(wish.channel, [])
            await self._delete(found[1:])
            try:
                done[wish.channel] = (wish, *await self._ensure(found[0] if found else None, made))
            except Rejected as error:
                kinds = types_of_topic(shown, wish.criteria) if named else [wish.type]
                if not wish.topical or not kinds:
                    raise
                if named:
                    done[wish.channel] = (wish, *await self._ensure(found[0] if found else None, filtered(made, kinds)))
                    continue
                log.info("topic_refused", type=wish.type, status=error.status)
                there[wish.channel] = found[:1]
                queue.extend(by_criteria(wish.type))
        for others in there.values():  # of a topic or a type that is not wanted any more
            await self._delete(others)
        return [await self._settled(*one) for one in done.values()]

    async def remove(self) -> list[Standing]:
        """Deletes all of ours."""
        there = await self.ours()
        await self._delete(one for found in there.values() for one in found)
        return [_standing(channel, one, "removed") for channel, found in there.items() for one in found]

    async def ours(self) -> dict[str, list[Json]]:
        """By channel."""
        found: dict[str, list[Json]] = {}
        for entry in await self._server.search("Subscription", {"_count": "200"}):
            if entry.resource is not None and entry.type == "Subscription":
                subscription: Json = json.loads(bytes(entry.resource))
                if channel := channel_of(subscription, self._place):
                    found.setdefault(channel, []).append(subscription)
        return found

    async def _topics(self, said: Capabilities, kind: str, **params: str) -> list[Json]:
        """The topics that the server defines in resources of a type; none where it has no such thing."""
        try:
            found = await self._server.search(kind, {**params, "_count": "200"}) if said.allows(kind, "search-type") else ()
        except ServerAnswer:
            return []
        return [json.loads(bytes(entry.resource)) for entry in found if entry.resource is not None]

    async def _ensure(self, there: Json | None, made: Json) -> tuple[str, str]:
        """The id of the Subscription, and what was done."""
        if there is None:
            return (await self._server.create(made)).id, "created"
        soon = (datetime.now(UTC) + RENEWED).isoformat(timespec="seconds")
        lasts = not there.get("end") or there["end"] > soon
        if as_wished(there, made) and lasts and there.get("status") == "active":
            return there["id"], "kept"
        changed = {**made, "id": there["id"]}
        return (await self._server.update(changed, if_match=there.get("meta", {}).get("versionId"))).id, "renewed"

    async def _settled(self, wish: Wish, id: str, done: str) -> Standing:
        """Once the server has made up its mind, which takes it moments (SU-01)."""
        late = time.monotonic() + SETTLES
        while True:
            there: Json = json.loads(await self._server.read("Subscription", id))
            if there.get("status") != "requested" or time.monotonic() > late:
                return _standing(wish.channel, there, done)
            await asyncio.sleep(0.2)

    async def _delete(self, subscriptions: Iterable[Json]) -> None:
        for one in subscriptions:
            await self._server.delete("Subscription", one["id"])


def _standing(channel: str, there: Json, done: str) -> Standing:
    return Standing(
        channel,
        there.get("criteria", ""),
        f"Subscription/{there.get('id')}",
        there.get("status", "?"),
        there.get("end", "")[:10],
        done,
        str(there.get("error", ""))[:200],
    )


async def look_after(server: FhirClient, inbox: Inbox, place: str) -> dict[str, Json]:
    """Writes down how our Subscriptions are, and says so in the log where one is not active; sweeps find what it does not tell.

    Returns those that are there, by channel.
    """
    try:
        there = await Subscriptions(server, place).ours()
    except Unavailable:
        return {}
    except FigaroError as error:
        log.warning("subscriptions_not_seen", error=error.kind, status=error.status)
        return {}
    found: dict[str, dict[str, str | int | None]] = {}
    heard = {row.name: row for row in await asyncio.to_thread(inbox.channels, server.base_url)}
    for channel, (first, *_) in there.items():
        status = str(first.get("status"))
        row = heard.get(channel)
        # Many servers take the wish for a heartbeat and send none: only one that has come can be missed.
        if status == "active" and row and row.heartbeat and (row.heard or "") < now(-timedelta(seconds=2 * HEARTBEAT)):
            status = await _asked(server, first["id"])
        found[channel] = {"subscription": f"Subscription/{first['id']}", "status": status, "ends": first.get("end")}
    await asyncio.to_thread(inbox.checked, server.base_url, found)
    missing = [name for name, row in heard.items() if row.subscription and name not in found and name != PUSH]
    for channel, status in [*((name, str(values["status"])) for name, values in found.items()), *((name, "missing") for name in missing)]:
        if status != "active":
            log.warning("subscription_not_active", channel=channel, status=status)
    return {channel: first for channel, (first, *_) in there.items()}


async def _asked(server: FhirClient, id: str) -> str:
    """What a server says of a Subscription whose heartbeat has stopped (SU-26)."""
    try:
        bundle = json.loads(await server.operation("Subscription", id, "$status"))
        said = notification(json.dumps(bundle["entry"][0]["resource"]).encode(), server.base_url)
    except (FigaroError, ValueError, LookupError, TypeError, RecursionError):
        return "silent"
    return said.status if said.status and said.status != "active" else "silent"
