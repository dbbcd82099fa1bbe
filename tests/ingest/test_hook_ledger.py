"""What is kept of CDS Hooks, in both kinds of database."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from sqlmodel import select, update

from services.ingest.hooks.cards import Card, Given, Source
from services.ingest.hooks.kept import HookLedger, feedback_of
from services.ingest.ledger import Ledger
from services.ingest.tables import HookCard, HookFeedback, HookToken

SERVICE = "figaro-patient-view"
OVERRIDDEN = b"""{"feedback": [{"card": "c1", "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:00:00Z",
 "overrideReason": {"reason": {"code": "considered"}, "userComment": "what she said"}}]}"""


def test_ch_51_of_many_who_bring_one_token_at_once_one_is_let_in(database: str) -> None:
    """In two processes that share a database too."""
    ledgers = [Ledger(database), Ledger(database)]
    kept = [HookLedger(ledger, comments=False) for ledger in ledgers]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: kept[number % 2].unseen("hash", time.time() + 60), range(16)))
    assert found.count(True) == 1
    for ledger in ledgers:
        ledger.close()


def test_a_token_is_forgotten_once_nobody_could_use_it_again(database: str) -> None:
    ledger = Ledger(database)
    kept = HookLedger(ledger, comments=False)
    assert kept.unseen("old", time.time() - 1)
    assert kept.unseen("new", time.time() + 60)
    with ledger.transaction() as session:
        assert [row.token for row in session.exec(select(HookToken))] == ["new"]
    ledger.close()


def test_ch_40_feedback_counts_once_and_comments_are_kept_only_where_the_settings_say_so(database: str) -> None:
    ledger = Ledger(database)
    silent, loud = (HookLedger(ledger, comments=comments) for comments in (False, True))
    assert silent.told("one", SERVICE, feedback_of(OVERRIDDEN)) == 1
    assert silent.told("one", SERVICE, feedback_of(OVERRIDDEN)) == 0
    assert loud.told("two", SERVICE, feedback_of(OVERRIDDEN)) == 1
    with ledger.transaction() as session:
        assert {row.client: row.comment for row in session.exec(select(HookFeedback))} == {"one": None, "two": "what she said"}
    ledger.close()


def test_ch_40_se_11_what_one_client_tells_of_anothers_card_does_not_count_on_it(database: str) -> None:
    """CH-40, SE-11: it is kept as told of a card that nobody knows; so is what is told to another service."""
    ledger = Ledger(database)
    kept = HookLedger(ledger, comments=False)
    card = Card(uuid="c1", summary="s", indicator="info", source=Source("Figaro"))
    kept.given("ehr https://cds.example tenant-a", SERVICE, [Given("stage", card)])
    for number, client in enumerate(("other https://cds.example tenant-a", "ehr https://cds.example tenant-b", "ehr https://cds.example")):
        assert kept.told(client, SERVICE, feedback_of(OVERRIDDEN)) == 1
        counted = {"kind": "unknown", "outcome": "overridden", "reason": "considered", "count": number + 1}
        assert kept.shown(SERVICE)["outcomes"] == [counted]
    kept.told("ehr https://cds.example tenant-a", "figaro-order-sign", feedback_of(OVERRIDDEN.replace(b"10:00", b"11:00")))
    assert [one["kind"] for one in kept.shown("figaro-order-sign")["outcomes"]] == ["unknown"]  # type: ignore[attr-defined]
    kept.told("ehr https://cds.example tenant-a", SERVICE, feedback_of(OVERRIDDEN))
    assert {one["kind"]: one["count"] for one in kept.shown(SERVICE)["outcomes"]} == {"unknown": 3, "stage": 1}  # type: ignore[attr-defined]
    ledger.close()


def test_ch_40_a_reason_that_was_not_offered_is_kept_as_other_and_not_word_for_word(database: str) -> None:
    ledger = Ledger(database)
    kept = HookLedger(ledger, comments=False)
    kept.told("one", SERVICE, feedback_of(OVERRIDDEN.replace(b"considered", b"Anna Example")))
    assert [found["reason"] for found in kept.shown(SERVICE)["outcomes"]] == ["other"]  # type: ignore[attr-defined]
    with ledger.transaction() as session:
        assert [row.reason for row in session.exec(select(HookFeedback))] == ["other"]
    ledger.close()


def test_cards_and_feedback_are_forgotten_with_the_answers(database: str) -> None:
    ledger = Ledger(database)
    kept = HookLedger(ledger, comments=False)
    card = Card(uuid="c1", summary="s", indicator="info", source=Source("Figaro"))
    kept.given("one", SERVICE, [Given("stage", card)])
    kept.told("one", SERVICE, feedback_of(OVERRIDDEN))
    assert kept.shown(SERVICE)["outcomes"] == [{"kind": "stage", "outcome": "overridden", "reason": "considered", "count": 1}]
    ledger.forget(1)
    assert kept.shown(SERVICE)["cards"] == {"stage": 1}
    with ledger.transaction() as session:
        session.exec(update(HookCard).values(issued="2020-01-01T00:00:00.000000Z"))
        session.exec(update(HookFeedback).values(received="2020-01-01T00:00:00.000000Z"))
    ledger.forget(1)
    assert kept.shown(SERVICE) == {"service": SERVICE, "cards": {}, "outcomes": [], "latest": []}
    ledger.close()
