"""What is known of a launch: who, whose chart, what was granted; and, apart from it, what is secret."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import msgspec

from shared.smart.code import Grant
from shared.smart.scopes import Granted

EARLY: Final = 60.0  # seconds before its end that a token is renewed, or a fifth of its life where that is less
_CLINICIANS: Final = ("Practitioner", "PractitionerRole")


@dataclass(frozen=True)
class User:
    """Who signed in: `subject` at `issuer` is the stable name (SM-54), `fhir_user` is as the EHR gave it ("Practitioner/7"), or None."""

    issuer: str
    subject: str
    fhir_user: str | None

    @property
    def kind(self) -> str | None:
        """The resource type of the user."""
        return self.fhir_user.split("/")[-2] if self.fhir_user else None


@dataclass(frozen=True)
class Session:
    """One launch of one patient by one user. `id` is the {launch} of the path, `patient` like "Patient/17".

    `issuer` is the id in the settings, `case` the case that the launch opened. Nothing here is secret but `csrf`, which goes into forms.
    """

    id: str
    base: str
    issuer: str
    patient: str
    encounter: str | None
    user: User | None
    scopes: tuple[str, ...]
    need_patient_banner: bool
    embedded: bool
    frame_origins: tuple[str, ...]
    csrf: str
    case: str | None
    created: str
    ends: str

    def may(self, resource_type: str, letters: str) -> bool:
        """Whether the EHR granted all of these interactions ("r", "rs", "cu") with all of her resources of the type."""
        return Granted(self.scopes).reach(resource_type, letters) == "all"

    @property
    def may_decide(self) -> bool:
        """Whether the user is known as a clinician."""
        return self.user is not None and self.user.kind in _CLINICIANS


class Begun(msgspec.Struct, frozen=True):
    """What a sign-in is held against when the browser comes back."""

    verifier: str
    nonce: str
    token_endpoint: str
    redirect_uri: str
    issuer: str | None
    scopes: tuple[str, ...]


class Tokens(msgspec.Struct, frozen=True):
    """The tokens of a session; `renew` and `until` are seconds since 1970."""

    access: str
    refresh: str | None
    renew: float
    until: float

    @classmethod
    def of(cls, grant: Grant, before: str | None = None) -> Tokens:
        """Of a grant; a refresh token that is not replaced stays (SM-61)."""
        at = time.time()
        early = min(EARLY, grant.life / 5)
        return cls(grant.access_token, grant.refresh_token or before, at + grant.life - early, at + grant.life)


@dataclass(frozen=True)
class Held:
    """The tokens of a session now; `turn` names them when they are replaced, `claimed`: somebody is about to."""

    tokens: Tokens
    turn: int
    scopes: tuple[str, ...]
    base: str
    claimed: bool
