"""Through which address, and with which secret, a FHIR server or an integration engine may notify us.

Each channel of a server has an address of its own that nobody can guess, made from the secret: nothing has to be stored, and a server
that is not on the list has none. The secret itself comes in a header (SU-40). Two secrets may be valid while one is being replaced.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

from services.ingest.settings import IngestSettings
from shared.fhir.outcome import FigaroError, Refused, Unauthorised
from shared.smart.issuers import Issuer, Issuers

# Redox sends its own header, Mirth's HTTP Sender offers Basic; every other sender can be told to send a bearer token.
OTHER_HEADER: Final = "verification-token"
PUSH: Final = "push"


class Channels:
    """The channels of all servers on the list."""

    def __init__(self, issuers: Issuers, settings: IngestSettings) -> None:
        self._issuers = {issuer.id: issuer for issuer in issuers}
        self._short = settings.issuers is None
        self._given = [secret for secret in (settings.notification_secret, settings.notification_secret_before) if secret]
        self._default = issuers.default

    def secrets(self, issuer: Issuer) -> tuple[str, ...]:
        """The secrets that its notifications may carry, the newest first; none where it may not notify us. Raises Refused."""
        if issuer.subscription is not None:
            return tuple(secret.read() for secret in issuer.subscription.secrets)
        if self._short and issuer.base == self._default:
            return tuple(secret.get_secret_value() for secret in self._given)
        return ()

    def unreadable(self) -> Iterator[tuple[str, str]]:
        """The servers on the list whose secret cannot be read, so that nothing of theirs is accepted; and why."""
        for name, issuer in self._issuers.items():
            try:
                self.secrets(issuer)
            except FigaroError as error:
                yield name, error.text

    def path(self, issuer: Issuer, channel: str) -> str:
        """The path of a channel below ingest. Raises Refused where the server has no secret."""
        secrets = self.secrets(issuer)
        if not secrets:
            raise Refused(f"Notifications from {issuer.id} are not accepted: set FIGARO_NOTIFICATION_SECRET, or its `subscription`.")
        return f"/notifications/{issuer.id}/{channel}/{key(secrets[0], issuer.id, channel)}"

    def admitted(self, name: str, channel: str, given: str, headers: Mapping[str, str]) -> Issuer:
        """The server that a notification is from. Raises Unauthorised, in the same words whatever is wrong."""
        issuer = self._issuers.get(name)
        try:
            secrets = self.secrets(issuer) if issuer else ()
        except FigaroError:
            secrets = ()
        said = offered(headers)
        # Every secret is compared to the end, and one is compared where there is none, so that time tells nothing.
        right = [_same(key(secret, name, channel), given) & _same(secret, said) for secret in secrets or ("-",)]
        if issuer is None or not secrets or not any(right):
            raise Unauthorised("This notification is not accepted: look at its address and at the secret in its header.")
        return issuer


def key(secret: str, issuer: str, channel: str) -> str:
    """The part of a channel's address that cannot be guessed: 130 bits."""
    mac = hmac.digest(secret.encode(), f"{issuer}/{channel}".encode(), sha256)
    return base64.urlsafe_b64encode(mac)[:22].decode()


def offered(headers: Mapping[str, str]) -> str:
    """The secret that a request carries: as bearer token, as password, or as Redox has it; "" where it carries none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return headers.get(OTHER_HEADER, "")


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
