"""The ledger of launches: sign-ins under way, and sessions with their tokens. Every method is one transaction and blocks.

Sources: SMART App Launch 2.2 (SM-21, SM-30, SM-61, SM-66); the numbered rules on sessions are SE-01 to SE-03.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import timedelta
from typing import Final, Literal

from sqlmodel import Session as Transaction
from sqlmodel import col, delete, func, or_, select, update

from services.ingest.instants import now
from services.ingest.launched import Begun, Held, Session, Tokens, User
from services.ingest.seal import Seal, fingerprint
from services.ingest.store import Store
from services.ingest.tables import LaunchSession, SignIn
from shared.fhir.outcome import FigaroError
from shared.smart.code import Grant
from shared.smart.identity import Identity
from shared.smart.issuers import Issuers

SIGN_IN_LIFE: Final = timedelta(minutes=10)  # SM-21
CLAIM_LIFE: Final = timedelta(seconds=30)  # longer than a token endpoint may take
Burned = Literal["unknown", "used", "expired", "elsewhere"]


class Launches:
    """The two tables, in the ledger's database. Every method raises Unavailable while that does not answer."""

    def __init__(self, store: Store, issuers: Issuers, seal: Seal, *, hours: float, idle_minutes: float, sign_ins: int) -> None:
        self._store = store
        self._issuers = issuers
        self.seal = seal
        self._life = timedelta(hours=hours)
        self._idle = timedelta(minutes=idle_minutes)
        self._cap = sign_ins

    def begin(self, state: str, browser: str, base: str, begun: Begun) -> bool:
        """Remembers a sign-in; False while too many are under way (SE-12)."""
        with self._store.transaction() as session:
            session.exec(delete(SignIn).where(col(SignIn.created) < now(-2 * SIGN_IN_LIFE)))
            waiting = select(func.count()).select_from(SignIn).where(col(SignIn.used).is_(None), SignIn.created > now(-SIGN_IN_LIFE))
            if session.exec(waiting).one() >= self._cap:
                return False
            sealed = self.seal.close(begun)
            session.add(SignIn(state=fingerprint(state), browser=fingerprint(browser), base=base, sealed=sealed, created=now()))
            return True

    def take(self, state: str, browsers: list[str], base: str) -> Begun | Burned:
        """The sign-in of a state, once: whatever comes of it, the state is good for nothing afterwards (SM-30)."""
        key = fingerprint(state)
        with self._store.transaction() as session:
            row = session.get(SignIn, key)
            if row is None:
                return "unknown"
            begun = self.seal.open(row.sealed, Begun) if row.sealed else None
            burn = update(SignIn).where(col(SignIn.state) == key, col(SignIn.used).is_(None)).values(used=now(), sealed=b"")
            if session.exec(burn).rowcount != 1 or begun is None:
                return "used"
            if row.created < now(-SIGN_IN_LIFE):
                return "expired"
            mine = any(hmac.compare_digest(row.browser, fingerprint(one)) for one in browsers)
            return begun if mine and row.base == base else "elsewhere"

    def open(self, base: str, cookie: str, grant: Grant, patient: str, user: Identity | None) -> str:
        """A new session; its id."""
        row = LaunchSession(
            id=secrets.token_urlsafe(18),
            browser=fingerprint(cookie),
            base=base,
            patient=patient,
            encounter=f"Encounter/{grant.encounter}" if grant.encounter else None,
            user_issuer=user.issuer if user else None,
            user_subject=user.subject if user else None,
            fhir_user=user.fhir_user if user else None,
            scopes=" ".join(grant.scopes),
            need_patient_banner=grant.need_patient_banner,
            csrf=secrets.token_urlsafe(32),
            sealed=self.seal.close(Tokens.of(grant)),
            created=now(),
            seen=now(),
            ends=now(self._life),
        )
        with self._store.transaction() as session:
            session.add(row)
        return row.id

    def session(self, launch: str, cookie: str) -> Session | None:
        """The session of a launch and a browser's cookie, for as long as it lasts."""
        with self._store.transaction() as session:
            row = self._live(session, launch)
            if row is None or not hmac.compare_digest(row.browser, fingerprint(cookie)):
                return None
            if row.seen < now(-timedelta(minutes=1)):
                row.seen = now()
                session.add(row)
            return self._shown(row)

    def opened(self, launch: str, case: str) -> None:
        """The launch has opened a case."""
        with self._store.transaction() as session:
            session.exec(update(LaunchSession).where(col(LaunchSession.id) == launch).values(case=case))

    def held(self, launch: str) -> Held | None:
        """The tokens of a session; None when it has ended, or they were sealed by another key."""
        with self._store.transaction() as session:
            row = self._live(session, launch)
            tokens = self.seal.open(row.sealed, Tokens) if row else None
            return Held(tokens, row.turn, tuple(row.scopes.split()), row.base) if row and tokens else None

    def claim(self, launch: str, turn: int) -> bool:
        """Whether the tokens of this turn are ours to renew: one process at a time, whichever asks first (SM-61)."""
        free = or_(col(LaunchSession.claimed).is_(None), col(LaunchSession.claimed) < now(-CLAIM_LIFE))
        with self._store.transaction() as session:
            mine = update(LaunchSession).where(col(LaunchSession.id) == launch, col(LaunchSession.turn) == turn, free)
            return session.exec(mine.values(claimed=now())).rowcount == 1

    def yield_claim(self, launch: str, turn: int, *, after: timedelta) -> None:
        """It could not be done now: somebody may try again after that time."""
        with self._store.transaction() as session:
            mine = update(LaunchSession).where(col(LaunchSession.id) == launch, col(LaunchSession.turn) == turn)
            session.exec(mine.values(claimed=now(after - CLAIM_LIFE)))

    def renewed(self, launch: str, turn: int, tokens: Tokens, scopes: tuple[str, ...]) -> None:
        """New tokens in the place of those of that turn."""
        with self._store.transaction() as session:
            mine = update(LaunchSession).where(col(LaunchSession.id) == launch, col(LaunchSession.turn) == turn)
            session.exec(mine.values(sealed=self.seal.close(tokens), scopes=" ".join(scopes), turn=turn + 1, claimed=None))

    def end(self, launch: str) -> tuple[str, Tokens | None] | None:
        """Forgets a session, and gives its base and its tokens to be revoked; None where it had ended."""
        with self._store.transaction() as session:
            row = session.get(LaunchSession, launch)
            if row is None:
                return None
            session.delete(row)
            return row.base, self.seal.open(row.sealed, Tokens)

    def over(self) -> list[str]:
        """The sessions whose time is over; and forgets the sign-ins that nobody came back from."""
        with self._store.transaction() as session:
            session.exec(delete(SignIn).where(col(SignIn.created) < now(-2 * SIGN_IN_LIFE)))
            old = or_(col(LaunchSession.ends) < now(), col(LaunchSession.seen) < now(-self._idle))
            return list(session.exec(select(LaunchSession.id).where(old).limit(200)))

    def _live(self, session: Transaction, launch: str) -> LaunchSession | None:
        row = session.get(LaunchSession, launch)
        return row if row is not None and row.ends > now() and row.seen > now(-self._idle) else None

    def _shown(self, row: LaunchSession) -> Session | None:
        try:
            issuer = self._issuers(row.base)
        except FigaroError:
            return None
        if issuer.launch is None:  # it was taken off the list since
            return None
        user = User(row.user_issuer, row.user_subject, row.fhir_user) if row.user_issuer and row.user_subject else None
        return Session(
            id=row.id,
            base=row.base,
            issuer=issuer.id,
            patient=row.patient,
            encounter=row.encounter,
            user=user,
            scopes=tuple(row.scopes.split()),
            need_patient_banner=row.need_patient_banner,
            embedded=issuer.launch.embedded,
            frame_origins=issuer.launch.frame_origins if issuer.launch.embedded else (),
            csrf=row.csrf,
            case=row.case,
            created=row.created,
            ends=row.ends,
        )
