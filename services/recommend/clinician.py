"""Writes what a clinician has decided, with her own token: only where the plan is still the one she saw, and once.

The token serves the client that is given here, for this one call. It is neither kept nor logged.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import msgspec

from services.recommend.acts import OPEN, called, decided, local, provenance, stands, titles
from services.recommend.decision import CAREPLAN, DECISION
from services.recommend.published import Earlier, plain
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Conflict, FigaroError, Refused, Unauthorised, Unavailable
from shared.fhir.r4 import complaints
from shared.fhir.write_mode import Offer
from shared.oncology.act import Act, Acted, Author, may_decide

Json = dict[str, Any]
EARLY: Final = timedelta(minutes=5)
LATE: Final = timedelta(days=7)
_BEARER: Final = re.compile(r"Bearer ([A-Za-z0-9\-._~+/]+=*)", re.IGNORECASE)


def bearer(header: str | None) -> str:
    """The token in an Authorization header. Raises Refused (401) without one."""
    found = _BEARER.fullmatch((header or "").strip())
    if found is None:
        raise Refused(
            "A decision is written with the clinician's own token only: send it as `Authorization: Bearer`.", status=401, code="login"
        )
    return found[1]


def acceptable(act: Act) -> None:
    """Raises Refused for an act that nobody may do, or that says too little."""
    if not may_decide(act.author.reference):
        raise Refused("Only those who treat the patient decide here: this user is no practitioner.", status=403, code="forbidden")
    if act.act == "accept" and not act.regimen:
        raise Refused("What is accepted? Name one regimen of the plan.", code="required")
    if act.act != "accept" and not (act.text or "").strip():
        raise Refused(f"A {act.act} needs words: say why.", code="required")


def timely(act: Act, now: datetime) -> None:
    """Raises Refused for an act that is of the future, or older than a decision may be when it is written."""
    try:
        at = datetime.fromisoformat(act.at)
        right = -LATE <= at - now <= EARLY
    except (ValueError, TypeError):
        raise Refused("When was it decided? `at` is an instant with its time zone.", code="value") from None
    if not right:
        raise Refused("The time of the decision is ahead of this clock, or more than 7 days ago: decide again.", code="value")


async def write(hers: FhirClient, ours: FhirClient, act: Act) -> Acted:
    """Writes the act into the CarePlan and tells of it in a Provenance; an act that stands there already is not written again.

    `hers` carries the clinician's token, `ours` reads what the plan offers. Raises Conflict where the plan has changed since she saw it
    or is of another decision; Refused where it is closed; Unauthorised where her token does not reach this far; Unavailable with
    `outcome_unknown` where nobody can say whether it was written: send the same act again, and it is looked up first.
    """
    acceptable(act)
    offer = await hers.offer()
    if not offer.changes("CarePlan") or not offer.said.allows("Provenance", "create"):
        raise Refused("This FHIR server cannot keep a decision safely: it takes no CarePlan at a version, or no Provenance.", status=409)
    plan, act = await _plan(hers, act), await _introduced(hers, act)
    if stands(plan, act):
        return await _finished(hers, offer, plan, act)
    _is_the_one_seen(plan, act)
    title = await _title(ours, plan, act)
    changed = decided(plan, act, hers.base_url, title)
    try:
        return await _written(hers, offer, changed, act)
    except (Conflict, Unavailable) as error:
        if isinstance(error, Unavailable) and not error.outcome_unknown:
            raise
        # The reply is lost, or the same act came twice at once. What stands is looked up; nothing is sent again blindly (FC-07).
        if not stands(there := await _plan(hers, act), act):
            raise
        return msgspec.structs.replace(await _finished(hers, offer, there, act), written=isinstance(error, Unavailable))


async def _introduced(hers: FhirClient, act: Act) -> Act:
    """The act with its author's name, where her own token shows it."""
    place = local(act.author.reference, hers.base_url)
    if act.author.display or place is None or not place.startswith("Practitioner/"):
        return act
    try:
        name = called(plain(await hers.read(*place.split("/"))))
    except FigaroError:
        return act  # the reference names her well enough
    return msgspec.structs.replace(act, author=Author(act.author.reference, name))


