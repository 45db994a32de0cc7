"""Times as Python has them, and as the agent does: UTC ns since 1970. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
TIME_NS_MAX: Final = 230 * 365 * 86_400 * 10**9
"""A later time, near the year 2200, says nothing; 64 bits end in 2262, and what is added to a time has to fit, too."""


def moment(time_ns: int) -> datetime:
    """Return a time in UTC ns as a datetime."""
    return _EPOCH + timedelta(microseconds=time_ns // 1000)


def aware(stamp: datetime) -> datetime:
    """Return a stamp with its zone, which is UTC where it has none."""
    return stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)


def utc_ns(stamp: datetime) -> int:
    """Return a stamp in UTC ns, to the microsecond."""
    return (aware(stamp) - _EPOCH) // timedelta(microseconds=1) * 1000
