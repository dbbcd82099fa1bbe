"""A server, or a sender, that misleads: answers that are not whole, half characters, short faults, findings that change their patient."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config

from services.ingest import migrations
from services.ingest.conduct import Conductor
from services.ingest.hooks.answer import _had
from services.ingest.hooks.prefetch import QUERIES
from services.ingest.inbox import Inbox
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from services.ingest.migrations import engine_for
from services.ingest.notification import Change, Notification, notification
from services.ingest.pull import pull
from services.ingest.settings import IngestSettings
from services.ingest.tables import Answer, Case, InHand, compressed
from shared.fhir.client import FhirClient
from shared.fhir.outcome import (
    FigaroError,
    Gone,
    NotFhir,
    NotFound,
    Refused,
    Rejected,
    Stuck,
    Unauthorised,
    Unavailable,
    Unreadable,
    to_bytes,
)
from shared.oncology.record import Finding, Record, encode
from shared.service.embedded import embedded_fhir_server
from tests.ingest.doorbell import ringing
from tests.ingest.neighbours import StubNeighbours
from tests.ingest.patients import cervical_cancer, concept, ecog, metastatic, observation, patient
from tests.ingest.test_cases import put, running, settings
from tests.ingest.test_pull import Answering
from tests.journeys.figaro import until
from tests.peers.faults import Proxy, answered, faulty, web_page

Json = dict[str, Any]
BASE = "http://127.0.0.1:1/fhir"
SURROGATE = "\\ud83d"


@pytest.fixture
def ledger(database: str) -> Iterator[Ledger]:
    ledger = Ledger(database)
    yield ledger
    ledger.close()


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    with embedded_fhir_server() as base:
        yield base


@pytest.fixture
async def neighbours() -> AsyncIterator[StubNeighbours]:
    async with StubNeighbours() as stubs:
        yield stubs


def said(severity: str, code: str) -> Json:
    return {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "diagnostics": "LAB-1 of Jane Doe"}]}


def record_of(issue: Json) -> Json:
    me = "Patient/one"
    return {me: patient("one"), "Condition": [cervical_cancer("c", me)], "Observation": [ecog("e", me, 1), issue]}


@pytest.mark.parametrize(
    ("severity", "code"),
    [("error", "processing"), ("fatal", "exception"), ("warning", "incomplete"), ("information", "timeout"), ("warning", "lock-error")],
)
async def test_fc_02_a_search_answer_that_says_it_is_not_whole_is_not_taken_for_the_record(severity: str, code: str) -> None:
    """FC-02: it may be whole in a moment, as after a 503; the sentence has the code, and nothing of the server's words."""
    async with Answering(record_of(said(severity, code))) as strange:
        with pytest.raises(Unavailable, match=code) as error:
            await pull(strange, "Patient/one")
    assert "Jane" not in str(error.value)


@pytest.mark.parametrize(("severity", "code"), [("warning", "suppressed"), ("error", "forbidden"), ("information", "security")])
async def test_fc_02_rows_that_a_server_withholds_make_their_type_unread(severity: str, code: str) -> None:
    """FC-02: what it does not show is unknown, and never none."""
    async with Answering(record_of(said(severity, code))) as strange:
        record, _, missed = await pull(strange, "Patient/one")
    assert record.unread == ("Observation",)
    assert missed == {"Observation"}
    assert {finding.source for finding in record.findings} == {"Condition/c", "Observation/e"}
    [issue] = [issue for issue in record.issues if issue.code == "resource-unreadable"]
    assert "Observation was read in part" in issue.text
    assert "Jane" not in issue.text


async def test_what_a_hook_fetches_counts_as_partial_where_the_server_withholds_rows() -> None:
    """FC-02, CH-06: the card then says that the record was not fully delivered."""
    key = next(key for key, query in QUERIES.items() if query.type == "Observation")
    async with Answering(record_of(said("warning", "suppressed"))) as strange:
        came = await _had(strange, key, "one")
    assert isinstance(came, tuple)
    assert (len(came[0]), came[1]) == (1, False)
    async with Answering(record_of(said("warning", "not-supported"))) as strange:
        came = await _had(strange, key, "one")
    assert isinstance(came, tuple)
    assert (len(came[0]), came[1]) == (1, True)


