"""A secret opens what it is for: whoever has read staging's can write nothing by it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import aiohttp
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.routing import Mount

from services.ingest.neighbours import Neighbours
from services.ingest.running import ingest_in
from services.ingest.settings import IngestSettings
from services.recommend.app import create as create_recommend
from services.recommend.settings import RecommendSettings
from services.staging.app import create as create_staging
from services.staging.settings import StagingSettings
from services.together import TogetherSettings, create_together, free_port
from shared.fhir.outcome import Refused, Unreadable
from shared.service.serving import served

SECRET: Final = SecretStr("recommend's, in this test")
STAGING: Final = SecretStr("staging's, in this test")
NOBODY: Final = "http://127.0.0.1:9/fhir"
BEHIND: Final = ("127.0.0.1",)


async def test_api2_the_secret_of_staging_is_staging_s_alone() -> None:
    """OWASP API2: staging, which only computes, holds nothing by which recommend writes."""
    staging = create_staging(StagingSettings(service_secret=STAGING, trusted_proxies=BEHIND))
    recommend = create_recommend(RecommendSettings(fhir_base=NOBODY, service_secret=SECRET, trusted_proxies=BEHIND))
    async with served(staging) as at_staging, served(recommend) as at_recommend, aiohttp.ClientSession() as session:
        told = IngestSettings(staging_url=at_staging, recommend_url=at_recommend, service_secret=SECRET, staging_secret=STAGING)
        ours = Neighbours.of(told, session)
        with pytest.raises(Unreadable):  # let in, and what is sent is no record
            await ours.stage(b"[]")
        with pytest.raises(Unreadable):
            await ours.publish(b"[]", b"[]", b"[]", NOBODY)
        stolen = Neighbours.of(told.model_copy(update={"service_secret": STAGING}), session)
        with pytest.raises(Refused, match="FIGARO_SERVICE_SECRET"):
            await stolen.publish(b"[]", b"[]", b"[]", NOBODY)
        alike = Neighbours.of(told.model_copy(update={"staging_secret": None}), session)
        with pytest.raises(Refused, match="FIGARO_SERVICE_SECRET"):
            await alike.stage(b"[]")


@pytest.mark.server
async def test_all_three_in_one_process_meet_whatever_secret_another_staging_would_have(tmp_path: Path) -> None:
    """FIGARO_STAGING_SECRET is for a staging elsewhere: the one in this process knows ingest by the secret of all three."""
    port = free_port("127.0.0.1")
    told = TogetherSettings(
        fhir_base=NOBODY, data_directory=tmp_path, port=port, staging_secret=STAGING, api_secret=SECRET, trusted_proxies=BEHIND
    )
    app = create_together(told)
    (ingest,) = [route.app for route in app.routes if isinstance(route, Mount) and route.path == "/ingest"]
    assert isinstance(ingest, FastAPI)
    async with served(app, port=port):
        with pytest.raises(Unreadable):  # let in, and what is sent is no record
            await ingest_in(ingest).neighbours.stage(b"[]")


def test_the_address_of_the_database_which_may_hold_a_password_is_not_printed() -> None:
    settings = IngestSettings(database_url="postgresql://figaro:canary@db.example/figaro")
    assert "canary" not in f"{settings} {settings!r}"
    assert settings.ledger_url == "postgresql://figaro:canary@db.example/figaro"
    assert settings.workflow_url == "postgresql+psycopg://figaro:canary@db.example/figaro"
