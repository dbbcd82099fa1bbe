"""What a notification says, whoever sent it: a FHIR server's rest-hook, a topic, or an engine that pushes what it has.

Nothing of it is believed but that something may have changed: the record is read again from the server on our list (SU-25). So only
types, ids, versions and patients are taken out of a body, and nothing of it is kept.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from services.ingest.halves import refuse_halves
from shared.fhir.assertion import FIGARO
from shared.fhir.outcome import Unreadable
from shared.fhir.reader import AIAST
from shared.fhir.surrogates import halved

Json = dict[str, Any]
# The types that a record is read from, and the element that names the patient.
SUBJECTS: Final = {
    "Patient": None,
    "Condition": "subject",
    "Observation": "subject",
    "Procedure": "subject",
    "MedicationRequest": "subject",
    "MedicationAdministration": "subject",
    "MedicationStatement": "subject",
    "AllergyIntolerance": "patient",
    "BodyStructure": "patient",
}
_OURS: Final = ("Observation", "MedicationRequest")  # what we write of these types
_STATUS: Final = ("Parameters", "SubscriptionStatus")
_REFERENCE: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")
_SEARCH: Final = re.compile(r"Patient\?identifier=[^&#]+")


class Change(NamedTuple):
    """One resource that has changed. `about` is "Patient/17", or what has to be looked up: "Condition/c1", "Patient?identifier=…".

    `version` is a hash that is the same for the same version of the same resource, or for the same event of a topic that sends ids only;
    None where it cannot be told. `source` is the resource, "Observation/o1", which may have been another patient's before; `about` is empty
    where it leads to nobody any more.
    """

    about: str
    version: str | None = None
    source: str | None = None


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as far as it matters. `vague`: something has changed and nobody says what, so the server has to be asked."""

    kind: str = "push"
    changes: tuple[Change, ...] = ()
    vague: bool = False
    own: int = 0
    passed: int = 0
    set_aside: int = 0
    subscription: str | None = None
    status: str | None = None
    events: tuple[int, ...] = ()
    counted: int | None = None


def notification(body: bytes, base: str) -> Notification:
    """Reads a body: empty, a resource, or a Bundle of any type. Raises Unreadable; its words hold nothing of the body."""
    if not body.strip():
        return Notification(kind="ping", vague=True)
    resource = _parsed(body)
    kind = resource.get("resourceType")
    if not isinstance(kind, str):
        raise Unreadable("The body is JSON but no FHIR resource: it has no resourceType.", where="the body")
    if kind in _STATUS:
        return _topic([resource], base)
    if kind != "Bundle":
        return _changes([(None, resource)], base)
    entries = [entry for entry in _list(resource.get("entry")) if isinstance(entry, dict)]
    inside = [_dict(entry.get("resource")) for entry in entries]
    if inside and inside[0].get("resourceType") in _STATUS:
        return _topic(inside, base)
    return _bundle(entries, base)


def of_address(reference: str, version: str | None = None) -> Notification:
    """What an address alone tells: that this resource was changed or deleted."""
    known = _REFERENCE.fullmatch(reference)
    if known is None or known[1] not in SUBJECTS:
        return Notification(passed=1)
    return Notification(changes=(Change(f"{known[1]}/{known[2]}", version),))


def change(resource: Json, base: str, within: dict[str, Json] | None = None) -> Change | str:
    """What a resource says has changed, or why it is left alone: "own", "passed" (no rule reads it), "set aside" (whose is it?).

    `within` are the resources of its Bundle by their fullUrl.
    """
    kind = resource.get("resourceType")
    if kind not in SUBJECTS:
        return "passed"
    if is_own(resource):
        return "own"
    element = SUBJECTS[kind]
    about = _person(resource) if element is None else _about(_dict(resource.get(element)), base, within or {})
    return Change(about, version(resource), _source(resource)) if about else "set aside"


def _source(resource: Json) -> str | None:
    return local(f"{resource['resourceType']}/{resource.get('id')}", "") if resource.get("id") else None


def is_own(resource: Json) -> bool:
    """Whether we wrote it, or another machine did: neither is evidence, and neither sets us going (SU-47). A Patient is nobody's output."""
    if resource.get("resourceType") == "Patient":
        return False
    labels = _list(_dict(resource.get("meta")).get("security"))
    if any(_dict(label).get("code") == AIAST for label in labels):
        return True
    if resource.get("resourceType") not in _OURS:
        return False
    return any(str(_dict(it).get("system", "")).startswith(FIGARO) for it in _list(resource.get("identifier")))


def version(resource: Json) -> str:
    """The hash of what tells this version of a resource from every other: version and instant, else the whole content."""
    meta = _dict(resource.get("meta"))
    known = [meta.get("versionId"), meta.get("lastUpdated")]
    told = known if any(known) else [json.dumps(resource, sort_keys=True)]
    return sha256("|".join(map(str, (resource.get("resourceType"), resource.get("id"), *told))).encode()).hexdigest()[:32]


def local(reference: str, base: str) -> str | None:
    """A reference as "Type/id", where it is to this server; None for one to anywhere else (SU-44)."""
    known = _REFERENCE.fullmatch(reference.removeprefix(f"{base}/"))
    return f"{known[1]}/{known[2]}" if known and known[2] not in (".", "..") else None


