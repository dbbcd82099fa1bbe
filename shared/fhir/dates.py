"""FHIR dates as text with the precision they were given in: cutting, comparing, and whether the calendar has them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from datetime import date as calendar_day
from functools import lru_cache
from math import inf

_DATE = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])(?:T.*)?)?)?$")


def later(date: str, limit: str) -> bool:
    """Whether a date is surely later than the limit, at the precision that both have."""
    shared = min(len(date), len(limit))
    return date[:shared] > limit[:shared]


def days(start: str, end: str) -> int:
    """The days from one date to another, at the least where they are partial; 0 where the calendar lacks one of them."""
    last = start + {4: "-12-31", 7: "-28"}.get(len(start), "")
    try:
        return (calendar_day.fromisoformat((end + "-01-01")[:10]) - calendar_day.fromisoformat(last)).days
    except ValueError:
        return 0


def day(instant: str | None) -> str | None:
    """The day of an instant, or the date as it is."""
    return instant[:10] if instant else None


@lru_cache(maxsize=4096)
def is_date(text: str) -> bool:
    """Whether the text is a day, month or year that the calendar has."""
    if not _DATE.match(text):
        return False
    try:
        return bool(calendar_day.fromisoformat((text + "-01-01")[:10]))
    except ValueError:
        return False


@lru_cache(maxsize=4096)
def latest(instant: str | None) -> str | None:
    """The day of an instant where it ends last: what was written late in the evening in Greenwich is of the next day further east."""
    try:
        return (datetime.fromisoformat(instant) + timedelta(hours=12)).date().isoformat() if instant and "T" in instant else day(instant)
    except (ValueError, OverflowError):
        return day(instant)


@lru_cache(maxsize=4096)
def instant(text: str | None) -> float:
    """An instant in seconds, the same wherever its clock stood; earlier than all where it is none."""
    try:
        found = datetime.fromisoformat(text) if text else None
        return -inf if found is None else (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -inf
