"""What is kept of CDS Hooks: which tokens were used, which cards were given, what people did with them. Nothing of a patient, unless
comments are asked for: what somebody typed may name one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec
from sqlmodel import col, delete, func, select

from services.ingest.hooks.cards import OVERRIDES, Given
from services.ingest.instants import now
from services.ingest.store import Store
from services.ingest.tables import HookCard, HookFeedback, HookToken
from shared.fhir.outcome import Refused

MOST: Final = 500  # items of one feedback
COMMENT: Final = 4_000  # characters of one that are kept
_REASONS: Final = frozenset(one.code for one in OVERRIDES)
_CODE: Final = re.compile(r"[^\s]+( [^\s]+)*")
_LATEST: Final = 100


class _Reason(msgspec.Struct):
    code: str
    system: str | None = None


class _Override(msgspec.Struct, rename="camel"):
    reason: _Reason | None = None
    user_comment: str | None = None


class _Accepted(msgspec.Struct):
    id: str


class Feedback(msgspec.Struct, rename="camel"):
    """What became of one card (CH-40)."""

    card: str
    outcome: Literal["accepted", "overridden"]
    outcome_timestamp: str
    accepted_suggestions: tuple[_Accepted, ...] = ()
    override_reason: _Override | None = None


class _Body(msgspec.Struct):
    feedback: tuple[Feedback, ...]


class HookLedger:
    """The tables of CDS Hooks. Every method is one transaction and blocks: call it in a thread. Raises Unavailable."""

    def __init__(self, store: Store, *, comments: bool) -> None:
        self._store = store
        self._comments = comments

    def unseen(self, token: str, until: float) -> bool:
        """Whether this hash of a token comes for the first time; it is kept until that second (CH-51), for all processes."""
        at, ends = now(), datetime.fromtimestamp(until, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        with self._store.transaction() as session:
            session.exec(delete(HookToken).where(col(HookToken.until) < at))
            added = self._store.insert(HookToken, [{"token": token, "until": ends}]).on_conflict_do_nothing().returning(HookToken.token)
            return bool(session.exec(added).all())  # not the rowcount: PostgreSQL tells -1 here

    def given(self, client: str, service: str, cards: Sequence[Given]) -> None:
        """These cards were given to that client."""
        with self._store.transaction() as session:
            session.add_all(HookCard(id=one.card.uuid, client=client, service=service, kind=one.kind, issued=now()) for one in cards)

    def told(self, client: str, service: str, feedback: Iterable[Feedback]) -> int:
        """What people did with cards; what was told before counts once. How many are new."""
        rows = {(one.card, one.outcome, one.outcome_timestamp): self._row(client, service, one) for one in feedback}
        if not rows:
            return 0
        with self._store.transaction() as session:
            added = self._store.insert(HookFeedback, list(rows.values())).on_conflict_do_nothing().returning(HookFeedback.card)
            return len(session.exec(added).all())

    def _row(self, client: str, service: str, one: Feedback) -> dict[str, str | None]:
        override = one.override_reason
        return {
            "client": client,
            "card": one.card,
            "outcome": one.outcome,
            "at": one.outcome_timestamp,
            "service": service,
            "reason": _offered(override.reason.code) if override and override.reason else None,
            "comment": (override.user_comment or "")[:COMMENT] or None if override and self._comments else None,
            "received": now(),
        }

    def shown(self, service: str) -> dict[str, object]:
        """For people: the cards of a service by kind, what became of them, and the latest words about them."""
        with self._store.transaction() as session:
            cards = select(HookCard.kind, func.count()).where(HookCard.service == service).group_by(HookCard.kind)
            kind = func.coalesce(HookCard.kind, "unknown")
            # What another client tells of a card is told of an unknown one (SE-11).
            teller = (col(HookCard.client) == col(HookFeedback.client)) & (col(HookCard.service) == col(HookFeedback.service))
            given = (col(HookCard.id) == col(HookFeedback.card)) & teller
            joined = select(kind, HookFeedback.outcome, HookFeedback.reason, func.count()).join(HookCard, given, isouter=True)
            grouped = joined.where(HookFeedback.service == service).group_by(kind, col(HookFeedback.outcome), col(HookFeedback.reason))
            latest = select(HookFeedback).where(HookFeedback.service == service).order_by(col(HookFeedback.received).desc()).limit(_LATEST)
            return {
                "service": service,
                "cards": dict(session.exec(cards).all()),
                "outcomes": [
                    {"kind": kind, "outcome": outcome, "reason": reason, "count": count}
                    for kind, outcome, reason, count in session.exec(grouped)
                ],
                "latest": [one.model_dump(exclude_none=True) for one in session.exec(latest)],
            }


def feedback_of(body: bytes) -> tuple[Feedback, ...]:
    """The items of a feedback call. Raises Refused (400), naming the place and no value."""
    try:
        found = msgspec.json.decode(body, type=_Body).feedback
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        said = re.sub(r" '[^']*'", "", str(error)) if isinstance(error, msgspec.DecodeError) else "not JSON that can be read"
        raise Refused(f"That is no feedback of CDS Hooks: {said.rstrip('.')}.", status=400) from None
    if len(found) > MOST:
        raise Refused(f"More than {MOST} items of feedback at once: send them in parts.", status=413, code="too-long")
    for place, one in enumerate(found):
        if (wrong := _wrong(one)) is not None:
            raise Refused(f"`feedback[{place}]` {wrong}.", status=400)
    return found


def _wrong(one: Feedback) -> str | None:
    if not _short(one.card):
        return "has no `card`, or none that is a uuid"
    if one.outcome == "accepted" and not one.accepted_suggestions:
        return "is accepted and names no `acceptedSuggestions`"
    reason = one.override_reason.reason if one.override_reason else None
    if reason is not None and not _short(reason.code):
        return "has an `overrideReason.reason.code` that is no code"
    try:
        datetime.fromisoformat(one.outcome_timestamp)
    except ValueError:
        return "has an `outcomeTimestamp` that is no instant"
    return None


def _offered(code: str) -> str:
    """A reason of ours; another may be a name, or a story."""
    return code if code in _REASONS else "other"


def _short(code: str) -> bool:
    """A code of FHIR, and not a story."""
    return len(code) <= 64 and _CODE.fullmatch(code) is not None
