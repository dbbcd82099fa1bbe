"""What has been notified or found, until it is a case: one transaction for each notification, so that accepted means stored.

Every method is one transaction and blocks: call it in a thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final, NamedTuple

from sqlmodel import Session, col, delete, func, select

from services.ingest.channels import PUSH
from services.ingest.instants import now
from services.ingest.ledger import mark, proposed
from services.ingest.notification import Change, Notification, events_of
from services.ingest.sources import owners
from services.ingest.store import Store
from services.ingest.tables import Answer, Case, Channel, Cursor, Due, Notice, Seen, Sweep

REMEMBERED: Final = timedelta(days=2)  # far longer than any sweep looks back


class Marked(NamedTuple):
    """What a transaction took in: changes that were new, and those that had been there."""

    new: int = 0
    repeated: int = 0
    alien: bool = False


class Inbox:
    """The tables between the doors and the cases."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def accept(self, base: str, channel: str, said: Notification) -> Marked:
        """Stores what a notification makes necessary. `alien`: it names another Subscription than the one this channel belongs to."""
        with self._store.transaction() as session:
            if said.subscription is None or channel == PUSH:  # nothing is counted, so that notifications need not wait for one another
                _hear(self._store, session, base, channel)
                if said.vague:
                    _want(self._store, session, base)
                return self._take(session, base, said.changes, now())
            row = _channel(self._store, session, base, channel)
            row.heard = now()
            row.heartbeat = (row.heartbeat or 0) + 1 if said.kind == "heartbeat" else row.heartbeat
            alien = bool(row.subscription and said.subscription != row.subscription and said.kind != "handshake")
            if alien:  # nothing of it is believed, but the server is asked (SU-44)
                _want(self._store, session, base)
                return Marked(alien=True)
            row.subscription, row.status = said.subscription, said.status or row.status
            before = row.last_event
            if _count(row, said) or said.vague:
                _want(self._store, session, base)
            if (row.last_event or 0) < (before or 0):  # it counts anew: the same numbers are other events
                session.exec(delete(Seen).where(col(Seen.base) == base, col(Seen.version).startswith(events_of(said.subscription))))
            return self._take(session, base, said.changes, now())

    def take(self, base: str, changes: Iterable[Change], *, settled: Iterable[Notice] = ()) -> Marked:
        """Marks what a sweep or a look-up has found; `settled` are the notices that are thereby done with, and have waited already."""
        with self._store.transaction() as session:
            since = now()
            for notice in settled:
                since = min(since, notice.marked)
                session.exec(delete(Notice).where(col(Notice.base) == notice.base, col(Notice.reference) == notice.reference))
            return self._take(session, base, changes, since)

    def _take(self, session: Session, base: str, changes: Iterable[Change], since: str) -> Marked:
        every = list(changes)
        versions = sorted({one.version for one in every if one.version})
        fresh: set[str] = set()
        for some in _parts(versions):
            rows = [{"base": base, "version": version, "at": now()} for version in some]
            fresh.update(session.exec(self._store.insert(Seen, rows).on_conflict_do_nothing().returning(Seen.version)).scalars())
        new = [one for one in every if one.version is None or one.version in fresh]
        lost = owners(session, base, (one.source for one in new if one.source))
        about = sorted({one.about for one in new if one.about} | lost)
        for due in _parts([who for who in about if who.startswith("Patient/")]):
            mark(self._store, session, [{"base": base, "patient": who, "marked": since, "marks": 1} for who in due])
        for notices in _parts([what for what in about if not what.startswith("Patient/")]):
            rows = [{"base": base, "reference": what, "marked": since} for what in notices]
            session.exec(self._store.insert(Notice, rows).on_conflict_do_nothing())
        return Marked(len(new), len(every) - len(new))

    def notices(self, marked_before: str, *, limit: int = 500) -> Sequence[Notice]:
        """What has to be looked up, and has been waiting since then."""
        with self._store.transaction() as session:
            return session.exec(select(Notice).where(Notice.marked <= marked_before).order_by(Notice.marked).limit(limit)).all()

    def channels(self, base: str | None = None) -> Sequence[Channel]:
        """All channels that were ever used or checked, or those of one server."""
        asked = select(Channel).order_by(Channel.base, Channel.name)
        with self._store.transaction() as session:
            return session.exec(asked if base is None else asked.where(Channel.base == base)).all()

    def checked(self, base: str, found: dict[str, dict[str, str | int | None]]) -> None:
        """What the server says of our Subscriptions, by channel; one that it does not have is `missing`."""
        with self._store.transaction() as session:
            for name, values in found.items():
                row = _channel(self._store, session, base, name)
                for field, value in values.items():
                    setattr(row, field, value)
                if row.status == "active" and (row.restart_at or "") <= now():
                    row.restarts, row.restart_at = 0, None
            for row in session.exec(select(Channel).where(Channel.base == base, col(Channel.subscription).is_not(None))):
                if row.name == PUSH:  # of a release that took one for its own
                    row.subscription = row.status = row.ends = row.last_event = row.missing = None
                elif row.name not in found:
                    row.status = "missing"

    def restarted(self, channel: Channel, until: str) -> None:
        """The server was asked to try again, and is not asked once more before then; it may stop again within that time."""
        with self._store.transaction() as session:
            row = _channel(self._store, session, channel.base, channel.name)
            row.restarts, row.restart_at = row.restarts + 1, until

    def recovered(self, channel: Channel) -> None:
        """The events that were missing are here, or a sweep will find them."""
        with self._store.transaction() as session:
            row = _channel(self._store, session, channel.base, channel.name)
            row.missing = None if row.missing == channel.missing else row.missing

    def want_sweep(self, base: str) -> None:
        """Has the server asked what has changed, sooner than it would be."""
        with self._store.transaction() as session:
            _want(self._store, session, base)

    def sweeps(self) -> dict[str, Sweep]:
        """Where each server stands."""
        with self._store.transaction() as session:
            return {row.base: row for row in session.exec(select(Sweep))}

    def until(self, base: str, kind: str) -> str | None:
        """Up to which instant a type has been swept; None before the first time."""
        with self._store.transaction() as session:
            row = session.get(Cursor, (base, kind))
            return row.until if row else None

    def advance(self, base: str, kind: str, until: str) -> None:
        """A type has been swept up to that instant of the server's clock."""
        with self._store.transaction() as session:
            session.merge(Cursor(base=base, type=kind, until=until))

    def begun(self, base: str, started: str) -> None:
        """A sweep begins: whoever wants one from now on wants another."""
        with self._store.transaction() as session:
            _sweep(self._store, session, base).begun = started

    def swept(self, base: str, started: str, failed: str | None, *, broken: bool = False) -> None:
        """A sweep has ended; one that was wanted after its start is still to come, and one that broke off is wanted anew. Forgets old
        versions."""
        with self._store.transaction() as session:
            row = _sweep(self._store, session, base)
            row.swept, row.failed = started, failed
            if row.wanted and row.wanted <= started:
                row.wanted = now() if broken else None
            session.exec(delete(Seen).where(col(Seen.at) < now(-REMEMBERED)))

    def recheck(self, base: str, before: str) -> int:
        """Marks every patient to whom we have proposed something and who has had no case since then; how many."""
        with self._store.transaction() as session:
            planned = select(Answer.patient).where(Answer.base == base, proposed())
            last = select(Case.patient).where(Case.base == base, col(Case.patient).in_(planned)).group_by(Case.patient)
            old = session.exec(last.having(func.max(Case.opened) < before)).all()
            due = set(session.exec(select(Due.patient).where(Due.base == base)))
            rows = [{"base": base, "patient": who, "marked": now(), "marks": 1} for who in old if who not in due]
            for some in range(0, len(rows), 1000):
                mark(self._store, session, rows[some : some + 1000])
            return len(rows)

    def waiting(self) -> Counter[str]:
        """How many patients and resources of each server are marked, and no case yet."""
        with self._store.transaction() as session:
            due = session.exec(select(Due.base, func.count()).group_by(Due.base)).all()
            return Counter(dict(due)) + Counter(dict(session.exec(select(Notice.base, func.count()).group_by(Notice.base)).all()))


