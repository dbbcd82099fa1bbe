"""The run of `benchmarks.load_and_faults`, small: what must hold, and never a time."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from benchmarks.load import run as load
from benchmarks.load.fhir_server import FAULTS
from benchmarks.load.hospital import SHARE, admission, changes
from benchmarks.load.run import Size, run
from benchmarks.load.verdict import judge
from services.ingest.pull import pull
from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.decision import Answer
from services.recommend.library import library
from services.recommend.publish import publish
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.client import FhirClient
from tests.ingest.patients import ecog

pytestmark = pytest.mark.slow
WHO = "verdict"
SMALL = Size(patients=20, notifications=300, kills=2, restarts=1)


async def test_everything_that_can_go_wrong_and_each_patient_has_one_careplan_of_her_final_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """SU-03, SU-42, SU-46, FC-06, FC-07: lost, doubled and late notifications, failing calls, kills, and a restarted FHIR server."""
    monkeypatch.setattr(load, "PATIENCE", 240.0)
    outcome = await run(SMALL, lambda *_: None)
    assert [(one.who, one.wrong) for one in outcome.found if one.wrong] == []
    assert len(outcome.found) == SMALL.patients
    assert outcome.quiet, outcome.cases
    assert outcome.cases["stuck"] == 0
    assert Counter(what for _, what in outcome.disturbed) == {"Figaro killed": 2, "FHIR server restarted": 1}
    share = SMALL.notifications // SHARE
    assert [outcome.counts[fate] for fate in ("dropped", "doubled", "reordered")] == [share] * 3
    assert outcome.counts["accepted"] == SMALL.notifications, "dropped and doubled make up for one another"
    assert sum(outcome.befell.get(fault, 0) for fault in FAULTS) > 10, "the line was bad"


async def test_the_verdict_sees_what_is_lost_doubled_and_left_over(sekmet: str) -> None:
    """The run above could pass for want of a look: so each fault is made by hand, and named."""
    async with FhirClient(sekmet) as server:
        await server.transaction(admission(WHO))
        assert await _wrong(sekmet) == ["0 current CarePlans", *await _not_there(sekmet)]
        record, _, _ = await pull(server, f"Patient/{WHO}")
        staging = stage(record, rules())
        answer = Answer(record, staging, recommend(record, staging, library()))
        done = await publish(server, answer, drugs(library()), at="2026-11-22T12:00:00Z", software="0")
        assert await _wrong(sekmet) == []

        plan = json.loads(await server.read(*str(done.careplan).split("/")))
        twin = await server.create({name: value for name, value in plan.items() if name != "id"})
        assert {"2 current CarePlans", "CarePlan twice", "2 CarePlan of the decision, and not 1"} <= set(await _wrong(sekmet))
        await server.delete("CarePlan", twin.id)
        assert await _wrong(sekmet) == []

        await server.update(ecog(f"{WHO}-e", f"Patient/{WHO}", 4))
        wrong = await _wrong(sekmet)
    assert wrong[0] == "the CarePlan is not of the final record"
    assert "RequestGroup of a superseded decision still open" in wrong


async def _wrong(base: str) -> list[str]:
    return list((await judge(base, [WHO], lambda _: None))[0].wrong)


async def _not_there(base: str) -> list[str]:
    return [wrong for wrong in await _wrong(base) if wrong.startswith("0 ") and "of the decision" in wrong]


def test_a_run_of_the_same_seed_is_the_same_and_every_patient_changes() -> None:
    one, other = (list(changes(20, 300, 7)) for _ in range(2))
    assert one == other
    assert len({change.patient for change in one}) == 20
    assert one != list(changes(20, 300, 8))