async def test_another_warning_of_a_server_changes_nothing_and_is_counted_without_its_words() -> None:
    with structlog.testing.capture_logs() as lines:
        async with Answering(record_of(said("warning", "not-supported"))) as strange:
            record, _, _ = await pull(strange, "Patient/one")
    assert record.unread == ()
    warned = [line for line in lines if line["event"] == "search_warned"]
    assert {(line["type"], line["code"]) for line in warned} == {("Observation", "not-supported")}
    assert "Jane" not in str(lines)


async def test_a_withheld_record_is_still_written_by_our_own_right(fhir: str, neighbours: StubNeighbours, tmp_path: Path) -> None:
    """No other right of ours would read more."""
    await put(fhir, *metastatic("kept-back"))
    async with faulty(fhir, Saying) as proxy, running(settings(tmp_path, proxy.base_url, neighbours)) as ingest:
        proxy.entry = said("warning", "suppressed")
        case = await ingest.done(await ingest.open("Patient/kept-back"))
        assert (case["state"], case["careplan"] is not None) == ("answered", True)


class Saying(Proxy):
    """Has every search of Observations say `entry` besides, while there is one."""

    entry: Json | None = None

    async def fetch(self, request: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = await super().fetch(request)
        if self.entry is not None and request.path.startswith("/fhir/Observation") and b'"searchset"' in body:
            bundle = json.loads(body)
            bundle["entry"] = [{"resource": self.entry, "search": {"mode": "outcome"}}, *bundle.get("entry", [])]
            body = json.dumps(bundle).encode()
        return status, headers, body


async def test_fc_02_a_sweep_does_not_go_past_an_answer_that_is_not_whole(fhir: str, tmp_path: Path) -> None:
    """FC-02, SU-46: the type's cursor stays, and the types after it are asked for."""
    async with faulty(fhir, Saying) as proxy, ringing(tmp_path, proxy.base_url) as bell:
        sweep, inbox = bell.ingest.rounds.sweep, bell.ingest.inbox
        await sweep(bell.base)
        proxy.entry = said("warning", "incomplete")
        before = {kind: inbox.until(bell.base, kind) for kind in ("Observation", "Procedure")}
        inbox.want_sweep(bell.base)
        await sweep(bell.base)
        assert inbox.until(bell.base, "Observation") == before["Observation"]
        assert inbox.until(bell.base, "Procedure") != before["Procedure"]
        row = bell.sweep()
        assert row is not None
        assert (row.failed, row.wanted is not None) == ("Observation: 503", True)


@pytest.mark.parametrize(
    "fault",
    [web_page(), answered(200, b'{"resourceType":"Bundle","type":"sear'), answered(403), answered(404), answered(422)],
    ids=["a web page", "half a body", "403", "404", "422"],
)
async def test_a_case_that_a_server_made_stuck_is_tried_again_by_itself(
    fault: Any, fhir: str, neighbours: StubNeighbours, tmp_path: Path
) -> None:
    """A short fault of the server, and the patient was without an answer until somebody looked."""
    await put(fhir, *metastatic("healed"))
    given = settings(tmp_path, "", neighbours, refused_wait_seconds=0.2, drain_seconds=1)
    async with faulty(fhir, Searching) as proxy, running(given.model_copy(update={"fhir_base": proxy.base_url})) as ingest:
        proxy.fault = fault
        case_id = await ingest.open("Patient/healed")
        stuck = await ingest.done(case_id)
        assert stuck["state"] == "stuck"
        assert stuck["retry_at"] is not None
        assert stuck["outcome"]["issue"][0]["details"]["text"]
        proxy.fault = None

        async def healed() -> bool:
            return bool((await ingest.show(case_id))["state"] == "answered")

        await until(healed, seconds=15)
        assert (await ingest.show(case_id))["attempts"] > 1


def test_the_waits_after_a_wrong_answer_double_up_to_a_day_and_end() -> None:
    """5, 10, 20 minutes; what we refuse ourselves, and a patient who was deleted, is not tried again."""
    conductor = Conductor(None, None, None, IngestSettings(), str)  # type: ignore[arg-type]

    def minutes(error: FigaroError, attempt: int) -> float | None:
        at = conductor._answered_at(to_bytes(error).decode(), attempt)
        return None if at is None else round((datetime.fromisoformat(at) - datetime.now(UTC)).total_seconds() / 60)

    assert [minutes(NotFhir("A web page."), attempt) for attempt in (1, 2, 3, 9, 10, 23, 24)] == [5, 10, 20, 1280, 1440, 1440, None]
    assert minutes(Unauthorised("No.", status=403), 1) == minutes(NotFound("No."), 1) == minutes(Rejected("No."), 1) == 5
    assert [minutes(error, 1) for error in (Refused("No."), Stuck("No."), Gone("No."), Unreadable("No."))] == [None] * 4


class Searching(Proxy):
    """Has every search of Observations fail as `fault` says, while there is one."""

    fault: Any = None

    async def handle(self, request: Any) -> Any:
        if self.fault is not None and request.path.startswith("/fhir/Observation"):
            return await self.fault(self, request)
        return await super().handle(request)


def answer_of(ledger: Ledger, who: str, *sources: str, careplan: str | None = "CarePlan/1") -> Case:
    """An answer that rests on these resources, and the case that made it."""
    record = Record(patient=who, findings=tuple(Finding(kind="observation", source=source) for source in sources))
    case = ledger.open(BASE, who)
    ledger.queued(case.id)
    ledger.pulled(InHand(case=case.id, digest="d", raw=b"", record=compressed(encode(record))))
    blank = compressed(b"{}")
    ledger.answered(
        Answer(
            case=case.id,
            base=BASE,
            patient=who,
            answered=now(),
            digest=str(sources),
            staging_knowledge="s",
            recommend_knowledge="r",
            careplan=careplan,
            raw=blank,
            record=compressed(encode(record)),
            staging=blank,
            recommendation=blank,
        )
    )
    return case


def due(ledger: Ledger) -> set[str]:
    return {one.patient for one in ledger.due(now())}


def test_a_finding_that_moves_to_another_patient_marks_her_who_lost_it(ledger: Ledger) -> None:
    """Her draft rests on it: a PUT with a new subject tells of the new patient only."""
    inbox = Inbox(ledger)
    answer_of(ledger, "Patient/lost", "Observation/o1", "Observation/o2")
    moved = Change("Patient/got", "v2", "Observation/o1")
    assert inbox.accept(BASE, "push", Notification(changes=(moved,))).new == 1
    assert due(ledger) == {"Patient/lost", "Patient/got"}
    inbox.accept("http://127.0.0.1:2/fhir", "push", Notification(changes=(moved,)))
    assert {(one.base, one.patient) for one in ledger.due(now())} == {
        (BASE, "Patient/lost"),
        (BASE, "Patient/got"),
        ("http://127.0.0.1:2/fhir", "Patient/got"),
    }, "SE-11: the same id on another server is another resource"


def test_once_she_is_answered_without_it_a_moved_finding_marks_her_no_more(ledger: Ledger) -> None:
    inbox = Inbox(ledger)
    answer_of(ledger, "Patient/lost", "Observation/o1", "Observation/o2")
    answer_of(ledger, "Patient/lost", "Observation/o2")
    inbox.take(BASE, [Change("Patient/got", "v3", "Observation/o1")])
    assert due(ledger) == {"Patient/got"}


def test_answers_of_before_count_after_the_migration(database: str) -> None:
    """A ledger of a release before has answers, and nobody had written down what they rest on."""
    engine = engine_for(database)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "0009")
        for name in ("old", "new"):
            record = Record(patient="Patient/lost", findings=(Finding(kind="observation", source=f"Observation/{name}"),))
            values = dict.fromkeys(("case", "answered", "digest", "staging_knowledge", "recommend_knowledge"), "x")
            values |= {"base": BASE, "patient": "Patient/lost", "careplan": "CarePlan/1"}
            blobs = dict.fromkeys(("raw", "staging", "recommendation"), b"") | {"record": compressed(encode(record))}
            table = sa.Table("answer", sa.MetaData(), autoload_with=connection)
            connection.execute(table.insert().values(**values, **blobs))
    engine.dispose()
    ledger = Ledger(database)
    Inbox(ledger).take(BASE, [Change("Patient/got", "v1", "Observation/old")])
    assert due(ledger) == {"Patient/got"}
    Inbox(ledger).take(BASE, [Change("Patient/got", "v2", "Observation/new")])
    assert due(ledger) == {"Patient/lost", "Patient/got"}
    ledger.close()


