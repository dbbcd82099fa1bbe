"""A Bulk Data export into a folder, so that whatever ends half-way goes on where it was: `export.json` says how far it has come."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shared.fhir.bulk import BulkExports
from shared.fhir.bulk_files import BulkFiles
from shared.fhir.bulk_manifest import Ask, Manifest
from shared.fhir.bulk_wire import BulkWire
from shared.fhir.bulk_words import ANSWER, keep
from shared.fhir.ndjson import lines
from shared.fhir.outcome import FigaroError, Gone, NotFound, Refused, Rejected, Unauthorised, Unavailable

STATE: Final = "export.json"


class Job(msgspec.Struct, kw_only=True):
    """`status` is where the server is asked; `complete` when every file is here with all its lines; `short` are those that have fewer.

    Only from a complete one may the next export start (BD-07). `left_out` are types that the server does not export with its patients.
    """

    base: str
    ask: Ask
    status: str | None = None
    manifest: Manifest | None = None
    complete: bool = False
    left_out: tuple[str, ...] = ()
    short: tuple[str, ...] = ()

    @property
    def stored(self) -> bool:
        """Whether every file is here, be it short."""
        return self.complete or bool(self.short)

    @property
    def begun(self) -> bool:
        """Whether there is anything of it, here or at the server."""
        return self.status is not None or self.manifest is not None


class Told(NamedTuple):
    """Who is told: of the server's word on its progress, and of how many files of how many are here."""

    progress: Callable[[str], None] = lambda _: None
    files: Callable[[int, int], None] = lambda _done, _all: None


async def export(wire: BulkWire, ask: Ask, folder: Path, *, told: Told) -> Job:
    """The export in the folder: what is not there yet, or is short, is fetched. When all is here the server is told to delete its own.

    Raises Refused where the folder holds something else, and what `BulkExports` and `BulkFiles` raise; the server's words stay in it.
    """
    job = _opened(folder, str(wire.base), ask)
    if job.complete:
        return job
    with _alone(folder):
        try:
            return await _exported(wire, job, folder, told)
        except FigaroError as error:
            if error.outcome:
                _save(job, folder)  # so that the folder is still an export's
                keep(error, folder)
            raise


async def _exported(wire: BulkWire, job: Job, folder: Path, told: Told) -> Job:
    exports = BulkExports(wire)
    manifest, again = job.manifest or await _ready(exports, job, folder, told), job.short
    try:
        await _fetch(wire, manifest, folder, told, again)
    except (NotFound, Gone, Unauthorised):  # signed addresses expire, and say so in either way: the manifest has new ones (BD-06)
        manifest = await _ready(exports, job, folder, told)
        await _fetch(wire, manifest, folder, told, again)
    job.short = await asyncio.to_thread(_short, manifest, folder)
    job.complete = not job.short
    _save(job, folder)
    (folder / ANSWER).unlink(missing_ok=True)
    if job.complete and job.status is not None:
        await exports.end(job.status)
    return job


def _short(manifest: Manifest, folder: Path) -> tuple[str, ...]:
    """The files with fewer resources than the manifest says. Of deletions it is not clear what is counted: Bundles, or what is in them."""
    counted = [(name, file.count) for name, file in manifest.placed() if file.count is not None and not name.startswith("deleted/")]
    return tuple(name for name, count in counted if sum(1 for _ in lines(folder / name, lambda _: None)) < count)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else writes into the folder meanwhile; a process that dies lets go of it."""
    there = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"{folder} is being filled by another `figaro import`: wait for it, or give another folder.") from None
    finally:
        os.close(there)


def held(folder: Path) -> Job | None:
    """The export that a folder holds, whole or not; None where it holds none of ours."""
    try:
        return msgspec.json.decode((folder / STATE).read_bytes(), type=Job)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(f"{folder / STATE} cannot be read: it is what an export leaves of itself. Give another folder.") from None


async def _ready(exports: BulkExports, job: Job, folder: Path, told: Told) -> Manifest:
    """The manifest as the server has it now; an export that is no longer there, or that failed, is begun anew."""
    resumed = job.status is not None
    if job.status is None:
        await _start(exports, job, folder)
    try:
        job.manifest = await exports.wait(job.status or "", told=told.progress)
    except (NotFound, Gone):
        if not resumed:
            raise
        await _start(exports, job, folder)
        job.manifest = await exports.wait(job.status or "", told=told.progress)
    except Unavailable as error:
        if error.code in ("exception", "timeout") and job.status is not None:
            await exports.end(job.status)
            job.status = None
            _save(job, folder)
        raise
    job.short = ()
    _save(job, folder)
    return job.manifest


async def _start(exports: BulkExports, job: Job, folder: Path) -> None:
    for name, _ in job.manifest.placed() if job.manifest else ():
        (folder / name).unlink(missing_ok=True)  # of the export before: two are never mixed
    job.manifest, job.short = None, ()
    job.status, job.left_out = await _started(exports, job.ask)
    _save(job, folder)


async def _started(exports: BulkExports, ask: Ask) -> tuple[str, tuple[str, ...]]:
    """Where to wait, and the types without which the server would start at all."""
    fewer = ask.of_patients
    try:
        return await exports.start(ask), ()
    except Rejected as error:
        if error.status not in (400, 422) or fewer == ask or any(issue.code == "not-supported" for issue in error.outcome):
            raise
    return await exports.start(fewer), tuple(kind for kind in ask.kinds if kind not in fewer.kinds)


async def _fetch(wire: BulkWire, manifest: Manifest, folder: Path, told: Told, again: tuple[str, ...]) -> None:
    placed, done = manifest.placed(), 0

    def stored() -> None:
        nonlocal done
        done += 1
        told.files(done, len(placed))

    for name, _ in placed:
        (folder / name).parent.mkdir(mode=0o700, exist_ok=True)
    told.files(0, len(placed))
    await BulkFiles(wire, folder, with_token=manifest.requires_access_token).fetch(placed, again=again, stored=stored)


def _opened(folder: Path, base: str, ask: Ask) -> Job:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = held(folder)
        if found is None and any(folder.iterdir()):
            raise Refused(f"{folder} holds something else: give an empty folder, or one that is not there yet.")
    except OSError as error:
        raise Refused(f"{folder} cannot be used as a folder ({(error.strerror or 'no reason given').lower()}).") from None
    if found is None or not found.begun:
        return Job(base=base, ask=ask)
    if (found.base, found.ask) != (base, ask):
        raise Refused(f"{folder} holds another export: the same command goes on with it; give another folder for this one.")
    return found


def _save(job: Job, folder: Path) -> None:
    beside = folder / f"{STATE}.part"
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.encode(job))
    beside.rename(folder / STATE)
