"""Answers as they stand in the ledger, made by staging and recommend themselves from synthetic patients, and a launch that shows them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
from fastapi import FastAPI

from examples.synthetic_patients import patients
from services.ingest.app import create
from services.ingest.limiting import Limits
from services.ingest.pages.banner import banner
from services.ingest.pages.links import Links
from services.ingest.pages.resource_view import resource
from services.ingest.pages.view import Answered, Page, page
from services.ingest.running import Ingest
from services.ingest.settings import IngestSettings
from services.ingest.tables import Answer, InHand, compressed
from services.recommend.candidates import recommend
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_resources
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Record, encode
from shared.oncology.stage import Staging
from shared.service.serving import served
from shared.smart.code import Grant
from shared.smart.identity import Identity

Json = dict[str, Any]
BASE = "https://fhir.example/r4"
PUBLIC = "http://127.0.0.1:9"


class Made(NamedTuple):
    """One patient's resources and the answer to them."""

    patient: str
    raw: bytes
    record: Record
    staging: Staging
    recommendation: Recommendation

    def view(self, base: str = "/app/launch") -> Page:
        links = Links(base, self.record.findings, self.recommendation.works)
        person = resource(self.raw, "Patient", "") or b"{}"
        answered = Answered(7, "2026-11-20T14:32:10Z", "CarePlan/1", "1", "transaction")
        return page(self.record, self.staging, self.recommendation, answered, links, banner(person))

    def answer(self, case: str, base: str = BASE) -> Answer:
        knowledge = "2026.1/0"
        return Answer(
            case=case,
            base=base,
            patient=self.patient,
            answered="2026-11-20T14:32:10Z",
            digest=self.record.digest(),
            staging_knowledge=knowledge,
            recommend_knowledge=knowledge,
            mode="page",
            decision="d1",
            raw=compressed(self.raw),
            record=compressed(encode(self.record)),
            staging=compressed(encode(self.staging)),
            recommendation=compressed(encode(self.recommendation)),
        )


def made(resources: list[Json], unread: tuple[str, ...] = ()) -> Made:
    """The answer to a patient's resources; `unread` are the types that nobody could see."""
    patient = next(f"Patient/{one['id']}" for one in resources if one["resourceType"] == "Patient")
    raw = [json.dumps(one).encode() for one in resources]
    record = msgspec.structs.replace(read_resources(patient, raw), unread=unread)
    staging = stage(record, rules())
    return Made(patient, b"[" + b",".join(raw) + b"]", record, staging, recommend(record, staging, library()))


@cache
def synthetic() -> dict[str, list[Json]]:
    """The resources of every synthetic patient, by her id."""
    bundles = [[entry["resource"] for entry in one["entry"]] for one in patients()]
    return {next(one["id"] for one in resources if one["resourceType"] == "Patient"): resources for resources in bundles}


@cache
def answered(name: str) -> Made:
    """The answer to one synthetic patient."""
    return made(synthetic()[name])


class Ward:
    """A running ingest, and launches of its page. Nothing is pulled here: answers are put into its ledger."""

    def __init__(self, app: FastAPI, address: str, http: aiohttp.ClientSession) -> None:
        self.ingest: Ingest = app.state.ingest
        self.limits: Limits = app.state.limits
        self.address, self.http = address, http

    def launch(self, patient: str, *, banner: bool = True, clinician: bool = True) -> str:
        """A launch without a case; its cookie is "browser"."""
        user = Identity("https://issuer.example", "dr-7", f"{'Practitioner' if clinician else 'Device'}/7")
        grant = Grant(access_token="canary-token", life=3000, scopes=("patient/*.rs",), need_patient_banner=banner)
        return self.ingest.launches.open(BASE, "browser", grant, patient, user)

    def case(self, launch: str, patient: str) -> str:
        """A case of that launch, which nobody works on."""
        case = self.ingest.ledger.open(BASE, patient, launch=launch)
        self.ingest.ledger.queued(case.id)
        self.ingest.launches.opened(launch, case.id)
        return case.id

    def answer(self, case: str, one: Made) -> None:
        kept = one.answer(case)
        self.ingest.ledger.pulled(InHand(case=case, digest=kept.digest, raw=kept.raw, record=kept.record))
        self.ingest.ledger.answered(kept)

    def shown(self, one: Made) -> str:
        """A launch whose case is answered."""
        launch = self.launch(one.patient)
        self.answer(self.case(launch, one.patient), one)
        return launch

    async def get(self, path: str, cookie: str = "browser") -> tuple[int, Any, str]:
        async with self.http.get(f"{self.address}{path}", headers={"Cookie": f"figaro={cookie}"}) as answer:
            return answer.status, answer.headers, await answer.text()


@asynccontextmanager
async def ward(folder: Path) -> AsyncIterator[Ward]:
    """One, on a free port of this machine."""
    issuers = folder / "issuers.yaml"
    launch = "{client_id: figaro, client: public, embedded: true, frame_origins: ['https://ehr.example']}"
    issuers.write_text(f"issuers: [{{id: ehr, base: '{BASE}', write_mode: page, launch: {launch}}}]")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        urls: Json = {"staging_url": PUBLIC, "recommend_url": PUBLIC, "public_url": PUBLIC}
        app = create(IngestSettings(issuers=issuers, data_directory=folder / "data", poll_seconds=60, **urls))
        address = await stack.enter_async_context(served(app))
        yield Ward(app, address, http)