def test_a_case_under_way_counts_for_what_it_has_read(ledger: Ledger) -> None:
    """Between the pull and the answer too."""
    record = Record(patient="Patient/lost", findings=(Finding(kind="observation", source="Observation/o1"),))
    case = ledger.open(BASE, "Patient/lost")
    ledger.pulled(InHand(case=case.id, digest="d", raw=b"", record=compressed(encode(record))))
    Inbox(ledger).take(BASE, [Change("Patient/got", "v2", "Observation/o1")])
    assert due(ledger) == {"Patient/lost", "Patient/got"}


def test_a_finding_that_moved_while_her_record_was_read_is_missed_once_the_other_record_is_read(ledger: Ledger) -> None:
    """Its notification came before the pull that still had it was written down."""
    answer_of(ledger, "Patient/lost", "Observation/o1")
    answer_of(ledger, "Patient/got", "Observation/o1")
    assert due(ledger) == {"Patient/lost"}


def test_a_resource_that_is_gone_and_leads_to_nobody_marks_her_whose_answer_rests_on_it(ledger: Ledger) -> None:
    """A server without histories does not say whose a deleted resource was; the ledger does."""
    inbox = Inbox(ledger)
    answer_of(ledger, "Patient/lost", "Observation/o1")
    inbox.take(BASE, [Change("Observation/o1")])
    [notice] = inbox.notices(now())
    inbox.take(BASE, [Change("", None, "Observation/o1")], settled=[notice])
    assert due(ledger) == {"Patient/lost"}


