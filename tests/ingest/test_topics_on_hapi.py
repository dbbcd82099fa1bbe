"""HAPI and topics: it takes no Subscription to one with R4, and never calls an endpoint before it notifies it."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.ingest.settings import IngestSettings
from services.ingest.subscription_resource import wishes
from services.subscribing import subscribe
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Rejected
from tests.journeys.test_subscription import SECRET, topic

pytestmark = pytest.mark.hapi
NAME = "every-condition"
NOBODY = "http://127.0.0.1:9/ingest"  # nobody listens there


async def test_su_15_su_17_a_topic_of_hapi_is_done_without_and_nothing_waits_for_a_handshake(hapi: str) -> None:
    """SU-15: where it has a topic, its Subscriptions are by criteria all the same. SU-17: active, though nobody answers at the endpoint."""
    settings = IngestSettings(fhir_base=hapi, public_url=NOBODY, notification_secret=SecretStr(SECRET))
    async with FhirClient(hapi) as server:
        await server.update(topic(NAME, "Condition"))
        try:
            with pytest.raises(Rejected):
                await subscribe(hapi, settings, remove=False, topics=[f"https://ehr.example/topics/{NAME}"])
            stands = await subscribe(hapi, settings, remove=False, topics=())
            assert {one.status for one in stands} == {"active"}
            assert [(one.channel, one.criteria) for one in sorted(stands)] == sorted((one.channel, one.criteria) for one in wishes({}))
            again = await subscribe(hapi, settings, remove=False, topics=())
            assert {one.done for one in again} == {"kept"}
            assert {one.reference for one in again} == {one.reference for one in stands}
        finally:
            await subscribe(hapi, settings, remove=True, topics=())
            await server.delete("Basic", NAME)
