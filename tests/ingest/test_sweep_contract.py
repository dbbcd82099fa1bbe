"""What a sweep needs of a server is there on sekmet-fhir and on HAPI: `_lastUpdated`, `_elements`, `_sort`, posted searches, `_history`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from shared.fhir.client import FhirClient
from tests.ingest.doorbell import ringing
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import bundle, cervical_cancer, ecog, extent, patient


async def test_su_46_a_sweep_finds_changes_and_deletions_and_moves_every_cursor(fhir_base: str, tmp_path: Path) -> None:
    """SU-46, SU-03: and a look at the patient's Conditions makes a case of it."""
    people = [f"contract-{number}" for number in range(3)]
    async with StubNeighbours() as neighbours, FhirClient(fhir_base) as server:
        urls = {"staging_url": neighbours.url("staging"), "recommend_url": neighbours.url("recommend")}
        async with ringing(tmp_path, fhir_base, debounce_seconds=0, sweep_overlap_seconds=1, **urls) as bell:
            sweep = bell.ingest.rounds.sweep
            await sweep(bell.base)
            await asyncio.sleep(1.5)
            before = {*bell.due(), *bell.notices()}
            changes = [cervical_cancer("contract-c", f"Patient/{people[0]}"), ecog("contract-o", f"Patient/{people[1]}", 1)]
            await server.transaction(
                bundle([*map(patient, people), *changes, extent("contract-e", f"Patient/{people[2]}", "parametrium", True)])
            )
            await sweep(bell.base)
            stands = bell.sweep()
            assert stands is not None
            assert stands.failed is None
            assert {*bell.due(), *bell.notices()} - before == {f"Patient/{who}" for who in people}
            await bell.ingest.rounds.drain()
            assert bell.due() == {}
            opened = {case.patient for case in bell.ingest.ledger.cases()}
            assert opened >= {f"Patient/{who}" for who in people}
            bell.read()
            await server.delete("Condition", "contract-c")
            await sweep(bell.base)
            assert "Condition/contract-c" in bell.notices()
            await bell.ingest.rounds.drain()
            cases = [case.patient for case in bell.ingest.ledger.cases()]
            assert cases.count(f"Patient/{people[0]}") == 2