def _parsed(body: bytes) -> Json:
    try:
        read = json.loads(body.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=_once)
    except _TwiceError:
        raise Unreadable("The body has the same member twice in one object: it could be read in two ways.", where="the body") from None
    except RecursionError:
        raise Unreadable("The body is nested too deeply, more than any resource of FHIR R4: send ids only.", where="the body") from None
    except ValueError:
        raise Unreadable("The body cannot be read as JSON: send application/fhir+json in UTF-8.", where="the body") from None
    if not isinstance(read, dict):
        raise Unreadable("The body is JSON but no FHIR resource.", where="the body")
    if halved(body):
        refuse_halves(read)
    return read


class _TwiceError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> Json:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise _TwiceError
    return read


def _changes(given: list[tuple[str | None, Json]], base: str, **more: Any) -> Notification:
    within = {url: resource for url, resource in given if url}
    found = [change(resource, base, within) for _, resource in given]
    return Notification(
        changes=tuple(dict.fromkeys(one for one in found if isinstance(one, Change))),
        own=found.count("own"),
        passed=found.count("passed"),
        set_aside=found.count("set aside"),
        **more,
    )


def _bundle(entries: list[Json], base: str) -> Notification:
    """A message, a transaction, a history, a collection: each resource, and each entry that is only an address."""
    bare = [_text(_dict(entry.get("request")).get("url")) for entry in entries if not _dict(entry.get("resource"))]
    addressed = [of_address(local(url, base) or "") for url in bare if url]
    read = _changes([(_text(entry.get("fullUrl")), _dict(entry["resource"])) for entry in entries if _dict(entry.get("resource"))], base)
    changes = (*read.changes, *(one for each in addressed for one in each.changes))
    return msgspec.structs.replace(read, changes=tuple(dict.fromkeys(changes)), passed=read.passed + sum(one.passed for one in addressed))


def _topic(resources: list[Json], base: str) -> Notification:
    """A notification of the Subscriptions Backport guide: the status first, as Parameters (R4) or SubscriptionStatus (R4B, R5)."""
    status, *others = resources
    said = _parameters(status) if status["resourceType"] == "Parameters" else status
    events = [_dict(event) for event in _list(said.get("notificationEvent"))]
    foci = [_text(_dict(event.get("focus")).get("reference")) for event in events]
    given = _changes([(None, resource) for resource in others if resource], base)
    told = {f"{resource.get('resourceType')}/{resource.get('id')}" for resource in others}
    places = [local(focus, base) if focus else None for focus in foci]
    subscription = local(_text(_dict(said.get("subscription")).get("reference")) or "", base)
    versions = [_told_once(subscription, event, place) for event, place in zip(events, places, strict=True)]
    bare = [of_address(place, version) for place, version in zip(places, versions, strict=True) if place and place not in told]
    kind = _text(said.get("type")) or "event-notification"
    return Notification(
        kind=kind,
        changes=(*given.changes, *(one for each in bare for one in each.changes)),
        vague=kind == "event-notification" and (not events or not all(foci)) and not given.changes,
        own=given.own,
        passed=given.passed + sum(one.passed for one in bare),
        set_aside=given.set_aside + sum(1 for focus, place in zip(foci, places, strict=True) if focus and place is None),
        subscription=subscription,
        status=_text(said.get("status")),
        events=tuple(number for event in events if (number := _number(event.get("eventNumber"))) is not None),
        counted=_number(said.get("eventsSinceSubscriptionStart")),
    )


def events_of(subscription: str) -> str:
    """How the versions of all events of a Subscription begin, until it counts anew (SU-42)."""
    return f"{sha256(subscription.encode()).hexdigest()[:16]}."


def _told_once(subscription: str | None, event: Json, place: str | None) -> str | None:
    """The number alone is not enough: HAPI begins it anew with each start, and nobody says so."""
    number = _number(event.get("eventNumber"))
    if subscription is None or number is None:
        return None
    told = f"{number}|{event.get('timestamp')}|{place}"
    return events_of(subscription) + sha256(told.encode()).hexdigest()[:32]


def _parameters(parameters: Json) -> Json:
    """The R4 form as the R4B one: names in camel case, values without their type."""
    said: Json = {"notificationEvent": []}
    for name, value, parts in _named(parameters.get("parameter")):
        if name == "notificationEvent":
            said[name].append({inner: held for inner, held, _ in _named(parts)})
        else:
            said[name] = value
    return said


def _named(parameters: Any) -> Iterator[tuple[str, Any, Any]]:
    for each in map(_dict, _list(parameters)):
        head, *more = str(each.get("name", "")).split("-")
        value = next((held for key, held in each.items() if key.startswith("value")), None)
        yield head + "".join(word.capitalize() for word in more), value, each.get("part")


def _person(patient: Json, *, assigned: bool = True) -> str | None:
    """By its id, where that was assigned by the server; a Patient under a urn:uuid has the sender's."""
    by_id = local(f"Patient/{patient['id']}", "") if "id" in patient else None
    by_identifier = _identified(next(map(_dict, _list(patient.get("identifier"))), {}))
    return by_id or by_identifier if assigned else by_identifier or by_id


def _about(subject: Json, base: str, within: dict[str, Json]) -> str | None:
    reference = _text(subject.get("reference")) or ""
    if reference in within and within[reference].get("resourceType") == "Patient":
        return _person(within[reference], assigned=not reference.startswith("urn:"))
    if _SEARCH.fullmatch(reference):
        return reference
    if not reference:
        return _identified(_dict(subject.get("identifier")))
    found = local(reference, base)
    return found if found and found.startswith("Patient/") else None


def _identified(identifier: Json) -> str | None:
    value = _text(identifier.get("value"))
    return f"Patient?identifier={identifier.get('system', '')}|{value}" if value and not set(value) & set("&#,|") else None


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 19 else None
