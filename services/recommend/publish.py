"""Writes the answer, once, as fully as the server takes it. The same decision is found again and not repeated; what a person has touched
is left alone.

How it is written is decided for each server from what it offers (`shared.fhir.write_mode`): one transaction, one conditional write after
another, a document, or nothing, where only our own page shows it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from typing import Any

import msgspec

from services.recommend.careplan import transaction
from services.recommend.decision import DECISION, Answer, decision, proposes
from services.recommend.document import document
from services.recommend.options import Drug
from services.recommend.ordered import complete, write_in_order
from services.recommend.published import Earlier, Publication, standing, untouched, written_earlier
from services.recommend.reduced import reduced
from services.recommend.replaced import to_replace, without_doubles
from services.recommend.withdrawn import Replaced, marked
from shared.fhir.client import FhirClient
from shared.fhir.create_once import create_once, found, patiently
from shared.fhir.outcome import Conflict, FigaroError, Gone, NotFound, Unavailable
from shared.fhir.r4 import check, complaints
from shared.fhir.write_mode import Offer, Writing, writing

Json = dict[str, Any]
_TRIES = 4
_ROOM = 0.2  # seconds, times the tries so far: those who met shall not meet again
__all__ = ["Publication", "publish", "unwritten"]


async def publish(server: FhirClient, answer: Answer, drugs: dict[str, Drug], *, at: str, software: str) -> Publication:
    """Writes the decision unless it stands already; withdraws untouched drafts where there is nothing to propose. `at` is an instant.

    Raises what the server answers; FigaroError where our own transaction is not valid FHIR, which is then not sent.
    """
    offer = await server.offer()
    how = writing(offer)
    publisher = _Publisher(server, answer, drugs, at, software, offer, how)
    if how.mode == "page":
        return unwritten(answer)
    return await (publisher.document() if how.mode == "document" else publisher.plan())


def unwritten(answer: Answer) -> Publication:
    """Of an answer that stands on our own page only; it has a decision where it proposes something."""
    return Publication(decision=decision(answer) if proposes(answer) else None, mode="page")


class _Publisher(msgspec.Struct, frozen=True):
    """One answer on its way to one server."""

    server: FhirClient
    answer: Answer
    drugs: dict[str, Drug]
    at: str
    software: str
    offer: Offer
    how: Writing

    async def plan(self) -> Publication:
        """A CarePlan and all that belongs to it."""
        for tried in range(1, _TRIES + 1):
            plans = await self._plans()
            there = standing(plans, self.answer)
            if there is not None and (self.how.mode == "transaction" or await complete(self.server, self.offer, there)):
                return self._stands(there, plans)
            try:
                created = await self._write(plans, there)
                break
            except Conflict as error:
                # Somebody has touched an earlier draft since we looked, or creates the Device or this decision as we do: look again.
                if tried < _TRIES:
                    await asyncio.sleep(random.uniform(0, _ROOM * tried))  # noqa: S311 spread, no secret
                elif error.status == 409:
                    raise Unavailable("The FHIR server takes no CarePlan now, because others write the same: try later.") from error
                else:
                    raise
            except Unavailable as error:
                # The reply is lost. What was done is looked up; it is never sent again blindly (FC-07).
                if tried > 1 or not error.outcome_unknown or self.how.mode != "transaction":
                    raise
                if (done := await patiently(self._found)) is None:
                    raise
                return self._stands(*done, written=True)
        if not proposes(self.answer):
            still = await self._plans() if any(plan.open for plan in plans) else []
            return Publication(mode=self.how.mode, left=_open(still))
        if (done := await patiently(self._found)) is None:
            raise FigaroError("The FHIR server took the CarePlan and does not find it among the patient's: look at its search index.")
        return self._stands(*done, written=created)

    async def _plans(self) -> list[Earlier]:
        """Every CarePlan of ours for the patient, none of them twice."""
        patient = self.answer.record.patient
        return await without_doubles(self.server, self.offer, patient, await written_earlier(self.server, "CarePlan", patient))

    async def _found(self) -> tuple[Earlier, list[Earlier]] | None:
        """What stands for the decision, and every plan of ours beside it."""
        plans = await self._plans()
        there = standing(plans, self.answer)
        return (there, plans) if there else None

    async def _write(self, plans: list[Earlier], there: Earlier | None) -> bool:
        """Sends what is to be written; whether a CarePlan came into being by it. `there` is one that was begun and not finished."""
        patient, wanted = self.answer.record.patient, decision(self.answer)
        before = await to_replace(self.server, self.offer, patient, plans, there=there, wanted=wanted if proposes(self.answer) else "")
        again = there.again if there else before.again
        bundle, wrong = await asyncio.to_thread(self._checked, before.replaced, again)
        if not bundle.get("entry"):
            return False
        if wrong:
            raise FigaroError(f"The CarePlan was not sent, because it is not valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
        bundle = await self._by_the_device_there(bundle)
        if self.how.mode == "ordered":
            return await write_in_order(self.server, self.offer, bundle)
        return any(done.type == "CarePlan" and done.created for done in await self.server.transaction(bundle))

    async def _by_the_device_there(self, bundle: Json) -> Json:
        """Every patient's plan names one Device: where it stands, even twice, it is named and not created, or 412 would stop them all."""
        device = next((entry for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Device"), None)
        if device is None or not self.offer.said.searches("Device", "identifier"):
            return bundle
        there = await found(self.server, device["resource"], device["request"]["ifNoneExist"].removeprefix("identifier="))
        if not there:
            return bundle
        rest = {**bundle, "entry": [entry for entry in bundle["entry"] if entry is not device]}
        named = min(one.reference for one in there)
        by_name: Json = msgspec.json.decode(msgspec.json.encode(rest).replace(f'"{device["fullUrl"]}"'.encode(), f'"{named}"'.encode()))
        return by_name

    def _checked(self, earlier: tuple[Replaced, ...], again: int) -> tuple[Json, list[str]]:
        """What is to be sent and what is wrong with it. A tenth of a second's work: in a thread, while others are answered."""
        whole = transaction(self.answer, self.drugs, at=self.at, software=self.software, replaces=earlier, again=again)
        bundle = reduced(whole, self.how.lacking)
        return bundle, check(bundle) if bundle.get("entry") else []

    async def document(self) -> Publication:
        """A DocumentReference in the stead of the CarePlan."""
        documents = await written_earlier(self.server, "DocumentReference", self.answer.record.patient)
        there = standing(documents, self.answer)
        created = False
        if there is None and proposes(self.answer):
            there, created = await self._create(documents)
        for one in documents:
            if one.open and (there is None or one.reference != there.reference):
                await self._supersede(one)
        return self._stands(there, documents, written=created) if there else Publication(mode="document")

    async def _create(self, documents: list[Earlier]) -> tuple[Earlier, bool]:
        again = sum(one.under(DECISION) == decision(self.answer) for one in documents)
        replaces = tuple(one.reference for one in documents if one.open)
        resource = document(self.answer, self.drugs, at=self.at, software=self.software, replaces=replaces, again=again)
        if wrong := complaints(msgspec.json.encode(resource)):
            raise FigaroError(f"The document was not sent, because it is not valid FHIR R4: {wrong[0]} ({len(wrong)} in all).")
        value = resource["identifier"][0]
        conditional = self.offer.conditional("DocumentReference")
        written = await create_once(self.server, resource, f"{value['system']}|{value['value']}", conditional=conditional)
        return Earlier(written.reference, written.version, resource), written.created

    async def _supersede(self, one: Earlier) -> None:
        """An untouched document of ours is marked as replaced; a person's word on it stays."""
        if not one.version or not await untouched(self.server, self.offer, one.reference, one.resource):
            return
        try:
            changed = marked({**one.resource, "status": "superseded"}, decision(self.answer))
            await self.server.update(changed, if_match=one.version)
        except (Conflict, Gone, NotFound):
            return

    def _stands(self, there: Earlier, earlier: list[Earlier], *, written: bool = False) -> Publication:
        left = () if self.how.mode == "document" else _open(one for one in earlier if one is not there)
        status = str(there.resource.get("status") or "") or None
        return Publication(there.reference, there.version, decision(self.answer), written, self.how.mode, status, left)


def _open(plans: Iterable[Earlier]) -> tuple[str, ...]:
    """Whoever is still open after a new plan was written is so because a person has touched it."""
    return tuple(sorted(plan.reference for plan in plans if plan.open))
