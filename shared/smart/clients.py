"""Who we are to a server: the credentials that stand in the issuers file."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from shared.smart.secrets import Secret

Role = Literal["read", "write"]
Text = Annotated[str, Meta(min_length=1)]


class Open(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="auth", tag="none"):
    """A server that asks for nothing: one to try things on."""


OPEN: Final = Open()


class Bearer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="auth", tag="bearer"):
    """A token that somebody else has made and renews."""

    token: Secret


class _Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="auth"):
    """A client that is registered there. `scopes` is empty where the server wants none in the request. `token_endpoint`: no discovery."""

    client_id: Text
    scopes: tuple[Text, ...]
    token_endpoint: str | None = None


class ClientSecret(_Client, frozen=True, kw_only=True, tag="client-secret"):
    """OAuth 2.0 client credentials with HTTP Basic. SMART Backend Services ask for a key; this is for servers that know no better."""

    secret: Secret


class PrivateKeyJwt(_Client, frozen=True, kw_only=True, tag="private-key-jwt"):
    """SMART Backend Services: an assertion signed with a key of the folder `keys`."""

    keys: str


Auth = Open | Bearer | ClientSecret | PrivateKeyJwt
