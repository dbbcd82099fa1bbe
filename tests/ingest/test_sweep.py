"""Sweeps: whatever notifications miss is found, of patients of ours and of nobody else."""

from __future__ import annotations

import asyncio
import json
import random
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from services.ingest import sweep
from services.ingest.instants import now
from shared.fhir.client import FhirClient
from shared.fhir.r4 import complaints
from shared.service.embedded import embedded_fhir_server
from tests.ingest.doorbell import Bell, ringing
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import SYNTHETIC, bundle, cervical_cancer, concept, ecog, observation, patient
from tests.peers.faults import Proxy, answered, faulty, next_link, passed
from tests.peers.small_server import Switches, small_server

pytestmark = pytest.mark.asyncio(loop_scope="module")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


class Ward:
    """A FHIR server that may fail as told, an ingest that is swept by hand, and neighbours that take every cancer for cervical."""

    def __init__(self, bell: Bell, proxy: Proxy, neighbours: StubNeighbours) -> None:
        self.bell, self.proxy, self.neighbours = bell, proxy, neighbours
        self.rounds = bell.ingest.rounds

    async def write(self, *resources: Json) -> None:
        async with FhirClient(self.proxy.upstream) as server:
            await server.transaction(bundle(list(resources)))

    async def swept(self) -> set[str]:
        """Who is due, or to be looked up, after one sweep."""
        await self.rounds.sweep(self.bell.base)
        return {*self.bell.due(), *self.bell.notices()}

    async def opened(self) -> list[str]:
        """Whose case was opened by one drain, and has read her record since."""
        before = {case.id for case in self.bell.ingest.ledger.cases(limit=1000)}
        await self.rounds.drain()
        self.bell.read()
        return sorted(case.patient for case in self.bell.ingest.ledger.cases(limit=1000) if case.id not in before)


@pytest_asyncio.fixture(loop_scope="module")
async def ward(fhir: str, tmp_path: Path) -> AsyncIterator[Ward]:
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(faulty(fhir))
        neighbours = await stack.enter_async_context(StubNeighbours())
        urls = {"staging_url": neighbours.url("staging"), "recommend_url": neighbours.url("recommend")}
        bell = await stack.enter_async_context(ringing(tmp_path, proxy.base_url, debounce_seconds=0, **urls))
        await bell.ingest.rounds.sweep(bell.base)  # the first one begins where it stands
        await bell.ingest.rounds.drain()
        for due in bell.ingest.ledger.due(now()):  # of the tests before: the server is theirs too
            bell.ingest.ledger.dismiss_due(due)
        yield Ward(bell, proxy, neighbours)


async def test_su_46_every_type_that_a_record_is_read_from_is_found(ward: Ward) -> None:
    """SU-46, SU-03: nobody had notified us of any of it."""
    assert await ward.swept() == set()
    about = {
        kind: patient(f"kind-{kind.lower()}")
        for kind in ("Condition", "Observation", "Procedure", "AllergyIntolerance", "MedicationStatement", "BodyStructure")
    }
    me = {kind: {"reference": f"Patient/{who['id']}"} for kind, who in about.items()}
    await ward.write(
        *about.values(),
        cervical_cancer("kind-c", me["Condition"]["reference"]),
        ecog("kind-o", me["Observation"]["reference"], 1),
        {"resourceType": "Procedure", "id": "kind-p", "meta": SYNTHETIC, "status": "completed", "subject": me["Procedure"]},
        {
            "resourceType": "AllergyIntolerance",
            "id": "kind-a",
            "meta": SYNTHETIC,
            "patient": me["AllergyIntolerance"],
            "code": {"text": "x"},
        },
        {"resourceType": "BodyStructure", "id": "kind-b", "meta": SYNTHETIC, "patient": me["BodyStructure"], "location": {"text": "x"}},
        {
            "resourceType": "MedicationStatement",
            "id": "kind-m",
            "meta": SYNTHETIC,
            "status": "active",
            "subject": me["MedicationStatement"],
            "medicationCodeableConcept": {"text": "x"},
        },
    )
    assert await ward.swept() == {subject["reference"] for subject in me.values()}


