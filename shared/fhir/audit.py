"""Who has read or written what of whom: an AuditEvent on the FHIR server where it takes one, else a line in our own audit log.

The shape follows IHE BALP (Basic Audit Log Patterns): the REST interaction, client and server as agents, and patient, data, queries and
request id as entities. One event stands for one pull or one publication with all its queries, and not for each request, so no BALP profile
is claimed. What a signed-in user looked at is told of as well, with her as the one who asked; that stands in our own log in any case.
Sources: IHE ITI BALP; FHIR R4 4.0.1 AuditEvent; DICOM PS3.16, CID 400 and 401.
"""

from __future__ import annotations

import hmac
import logging
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

import structlog
from yarl import URL

from shared.fhir.client import FhirClient
from shared.fhir.outcome import NotFhir, NotFound, ServerAnswer, Unauthorised, Unavailable

Json = dict[str, Any]
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
_BALP: Final = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_RESTFUL: Final = "http://hl7.org/fhir/restful-interaction"
_REST: Final = {"system": f"{_TERMS}/audit-event-type", "code": "rest"}
_PATIENT_RECORD: Final = {"system": _DICOM, "code": "110110"}
# Type, subtype and action of the AuditEvent; without a subtype it is the REST interaction, or there is none.
_KINDS: Final[dict[str, tuple[Json, Json | None, str]]] = {
    "search": (_REST, None, "E"),
    "create": (_REST, None, "C"),
    "update": (_REST, None, "U"),
    "sign-in": ({"system": _DICOM, "code": "110114"}, {"system": _DICOM, "code": "110122"}, "E"),
    "view": (_PATIENT_RECORD, None, "R"),
    "source": (_PATIENT_RECORD, None, "R"),
    "print": ({"system": _DICOM, "code": "110106"}, None, "R"),
    "decide": (_PATIENT_RECORD, None, "U"),
}
_log = structlog.get_logger("figaro.audit")
# What was done with a record is told at every log level.
logging.getLogger("figaro.audit").setLevel(logging.INFO)


class Person(NamedTuple):
    """A signed-in user: `subject` at `issuer`, `fhir_user` as the EHR names her. Where nobody told who it is, `subject` is empty."""

    issuer: str
    subject: str
    fhir_user: str | None


class Deed(NamedTuple):
    """One access: by `search` (with its queries, as sent), or by `create` or `update` (with what was written, versioned).

    A search over many patients names all those it came upon. With a `user` it was hers, in a launch whose case is `case`: then it may also
    be that she signed in, looked at an answer (`view`) or at a resource behind it (`source`, in `written`), printed it, or decided.
    """

    interaction: Literal["search", "create", "update", "sign-in", "view", "source", "print", "decide"]
    patient: str | tuple[str, ...]
    queries: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    user: Person | None = None
    case: str | None = None

    @property
    def patients(self) -> tuple[str, ...]:
        """Whom it is about."""
        return (self.patient,) if isinstance(self.patient, str) else self.patient


