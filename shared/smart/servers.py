"""The FHIR servers of the settings, each with one client. No address is ever taken from a request or a resource."""

from __future__ import annotations

from collections.abc import Iterable

import aiohttp

from shared.fhir.client import FhirClient
from shared.fhir.guard import Reach
from shared.fhir.pace import Pace
from shared.fhir.reach import guarded
from shared.smart.issuers import Issuer, Issuers, Role
from shared.smart.tokens import authority


def reaching(issuers: Issuers, networks: Iterable[str]) -> aiohttp.ClientSession:
    """A session that connects to public addresses, to `networks`, and to addresses that the issuers' own URLs spell out (SE-09)."""
    clients = [auth for issuer in issuers for auth in (issuer.read, issuer.write)]
    named = [url for auth in clients if (url := getattr(auth, "token_endpoint", None))]
    return guarded(Reach(networks, (*(issuer.base for issuer in issuers), *named)))


class Servers:
    """`servers(base)` is the client of a base on the list, with the right to read or to write there. One token and one pace for each."""

    def __init__(self, issuers: Issuers, role: Role, session: aiohttp.ClientSession) -> None:
        self.issuers = issuers
        self._role: Role = role
        self._session = session
        self._clients: dict[str, FhirClient] = {}

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
                pace=Pace(concurrency=issuer.limits.concurrency, per_second=issuer.limits.per_second),
            )
        return self._clients[issuer.base]
