"""A clinician decides: written down on our side first, then into the CarePlan by recommend, with her own token. Never without her act.

The act has an id made of what was sent, so a form that is sent twice is one act, and one whose reply was lost is asked again under the
same id: recommend finds it where it was written.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from typing import Annotated, Final, Protocol

import msgspec
import structlog

from services.ingest.decided import AGAIN, add, decision, kept, still_current, written
from services.ingest.instants import now
from services.ingest.neighbours import Neighbours
from services.ingest.shown import Launch, User, answer_shown
from services.ingest.store import Store
from services.ingest.tables import Answer, ClinicianDecision, expanded
from shared.fhir.outcome import Conflict, FigaroError, NotFound, Refused, Stuck, Unauthorised, Unavailable
from shared.fhir.transport import Authority
from shared.oncology.act import Act, Acted, Author, Kind, Words, may_decide
from shared.oncology.recommendation import Candidate, Recommendation

_log = structlog.get_logger("figaro.ingest")
# What the user's own sign-in must allow: one CarePlan changed, one Provenance added (SM-34, SM-41).
NEEDED: Final = (("CarePlan", "ru"), ("Provenance", "c"))


class Clinician(User, Protocol):
    """Who signed in, and as what the EHR knows her."""

    @property
    def fhir_user(self) -> str | None: ...


class Sitting(Launch, Protocol):
    """A launch, as far as a decision asks about it."""

    @property
    def user(self) -> Clinician | None: ...
    @property
    def may_decide(self) -> bool: ...
    def may(self, resource_type: str, letters: str) -> bool:
        """Whether the EHR granted all of these interactions with the type."""


class Ingest(Protocol):
    """Where a decision is kept, and who has it written."""

    @property
    def ledger(self) -> Store: ...
    @property
    def neighbours(self) -> Neighbours: ...


class Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a page sends. `answer` is the answer it shows, `seen` what `decided.seen` gave it for the decisions it shows."""

    answer: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
    seen: str
    act: Kind
    regimen: str | None = None
    reason: Words | None = None


class Stale(Refused):
    """The page no longer shows what there is: nothing was decided, and she has to look again. `plan`: somebody has changed the CarePlan."""

    status = 409
    code = "conflict"

    def __init__(self, *, plan: bool = False) -> None:
        self.plan = plan
        super().__init__("The record, or the plan, has changed since this page was shown. Nothing was decided: look again, then decide.")


async def decide(ingest: Ingest, sitting: Sitting, authority: Authority, form: Form) -> ClinicianDecision:
    """The act, `written` or `kept` with the reason why. Raises Refused where it may not or cannot be done, Stale where she has to look.

    `authority` gives the user's own token; it is asked at the moment of writing.
    """
    user = _clinician(sitting)
    shown = await asyncio.to_thread(answer_shown, ingest.ledger, sitting, form.answer)
    if shown is None:
        raise Stale
    act = _act(sitting, user, shown, form, _candidate(shown, form))
    if (there := await asyncio.to_thread(decision, ingest.ledger, act.id)) is None:
        if not await asyncio.to_thread(add, ingest.ledger, act, shown, form.seen):
            raise Stale
        there = await asyncio.to_thread(decision, ingest.ledger, act.id)
    assert there is not None  # it has just been added
    return await _seen_through(ingest, authority, there)


async def again(ingest: Ingest, sitting: Sitting, authority: Authority, act_id: str) -> ClinicianDecision:
    """An act that was kept, sent again by the one whose it is. Raises NotFound, and what `decide` raises."""
    user = _clinician(sitting)
    there = await asyncio.to_thread(decision, ingest.ledger, act_id)
    mine = (sitting.base, sitting.patient, user.issuer, user.subject)
    if there is None or (there.base, there.patient, there.user_issuer, there.user_subject) != mine:
        raise NotFound("There is no such decision of yours for this patient.")
    return await _seen_through(ingest, authority, there)


async def _seen_through(ingest: Ingest, authority: Authority, there: ClinicianDecision) -> ClinicianDecision:
    """Has written what is only kept: as long as it is not stale, however late it is sent again; what stands already is found either way."""
    if there.state == "kept" and there.why in AGAIN:
        current = await asyncio.to_thread(still_current, ingest.ledger, there)
        there = await _write(ingest, authority, there, only_found=not current)
        _log.info("decided", act=there.act, state=there.state, why=there.why)
    if there.why == "changed":
        raise Stale(plan=True)
    return there