async def test_lg05_a_sweep_tells_what_it_asked_and_whom_it_came_upon(ward: Ward) -> None:
    """LG-05: one valid AuditEvent for a sweep, with its queries over all patients and every patient whose data it read."""
    await ward.write(patient("seen-1"), patient("seen-2"), cervical_cancer("seen-c", "Patient/seen-2"))
    await ward.swept()
    async with FhirClient(ward.proxy.upstream) as server:
        [entry] = await server.search("AuditEvent", {"entity": "Patient/seen-2"})
    event = json.loads(bytes(entry.resource or b""))
    assert complaints(json.dumps(event).encode()) == []
    assert (event["action"], event["subtype"][0]["code"]) == ("E", "search")
    named = [it["what"]["reference"] for it in event["entity"] if "reference" in it.get("what", {})]
    assert {"Patient/seen-1", "Patient/seen-2"} <= set(named)
    assert len(named) == len(set(named))
    asked = {b64decode(it["query"]).decode().removeprefix(ward.bell.base) for it in event["entity"] if "query" in it}
    assert {query.partition("?")[0] for query in asked} >= {"/Condition", "/Observation", "/BodyStructure", "/Condition/_history"}
    assert all("_lastUpdated=ge" in query or "_since=" in query for query in asked)


async def test_a_server_without_bodystructures_is_not_asked_for_them_and_its_sweep_does_not_fail(tmp_path: Path) -> None:
    async with small_server(Switches(history=False)) as small, ringing(tmp_path, small.base_url) as bell:
        await bell.ingest.rounds.sweep(bell.base)
        assert not [path for _, path in small.asked if "BodyStructure" in path]
        assert [path for _, path in small.asked if "AllergyIntolerance" in path]
        sweep = bell.sweep()
        assert sweep is not None
        assert "BodyStructure" not in (sweep.failed or "")


async def test_an_observation_that_no_rule_reads_is_not_even_asked_for(ward: Ward) -> None:
    await ward.write(patient("noise"))
    await ward.swept()
    for due in ward.bell.ingest.ledger.due(now()):
        ward.bell.ingest.ledger.dismiss_due(due)
    await ward.write(observation("noise-o", "Patient/noise", concept("http://loinc.org", "8310-5"), valueInteger=37))
    assert await ward.swept() == set()


async def test_what_was_notified_is_not_found_again_and_a_new_version_is(ward: Ward) -> None:
    """SU-42: a sweep looks back, and knows the versions it has seen."""
    await ward.write(patient("again"), cervical_cancer("again-c", "Patient/again"))
    assert await ward.swept() == {"Patient/again"}
    marks = ward.bell.due()["Patient/again"]
    await ward.swept()
    assert ward.bell.due()["Patient/again"] == marks
    await ward.write(cervical_cancer("again-c", "Patient/again", recordedDate="2026-02-12"))
    await ward.swept()
    assert ward.bell.due()["Patient/again"] == marks + 1


async def test_su_47_a_sweep_does_not_find_what_we_wrote(ward: Ward) -> None:
    await ward.write(patient("own"))
    await ward.swept()
    await ward.opened()
    label = {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}]}
    await ward.write(ecog("own-o", "Patient/own", 1) | {"meta": label})
    assert await ward.swept() == set()


async def test_a_deletion_is_found_and_its_patient_is_told_by_the_last_version(ward: Ward) -> None:
    """SU-03: no notification comes for it."""
    await ward.write(patient("deleted"), cervical_cancer("deleted-c", "Patient/deleted"))
    await ward.swept()
    await ward.opened()
    async with FhirClient(ward.proxy.upstream) as server:
        await server.delete("Condition", "deleted-c")
    assert await ward.swept() == {"Condition/deleted-c"}
    assert await ward.opened() == ["Patient/deleted"]