async def test_a_moved_finding_is_found_by_a_notification_and_by_a_sweep(fhir: str, neighbours: StubNeighbours, tmp_path: Path) -> None:
    """From the door to the mark, on a real server."""
    await put(fhir, *metastatic("from"), patient("to-1"), patient("to-2"))
    async with ringing(tmp_path, fhir, debounce_seconds=0) as bell:
        await bell.ingest.rounds.sweep(bell.base)
        for one in bell.ingest.ledger.due(now()):
            bell.ingest.ledger.dismiss_due(one)
        case = bell.ingest.ledger.open(bell.base, "Patient/from")
        async with FhirClient(fhir) as server:
            record = (await pull(server, "Patient/from")).record
        bell.ingest.ledger.pulled(InHand(case=case.id, digest="d", raw=b"", record=compressed(encode(record))))
        moved = ecog("from-e", "Patient/to-1", 1) | {"meta": {"versionId": "2"}}
        assert (await bell.at("push").ring(moved))[0] == 200
        assert set(bell.due()) == {"Patient/from", "Patient/to-1"}
        for one in bell.ingest.ledger.due(now()):
            bell.ingest.ledger.dismiss_due(one)
        await put(fhir, ecog("from-e", "Patient/to-2", 1))
        await bell.ingest.rounds.sweep(bell.base)
        assert {"Patient/from", "Patient/to-2"} <= set(bell.due())


@pytest.mark.slow
async def test_she_who_lost_a_finding_is_answered_again_without_it(fhir: str, neighbours: StubNeighbours, tmp_path: Path) -> None:
    """From the PUT to the new answer, by the sweep alone."""
    await put(fhir, *metastatic("whole-1"), patient("whole-2"))
    async with running(settings(tmp_path, fhir, neighbours, sweep_seconds=1, debounce_seconds=0, drain_seconds=1)) as ingest:
        await ingest.done(await ingest.open("Patient/whole-1"))

        async def answers() -> int:
            cases = (await ingest.get("/cases"))["cases"]
            return sum(case["state"] == "answered" for case in cases if case["patient"] == "Patient/whole-1")

        async def quiet() -> bool:  # the sweeps look back at what was written before
            before = await answers()
            await asyncio.sleep(4)
            return await answers() == before

        await until(quiet, seconds=40)
        before = await answers()
        neighbours.records.clear()
        await put(fhir, ecog("whole-1-e", "Patient/whole-2", 1))

        async def again() -> bool:
            return await answers() > before

        await until(again, seconds=20)
        last = [record for record in neighbours.records if record["patient"] == "Patient/whole-1"][-1]
        assert "Observation/whole-1-e" not in {finding["source"] for finding in last["findings"]}


