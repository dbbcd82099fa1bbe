"""A Bulk Data export: started, waited for, and taken down at the server when all is stored.

    exports = BulkExports(BulkWire(base, session=session, authority=authority))
    status = await exports.start(Ask())
    manifest = await exports.wait(status, told=print)
    await exports.end(status)

The files are fetched by `shared.fhir.bulk_files`. Source: HL7 FHIR Bulk Data Access 2.0.0 (STU2).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import stamina
from yarl import URL

from shared.fhir.bulk_manifest import Ask, Manifest, manifest
from shared.fhir.bulk_wire import BulkWire
from shared.fhir.outcome import FigaroError, NotFhir, NotFound, Rejected, Unavailable, printable
from shared.fhir.refusal import seconds

_KICK_OFF: Final = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
_POLL: Final = {"Accept": "application/json", "Cache-Control": "no-cache"}
_PARTS: Final = 1_000  # of one manifest
_PROGRESS: Final = 100  # characters


class BulkExports:
    """The exports of one server. A status URL is the server's own; it is asked only where the guard allows."""

    def __init__(self, wire: BulkWire) -> None:
        self._wire = wire
        self._limits = wire.limits

    async def start(self, ask: Ask) -> str:
        """Starts an export; the address of its status. By POST, else by GET, which older servers have.

        Raises Rejected where the server has none of that kind, NotFhir where it sends us elsewhere.
        """
        where = "/".join((str(self._wire.base), *ask.place))
        json = {**_KICK_OFF, "Content-Type": "application/fhir+json"}
        try:
            return await self._kicked_off("POST", URL(where, encoded=True), json, ask.body())
        except (NotFound, Rejected, NotFhir) as error:
            if error.status not in (400, 404, 405, 415, 422, 501, 502):
                raise
        try:
            return await self._kicked_off("GET", URL(f"{where}?{ask.query()}", encoded=True), _KICK_OFF, None)
        except (NotFound, Rejected) as error:
            text = f"The FHIR server at {self._wire.base} starts no export of {ask.about} ({error.status})"
            advice = "it may have bulk export at another level, or not at all: `figaro check` shows which it names."
            raise Rejected(f"{text}: {advice}", status=error.status, outcome=error.outcome) from error

    async def wait(self, status: str, *, told: Callable[[str], None] = lambda _: None) -> Manifest:
        """The manifest, once the export is ready; `told` gets the server's own word on its progress.

        Raises Unavailable at the time limit, when it is cancelled, and where it has failed; NotFound and Gone where it is not there.
        """
        url, late, pause, failed = self._wire.admitted(status), time.monotonic() + self._limits.export, self._limits.shortest, 0
        while True:
            asked: float | None = None
            try:
                answer = await self._polled(url)
            except Unavailable as error:
                failed += error.code != "throttled"
                if failed >= _patience(error):
                    raise
                asked = error.retry_after
            else:
                failed = 0
                if isinstance(answer, Manifest):
                    return await self._whole(answer)
                asked, progress = answer
                told(progress)
            pause = self._limits.clamped(pause * 1.5 if asked is None else asked)
            if time.monotonic() + pause > late:
                await self.end(status)
                hours = self._limits.export / 3600
                text = f"{self._wire.place('export')} was not ready within {hours:.3g} h and was cancelled"
                raise Unavailable(f"{text}: export less at once (types, a Group, since), or give it more time.", code="timeout")
            await asyncio.sleep(pause)

    async def end(self, status: str) -> bool:
        """Has the server delete the export, or cancel it; whether it did. What it does not delete expires there."""
        try:
            url = self._wire.admitted(status)
            async with self._wire.ask("DELETE", url, what="delete an export", headers=_KICK_OFF):
                return True
        except FigaroError:
            return False

    async def _kicked_off(self, method: str, url: URL, headers: dict[str, str], body: bytes | None) -> str:
        def again(error: Exception) -> bool | float:
            # A lost answer may have begun an export: it is not begun twice.
            if not isinstance(error, Unavailable) or error.outcome_unknown or error.code not in ("transient", "throttled"):
                return False
            return True if error.retry_after is None else self._limits.clamped(error.retry_after)

        async for attempt in stamina.retry_context(on=again, **self._limits.repetition):
            with attempt:
                async with self._wire.ask(method, url, what="start an export", headers=headers, body=body) as answer:
                    there = answer.headers.get("Content-Location")
                    if answer.status != 202 or not there:
                        text = f"{self._wire.place('start an export')} answered {answer.status} and names no place to wait at"
                        raise NotFhir(f"{text}: it does not export in the way of FHIR Bulk Data.")
        return str(self._wire.admitted(there or ""))

    async def _polled(self, url: URL) -> Manifest | tuple[float | None, str]:
        async with self._wire.ask("GET", url, what="wait for an export", headers=_POLL) as answer:
            if answer.status == 202:
                progress = printable(answer.headers.get("X-Progress", ""))[:_PROGRESS]
                return seconds(answer.headers.get("Retry-After")), progress
            said = await self._wire.body(answer, self._wire.place("manifest of an export"), self._limits.manifest)
        return manifest(said, str(self._wire.base))

    async def _whole(self, first: Manifest) -> Manifest:
        found, asked = first, set[str]()
        while found.next is not None:
            if found.next in asked or len(asked) >= _PARTS:
                raise NotFhir(f"{self._wire.place('manifest of an export')} never comes to a last part.")
            asked.add(found.next)
            part = await self._polled(self._wire.admitted(found.next))
            if not isinstance(part, Manifest):
                raise Unavailable(f"{self._wire.place('manifest of an export')} has parts that are not ready.")
            found = found.with_part(part)
        if len(found.placed()) > self._limits.files:
            raise NotFhir(f"{self._wire.place('manifest of an export')} names more than {self._limits.files} files: export less at once.")
        return found


def _patience(error: Unavailable) -> int:
    """How many failed polls in a row are borne: a server that restarts may be away for minutes; one that fails says so again."""
    passing = error.code == "transient" or any(issue.code == "transient" for issue in error.outcome)
    return 1 if error.code == "security" else 10 if passing else 3
