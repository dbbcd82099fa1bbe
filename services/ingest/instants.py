"""Instants as text, and ids that sort by the time they were made."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID


def now(offset: timedelta = timedelta()) -> str:
    """The instant so far from now, in UTC to the microsecond: 2026-11-22T05:08:08.123456Z."""
    return (datetime.now(UTC) + offset).isoformat(timespec="microseconds").replace("+00:00", "Z")


def time_sortable_id() -> str:
    """A UUID of version 7 (RFC 9562) whose next 12 bits are the fraction of the millisecond (its section 6.2, method 3)."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = nanoseconds * 4096 // 1_000_000
    return str(UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | secrets.randbits(62)))