async def test_half_a_character_in_a_note_spoils_nothing() -> None:
    """JSON may hold a lone surrogate where a text was cut in the middle of a character; UTF-8 cannot."""
    me = "Patient/one"
    cut = ecog("cut", me, 1) | {"note": [{"text": "cut emoji HERE"}]}
    answers: Json = {me: patient("one"), "Condition": [cervical_cancer("c", me)], "Observation": [cut, ecog("e", me, 2)]}
    async with Answering(answers, "HERE", SURROGATE) as strange:
        record, raw, _ = await pull(strange, me)
    assert {finding.source for finding in record.findings} == {"Condition/c", "Observation/cut", "Observation/e"}
    assert "cut emoji \N{REPLACEMENT CHARACTER}" in [one["note"][0]["text"] for one in json.loads(raw) if "note" in one]


async def test_a_whole_pair_of_surrogates_and_a_backslash_before_one_are_left_as_they_are() -> None:
    me = "Patient/one"
    whole = ecog("w", me, 1) | {"note": [{"text": "HERE"}]}
    answers: Json = {me: patient("one"), "Condition": [cervical_cancer("c", me)], "Observation": [whole]}
    async with Answering(answers, "HERE", r"\ud83d\ude00 \\ud83d") as strange:
        _, raw, _ = await pull(strange, me)
    assert [one["note"][0]["text"] for one in json.loads(raw) if "note" in one] == ["\N{GRINNING FACE} \\ud83d"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ('{"resourceType":"Condition","id":"x","meta":{"versionId":"\\ud800"}}', "Condition.meta.versionId"),
        ('{"resourceType":"Condition","id":"x\\ud800","subject":{"reference":"Patient/1"}}', "Condition.id"),
        ('{"resourceType":"Condition","id":"x","subject":{"identifier":{"value":"\\udc00"}}}', "Condition.subject.identifier.value"),
        (
            '{"resourceType":"Bundle","type":"history","entry":[{"resource":{"resourceType":"Patient","identifier":[{"value":"\\ud800"}]}}]}',
            "Bundle.entry[0].resource.identifier[0].value",
        ),
        (
            '{"resourceType":"Parameters","parameter":[{"name":"status","valueCode":"\\ud800"}]}',
            "Parameters.parameter[0].valueCode",
        ),
    ],
)  # fmt: skip
async def test_half_a_character_in_what_names_a_resource_is_refused_and_where_it_stands_is_said(body: str, where: str) -> None:
    with pytest.raises(Unreadable, match="half a character") as error:
        notification(body.encode(), BASE)
    assert error.value.where == where


async def test_half_a_character_in_a_notification_is_422_at_the_door_and_in_a_note_it_is_taken(fhir: str, tmp_path: Path) -> None:
    async with ringing(tmp_path, fhir) as bell:
        status, told = await bell.ring(
            b'{"resourceType":"Condition","id":"x","meta":{"versionId":"\\ud800"},"subject":{"reference":"Patient/1"}}'
        )
        assert (status, told["issue"][0]["diagnostics"]) == (422, "Condition.meta.versionId")
        for meta in ("{}", '{"versionId":"1"}'):
            note = (
                f'{{"resourceType":"Condition","id":"y","meta":{meta},"subject":{{"reference":"Patient/1"}},"note":[{{"text":"\\ud83d"}}]}}'
            )
            assert (await bell.ring(note.encode()))[0] == 200
        assert set(bell.due()) == {"Patient/1"}


async def test_half_a_character_in_a_version_does_not_hold_a_sweep_up(fhir: str, tmp_path: Path) -> None:
    async with faulty(fhir, Poisoned) as proxy, ringing(tmp_path, proxy.base_url) as bell:
        await bell.ingest.rounds.sweep(bell.base)
        await put(fhir, patient("beside"), cervical_cancer("beside-c", "Patient/beside"))
        proxy.poison = True
        before = bell.ingest.inbox.until(bell.base, "Condition")
        await bell.ingest.rounds.sweep(bell.base)
        row = bell.sweep()
        assert row is not None
        assert row.failed is None
        assert bell.ingest.inbox.until(bell.base, "Condition") != before
        assert {"Patient/beside", "Patient/poisoned"} <= set(bell.due())