def _parts(values: list[str]) -> Iterator[list[str]]:
    """So many at once as a statement of either database may hold."""
    return (values[start : start + 1000] for start in range(0, len(values), 1000))


def _channel(store: Store, session: Session, base: str, name: str) -> Channel:
    session.exec(store.insert(Channel, [{"base": base, "name": name}]).on_conflict_do_nothing())
    return session.exec(select(Channel).where(Channel.base == base, Channel.name == name).with_for_update()).one()


def _hear(store: Store, session: Session, base: str, name: str) -> None:
    """Notes that a channel is alive, to the second: each note locks its row until it is on the disk."""
    heard = session.exec(select(Channel.heard).where(Channel.base == base, Channel.name == name)).first()
    if heard is None or heard < now(-timedelta(seconds=1)):
        row = store.insert(Channel, [{"base": base, "name": name, "heard": now()}])
        session.exec(row.on_conflict_do_update(index_elements=["base", "name"], set_={"heard": row.excluded.heard}))


def _sweep(store: Store, session: Session, base: str) -> Sweep:
    session.exec(store.insert(Sweep, [{"base": base}]).on_conflict_do_nothing())
    return session.exec(select(Sweep).where(Sweep.base == base).with_for_update()).one()


def _want(store: Store, session: Session, base: str) -> None:
    """The first wish counts, so that a flood of pings is one question (SU-45); the first since the last sweep began, which may have been
    past what this one tells."""
    wish = session.exec(select(Sweep.wanted, Sweep.begun).where(Sweep.base == base)).first()
    if wish and wish[0] and wish[0] > (wish[1] or ""):
        return
    row = _sweep(store, session, base)
    if row.wanted is None or row.wanted <= (row.begun or ""):
        row.wanted = now()


def _count(row: Channel, said: Notification) -> bool:
    """Follows the event numbers of a channel (SU-26); true where the server has to be asked, because they have started anew (SU-16)."""
    if said.kind in ("handshake", "heartbeat", "query-status"):
        if said.counted is not None and (row.last_event is None or said.kind == "handshake"):
            row.last_event = said.counted
        elif said.counted is not None and row.last_event is not None and said.counted > row.last_event:
            row.missing, row.last_event = row.missing or row.last_event + 1, said.counted
        return said.counted is not None and row.last_event is not None and said.counted < row.last_event
    if not said.events or said.kind != "event-notification":
        return False
    first, last, before = min(said.events), max(said.events), row.last_event
    if before is None:
        row.last_event = last
    elif first > before + 1:
        row.missing, row.last_event = row.missing or before + 1, last
    elif last < before and not (row.missing and row.missing <= last):
        row.missing, row.last_event = None, last
        return True
    else:
        row.last_event = max(before, last)
    return False
