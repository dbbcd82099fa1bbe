"""A call of a CDS Hooks 2.0 service as it comes in, checked (CH-03, CH-04, CH-13, CH-20)."""

from __future__ import annotations

import re
from typing import Final, NoReturn
from uuid import UUID

import msgspec

from services.ingest.pull import patient_reference
from shared.fhir.guard import fhir_base
from shared.fhir.outcome import FigaroError, Refused

PEOPLE: Final = ("Practitioner", "PractitionerRole")
ANYBODY: Final = (*PEOPLE, "Patient", "RelatedPerson")
_USER = re.compile(r"([A-Za-z]+)/[A-Za-z0-9\-.]{1,64}")


class Authorization(msgspec.Struct, frozen=True, kw_only=True):
    """The token lent for this one call; never printed, logged or kept (CH-20)."""

    access_token: str
    token_type: str
    expires_in: float
    scope: str
    subject: str
    patient: str | None = None

    def __repr__(self) -> str:
        return "Authorization(…)"


class Context(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Who looks at whom; `selections` and `draft_orders` with the order hooks only."""

    user_id: str
    patient_id: str
    selections: tuple[str, ...] | None = None
    draft_orders: msgspec.Raw = msgspec.Raw()


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The body of a call. Prefetched values stay raw; `null` among them means no data (CH-12)."""

    hook: str
    hook_instance: str
    context: Context
    fhir_server: str | None = None
    fhir_authorization: Authorization | None = None
    prefetch: dict[str, msgspec.Raw] | None = None

    @property
    def patient(self) -> str:
        """The patient's reference, "Patient/17"."""
        return f"Patient/{self.context.patient_id}"


_DECODER = msgspec.json.Decoder(Asked)


def asked(body: bytes, hook: str, base: str) -> Asked:
    """The call, fit for the service of this hook and the FHIR server at `base`. Raises Refused (400, 403), without a value of the body."""
    try:
        found = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        said = re.sub(r" '[^']*'", "", str(error)) if isinstance(error, msgspec.DecodeError) else "not JSON that can be read"
        _refuse(f"The request is no call of CDS Hooks: {said.rstrip('.')}.")
    if found.hook != hook:
        _refuse(f"This service answers the hook {hook}: look at /cds-services.")
    try:
        UUID(found.hook_instance)
    except ValueError:
        _refuse("`hookInstance` is not a UUID.")
    _check_context(found, hook)
    _check_server(found, base)
    return found


def _check_context(call: Asked, hook: str) -> None:
    context = call.context
    try:
        patient_reference(context.patient_id)
    except FigaroError:
        _refuse("`context.patientId` is not the id of a patient.")
    if context.patient_id.startswith("Patient/"):
        _refuse("`context.patientId` is the id alone, without `Patient/`.")
    user = _USER.fullmatch(context.user_id)
    if user is None or user[1] not in (ANYBODY if hook == "patient-view" else PEOPLE):
        _refuse("`context.userId` is not a reference to one who may use this hook, such as Practitioner/17.")
    if hook != "patient-view" and not bytes(context.draft_orders):
        _refuse("`context.draftOrders` is missing: the Bundle of what is being ordered.")
    if hook == "order-select" and context.selections is None:
        _refuse("`context.selections` is missing: which of the draft orders were selected.")


def _check_server(call: Asked, base: str) -> None:
    """CH-21: the client's own server, whatever it says of it; CH-20: a token that can be used, and for this patient."""
    if call.fhir_server is not None and _base(call.fhir_server) != base:
        text = "`fhirServer` is not the FHIR server that this CDS client is registered with: `base` of its issuer says which."
        raise Refused(text, status=403, code="forbidden")
    lent = call.fhir_authorization
    if lent is None:
        return
    if call.fhir_server is None:
        _refuse("`fhirAuthorization` comes without `fhirServer`.")
    if lent.token_type.lower() != "bearer" or not lent.access_token.isprintable() or not lent.access_token or lent.expires_in <= 0:
        _refuse("`fhirAuthorization` is no bearer token that can still be used.")
    if lent.patient is not None and lent.patient.removeprefix("Patient/") != call.context.patient_id:
        _refuse("`fhirAuthorization.patient` is another patient than `context.patientId`.")


def _base(text: str) -> str | None:
    """A base as the issuers file has it: host in small letters, no default port, no slash at the end."""
    try:
        return str(fhir_base(text))
    except Refused:
        return None


def _refuse(text: str) -> NoReturn:
    raise Refused(text, status=400)
