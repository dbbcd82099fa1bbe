"""How a server is asked: spaced out, and left alone for a while after it has failed in a row."""

from __future__ import annotations

import asyncio
import time

import pytest

from shared.fhir.outcome import Conflict, Unavailable
from shared.fhir.pace import Pace


async def fail(pace: Pace, error: Exception) -> None:
    with pytest.raises(type(error)):
        async with pace.turn("The server"):
            raise error


async def test_fc06_after_failures_in_a_row_nothing_is_sent_until_one_request_has_tried() -> None:
    pace = Pace(failures=3, rest=0.05)
    for _ in range(3):
        await fail(pace, Unavailable("gone"))
    with pytest.raises(Unavailable, match="has failed 3 times in a row and is left alone") as resting:
        async with pace.turn("The server"):
            pytest.fail("a request was sent")
    assert not resting.value.outcome_unknown
    assert resting.value.retry_after
    await asyncio.sleep(0.06)
    async with pace.turn("The server"):
        with pytest.raises(Unavailable):
            async with pace.turn("The server"):
                pytest.fail("a second request was sent while the first was trying")
    async with pace.turn("The server"):
        pass


async def test_fc06_an_answer_of_any_kind_and_a_plea_to_slow_down_are_no_failures() -> None:
    pace = Pace(failures=2, rest=60)
    for error in (Unavailable("gone"), Conflict("newer"), Unavailable("gone"), Unavailable("slower", code="throttled"), Conflict("newer")):
        await fail(pace, error)
    async with pace.turn("The server"):
        pass


async def test_fc06_requests_are_spaced_out_where_a_rate_is_set() -> None:
    pace = Pace(per_second=50)

    async def once() -> None:
        async with pace.turn("The server"):
            pass

    begun = time.monotonic()
    await asyncio.gather(*(once() for _ in range(6)))
    assert 0.1 <= time.monotonic() - begun < 1
