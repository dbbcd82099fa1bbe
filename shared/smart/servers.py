"""The FHIR servers of the settings, each with one client. No address is ever taken from a request or a resource."""

from __future__ import annotations

from collections.abc import Iterable

import aiohttp

from shared.fhir.client import FhirClient
from shared.fhir.guard import Reach
from shared.fhir.pace import Pace
from shared.fhir.reach import guarded
from shared.fhir.transport import Token
from shared.smart.clients import Role
from shared.smart.issuers import Issuer, Issuers
from shared.smart.tokens import authority


def reaching(issuers: Issuers, networks: Iterable[str]) -> aiohttp.ClientSession:
    """A session that connects to public addresses, to `networks`, and to addresses that the issuers' own URLs spell out (SE-09)."""
    clients = [auth for issuer in issuers for auth in (issuer.read, issuer.write)]
    named = [url for auth in clients if (url := getattr(auth, "token_endpoint", None))]
    named += [client.jwks_url for issuer in issuers for client in issuer.hooks if client.jwks_url]
    return guarded(Reach(networks, (*(issuer.base for issuer in issuers), *named)))


class Servers:
    """`servers(base)` is the client of a base on the list, with the right to read or to write there. One token and one pace for each."""

    def __init__(self, issuers: Issuers, role: Role, session: aiohttp.ClientSession) -> None:
        self.issuers = issuers
        self._role: Role = role
        self._session = session
        self._clients: dict[str, FhirClient] = {}
        self._paces: dict[str, Pace] = {}

    def base(self, asked: str | None) -> str:
        """The base URL a case is for. Raises Refused where it is not one of the list."""
        return self.issuers(asked).base

    def issuer(self, asked: str | None) -> Issuer:
        """The issuer a case is for. Raises Refused."""
        return self.issuers(asked)

    def __call__(self, base: str | None) -> FhirClient:
        issuer = self.issuers(base)
        if issuer.base not in self._clients:
            self._clients[issuer.base] = FhirClient(
                issuer.base,
                token=authority(issuer, self._role, self._session),
                session=self._session,
                pace=self._pace(issuer),
            )
        return self._clients[issuer.base]

    def on_behalf(self, base: str | None, token: Token) -> FhirClient:
        """A client that asks the server of that base with a person's own token, and is gone with the call it is made for."""
        issuer = self.issuers(base)
        return FhirClient(issuer.base, token=token, session=self._session, pace=self._pace(issuer))

    def _pace(self, issuer: Issuer) -> Pace:
        """One for each server, whoever asks it."""
        return self._paces.setdefault(issuer.base, Pace(concurrency=issuer.limits.concurrency, per_second=issuer.limits.per_second))
