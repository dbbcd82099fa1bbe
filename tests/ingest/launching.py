"""Ingest with a pretend EHR before it and a browser that holds its cookies: what the tests of launches share."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from fastapi import FastAPI
from multidict import CIMultiDictProxy
from yarl import URL

from services.ingest.app import create
from services.ingest.launched import Session
from services.ingest.running import Ingest, ingest_in
from services.ingest.settings import IngestSettings
from shared.fhir.client import FhirClient
from shared.service.serving import served
from shared.smart.app import App
from shared.smart.keys import jwks, keys_in, new_key
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import bundle
from tests.journeys.figaro import until
from tests.peers.smart_server import Bend, Ehr, smart_server

KEY = "a key of the tests, and of nothing else"


class PageNeighbours(StubNeighbours):
    """Whose recommend writes nothing: `write_mode: page`."""

    async def _publish(self, request: web.Request) -> web.Response:
        await self._asked(request)
        return web.json_response({"mode": "page", "decision": "d1"})


@dataclass
class Shown:
    """What a browser was answered."""

    status: int
    headers: CIMultiDictProxy[str]
    text: str

    @property
    def to(self) -> str:
        return self.headers.get("Location", "")

    @property
    def heading(self) -> str:
        found = re.search(r"<h1>(.*?)</h1>", self.text)
        return unescape(found[1]) if found else ""


class Browser:
    """Follows nothing by itself, and keeps cookies as a browser does, also of 127.0.0.1."""

    def __init__(self) -> None:
        self.session = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))

    async def get(self, url: str) -> Shown:
        async with self.session.get(URL(url, encoded=True), allow_redirects=False) as answer:
            return Shown(answer.status, answer.headers, await answer.text())

    async def post(self, url: str, form: dict[str, str], **headers: str) -> Shown:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.post(url, data=form, headers=named, allow_redirects=False) as answer:
            return Shown(answer.status, answer.headers, await answer.text())

    def cookie(self, name: str) -> str:
        return next((cookie.value for cookie in self.session.cookie_jar if cookie.key == name), "")


@dataclass
class Hospital:
    """A running ingest (`url`), the EHR it knows as `ehr`, and the ledger's folder."""

    url: str
    app: FastAPI
    ehr: Ehr
    folder: Path
    fhir: str

    @property
    def ingest(self) -> Ingest:
        return ingest_in(self.app)

    @property
    def registration(self) -> App:
        found = self.ingest.grants.apps.named("ehr")
        assert found is not None
        return found

    def as_it_should_be(self) -> None:
        """Forgets what the test before has bent."""
        ehr = self.ehr
        ehr.bend, ehr.user, ehr.life, ehr.banner, ehr.chosen = Bend(), "Practitioner/syn-clinician", 3600, None, None
        ehr.grants = lambda scopes: scopes
        for told in (ehr.asked, ehr.forms, ehr.revoked, ehr.revoking, ehr.fhir, ehr.problems):
            told.clear()
        self.registration.configuration.forget()

    def launch(self, patient: str | None) -> str:
        return self.ehr.launch_url(f"{self.url}/launch", patient)

    async def asked(self, browser: Browser, patient: str | None = "p1") -> Shown:
        """The EHR's answer to the authorization request: a redirect to the callback."""
        begun = await browser.get(self.launch(patient))
        assert begun.status == 303, begun.text
        return await browser.get(begun.to)

    async def back(self, browser: Browser, patient: str | None = "p1") -> Shown:
        """What Figaro answers to the callback of a launch."""
        return await browser.get((await self.asked(browser, patient)).to)

    async def entered(self, browser: Browser, patient: str | None = "p1") -> Session:
        """The session of a launch that went well."""
        entered = await self.back(browser, patient)
        assert entered.status == 303, entered.text
        found = self.session(browser, entered.to.rpartition("/")[2])
        assert found is not None
        return found

    def session(self, browser: Browser, launch: str) -> Session | None:
        found = (self.ingest.launches.session(launch, one) for one in browser.cookie("figaro").split("."))
        return next(filter(None, found), None)

    async def done(self, case_id: str | None) -> dict[str, Any]:
        """The case, when it is answered or stuck."""
        found: dict[str, Any] = {}

        async def ended() -> bool:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/cases/{case_id}") as answer:
                found.update(await answer.json(content_type=None))
            return found["state"] in ("answered", "stuck")

        await until(ended)
        return found

    async def put(self, *resources: dict[str, Any]) -> None:
        async with FhirClient(self.fhir) as server:
            await server.transaction(bundle(list(resources)))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def issuers_file(folder: Path, base: str, launch: str) -> Path:
    file = folder / "issuers.yaml"
    file.write_text(f"issuers:\n  - id: ehr\n    base: {base}\n    write_mode: page\n    launch: {launch}\n")
    return file


APP = "{client_id: figaro-app, keys: keys, frame_origins: [https://ehr.example]}"


@asynccontextmanager
async def hospital(folder: Path, fhir: str, launch: str = APP, **more: Any) -> AsyncIterator[Hospital]:
    """Everything, on free ports of this machine."""
    new_key(folder / "keys", "ES384")
    async with AsyncExitStack() as stack:
        ehr = await stack.enter_async_context(smart_server(fhir))
        stubs = await stack.enter_async_context(PageNeighbours())
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        redirects = [f"{url}/callback/ehr"]
        ehr.register("figaro-app", redirects=redirects, jwks=jwks(keys_in(folder / "keys")))
        ehr.register("figaro-secret", redirects=redirects, secret="s:ec%r+et")
        ehr.register("figaro-public", redirects=redirects)
        told: dict[str, Any] = {
            "issuers": issuers_file(folder, ehr.base_url, launch),
            "public_url": url,
            "session_key": KEY,
            "rate_launch": "10000/minute",
            "staging_url": stubs.url("staging"),
            "recommend_url": stubs.url("recommend"),
            "data_directory": folder / "data",
            "poll_seconds": 0.05,
            "step_wait_seconds": 0.05,
            "step_attempts": 2,
        }
        app = create(IngestSettings(**told | more))
        await stack.enter_async_context(served(app, port=port))
        yield Hospital(url, app, ehr, folder, fhir)
