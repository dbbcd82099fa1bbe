"""Dates of FHIR's three precisions ("2026", "2026-02", "2026-02-11"): what they can mean, and what was known on a day asked for."""

from __future__ import annotations

from calendar import monthrange
from datetime import date


def earliest(text: str) -> str:
    """The first day that the date can mean."""
    return text[:10] + {4: "-01-01", 7: "-01"}.get(len(text), "")


def latest(text: str) -> str:
    """The last day that the date can mean; a month is taken to its 31st."""
    return text[:10] + {4: "-12-31", 7: "-31"}.get(len(text), "")


def day(text: str | None) -> date | None:
    """The first day that the date can mean, as a date."""
    return date.fromisoformat(earliest(text)) if text else None


def last_day(text: str | None) -> date | None:
    """The last day that the date can mean, as a date."""
    if not text:
        return None
    year, month = int(text[:4]), int(text[5:7] or 12)
    return date(year, month, int(text[8:10] or monthrange(year, month)[1]))


def years(birth: str, today: str) -> float:
    """Completed years between two days."""
    return float(int(today[:4]) - int(birth[:4]) - (today[5:] < birth[5:]))


def after(text: str, day: str) -> bool:
    """Whether the date is surely later than the day, at the precision that it has."""
    return earliest(text) > latest(day)


def known(text: str | None, as_of: str | None) -> bool:
    """Whether something of that date was known on the day asked for. No date, or no day asked for, hides nothing."""
    return text is None or as_of is None or latest(text) <= latest(as_of)
