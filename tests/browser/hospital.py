"""Figaro whole at https://figaro.test and a pretend EHR at https://localhost: two sites, with certificates of the run, for Chromium.

async with hospital(folder, fhir) as here:       # `fhir` is the base of an open FHIR server, which stands behind the EHR
    await here.load("syn-044")
    await page.goto(here.launch("syn-044"))
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
from playwright.async_api import Browser, BrowserContext, Page, async_playwright
from pydantic import SecretStr

from examples.resources import key_of
from examples.synthetic_patients import patients
from services.ingest.app import create as ingest_app
from services.ingest.running import Ingest, ingest_in
from services.ingest.settings import IngestSettings
from services.recommend.app import create as recommend_app
from services.recommend.settings import RecommendSettings
from services.staging.app import create as staging_app
from services.staging.settings import StagingSettings
from shared.fhir.client import FhirClient
from shared.service.serving import served
from shared.smart.keys import jwks, keys_in, new_key
from tests.ingest.launching import KEY, free_port
from tests.peers.chromium import chromium
from tests.peers.https import over_https
from tests.peers.smart_server import Bend, Ehr, smart_server

Json = dict[str, Any]
CLINICIAN: Final = {"resourceType": "Practitioner", "id": "syn-clinician", "name": [{"family": "Example", "text": "Dr Synthetic Example"}]}
BACKEND: Final = "the token by which recommend writes"
SECRET: Final = SecretStr("by which programs and services are known")


@cache
def bundles() -> dict[str, Json]:
    """The transaction Bundle of every synthetic patient, by her id."""
    return {key_of(one): one for one in patients()}


@dataclass
class Hospital:
    """Figaro's address, the EHR before it, and the FHIR server behind both."""

    figaro: str
    ehr: Ehr
    fhir: str
    ingest: Ingest
    loaded: set[str] = field(default_factory=set)

    def launch(self, patient: str) -> str:
        """Where the EHR sends a window to open Figaro for a chart."""
        return self.ehr.launch_url(f"{self.figaro}/launch", patient)

    def chart(self, patient: str) -> str:
        """The EHR's page of a chart, with Figaro in a frame of it."""
        return f"{self.ehr.root}/chart/{patient}?app={self.figaro}/launch"

    def as_it_should_be(self) -> None:
        """Forgets what the test before has bent."""
        self.ehr.bend, self.ehr.chosen, self.ehr.banner = Bend(), None, True
        self.ehr.grants = lambda scopes: scopes
        self.ehr.problems.clear()

    @asynccontextmanager
    async def server(self) -> AsyncIterator[FhirClient]:
        """The FHIR server itself, behind the EHR: on a new connection, since a server ends one that waits while a browser works."""
        async with FhirClient(self.fhir) as client:
            yield client

    async def load(self, *names: str) -> None:
        """Puts synthetic patients on the FHIR server."""
        async with self.server() as server:
            for name in set(names) - self.loaded:
                await server.transaction(bundles()[name])
                self.loaded.add(name)

    async def found(self, kind: str, patient: str) -> list[Json]:
        """Her resources of a type, as they stand on the FHIR server now."""
        async with self.server() as server:
            entries = await server.search(kind, {"patient": f"Patient/{patient}"})
        return [json.loads(bytes(one.resource)) for one in entries if one.resource is not None]

    async def plan(self, patient: str) -> Json:
        """Her one CarePlan."""
        [plan] = await self.found("CarePlan", patient)
        return plan

    async def answered(self, page: Page, patient: str) -> str:
        """Launches a patient in this window and waits for her answer, made of the record as it is now; the address of the page."""
        await self.load(patient)
        await page.goto(self.launch(patient))
        await page.wait_for_selector("#answer", timeout=60_000)
        await page.wait_for_selector(".notice", state="detached", timeout=60_000)
        return page.url


@asynccontextmanager
async def hospital(folder: Path, fhir: str) -> AsyncIterator[Hospital]:
    """Everything, on free ports of this machine."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    new_key(folder / "keys", "ES384")
    async with AsyncExitStack() as stack:
        trusting = stack.enter_context(pytest.MonkeyPatch.context())
        trusting.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=str(folder / "ca.pem")))
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(tls)
        ehr = await stack.enter_async_context(smart_server(fhir, name="localhost", tls=tls))
        ehr.backend, port = BACKEND, free_port()
        figaro = f"https://figaro.test:{port}"
        ehr.register("figaro-app", redirects=[f"{figaro}/callback/ehr"], jwks=jwks(keys_in(folder / "keys")))
        issuers = _issuers(folder, ehr)
        staging = await stack.enter_async_context(served(staging_app(StagingSettings())))
        recommend = await stack.enter_async_context(served(recommend_app(RecommendSettings(issuers=issuers, service_secret=SECRET))))
        settings = IngestSettings(
            issuers=issuers,
            public_url=figaro,
            api_secret=SECRET,
            service_secret=SECRET,
            session_key=KEY,  # type: ignore[arg-type]
            rate_launch="10000/minute",
            staging_url=staging,
            recommend_url=recommend,
            data_directory=folder / "data",
            poll_seconds=0.05,
            step_attempts=2,
            step_wait_seconds=0.05,
        )
        app = ingest_app(settings)
        await stack.enter_async_context(over_https(app, port, authority.issue_cert("figaro.test"), folder))
        here = Hospital(figaro, ehr, fhir, ingest_in(app))
        async with here.server() as server:
            await server.update(CLINICIAN)
        yield here


def _issuers(folder: Path, ehr: Ehr) -> Path:
    file, token = folder / "issuers.yaml", folder / "backend"
    token.write_text(BACKEND)
    file.write_text(f"""\
issuers:
  - id: ehr
    base: {ehr.base_url}
    write: {{auth: bearer, token: {{file: backend}}}}
    launch: {{client_id: figaro-app, keys: keys, write: true, frame_origins: ['{ehr.root}']}}
""")
    return file


@asynccontextmanager
async def started() -> AsyncIterator[Browser]:
    """A Chromium that takes figaro.test for this machine. Continuous integration is root, where its sandbox does not work."""
    arguments = ["--host-resolver-rules=MAP figaro.test 127.0.0.1", "--no-sandbox"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def window(browser: Browser, width: int = 1400, **how: Any) -> AsyncIterator[BrowserContext]:
    """A window without cookies, that takes the certificates of the run."""
    wanted: Json = {"viewport": {"width": width, "height": 900}, "ignore_https_errors": True, **how}
    context = await browser.new_context(**wanted)
    try:
        yield context
    finally:
        await context.close()