async def test_of_a_long_history_only_what_came_since_is_read(fhir: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sekmet's links to the next page have forgotten since when; of its 12,000 versions each page takes it the better part of a second."""
    monkeypatch.setattr(sweep, "VERSIONS", 5)
    async with faulty(fhir) as proxy, ringing(tmp_path, proxy.base_url, debounce_seconds=0, sweep_overlap_seconds=0) as bell:
        async with FhirClient(fhir) as server:
            await server.transaction(
                bundle([patient("versions"), *(ecog(f"versions-{number}", "Patient/versions", 1) for number in range(40))])
            )
            await asyncio.sleep(1.5)  # what a server's clock says is known to the second
            await bell.ingest.rounds.sweep(bell.base)
            await server.delete("Observation", "versions-0")
        proxy.seen.clear()
        await bell.ingest.rounds.sweep(bell.base)
        assert set(bell.notices()) == {"Observation/versions-0"}
        histories = [one.path for one in proxy.seen if "/Observation/_history" in one.path]
        assert "_count=5" in histories[0]
        assert len(histories) == 1


async def test_a_patient_without_cervical_cancer_gets_no_case_and_no_further_look(ward: Ward) -> None:
    """Only her Conditions are asked for, by her id; staging decides; nothing of her is kept."""
    await ward.write(patient("other"), ecog("other-o", "Patient/other", 1))
    await ward.swept()
    ward.neighbours.ours = lambda who: who != "Patient/other"
    ward.proxy.seen.clear()
    assert "Patient/other" not in await ward.opened()
    of_her = {request.path.partition("?")[0] for request in ward.proxy.seen if "other" in request.path}
    assert of_her == {"/fhir/Condition"}
    assert ward.bell.due() == {}
    await ward.write(cervical_cancer("other-c", "Patient/other"))
    ward.neighbours.ours = lambda _: True
    await ward.swept()
    assert await ward.opened() == ["Patient/other"], "until she has one"


async def test_a_patient_marked_while_she_was_being_looked_at_stays_due(ward: Ward) -> None:
    await ward.write(patient("race"), ecog("race-o", "Patient/race", 1))
    await ward.swept()

    def meanwhile(_: str) -> bool:
        ward.bell.ingest.ledger.mark_due(ward.bell.base, ["Patient/race"])
        return False

    ward.neighbours.ours = meanwhile
    await ward.rounds.drain()
    assert "Patient/race" in ward.bell.due()


async def test_su_46_a_sweep_that_is_cut_off_moves_no_cursor_past_what_it_has_not_marked(ward: Ward) -> None:
    """The server fails in the middle: the next sweep finds the rest."""
    people = [f"cut-{number}" for number in range(5)]
    await ward.write(*map(patient, people), *(cervical_cancer(f"{who}-c", f"Patient/{who}") for who in people))
    until = ward.bell.ingest.inbox.until(ward.bell.base, "Condition")
    down = answered(500)
    ward.proxy.plan(*[passed] * 2, *[down] * 100)
    await ward.rounds.sweep(ward.bell.base)
    assert ward.bell.ingest.inbox.until(ward.bell.base, "Condition") == until
    sweep = ward.bell.sweep()
    assert sweep is not None
    assert sweep.failed is not None
    ward.proxy.plan()
    assert await ward.swept() >= {f"Patient/{who}" for who in people}


async def test_a_server_that_pages_without_end_does_not_move_the_cursor_either(ward: Ward) -> None:
    await ward.write(patient("endless"))
    until = ward.bell.ingest.inbox.until(ward.bell.base, "Patient")
    ward.proxy.plan(passed, *[next_link(f"{ward.proxy.base_url}/Patient?same=1")] * 10)
    await ward.rounds.sweep(ward.bell.base)
    assert ward.bell.ingest.inbox.until(ward.bell.base, "Patient") == until


async def test_a_server_that_was_not_asked_for_days_is_asked_in_parts(ward: Ward) -> None:
    await ward.write(patient("long"), cervical_cancer("long-c", "Patient/long"))
    ward.bell.ingest.inbox.advance(ward.bell.base, "Condition", "2026-01-01T00:00:00+00:00")
    from services.ingest import sweep

    assert sweep.WINDOW.total_seconds() == 6 * 3600
    assert "Patient/long" in await ward.swept()


@pytest.mark.parametrize("wanted", [False, True])
async def test_su_45_a_sweep_is_pending_when_its_time_has_come_or_somebody_wants_it(ward: Ward, wanted: bool) -> None:
    assert await ward.rounds.pending() == []
    if wanted:
        await ward.bell.ring()
        assert await ward.rounds.pending() == [ward.bell.base]
        await ward.rounds.sweep(ward.bell.base)
        assert await ward.rounds.pending() == []


@pytest.mark.parametrize("share", [0, 20, 50, 80, 100])
async def test_su_46_whatever_share_of_notifications_is_lost_every_changed_patient_is_answered_within_one_sweep(
    ward: Ward, share: int
) -> None:
    """SU-46, SU-42: lost, doubled, late; seeded, so that a failure can be seen again. `share` per cent are lost."""
    chance = random.Random(share)
    people = [f"lost-{share}-{number}" for number in range(12)]
    await ward.write(*map(patient, people))
    await ward.swept()
    await ward.opened()
    changed, sent = set(), []
    for number in range(30):
        who = chance.choice(people)
        one = chance.choice(
            [
                cervical_cancer(f"{who}-c", f"Patient/{who}", recordedDate=f"2026-02-{number % 27 + 1:02}"),
                ecog(f"{who}-{number}", f"Patient/{who}", 1),
            ]
        )
        await ward.write(one)
        changed.add(f"Patient/{who}")
        async with FhirClient(ward.proxy.upstream) as server:
            sent.append(await server.read(one["resourceType"], one["id"]))
    chance.shuffle(sent)
    for body in [*sent, *chance.sample(sent, 5)]:
        if chance.random() * 100 >= share:
            assert (await ward.bell.ring(body))[0] == 200
    if share == 0:
        assert set(ward.bell.due()) == changed
    await ward.rounds.sweep(ward.bell.base)
    assert set(await ward.opened()) == changed
    await ward.rounds.sweep(ward.bell.base)
    assert await ward.opened() == [], "and nobody twice"
