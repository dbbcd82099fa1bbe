"""What our Subscriptions look like in FHIR R4: by criteria, and by topic (Subscriptions R5 Backport). Knows FHIR's shapes, opens nothing.

Sources: FHIR R4 4.0.1, Subscription; Subscriptions R5 Backport 1.1.0, backport-subscription.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, NamedTuple

from services.ingest.notification import SUBJECTS
from services.ingest.searches import EXTENT, OBSERVATION_CODES

Json = dict[str, Any]
BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition"
# The guide's own examples have `url` in the extensions of R5 and `resourceTrigger` in those of R4B, and HAPI reads no other.
TOPIC: Final = tuple(f"http://hl7.org/fhir/{version}/StructureDefinition/extension-SubscriptionTopic" for version in ("5.0", "4.3"))
_TRIGGER: Final = ("resource", "supportedInteraction", "fhirPathCriteria", "queryCriteria")
HEARTBEAT: Final = 300  # seconds


class Wish(NamedTuple):
    """One Subscription that should be: its channel, what it is for, and its criteria or, with `topical`, the canonical of its topic."""

    channel: str
    type: str
    criteria: str
    topical: bool = False


def wishes(topics: dict[str, str]) -> list[Wish]:
    """Those for each type that a record is read from; by topic where `topics` (type to canonical) has one, else by criteria."""
    return [wish for kind in SUBJECTS for wish in ([topical(topics[kind], kind)] if kind in topics else by_criteria(kind))]


def topical(canonical: str, kind: str = "") -> Wish:
    """A Subscription to a topic, with a channel of its own."""
    return Wish(f"topic-{sha256(canonical.encode()).hexdigest()[:10]}", kind, canonical, True)


def by_criteria(kind: str) -> list[Wish]:
    """Those for one type, by criteria."""
    if kind != "Observation":
        return [Wish(kind.lower(), kind, f"{kind}?")]
    # A ward sends thousands of observations that no rule reads: they are asked for by code, as in the record's own searches.
    codes = f"{kind}?code={','.join(OBSERVATION_CODES)}"
    return [Wish("observation", kind, codes), Wish("extent", kind, f"{kind}?code={EXTENT}|")]


def resource(wish: Wish, endpoint: str, secret: str, end: str) -> Json:
    """The Subscription to create. A topic sends ids only: the content is read again anyway (SU-25)."""
    channel: Json = {
        "type": "rest-hook",
        "endpoint": endpoint,
        "payload": "application/fhir+json",
        "header": [f"Authorization: Bearer {secret}"],
    }
    made: Json = {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Figaro: staging of cervical cancer",
        "criteria": wish.criteria,
    }
    if wish.topical:
        made["meta"] = {"profile": [f"{BACKPORT}/backport-subscription"]}
        channel["_payload"] = {"extension": [{"url": f"{BACKPORT}/backport-payload-content", "valueCode": "id-only"}]}
        channel["extension"] = [{"url": f"{BACKPORT}/backport-heartbeat-period", "valueUnsignedInt": HEARTBEAT}]
    return {**made, "end": end, "channel": channel}


def filtered(made: Json, kinds: Iterable[str]) -> Json:
    """The same for a server that takes none without a filter, as HAPI: by type, which lets everything of these types pass."""
    filters = [{"url": f"{BACKPORT}/backport-filter-criteria", "valueString": f"{kind}?"} for kind in kinds]
    return {**made, "_criteria": {"extension": filters}}


def again(there: Json, endpoint: str, secret: str, end: str) -> Json:
    """The Subscription to be tried again by its server; with the secret, which the server may have hidden."""
    channel = {**there.get("channel", {}), "endpoint": endpoint, "header": [f"Authorization: Bearer {secret}"]}
    rest = {name: value for name, value in there.items() if name != "error"}
    return {**rest, "status": "requested", "end": end, "channel": channel}


def channel_of(subscription: Json, place: str) -> str | None:
    """The channel that a Subscription of ours notifies; None for other people's. `place` is the address below which all of ours are."""
    endpoint = str(subscription.get("channel", {}).get("endpoint", ""))
    return endpoint.removeprefix(place).partition("/")[0] if endpoint.startswith(place) else None


def as_wished(subscription: Json, wanted: Json) -> bool:
    """Whether it says what it should; a server that hides the header is believed."""
    ours, theirs = wanted["channel"], subscription.get("channel", {})
    header = theirs.get("header")
    return (
        subscription.get("criteria") == wanted["criteria"]
        and all(theirs.get(name) == ours[name] for name in ("type", "endpoint", "payload"))
        and (not header or header == ours["header"] or "*" in str(header[0]) or "redact" in str(header[0]).lower())
    )


def topics_by_type(shown: Iterable[Json]) -> dict[str, str]:
    """The topics that fire at every create and update of a type we read (SU-21). `shown` are the topics that a server defines.

    A definition is a `Basic` with the extensions of R5's SubscriptionTopic, or such a resource itself.
    """
    found: dict[str, str] = {}
    for canonical, kind, trigger in _triggers(shown):
        if canonical and kind in SUBJECTS and _fires_always(trigger):
            found.setdefault(kind, canonical)
    return found


def types_of_topic(shown: Iterable[Json], canonical: str) -> list[str]:
    """The types whose changes fire a topic, each once; none where the server does not show it."""
    return list(dict.fromkeys(kind for named, kind, _ in _triggers(shown) if kind and named == canonical.partition("|")[0]))


def unexplained(named: Iterable[str], shown: Sequence[Json]) -> list[str]:
    """Of the topics that a server names those of which it does not say what they fire at (SU-21)."""
    return [canonical for canonical in named if not types_of_topic(shown, canonical)]


def _triggers(shown: Iterable[Json]) -> Iterator[tuple[str, str, dict[str, list[Any]]]]:
    """The canonical of each topic, and of each of its triggers the type and what stands in it, by element."""
    for topic in shown:
        if topic.get("resourceType") == "SubscriptionTopic":
            canonical, triggers = topic.get("url"), [_lists(it) for it in topic.get("resourceTrigger", []) if isinstance(it, dict)]
        else:
            canonical = next((_value(it) for it in _extensions(topic, *(f"{it}.url" for it in TOPIC))), None)
            triggers = [_by_url(it) for it in _extensions(topic, *(f"{it}.resourceTrigger" for it in TOPIC))]
        for trigger in triggers:
            yield str(canonical or ""), str(next(iter(trigger.get("resource", [])), "")).rpartition("/")[2], trigger


def _fires_always(trigger: dict[str, list[Any]]) -> bool:
    narrowed = [path for path in trigger.get("fhirPathCriteria", []) if str(path).strip() != "true"]
    fires = all(one in trigger.get("supportedInteraction", []) for one in ("create", "update"))
    return fires and not narrowed and not trigger.get("queryCriteria")


def _lists(trigger: Json) -> dict[str, list[Any]]:
    return {name: held if isinstance(held, list) else [held] for name, held in trigger.items()}


def _by_url(trigger: Json) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for it in _extensions(trigger, *_TRIGGER):
        found.setdefault(it["url"], []).append(_value(it))
    return found


def _extensions(element: Json, *urls: str) -> Sequence[Json]:
    return [it for it in element.get("extension", []) if isinstance(it, dict) and it.get("url") in urls]


def _value(extension: Json) -> Any:
    return next((held for name, held in extension.items() if name.startswith("value")), None)
