"""READ FIRST. The run, step by step. Each step leaves whole files in `work/`, and is passed over where it has left them before."""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

import duckdb
import msgspec
from msgspec.structs import replace

from services.cohort.engines import Engine
from services.cohort.gather import gather, gather_medications, moved, wanted_medications
from services.cohort.lost import Lost, lost
from services.cohort.patients import Patients, find
from services.cohort.plan import Asked, Piece, Plan, inputs, leave, whole
from services.cohort.result import MANIFEST, Counts, Fault, Foreign, Manifest, finished, merge, write_manifest
from services.cohort.scan import SHOWN, Seen, scan
from services.cohort.staging_parts import Staged, stage_part
from services.cohort.unread import Unread, absent, cut_off
from shared.fhir.outcome import Refused

R = TypeVar("R")
STEPS: Final = ("scan", "kept", "medications", "rows", "spill")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Told(Protocol):
    """Hears how far a step has come, of how much in all."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


def run(plan: Plan, engine: Engine, told: Told = lambda step, done, total: None) -> Manifest:
    """The result of the run, made now, gone on with, or there already.

    Raises Unreadable where nothing can be read, Refused where the disk is full or another run is at work in the folder. What was done
    until then stays for the next time.
    """
    if plan.folder.resolve() == plan.export.resolve():
        raise Refused("The results cannot go among the files of the export: give another folder with --to.")
    with _room(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (there := finished(plan.folder, plan.asked)) is not None:
            return there
        plan.work.mkdir(exist_ok=True, mode=0o700)
        with _alone(plan.work):
            plan = _prepare(plan)
            manifest = _steps(plan, engine, told)
            shutil.rmtree(plan.work)  # the lock goes with it: whoever comes next finds the result
        return manifest


def _prepare(plan: Plan) -> Plan:
    """The work that is there is kept where it is of the same run, and its day with it; else it is begun anew."""
    note = plan.work / "asked.json"
    before = _noted(note)
    if before is not None and before.same(plan.asked):
        plan = plan._replace(asked=before)
    elif note.exists():
        for step in STEPS:
            shutil.rmtree(plan.work / step, ignore_errors=True)
        for left in (file for name in ("patients", "medications", "moved") for file in plan.work.glob(f"{name}.*")):
            left.unlink()
    for step in STEPS:
        (plan.work / step).mkdir(exist_ok=True)
    leave(note, plan.asked)
    return plan


def _noted(note: Path) -> Asked | None:
    try:
        found: Asked | None = whole(note, Asked)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found


def _steps(plan: Plan, engine: Engine, told: Told) -> Manifest:
    pieces = plan.pieces()
    seen = sorted(_done(engine.each(partial(scan, plan), pieces), "read the export", len(pieces), told), key=lambda each: each.number)
    patients = find(plan, len(pieces))
    _all(engine.each(partial(gather, plan, parts=patients.parts), pieces), "gather the patients", len(pieces), told)
    with_medications: list[Piece] = []
    if wanted_medications(plan, len(pieces)):
        with_medications = [piece for piece in pieces if "Medication" in seen[piece.number].kinds]
        _all(engine.each(partial(gather_medications, plan), with_medications), "gather their medications", len(with_medications), told)
    astray = lost(plan, pieces, seen, _kinds(pieces, seen))
    unread = _unread(pieces, seen, astray)
    gone = moved(plan, len(pieces))
    stage = partial(
        stage_part,
        plan,
        pieces=len(pieces),
        with_medications=tuple(piece.number for piece in with_medications),
        unread=unread,
        moved=gone,
    )
    staged = list(_done(engine.each(stage, range(patients.parts)), "stage", patients.parts, told))
    if inputs(plan.export) != plan.asked.inputs:
        raise Refused(f"The files of {plan.export} have changed while they were read: give the same command again, which begins anew.")
    (plan.folder / MANIFEST).unlink(missing_ok=True)
    files = merge(plan, patients.parts, lambda done: told("write the rows", done, patients.staged))
    found = {
        "lost": {kind: each.count for kind, each in astray.items()},
        "lost_first": {kind: each.first for kind, each in astray.items()},
        "spared": tuple(kind for kind, each in astray.items() if each.spared),
    }
    return write_manifest(plan, replace(_counts(pieces, seen, patients, staged, unread), moved=gone, **found), files)


def _unread(pieces: list[Piece], seen: list[Seen], astray: dict[str, Lost]) -> Unread:
    """The types that are absent, those of files that break off, and those of which lines are of nobody who can be told, but for so few
    that they are spared.
    """
    kinds = _kinds(pieces, seen)
    broken = {piece.file for piece, each in zip(pieces, seen, strict=True) if each.cut}
    full = {piece.file for piece, each in zip(pieces, seen, strict=True) if each.kinds or each.unreadable or each.cut}
    found, foreign = Counter[str](), Counter[str]()
    for each in seen:
        found.update(each.kinds)
        for shape, (count, _) in each.shapes.items():
            foreign[shape.partition(" ")[2]] += count
    return Unread(
        absent=absent({kind for kind in found if foreign[kind] < found[kind]}, kinds.keys() - full),
        cut=cut_off({file: kinds[file] for file in broken}),
        lost=tuple(kind for kind, each in astray.items() if not each.spared),
        foreign=tuple(sorted(foreign)),
    )


def _kinds(pieces: list[Piece], seen: list[Seen]) -> dict[str, set[str]]:
    """The types of the lines of each file."""
    kinds: dict[str, set[str]] = {}
    for piece, each in zip(pieces, seen, strict=True):
        kinds.setdefault(piece.file, set()).update(each.kinds)
    return kinds


def _done(results: Iterator[R], step: str, total: int, told: Told) -> Iterator[R]:
    told(step, 0, total)
    for count, result in enumerate(results, 1):
        told(step, count, total)
        yield result


def _all(results: Iterator[object], step: str, total: int, told: Told) -> None:
    for _ in _done(results, step, total, told):
        pass


def _counts(pieces: list[Piece], seen: list[Seen], patients: Patients, staged: list[Staged], unread: Unread) -> Counts:
    """The tallies of all pieces and parts; the lines of a piece are counted from the beginning of its file."""
    kinds, nameless, issues, foreign = Counter[str](), Counter[str](), Counter[str](), dict[str, Foreign]()
    faults: list[Fault] = []
    before: Counter[str] = Counter()
    for piece, each in zip(pieces, seen, strict=True):
        base = before[piece.file]
        faults += [Fault(piece.file, base + line, text) for line, text in each.faults]
        for shape, (count, line) in each.shapes.items():
            version, _, kind = shape.partition(" ")
            known = foreign.get(shape) or Foreign(version, kind, 0, piece.file, base + line)
            foreign[shape] = replace(known, count=known.count + count)
        before[piece.file] += each.lines
        kinds.update(each.kinds)
        nameless.update(each.nameless)
    partly = Counter[str]()
    for part in staged:
        issues.update(part.issues)
        partly.update(part.partly)
    return Counts(
        kinds=dict(sorted(kinds.items())),
        lines=before.total(),
        unreadable=sum(each.unreadable for each in seen),
        faults=tuple(faults[:SHOWN]),
        nameless=dict(sorted(nameless.items())),
        foreign=tuple(foreign[shape] for shape in sorted(foreign)),
        patients=patients,
        rows=sum(part.rows for part in staged),
        errors=sum(part.errors for part in staged),
        copies=sum(part.copies for part in staged),
        issues=dict(sorted(issues.items())),
        absent=unread.absent,
        cut=unread.cut,
        counted=sum(part.counted for part in staged),
        marked=sum(part.marked for part in staged),
        ahead=sum(part.ahead for part in staged),
        partly=dict(sorted(partly.items())),
        replaced=sum(part.replaced for part in staged),
    )


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Two runs in one folder would spoil each other's files."""
    with (work / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Refused(f"Another figaro cohort is at work in {work.parent}: wait for it, or give another folder with --to.") from None
        yield


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """A disk that fills, or a folder that cannot be written, in one sentence."""
    again = "make room, or give another folder with --to; the same command goes on where it stopped"
    try:
        yield
    except duckdb.Error as error:
        # DuckDB tells of a full disk in words alone.
        if "space" not in str(error) and "max_temp_directory_size" not in str(error):
            raise
        raise Refused(f"No room is left on the disk of {folder}: {again}.", code="no-store") from None
    except OSError as error:
        if error.errno in _FULL:
            raise Refused(f"No room is left on the disk of {folder}: {again}.", code="no-store") from None
        reason = (error.strerror or "no reason given").lower()
        raise Refused(f"{error.filename or folder} cannot be read or written: {reason}.") from None
