"""From a call to its cards, in line: what was delivered becomes a record, staging and recommend answer, nothing is written anywhere.

The FHIR server is asked only with the token that came with the call, only for what is missing, and only at the base of the client's own
issuer (CH-20, CH-21).
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import aiohttp
import msgspec
import structlog

from services.ingest.hooks.cards import Dealer, Given, late
from services.ingest.hooks.orders import Drugs, orders, together
from services.ingest.hooks.prefetch import ESSENTIAL, PATIENT_ID, QUERIES, Gathered, gathered, verified, wording
from services.ingest.hooks.request import Asked
from services.ingest.neighbours import Neighbours
from shared.fhir.client import FhirClient
from shared.fhir.incomplete import withheld
from shared.fhir.outcome import FigaroError, Refused
from shared.fhir.reader import read_resources
from shared.fhir.transport import Limits
from shared.oncology.record import Issue, Record, encode

_LIMITS: Final = Limits(connect=1, read=2, total=2, search=2, retry_after=0, size=10_000_000, pages=20)
_log = structlog.get_logger("figaro.ingest")


class Deadlines(NamedTuple):
    """In seconds: for one who opens a patient, and for orders or where something has to be fetched (CH-05)."""

    soft: float
    hard: float


class Answering:
    """Answers calls. `session` reaches FHIR servers within the settings' reach; `launch` is where the SMART link leads."""

    def __init__(self, neighbours: Neighbours, session: aiohttp.ClientSession, deadlines: Deadlines, launch: str | None) -> None:
        self._neighbours = neighbours
        self._session = session
        self._deadlines = deadlines
        self._launch = launch

    async def cards(self, call: Asked, base: str) -> list[Given]:
        """The cards for a call of the CDS client whose FHIR server is at `base`.

        Raises Refused (400: another patient's resources, 412: essentials neither delivered nor to be had, 413: too many) and Unavailable.
        """
        begun, fetch = asyncio.get_running_loop().time(), False
        try:
            async with asyncio.timeout(self._deadlines.soft if call.hook == "patient-view" else self._deadlines.hard) as deadline:
                delivered = await asyncio.to_thread(gathered, call.prefetch or {}, call.patient, base)
                fetch = bool(call.fhir_authorization and (delivered.missing or delivered.partial))
                if fetch:
                    deadline.reschedule(begun + self._deadlines.hard)
                else:
                    _enough(delivered)
                return await self._in_time(call, delivered, base)
        except TimeoutError:
            _log.warning("hook_late", hook=call.hook, fetched=fetch)
            return list(late(call.hook, self._launch))

    async def _in_time(self, call: Asked, delivered: Gathered, base: str) -> list[Given]:
        drugs = await self._ordered(call, base)
        if drugs is not None and not drugs.names:
            return []
        if call.fhir_authorization is not None and (delivered.missing or delivered.partial):
            delivered, why = await self._fetched(call, delivered, base)
            _enough(delivered, why)
        record = await asyncio.to_thread(_record, call.patient, delivered)
        staging, said = await self._neighbours.stage(encode(record))
        if not staging.primary.applies:
            return []
        recommendation, _ = await self._neighbours.recommend(encode(record), said, base)
        dealer = Dealer(staging, record, launch=self._launch, lacking=_lacking(delivered))
        return list(dealer.view(recommendation) if drugs is None else dealer.ordered(recommendation, drugs))

    async def _ordered(self, call: Asked, base: str) -> Drugs | None:
        """The anticancer drugs that are being ordered; none of them where none was just selected. None for a hook without orders."""
        if call.hook == "patient-view":
            return None
        found = await asyncio.to_thread(orders, call.context.draft_orders, call.patient, base)
        named = await self._neighbours.drugs([order.medication for order in found]) if found else []
        selected = call.context.selections
        if selected is not None and not any(drugs for order, drugs in zip(found, named, strict=True) if order.id in selected):
            return Drugs({})
        return together(found, named)

    async def _fetched(self, call: Asked, delivered: Gathered, base: str) -> tuple[Gathered, str]:
        """With what the FHIR server gives for the keys that are missing, or were delivered in part only; and why one was not given.

        The token ends with this call.
        """
        lent = call.fhir_authorization
        server = FhirClient(base, token=lent.access_token if lent else None, session=self._session, limits=_LIMITS, retries=0)
        keys = (*delivered.missing, *delivered.partial)
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(_had(server, key, call.context.patient_id)) for key in keys}
        refused = [error for key, task in tasks.items() if key in ESSENTIAL and isinstance(error := task.result(), FigaroError)]
        came = {key: found for key, task in tasks.items() if not isinstance(found := task.result(), FigaroError)}
        more = [raw for found, _ in came.values() for raw in found if verified(raw, call.patient, base)]
        resources = tuple(dict.fromkeys((*delivered.resources, *more)))
        missing, partial = (tuple(key for key in of if key not in came) for of in (delivered.missing, delivered.partial))
        partial += tuple(key for key, (_, all_shown) in came.items() if not all_shown)
        return delivered._replace(resources=resources, missing=missing, partial=partial), refused[0].text if refused else ""


async def _had(server: FhirClient, key: str, patient_id: str) -> tuple[list[bytes], bool] | FigaroError:
    """What the server has under one key, and whether it shows all of it; its refusal where it does not say, or not to this token."""
    query = QUERIES[key]
    try:
        if not query.params:
            return [await server.read(query.type, patient_id)], True
        asked = [(name, value.replace(PATIENT_ID, patient_id)) for name, value in query.params]
        found = await server.search(query.type, asked)
        return [bytes(entry.resource) for entry in found if entry.resource is not None], not withheld(found.warnings)
    except FigaroError as error:
        return error


def _enough(delivered: Gathered, why: str = "") -> None:
    """CH-06: without these there is no answer, and no card that says so would be of use. `why` the FHIR server did not give them."""
    if lacking := sorted(ESSENTIAL & set(delivered.missing)):
        advice = why or "Send what /cds-services asks for, or fhirAuthorization."
        raise Refused(f"Needed, and neither prefetched nor to be fetched: {wording(lacking)}. {advice}", status=412, code="required")


def _record(patient: str, delivered: Gathered) -> Record:
    record = read_resources(patient, delivered.resources)
    nameless = tuple(
        Issue(severity="warning", code="resource-unreadable", text=f"{one} does not say whose it is; it is not used.", sources=(one,))
        for one in delivered.nameless
    )
    unread = tuple(sorted({QUERIES[key].type for key in (*delivered.missing, *delivered.partial)} - {"Patient"}))
    return msgspec.structs.replace(record, issues=(*record.issues, *nameless), unread=unread)


def _lacking(delivered: Gathered) -> str:
    """What nobody looked at, in one sentence: "not delivered" is not "none" (CH-12)."""
    said = []
    if delivered.missing:
        said.append(f"Not delivered by the EHR, and so not looked at: {wording(delivered.missing)}.")
    if delivered.partial:
        said.append(f"Delivered only in part: {wording(delivered.partial)}.")
    return " ".join(said)
