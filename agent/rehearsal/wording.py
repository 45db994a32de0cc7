"""Durations in words."""

from __future__ import annotations


def lasting(seconds: float) -> str:
    """Return a duration in words, to two digits."""
    for unit, size_s, from_s in (("days", 86_400.0, 172_800.0), ("h", 3_600.0, 3_600.0), ("min", 60.0, 60.0)):
        if seconds >= from_s:
            count = seconds / size_s
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.2g} {unit}"
    return f"{seconds:.2g} s"
