"""How far a few counts are to be believed: intervals for a rate and for a share."""

from __future__ import annotations

import math
from collections.abc import Callable

CONFIDENCE = 0.95
_Z = 1.959964
"""The normal quantile of that confidence, both sides."""


def rate_interval(count: int) -> tuple[float, float]:
    """Return between which means a count of a Poisson process lies with CONFIDENCE (Garwood, Biometrika 1936)."""
    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else _where(lambda mean: 1 - _at_most(count - 1, mean) >= tail, count)
    return low, _where(lambda mean: _at_most(count, mean) <= tail, count)


def share_interval(found: int, of: int) -> tuple[float, float]:
    """Return between which shares a count `found` of `of` lies with CONFIDENCE (Wilson, JASA 1927); all of none."""
    if not of:
        return 0.0, 1.0
    share, z2 = found / of, _Z**2
    centre = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of**2)) / (1 + z2 / of)
    return max(centre - half, 0.0), min(centre + half, 1.0)


def _at_most(count: int, mean: float) -> float:
    """Return the probability that a Poisson process of a mean above 0 gives at most so many."""
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _where(reached: Callable[[float], bool], count: int) -> float:
    """Return the mean from which on something is reached, by bisection."""
    low, high = 0.0, count + 6 * math.sqrt(count + 1) + 6
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
