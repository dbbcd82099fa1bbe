"""A CDS client of an issuer: the EHR as it calls our CDS Hooks, and by what we know it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from yarl import URL

from shared.fhir.guard import is_loopback

Text = Annotated[str, Meta(min_length=1)]
HookAlgorithm = Literal["ES384", "RS384", "ES256", "RS256"]


class HookClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may call. Its keys are at `jwks_url`, or in the file `keys` (a JWK Set); `jku`: what its tokens may name, where not `jwks_url`.

    `tenant`: what the claim of that name must say. `origins`: pages that may call from a browser. `auth: none` asks for no token, and is
    for this machine only.
    """

    iss: Text | None = None
    jwks_url: Text | None = None
    keys: Text | None = None
    jku: Text | None = None
    algorithms: Annotated[tuple[HookAlgorithm, ...], Meta(min_length=1)] = ("ES384", "RS384")
    tenant: Text | None = None
    origins: tuple[Text, ...] = ()
    auth: Literal["jwt", "none"] = "jwt"

    def __post_init__(self) -> None:
        named = (self.iss, self.jwks_url, self.keys, self.jku, self.tenant)
        if self.auth == "none" and any(named):
            raise ValueError("with `auth: none` there is no token, and so no `iss` and no keys")
        if self.auth == "jwt" and (self.iss is None or (self.jwks_url is None) == (self.keys is None)):
            raise ValueError("give `iss`, and where its keys are: `jwks_url` or `keys`, one of the two")
        if self.jwks_url and not _safe(self.jwks_url):
            raise ValueError("`jwks_url` is not an https address")
        if not all(re.fullmatch(r"https?://[A-Za-z0-9.\-\[\]:]+", origin) for origin in self.origins):
            raise ValueError("`origins` are scheme and host, such as https://ehr.example, without a path")

    @property
    def named(self) -> str:
        """How it is called in the ledger: by what its tokens say, which is no secret."""
        return " ".join(filter(None, (self.iss or "without a token", self.tenant)))


def _safe(text: str) -> bool:
    try:
        url = URL(text)
    except ValueError:
        return False
    return bool(url.host) and not url.user and not url.fragment and (url.scheme == "https" or (url.scheme == "http" and is_loopback(url)))
