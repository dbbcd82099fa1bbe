"""Notifications of the Subscriptions Backport guide, in the forms that servers send."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
HANDSHAKE, HEARTBEAT, EVENT = "handshake", "heartbeat", "event-notification"
TOPIC = "https://ehr.example/topics/anything"


def event(number: int, focus: str | None) -> Json:
    parts: list[Json] = [
        {"name": "event-number", "valueString": str(number)},
        {"name": "timestamp", "valueInstant": "2026-03-01T10:00:00Z"},
    ]
    return {"name": "notification-event", "part": [*parts, *([{"name": "focus", "valueReference": {"reference": focus}}] if focus else [])]}


def status(kind: str, *events: Json, counted: int | None = None, subscription: str = "Subscription/s1") -> Json:
    """The R4 form: Parameters of the profile backport-subscription-status-r4."""
    parameters: list[Json] = [
        {"name": "subscription", "valueReference": {"reference": subscription}},
        {"name": "topic", "valueCanonical": TOPIC},
        {"name": "status", "valueCode": "active"},
        {"name": "type", "valueCode": kind},
        *([] if counted is None else [{"name": "events-since-subscription-start", "valueString": str(counted)}]),
        *events,
    ]
    return {"resourceType": "Parameters", "parameter": parameters}


def told(said: Json, *resources: Json, as_r4b: bool = False) -> Json:
    """The Bundle of a notification."""
    request = {"request": {"method": "GET", "url": "Subscription/s1/$status"}, "response": {"status": "200"}}
    first = {"fullUrl": "urn:uuid:0", "resource": r4b(said) if as_r4b else said, **request}
    others = [{"resource": it, "request": {"method": "PUT", "url": f"{it['resourceType']}/{it['id']}"}} for it in resources]
    return {"resourceType": "Bundle", "type": "subscription-notification" if as_r4b else "history", "entry": [first, *others]}


def camel(said: Json) -> Json:
    """The same with the names and types that some servers use."""

    def name(text: str) -> str:
        head, *more = text.split("-")
        return head + "".join(word.capitalize() for word in more)

    def each(parameter: Json) -> Json:
        renamed = {key: value for key, value in parameter.items() if key not in ("name", "part", "valueInstant")}
        if "valueInstant" in parameter:
            renamed["valueDate"] = parameter["valueInstant"][:10]
        parts = {"part": [each(part) for part in parameter["part"]]} if "part" in parameter else {}
        return {"name": name(parameter["name"]), **renamed, **parts}

    return {**said, "parameter": [each(parameter) for parameter in said["parameter"]]}


def r4b(said: Json) -> Json:
    """The same as a SubscriptionStatus."""
    read: Json = {"resourceType": "SubscriptionStatus", "notificationEvent": []}
    for parameter in camel(said)["parameter"]:
        if parameter["name"] == "notificationEvent":
            parts = {part["name"]: next(v for k, v in part.items() if k.startswith("value")) for part in parameter["part"]}
            read["notificationEvent"].append(parts)
        else:
            read[parameter["name"]] = next(v for k, v in parameter.items() if k.startswith("value"))
    return read