class Auditor:
    """Tells of the accesses of one service. `key` makes the hash by which our log names a patient; without it it names the case."""

    def __init__(self, service: str, software: str, key: str | None = None) -> None:
        self._name = f"Figaro {service} {software}"
        self._key = key.encode() if key else None
        self._closed: set[str] = set()

    async def tell(self, server: FhirClient, deed: Deed) -> None:
        """Tells of an access that has happened. Never fails: what the server does not take stands in our own log."""
        if not await self.send(server, deed):
            self.note(server.base_url, deed)

    async def send(self, server: FhirClient, deed: Deed) -> bool:
        """Whether the server took an AuditEvent of it. Never fails."""
        if server.base_url not in self._closed:
            try:
                if (await server.known()).allows("AuditEvent", "create"):
                    await server.create(event(deed, self._name, server.base_url, datetime.now(UTC), _request_id()))
                    return True
            except (Unauthorised, NotFound, NotFhir):
                self._closed.add(server.base_url)  # it offers that to others
            except ServerAnswer:  # it will not have this one: a patient may be gone by now
                pass
            except Unavailable:
                pass
        return False

    def note(self, base: str, deed: Deed) -> None:
        """One line of our own log: the patient, and who it was, by hashes that need the key."""
        some = deed.patients
        about: Any = [self._hash(f"{base}/{one}") for one in some] if self._key and some else None
        if about and isinstance(deed.patient, str):
            [about] = about
        kinds = sorted({one.partition("?")[0].partition("/")[0] for one in (*deed.queries, *deed.written)})
        where: Json = {"channel": "figaro.audit", "server": URL(base).host}
        if deed.user is not None:
            who = self._hash(f"{deed.user.issuer}|{deed.user.subject}") if deed.user.subject else None
            where |= {"issuer": deed.user.issuer, "user": who, "case": deed.case}
        _log.info("access", by=self._name, interaction=deed.interaction, about=about, kinds=kinds, **where)

    def _hash(self, text: str) -> str | None:
        return hmac.new(self._key, text.encode(), sha256).hexdigest()[:32] if self._key else None


def event(deed: Deed, name: str, base: str, at: datetime, request_id: str | None) -> Json:
    """The AuditEvent. `name` is ours, `base` the server's; `at` has a time zone."""
    reading = deed.interaction not in ("create", "update")
    ours, theirs = ("110152", "110153") if reading else ("110153", "110152")  # destination and source of the data
    kind, subtype, action = _KINDS[deed.interaction]
    subtype = subtype or ({"system": _RESTFUL, "code": deed.interaction} if kind == _REST else None)
    entities = [_entity("1", "1", what={"reference": patient}) for patient in deed.patients]
    entities += [_entity("2", "4", what={"reference": written}) for written in deed.written]
    entities += [_entity("2", "24", query=b64encode(f"{base}/{query}".encode()).decode()) for query in deed.queries]
    if deed.case:
        entities.append(_entity("2", "20", what={"identifier": {"value": deed.case}}))  # the job
    if request_id:
        transaction = {"type": {"system": _BALP, "code": "XrequestId"}, "what": {"identifier": {"value": request_id}}}
        entities.append(transaction)
    return {
        "resourceType": "AuditEvent",
        "type": kind,
        **({"subtype": [subtype]} if subtype else {}),
        "action": action,
        "recorded": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "outcome": "0",
        "agent": [
            *([_person(deed.user)] if deed.user else []),
            {"type": _role(ours), "who": {"display": name}, "requestor": deed.user is None},
            {"type": _role(theirs), "who": {"display": URL(base).host}, "requestor": False, "network": {"address": base, "type": "5"}},
        ],
        "source": {"observer": {"display": name}, "type": [{"system": f"{_TERMS}/security-source-type", "code": "4"}]},
        "entity": entities,
    }


def _person(user: Person) -> Json:
    """The one who asked. Her name is for the server to know."""
    who: Json = {"reference": user.fhir_user} if user.fhir_user else {}
    if user.subject:
        who["identifier"] = {"system": user.issuer, "value": user.subject}
    receiver = {"coding": [{"system": f"{_TERMS}/v3-ParticipationType", "code": "IRCP"}]}
    return {"type": receiver, "who": who or {"display": "a user whom the EHR did not name"}, "requestor": True}


def _role(code: str) -> Json:
    return {"coding": [{"system": _DICOM, "code": code}]}


def _entity(kind: str, role: str, **more: Any) -> Json:
    return {
        "type": {"system": f"{_TERMS}/audit-entity-type", "code": kind},
        "role": {"system": f"{_TERMS}/object-role", "code": role},
        **more,
    }


def _request_id() -> str | None:
    found = structlog.contextvars.get_contextvars().get("request_id")
    return str(found) if found else None
