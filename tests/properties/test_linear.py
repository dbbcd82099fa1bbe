"""What reading and staging a record take grows with its entries and no faster: told by the calls made, never by a clock."""

from __future__ import annotations

import sys
from types import FrameType

from benchmarks.long_records import busiest, grown
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode


def calls(data: bytes) -> int:
    """The calls of Python and of C functions that it takes to read, stage and encode a record."""
    made, before = 0, sys.getprofile()

    def count(frame: FrameType, event: str, arg: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        encode(stage(read_bundle(data), rules()))
    finally:
        sys.setprofile(before)
    return made


def test_four_times_the_entries_take_four_times_the_calls() -> None:
    patient = busiest()
    short, long = grown(patient, 250), grown(patient, 1000)
    calls(short)  # fills the caches of codes and dates

    assert len(read_bundle(long).findings) == 999
    assert calls(long) < 4.4 * calls(short)