async def _plan(hers: FhirClient, act: Act) -> Json:
    plan = plain(await hers.read(*act.careplan.split("/")))
    if plan.get("subject", {}).get("reference", "").removeprefix(f"{hers.base_url}/") != act.patient:
        raise Refused("That CarePlan is another patient's.", status=403, code="forbidden")
    if not Earlier(act.careplan, None, plan).under(CAREPLAN):
        raise Refused("That CarePlan is none of ours: decide on it where it was made.", status=403, code="forbidden")
    return plan


def _is_the_one_seen(plan: Json, act: Act) -> None:
    if Earlier(act.careplan, None, plan).under(DECISION) != act.decision or _version(plan) != act.version:
        raise Conflict("The plan has changed since it was shown: look at it again, then decide.", status=409)
    if plan.get("status") not in OPEN:
        raise Refused("The plan is closed: nothing more is decided on it here.", status=409, code="business-rule")


async def _title(ours: FhirClient, plan: Json, act: Act) -> str | None:
    """What the regimen is called in the plan. Raises Refused where it is not offered there; None where the server keeps no options."""
    if act.regimen is None:
        return None
    places = [one.get("reference", {}).get("reference", "") for one in plan.get("activity", ())]
    groups = [place.split("/")[:2] for place in places if place.startswith("RequestGroup/")]
    if not groups:
        return None
    offered = titles(plain(await ours.read(*groups[0])))
    if act.regimen not in offered:
        raise Refused("That regimen is not among the options of the plan.", code="value")
    return offered[act.regimen]


async def _written(hers: FhirClient, offer: Offer, changed: Json, act: Act) -> Acted:
    if not offer.transactions:
        done = await hers.update(_sound(changed), if_match=act.version)
        known = await _assert(hers, provenance(changed, act, hers.base_url, version=done.version))
        return Acted(act.careplan, done.version, True, known, act.author.display)
    put = {"method": "PUT", "url": act.careplan, "ifMatch": f'W/"{act.version}"'}
    told, post = provenance(changed, act, hers.base_url), {"method": "POST", "url": "Provenance"}
    entries = [
        {"fullUrl": f"{hers.base_url}/{act.careplan}", "resource": _sound(changed), "request": put},
        {"fullUrl": f"urn:uuid:{uuid5(NAMESPACE_URL, f'{CAREPLAN}/act/{act.id}')}", "resource": _sound(told), "request": post},
    ]
    done, *_ = await hers.transaction({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    return Acted(act.careplan, done.version, True, by=act.author.display)


async def _finished(hers: FhirClient, offer: Offer, plan: Json, act: Act) -> Acted:
    """The act stands in the plan: its Provenance too, unless a run was cut off between the two."""
    told = offer.transactions or await _told(hers, offer, plan, act)
    return Acted(act.careplan, _version(plan), False, told, act.author.display)


async def _told(hers: FhirClient, offer: Offer, plan: Json, act: Act) -> bool:
    if not offer.said.searches("Provenance", "target"):
        return False  # nobody can say, and twice would be worse
    try:
        there = [plain(entry.resource) for entry in await hers.search("Provenance", {"target": act.careplan})]
    except Unauthorised:
        return False
    return any(stands(one, act) for one in there) or await _assert(hers, provenance(plan, act, hers.base_url))


async def _assert(hers: FhirClient, told: Json) -> bool:
    """Creates the Provenance of an act that is in the plan already; whether it is known to be there. The act holds either way."""
    try:
        await hers.create(_sound(told))
    except Unauthorised:
        return False
    except Unavailable as error:
        if not error.outcome_unknown:
            return False
        raise
    return True


def _version(plan: Json) -> str | None:
    found = plan.get("meta", {}).get("versionId")
    return str(found) if found is not None else None


def _sound(resource: Json) -> Json:
    if wrong := complaints(msgspec.json.encode(resource)):
        raise FigaroError(f"The decision was not sent, because it would not be valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
    return resource
