"""The ledger of launches: sign-ins under way, and sessions with their tokens. Every method is one transaction and blocks.

Sources: SMART App Launch 2.2 (SM-21, SM-30, SM-61, SM-66); the numbered rules on sessions are SE-01 to SE-03.
"""

from __future__ import annotations

import hmac
import ipaddress
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
CLAIM_LIFE: Final = timedelta(seconds=60)  # three times what a token endpoint may take: while it lasts, nobody else uses the token
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

    def begin(self, state: str, browser: str, base: str, begun: Begun, client: str = "") -> bool:
        """Remembers a sign-in that a browser at the address `client` begins. False where another had to make way for it (SE-12).

        Each issuer has its share of what may be under way. Where that is full, the oldest of the same network of clients goes; where there
        is none, the oldest: whoever begins many keeps nobody else out.
        """
        near = self.seal.mark(_network(client))
        share = max(1, self._cap // max(1, sum(issuer.launch is not None for issuer in self._issuers)))
        with self._store.transaction() as session:
            session.exec(delete(SignIn).where(col(SignIn.created) < now(-2 * SIGN_IN_LIFE)))
            waiting = (col(SignIn.used).is_(None), SignIn.created > now(-SIGN_IN_LIFE), SignIn.base == base)
            many = session.exec(select(func.count()).select_from(SignIn).where(*waiting)).one() - share + 1
            if many > 0:
                first = select(SignIn.state).where(*waiting).order_by((col(SignIn.network) == near).desc(), col(SignIn.created))
                session.exec(delete(SignIn).where(col(SignIn.state).in_(session.exec(first.limit(many)).all())))
            hashes = {"state": fingerprint(state), "browser": fingerprint(browser), "network": near}
            session.add(SignIn(**hashes, base=base, sealed=self.seal.close(begun), created=now()))
            return many <= 0

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

    def of_browser(self, cookie: str) -> list[str]:
        """The launches of a browser's cookie that last, the newest first."""
        lasting = (LaunchSession.browser == fingerprint(cookie), LaunchSession.ends > now(), LaunchSession.seen > now(-self._idle))
        with self._store.transaction() as session:
            return list(session.exec(select(LaunchSession.id).where(*lasting).order_by(col(LaunchSession.created).desc()).limit(200)))

    def of_nobody(self, cookies: list[str]) -> list[str]:
        """Those of a browser's cookies whose launches last, and are of a user whom the EHR did not tell."""
        marks = {fingerprint(one): one for one in cookies}
        lasting = (LaunchSession.ends > now(), LaunchSession.seen > now(-self._idle), col(LaunchSession.user_subject).is_(None))
        with self._store.transaction() as session:
            found = set(session.exec(select(LaunchSession.browser).where(col(LaunchSession.browser).in_(marks), *lasting)))
        return [one for mark, one in marks.items() if mark in found]

    def of_patient(self, base: str, patient: str) -> list[str]:
        """Every launch with a patient of that FHIR server."""
        with self._store.transaction() as session:
            hers = select(LaunchSession.id).where(LaunchSession.base == base, LaunchSession.patient == patient)
            return list(session.exec(hers))

    def opened(self, launch: str, case: str) -> None:
        """The launch has opened a case."""
        with self._store.transaction() as session:
            session.exec(update(LaunchSession).where(col(LaunchSession.id) == launch).values(case=case))

    def held(self, launch: str) -> Held | None:
        """The tokens of a session; None when it has ended, or they were sealed by another key."""
        with self._store.transaction() as session:
            row = self._live(session, launch)
            tokens = self.seal.open(row.sealed, Tokens) if row else None
            if row is None or tokens is None:
                return None
            claimed = row.claimed is not None and row.claimed >= now(-CLAIM_LIFE)
            return Held(tokens, row.turn, tuple(row.scopes.split()), row.base, claimed)

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

    def renewed(self, launch: str, turn: int, tokens: Tokens, scopes: tuple[str, ...]) -> bool:
        """New tokens in the place of those of that turn; False where there are none such, because the session has ended."""
        with self._store.transaction() as session:
            mine = update(LaunchSession).where(col(LaunchSession.id) == launch, col(LaunchSession.turn) == turn)
            sealed = self.seal.close(tokens)
            return session.exec(mine.values(sealed=sealed, scopes=" ".join(scopes), turn=turn + 1, claimed=None)).rowcount == 1

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


def _network(client: str) -> str:
    """The network of a client's address: its /24, or /64; the address as it is written where it is none."""
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    address = getattr(address, "ipv4_mapped", None) or address
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
