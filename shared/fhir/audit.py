"""Who has read or written what of whom: an AuditEvent on the FHIR server where it takes one, else a line in our own audit log.

The shape follows IHE BALP (Basic Audit Log Patterns): the REST interaction, client and server as agents, and patient, data, queries and
request id as entities. One event stands for one pull or one publication with all its queries, and not for each request, so no BALP profile
is claimed.
Sources: IHE ITI BALP; FHIR R4 4.0.1 AuditEvent.
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
_log = structlog.get_logger("figaro.audit")
# What was done with a record is told at every log level.
logging.getLogger("figaro.audit").setLevel(logging.INFO)


class Deed(NamedTuple):
    """One access: by `search` (with its queries, as sent), or by `create` or `update` (with what was written, versioned).

    A search over many patients names all those it came upon.
    """

    interaction: Literal["search", "create", "update"]
    patient: str | tuple[str, ...]
    queries: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

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
        if server.base_url not in self._closed:
            try:
                if (await server.known()).allows("AuditEvent", "create"):
                    await server.create(event(deed, self._name, server.base_url, datetime.now(UTC), _request_id()))
                    return
            except (Unauthorised, NotFound, NotFhir):
                self._closed.add(server.base_url)  # it offers that to others
            except ServerAnswer:  # it will not have this one: a patient may be gone by now
                pass
            except Unavailable:
                pass
        self._note(server.base_url, deed)

    def _note(self, base: str, deed: Deed) -> None:
        key, some = self._key, deed.patients
        about: Any = [hmac.new(key, f"{base}/{one}".encode(), sha256).hexdigest()[:32] for one in some] if key and some else None
        if about and isinstance(deed.patient, str):
            [about] = about
        kinds = sorted({one.partition("?")[0].partition("/")[0] for one in (*deed.queries, *deed.written)})
        where = {"channel": "figaro.audit", "server": URL(base).host}
        _log.info("access", by=self._name, interaction=deed.interaction, about=about, kinds=kinds, **where)


def event(deed: Deed, name: str, base: str, at: datetime, request_id: str | None) -> Json:
    """The AuditEvent. `name` is ours, `base` the server's; `at` has a time zone."""
    reading = deed.interaction == "search"
    ours, theirs = ("110152", "110153") if reading else ("110153", "110152")  # destination and source of the data
    entities = [_entity("1", "1", what={"reference": patient}) for patient in deed.patients]
    entities += [_entity("2", "4", what={"reference": written}) for written in deed.written]
    entities += [_entity("2", "24", query=b64encode(f"{base}/{query}".encode()).decode()) for query in deed.queries]
    if request_id:
        transaction = {"type": {"system": _BALP, "code": "XrequestId"}, "what": {"identifier": {"value": request_id}}}
        entities.append(transaction)
    return {
        "resourceType": "AuditEvent",
        "type": {"system": f"{_TERMS}/audit-event-type", "code": "rest"},
        "subtype": [{"system": "http://hl7.org/fhir/restful-interaction", "code": deed.interaction}],
        "action": {"search": "E", "create": "C", "update": "U"}[deed.interaction],
        "recorded": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "outcome": "0",
        "agent": [
            {"type": _role(ours), "who": {"display": name}, "requestor": True},
            {"type": _role(theirs), "who": {"display": URL(base).host}, "requestor": False, "network": {"address": base, "type": "5"}},
        ],
        "source": {"observer": {"display": name}, "type": [{"system": f"{_TERMS}/security-source-type", "code": "4"}]},
        "entity": entities,
    }


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
