"""The four steps of a case. Each reads what it needs from the ledger and leaves there what it found, so each may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from services.ingest.grants import Grants, over
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from services.ingest.neighbours import Neighbours
from services.ingest.pull import pull, queries
from services.ingest.searches import OPTIONAL
from services.ingest.shown import reader_key
from services.ingest.tables import Answer, InHand, compressed, expanded
from shared.fhir.audit import Auditor, Deed, Person
from shared.fhir.client import FhirClient
from shared.fhir.outcome import FigaroError, Unauthorised
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import encode
from shared.oncology.stage import Staging


class Steps:
    """What a case goes through. `server` gives the client of a FHIR base, `grants` the one of a session's user."""

    def __init__(
        self, ledger: Ledger, server: Callable[[str], FhirClient], neighbours: Neighbours, auditor: Auditor, grants: Grants
    ) -> None:
        self._ledger = ledger
        self._server = server
        self._neighbours = neighbours
        self._auditor = auditor
        self._grants = grants

    async def pull(self, case_id: str) -> None:
        """The record, from the FHIR server."""
        case = await asyncio.to_thread(self._ledger.case, case_id)
        server, scopes = await self._grants.reader(case.launch) if case.launch else (self._server(case.base), None)
        try:
            pulled = await pull(server, case.patient, as_of=case.as_of, scopes=scopes)
        except Unauthorised as error:
            if case.launch and error.status == 401:  # in spite of a new token (SM-63)
                over()
            raise
        user = await asyncio.to_thread(self._ledger.user, case.launch) if case.launch else None
        # Told by our own right: a user's seldom reaches as far.
        deed = Deed("search", case.patient, queries=queries(case.patient))
        if case.launch:
            who = Person(user.issuer, user.subject, user.fhir_user) if user else Person(case.base, "", None)
            deed = deed._replace(user=who, case=case_id)
        await self._auditor.tell(self._server(case.base), deed)
        in_hand = InHand(
            case=case_id,
            digest=pulled.record.digest(),
            raw=compressed(pulled.raw),
            record=compressed(encode(pulled.record)),
            reader=reader_key(case.launch, user, scopes or ()) if case.launch else None,
            # By our own right: what the server kept back it keeps from us altogether.
            whole=not case.launch or await self._whole(case.base, pulled.missed),
        )
        await asyncio.to_thread(self._ledger.pulled, in_hand)

    async def stage(self, case_id: str) -> None:
        """The stage and the sites, from staging."""
        in_hand = await self._in_hand(case_id)
        _, staging = await self._neighbours.stage(expanded(in_hand.record))
        await asyncio.to_thread(self._ledger.staged, case_id, staging)

    async def recommend(self, case_id: str) -> None:
        """The candidates, from recommend."""
        case = await asyncio.to_thread(self._ledger.case, case_id)
        in_hand = await self._in_hand(case_id)
        _, recommendation = await self._neighbours.recommend(expanded(in_hand.record), expanded(in_hand.staging or b""), case.base)
        await asyncio.to_thread(self._ledger.recommended, case_id, recommendation)

    async def publish(self, case_id: str) -> None:
        """The CarePlan, written by recommend; then the case is answered."""
        case = await asyncio.to_thread(self._ledger.case, case_id)
        if case.state == "answered":
            return
        in_hand = await self._in_hand(case_id)
        staging, recommendation = expanded(in_hand.staging or b""), expanded(in_hand.recommendation or b"")
        # A CarePlan is written by our own right, so it rests on nothing less than that would have read.
        published = await self._neighbours.publish(expanded(in_hand.record), staging, recommendation, case.base, write=in_hand.whole)
        answer = Answer(
            case=case_id,
            base=case.base,
            patient=case.patient,
            answered=now(),
            digest=in_hand.digest,
            staging_knowledge=_knowledge(staging, Staging),
            recommend_knowledge=_knowledge(recommendation, Recommendation),
            careplan=published.careplan,
            careplan_version=published.version,
            decision=published.decision,
            mode=published.mode,
            raw=in_hand.raw,
            record=in_hand.record,
            staging=compressed(staging),
            recommendation=compressed(recommendation),
            reader=in_hand.reader,
            whole=in_hand.whole,
            careplan_status=published.status,
            left_open=" ".join(published.left) or None,
        )
        await asyncio.to_thread(self._ledger.answered, answer)

    async def _whole(self, base: str, missed: frozenset[str]) -> bool:
        """Whether our own right would have read nothing more: what is optional is missed only where the server has it."""
        if not missed:
            return True
        if missed - OPTIONAL:
            return False
        known = await self._server(base).known()
        return not any(known.allows(kind, "search-type") for kind in missed)

    async def _in_hand(self, case_id: str) -> InHand:
        in_hand = await asyncio.to_thread(self._ledger.in_hand, case_id)
        if in_hand is None:
            raise FigaroError("The case has nothing in hand: its record was pulled and is gone from the ledger. Try the case again.")
        return in_hand


def _knowledge(answer: bytes, kind: type[Staging | Recommendation]) -> str:
    knowledge = msgspec.json.decode(answer, type=kind).knowledge
    return f"{knowledge.edition}/{knowledge.digest}"
