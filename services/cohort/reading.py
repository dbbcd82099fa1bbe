"""A patient's resources as one record, by the reader of everywhere else; what is dated after the day of the run has not happened.

A date is bounded by the instant at which its resource was written (`meta.lastUpdated`). Where that lies ahead too, by a wrong clock or a
slip of the pen, nothing else would bound it: she would be followed to that day.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec.structs import replace

from services.cohort.plan import Asked
from shared.fhir.bundle import FAULTS
from shared.fhir.dates import day, later
from shared.fhir.reader import read_resources
from shared.oncology.record import Issue, Record

AHEAD: Final = "Dates or instants of writing (lastUpdated) lie after {}, the day of the run: what is dated so has not happened."


class _Meta(msgspec.Struct, frozen=True):
    written: str | None = msgspec.field(name="lastUpdated", default=None)


class _Written(msgspec.Struct, frozen=True):
    meta: _Meta = _Meta()


_WRITTEN: Final = msgspec.json.Decoder(_Written)


def read(patient: str, resources: list[bytes], asked: Asked) -> Record:
    """Her record; where it reaches beyond the day of the run, as it stood on that day, with an issue that says so. Raises Refused."""
    record = read_resources(patient, resources, as_of=asked.as_of)
    until = asked.until if asked.as_of is None else None
    if until is None:
        return record
    beyond = any(date is not None and later(date, until) for date in (record.today, record.deceased))
    if not beyond and not any(_written_after(raw, until) for raw in resources):
        # A month or year that is not over means no day after the run.
        open_ = any(
            date and len(date) < len(until) and until.startswith(date) for date in (record.deceased, *(f.when for f in record.findings))
        )
        return replace(record, as_of=until) if open_ else record
    if beyond:
        record = read_resources(patient, resources, as_of=until)
    ahead = Issue(severity="warning", code="date-implausible", text=AHEAD.format(until), sources=(patient,))
    return replace(record, issues=(*record.issues, ahead))


def _written_after(raw: bytes, until: str) -> bool:
    try:
        written = day(_WRITTEN.decode(raw).meta.written)
    except FAULTS:
        return False  # the reader has said what is wrong with it
    return written is not None and later(written, until)