class Poisoned(Proxy):
    """Puts a Condition whose version is half a character into every search of Conditions."""

    poison = False

    async def fetch(self, request: Any) -> tuple[int, dict[str, str], bytes]:
        status, headers, body = await super().fetch(request)
        if self.poison and request.path.startswith("/fhir/Condition") and b'"searchset"' in body:
            bundle = json.loads(body)
            odd = cervical_cancer("odd", "Patient/poisoned") | {"meta": {"versionId": "X\ud800", "lastUpdated": "2036-01-01T00:00:00Z"}}
            bundle["entry"] = [{"resource": odd, "search": {"mode": "match"}}, *bundle.get("entry", [])]
            body = json.dumps(bundle).encode()
        return status, headers, body


def test_su_47_a_patient_is_never_our_own_output() -> None:
    """SU-47: we write none, whoever gave her identifier its name; an Observation under a system of ours stays ours."""
    ours = [{"system": "https://figaro.example/fhir/sid/synthetic", "value": "syn-1"}]
    her = notification(json.dumps(patient("syn-1", identifier=ours)).encode(), BASE)
    assert ([one.about for one in her.changes], her.own) == (["Patient/syn-1"], 0)
    hers = notification(json.dumps(cervical_cancer("c", "Patient/syn-1", identifier=ours)).encode(), BASE)
    assert ([one.about for one in hers.changes], hers.own) == (["Patient/syn-1"], 0)
    stage = observation("s", "Patient/syn-1", concept("http://loinc.org", "21908-9"), identifier=ours)
    assert notification(json.dumps(stage).encode(), BASE).own == 1
    machine = cervical_cancer("m", "Patient/syn-1") | {"meta": {"security": [{"code": "AIAST"}]}}
    assert notification(json.dumps(machine).encode(), BASE).own == 1


def test_a_push_channel_has_no_subscription(ledger: Ledger) -> None:
    """An event of an unknown Subscription made its channel `missing` for good."""
    inbox = Inbox(ledger)
    event = Notification(
        kind="event-notification", changes=(Change("Patient/1", "v1"),), subscription="Subscription/9", status="active", events=(7,)
    )
    assert not inbox.accept(BASE, "push", event).alien
    assert due(ledger) == {"Patient/1"}
    inbox.checked(BASE, {})
    [row] = inbox.channels()
    assert (row.subscription, row.status, row.last_event, row.heard is not None) == (None, None, None, True)


def test_those_with_a_case_before_are_due_before_the_unknown(ledger: Ledger) -> None:
    """However many wait before her."""
    answer_of(ledger, "Patient/known", "Observation/o1")
    ledger.mark_due(BASE, [f"Patient/unknown-{number}" for number in range(600)])
    ledger.mark_due(BASE, ["Patient/known"])
    first = ledger.due(now())
    assert first[0].patient == "Patient/known"
    assert len(first) == 500


async def test_the_look_ups_of_one_round_are_told_in_one_audit_event(fhir: str, neighbours: StubNeighbours, tmp_path: Path) -> None:
    names = [f"told-{number}" for number in range(5)]
    await put(fhir, *(patient(name) for name in names))
    urls = {"staging_url": neighbours.url("staging"), "recommend_url": neighbours.url("recommend")}
    async with ringing(tmp_path, fhir, debounce_seconds=0, **urls) as bell:
        bell.ingest.ledger.mark_due(bell.base, [f"Patient/{name}" for name in names])
        await bell.ingest.rounds.drain()
        async with FhirClient(fhir) as server:
            found = await server.search("AuditEvent", {"entity": "Patient/told-1"})
        [event] = [json.loads(bytes(entry.resource or b"")) for entry in found]
        told = {it["what"]["reference"] for it in event["entity"] if "reference" in it.get("what", {})}
        assert told == {f"Patient/{name}" for name in names}
