"""Figaro as a SMART app at one issuer: what it asks, what it gets, whose it is."""

from __future__ import annotations

import aiohttp

from shared.fhir.guard import fhir_base
from shared.fhir.outcome import Refused
from shared.smart.authorization import Question, question
from shared.smart.code import TokenEndpoint
from shared.smart.discovery import Discovery
from shared.smart.identity import Identities
from shared.smart.issuers import Issuer, Issuers
from shared.smart.launch import Launch


class App:
    """One registration. `configuration` is the server's smart-configuration, kept for a while (SM-07)."""

    def __init__(self, issuer: Issuer, launch: Launch, session: aiohttp.ClientSession) -> None:
        self.issuer = issuer
        self.launch = launch
        self.configuration = Discovery(issuer.url(), session)
        self.tokens = TokenEndpoint(issuer, launch, session)
        self.identities = Identities(issuer, launch, session)

    async def question(self, *, aud: str, redirect_uri: str, launch: str | None) -> Question:
        """What to ask a user's authorization server. Raises what discovery raises, Unauthorised and NotFhir."""
        said = await self.configuration()
        return question(self.issuer, self.launch, said, aud=aud, redirect_uri=redirect_uri, launch=launch)


class Apps:
    """The registrations of the list: by the EHR's own `iss` (SM-11), by the id of an issuer, or by its base."""

    def __init__(self, issuers: Issuers, session: aiohttp.ClientSession) -> None:
        self._by_base = {one.base: App(one, one.launch, session) for one in issuers if one.launch is not None}

    def at(self, iss: str) -> App | None:
        """The app at a FHIR base as an EHR writes it, compared after one normalisation (SE-08)."""
        if not iss.startswith(("https://", "http://")) or iss.endswith("//"):  # one slash at the end is the same address, two are another
            return None
        try:
            return self._by_base.get(str(fhir_base(iss)))
        except Refused:
            return None

    def named(self, issuer: str) -> App | None:
        """The app at the issuer of that id."""
        return next((app for app in self._by_base.values() if app.issuer.id == issuer), None)

    def of(self, base: str) -> App | None:
        """The app at a base of the list."""
        return self._by_base.get(base)
