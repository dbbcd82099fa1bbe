"""Who we are where a clinician signs in: the registration of Figaro as a SMART app, beside the one as a backend service (SM-01).

A user's grant is another than a client's own, so this client is another too: its scopes end with the user's session.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from yarl import URL

from shared.fhir.guard import is_loopback
from shared.smart.secrets import Secret

Text = Annotated[str, Meta(min_length=1)]
IdTokenAlgorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "ES256", "ES384"]

# Without these no record can be made; the others add to it (SM-34).
NEEDED: Final = (("Patient", "r"), ("Condition", "rs"), ("Observation", "rs"))
CLINICIANS: Final = ("Practitioner", "PractitionerRole")
_READ: Final = (
    *("Condition", "Observation", "Procedure", "DiagnosticReport", "MedicationRequest", "MedicationAdministration"),
    *("MedicationStatement", "AllergyIntolerance", "BodyStructure"),
)
_WRITTEN: Final = ("RequestGroup", "MedicationRequest", "ServiceRequest", "Observation", "DetectedIssue", "Device", "Provenance")
_V1: Final = {"r": "read", "rs": "read", "crus": "*", "c": "write"}


class Launch(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The app as it is registered at one issuer.

    `keys` belong to a private-key-jwt client, `secret` to a client-secret one, neither to a public one. `scopes` is empty where Figaro
    chooses; `write` then asks for what a decision writes as the user. `issuer` is the `iss` of its id_tokens where the server does not say.
    `embedded`: the EHR shows Figaro in a frame of `frame_origins`. `send_client_id`: also where the client authenticates otherwise (SM-31).
    `let_in`: clinicians, or also those of whom the EHR does not say whether they are: these may look, and can never decide (SM-54).
    """

    client_id: Text
    client: Literal["private-key-jwt", "client-secret", "public"] = "private-key-jwt"
    keys: str | None = None
    secret: Secret | None = None
    scopes: tuple[Text, ...] = ()
    write: bool = False
    embedded: bool = True
    frame_origins: tuple[str, ...] = ()
    issuer: str | None = None
    id_token_algorithms: Annotated[tuple[IdTokenAlgorithm, ...], Meta(min_length=1)] = ("RS256",)
    send_client_id: bool = False
    let_in: Literal["clinicians", "unknown-too"] = "clinicians"

    def __post_init__(self) -> None:
        if (self.keys is not None) != (self.client == "private-key-jwt") or (self.secret is not None) != (self.client == "client-secret"):
            raise ValueError("a private-key-jwt client has `keys`, a client-secret one has `secret`, a public one has neither")
        if self.embedded and not self.frame_origins:
            raise ValueError("name the origins of the EHR in `frame_origins`, or give `embedded: false` where it opens a window of its own")
        if not self.asks_who and self.let_in == "clinicians":
            raise ValueError("without `openid` in `scopes` nobody is known as a clinician: add it, or give `let_in: unknown-too`")
        for origin in self.frame_origins:
            if not _is_origin(origin):
                raise ValueError("`frame_origins` are origins such as https://ehr.example, without a path and without *")

    def lets_in(self, fhir_user: str | None) -> bool:
        """Whether somebody may come in; `fhir_user` as `identity.Identity` has it."""
        kind = fhir_user.split("/")[-2] if fhir_user else None
        return kind in CLINICIANS or (self.let_in == "unknown-too" and kind in (None, "Person"))

    def asked(self, capabilities: tuple[str, ...], *, standalone: bool) -> tuple[str, ...]:
        """The scopes of an authorization request, in v2 where the server has it, else in v1 (SM-12, SM-13, SM-42)."""
        context = "launch/patient" if standalone else "launch"
        if self.scopes:
            return (context, *(text for text in self.scopes if text not in ("launch", "launch/patient")))
        wanted = [("Patient", "r"), *((name, "rs") for name in _READ)]
        if self.write:
            wanted += [("CarePlan", "crus"), *((name, "c") for name in _WRITTEN)]
        else:
            wanted.append(("CarePlan", "rs"))
        old = "permission-v2" not in capabilities
        resources = [f"patient/{name}.{_V1[letters] if old else letters}" for name, letters in wanted]
        more = ("online_access",) if "permission-online" in capabilities else ()
        return (context, "openid", "fhirUser", *more, *dict.fromkeys(resources))

    @property
    def framed_by(self) -> tuple[str, ...]:
        """The origins that may show us in a frame."""
        return self.frame_origins if self.embedded else ()

    @property
    def asks_who(self) -> bool:
        """Whether the user has to be named: always, unless the scopes in the file leave `openid` out."""
        return not self.scopes or "openid" in self.scopes


def _is_origin(text: str) -> bool:
    try:
        url = URL(text)
        plain = url.absolute and bool(url.host) and "*" not in text and text == str(url.origin())
    except ValueError:
        return False
    return plain and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url)))
