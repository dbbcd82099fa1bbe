"""Days between dates, whatever their precision."""

from __future__ import annotations

import pytest

from shared.fhir.dates import days


@pytest.mark.parametrize(
    ("start", "end", "between"),
    [
        ("2026-02-11", "2026-02-25", 14),
        ("2026-02", "2026-03", 1),
        ("2025", "2026-01-02", 2),
        ("2026-02-30", "2026-03-01", 0),
    ],
)
def test_days_are_counted_at_the_least_and_not_at_all_from_a_day_that_no_calendar_has(start: str, end: str, between: int) -> None:
    assert days(start, end) == between
