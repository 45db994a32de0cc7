"""Cause, remaining life and durations in the words of a technician, coarse enough to stay while little changes."""

from __future__ import annotations

from math import ceil, floor, isfinite

from agent.line.verdict import LifeEnd, Verdict

UNITS = (("weeks", 604_800), ("days", 86_400), ("hours", 3_600), ("minutes", 60))
"""The largest of which the median makes at least two is the one to tell it in."""
UNITS_MIN = 2
NO_ESTIMATE = "no estimate"


def cause(verdict: Verdict) -> str:
    """Return the class of cause with its probability, as in "sensor (73 %)", or "not told"."""
    if verdict.cause is None:
        return "not told"
    sure = "" if verdict.cause_probability is None else f" ({100 * verdict.cause_probability:.0f} %)"
    return f"{verdict.cause.value}{sure}"


def remaining_life(verdict: Verdict) -> str:
    """Return how long an asset has, as in "2 to 9 days left, most likely 5", or "no estimate".

    The span holds the truth in 90 % of cases. Where no failure is known it says when the deviation will have grown to
    twice its limit, and says so.
    """
    life = verdict.remaining_life_s
    if life is None or not all(isfinite(quantile) for quantile in life):
        return NO_ESTIMATE
    low, median, high = life
    unit, unit_s = next(((name, s) for name, s in UNITS if median >= UNITS_MIN * s), UNITS[-1])
    first, last = floor(low / unit_s), ceil(high / unit_s)
    span = f"up to {last} {unit}" if first == 0 else f"{first} to {last} {unit}"
    likely = f", most likely {max(round(median / unit_s), 1)}"
    if last <= 1:
        span, likely = "less than a minute", ""
    return (
        f"{span} left{likely}"
        if verdict.remaining_life_until is LifeEnd.FAILURE
        else f"twice the limit in {span}{likely}"
    )


def lasting(seconds: float) -> str:
    """Return a duration in words, to two digits."""
    for unit, size_s, from_s in (("days", 86_400.0, 172_800.0), ("h", 3_600.0, 3_600.0), ("min", 60.0, 60.0)):
        if seconds >= from_s:
            count = seconds / size_s
            return f"{count:.0f} {unit}" if count >= 10 else f"{count:.2g} {unit}"
    return f"{seconds:.2g} s"


def plain(number: float) -> str:
    """Return a number above 0, or 0, to two digits and never with an exponent; what is too small to matter as that."""
    if 0.0 < number < 0.001:
        return "under 0.001"
    return f"{number:.2g}" if number < 10.0 else f"{number:,.0f}"