def _clinician(sitting: Sitting) -> Clinician:
    if not sitting.may_decide or sitting.user is None or not may_decide(sitting.user.fhir_user):
        raise Refused("Only those who treat the patient decide here.", status=403, code="forbidden")
    return sitting.user


def _candidate(shown: Answer, form: Form) -> Candidate | None:
    """The candidate that the form names. Raises Refused where the act is not whole."""
    words = (form.reason or "").strip()
    if form.act != "accept" and not words:
        raise Refused("Please say why: a decline needs a reason, and a comment its words.", code="required")
    if form.regimen is None:
        if form.act == "accept":
            raise Refused("Please choose which regimen is accepted.", code="required")
        return None
    listed = msgspec.json.decode(expanded(shown.recommendation), type=Recommendation).candidates
    found = next((one for one in listed if one.regimen == form.regimen), None)
    if found is None:
        raise Refused("That regimen is not among the candidates of this answer.", code="value")
    if form.act == "accept" and found.verdict == "ruled-out" and not words:
        raise Refused("This candidate is ruled out on the record: to accept it all the same, please say why.", code="required")
    return found


def _act(sitting: Sitting, user: Clinician, shown: Answer, form: Form, candidate: Candidate | None) -> ClinicianDecision:
    """The act as it is kept, and why it is not to be written, if it is not."""
    told = (sitting.base, sitting.patient, user.issuer, user.subject, *map(str, msgspec.structs.astuple(form)))
    plan = (shown.careplan or "").startswith("CarePlan/") and shown.decision
    granted = all(sitting.may(kind, letters) for kind, letters in NEEDED)
    return ClinicianDecision(
        id=sha256("\0".join(told).encode()).hexdigest()[:32],
        base=sitting.base,
        patient=sitting.patient,
        launch=sitting.id,
        answer=form.answer,
        careplan=shown.careplan,
        decision=shown.decision,
        act=form.act,
        regimen=form.regimen,
        title=candidate.title if candidate else None,
        reason=(form.reason or "").strip() or None,
        fhir_user=user.fhir_user or "",
        user_issuer=user.issuer,
        user_subject=user.subject,
        at=now(),
        why="no-plan" if not plan else "no-scope" if not granted else "pending",
    )


async def _write(ingest: Ingest, authority: Authority, row: ClinicianDecision, *, only_found: bool) -> ClinicianDecision:
    """Has the act written, or only looked up where it may stand already; the row says what became of it."""
    act = _sent(row)
    if only_found:  # recommend looks first whether the act stands, and no plan is of this version
        act = msgspec.structs.replace(act, version="")
    try:
        acted = await _asked(ingest.neighbours, authority, act)
    except Conflict:
        why = "changed"
    except Stuck:
        why = "signed-out"
    except Unavailable:
        why = "unavailable"
    except FigaroError as error:
        _log.warning("decision_not_written", error=type(error).__name__, status=error.status)
        why = "refused"
    else:
        return await asyncio.to_thread(written, ingest.ledger, row.id, acted.version, acted.by)
    return await asyncio.to_thread(kept, ingest.ledger, row.id, why)


async def _asked(neighbours: Neighbours, authority: Authority, act: Act) -> Acted:
    header = await authority.header()
    try:
        return await neighbours.decide(act, header or "")
    except Unauthorised as error:
        if error.status != 401:
            raise
        # Refused was not done: once more with a fresh token, if there is one (SM-63).
        await authority.refused(header)
        if (fresh := await authority.header()) == header:
            raise
        return await neighbours.decide(act, fresh or "")


def _sent(row: ClinicianDecision) -> Act:
    return Act(
        id=row.id,
        act=row.act,  # type: ignore[arg-type]  # a Kind: it was one when it was kept
        patient=row.patient,
        careplan=row.careplan or "",
        version=row.careplan_version or "",
        decision=row.decision or "",
        author=Author(row.fhir_user, row.display),
        at=row.at,
        regimen=row.regimen,
        text=row.reason,
        fhir_base=row.base,
    )
