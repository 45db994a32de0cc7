"""Prognosis without labels: how healthy an asset is, and when its deviation will have grown to a known level.

Evidence is the logarithm of how far a machine is from healthy, in units of its limit, so the growth of most wear is
near a line in it. The line is fitted robustly (Theil-Sen) to a bounded trace of the present deviation and followed
to a failure level; the band around it is conformal: the quantiles of actual over predicted life in earlier
degradations. A failure level is a criterion set beforehand (ISO 13381-1 calls it a trip set point), not a promise
that the machine breaks there. Where a deviation does not grow steadily there is no estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.frame import Bools, Int64s

Float64s = npt.NDArray[np.float64]

TRACE_MAX = 64
"""Points of the trace; when it is full, either its healthy older half goes or neighbours are merged."""
HEALTHY = 0.5
"""A deviation begins where the evidence leaves this for good."""
HEALTH_RATE = 0.1
"""As fast as what the score bank calls present, so that the health follows an alert within a few rows."""
ROWS_MIN = 500
"""A deviation must have lasted five times the slowest memory of the score bank, whose averages turn a step into a
climb for that long.
"""
CONCORDANT_MIN = 0.85
"""Share of the pairs of points that rise: what remains below is noise or a cycle, not wear."""
RISE_MIN = 0.5
STEP_MAX = 0.4
"""A rise of which one point has more than this share is a step, which says nothing of what follows."""
STALLED = 0.25
"""A deviation whose newer half grows less than this times as fast as the whole has stalled."""
OVERRULED_MAX = 0.5
"""With more than this share of its own earlier bands missed, a course is not predictable."""
EARLIER_MAX = 16
SCATTER_QUANTILE = 0.95


class RemainingLife(NamedTuple):
    """Quantiles of the time left, in seconds: the truth lies between the outer two in 90 % of cases."""

    q05_s: float
    q50_s: float
    q95_s: float


@dataclass(frozen=True, slots=True)
class FailureLevel:
    """The evidence that counts as failure, and the 5, 50 and 95 % quantiles of actual over predicted time to it."""

    evidence: float
    ratios: tuple[float, float, float]


CRITICAL = FailureLevel(2.0, (0.35, 1.25, 5.0))
"""Where no failure is known: twice the limit. Its ratios are those of degradations of simulated machines."""


class _Trace:
    """The course of one deviation as at most TRACE_MAX means over equally many rows."""

    def __init__(self) -> None:
        self.span_rows = 1
        self.time_s: list[float] = []
        self.evidence: list[float] = []
        self._open: tuple[int, float, float] = (0, 0.0, 0.0)

    @property
    def deviating_rows(self) -> int:
        return self.span_rows * sum(evidence >= HEALTHY for evidence in self.evidence)

    def add(self, time_s: float, evidence: float) -> bool:
        """Take a row in; return whether that made a new point."""
        count, times, total = self._open
        count, times, total = count + 1, times + time_s, total + evidence
        self._open = (count, times, total)
        if count < self.span_rows:
            return False
        self._open = (0, 0.0, 0.0)
        self.time_s.append(times / count)
        self.evidence.append(total / count)
        if len(self.time_s) >= TRACE_MAX:
            self._shorten()
        return True

    def _shorten(self) -> None:
        half = TRACE_MAX // 2
        if max(self.evidence[half:]) < HEALTHY:
            self.time_s, self.evidence, self.span_rows = [], [], 1
        elif max(self.evidence[:half]) < HEALTHY:
            self.time_s, self.evidence = self.time_s[half:], self.evidence[half:]
        else:
            self.time_s = _merged(self.time_s)
            self.evidence = _merged(self.evidence)
            self.span_rows *= 2


def _merged(values: list[float]) -> list[float]:
    return [(a + b) / 2 for a, b in zip(values[::2], values[1::2], strict=True)]


class Prognosis:
    """Follows one asset's evidence, O(1) in memory: its health, and the life left where that can be told."""

    def __init__(self, failure: FailureLevel = CRITICAL) -> None:
        """Begin with a healthy asset."""
        self._failure = failure
        self._origin_ns: int | None = None
        self._last_ns = 0
        self._mean: float | None = None
        self._begin()

    def _begin(self) -> None:
        self._trace = _Trace()
        self._life: RemainingLife | None = None
        self._earlier: list[tuple[float, float]] = []

    @property
    def health(self) -> float:
        """Return the health: 1 without any deviation, 0.5 at the limit, towards 0 beyond it; NaN before any evidence.

        It is 1 / (1 + e^2) of the mean evidence e of about the last 10 judged rows.
        """
        return np.nan if self._mean is None else 1.0 / (1.0 + self._mean**2)

    def update(self, times_ns: Int64s, evidence: Float64s, judged: Bools) -> RemainingLife | None:
        """Take rows in: UTC times i64[N], evidence f64[N] (1 is the limit, NaN not judged), bool[N] which count.

        Returns the remaining life as of the newest point of the trace, None where there is no honest estimate. A
        clock that was set back starts the trace anew. The rows may come in any portions.
        """
        rows = judged & np.isfinite(evidence)
        for time_ns, value in zip(times_ns[rows].tolist(), evidence[rows].tolist(), strict=True):
            self._add(time_ns, value)
        return self._life

    def _add(self, time_ns: int, evidence: float) -> None:
        if self._origin_ns is None or time_ns <= self._last_ns:
            self._origin_ns = time_ns
            self._begin()
        self._last_ns = time_ns
        before = evidence if self._mean is None else self._mean
        self._mean = before + HEALTH_RATE * (evidence - before)
        if self._trace.add((time_ns - self._origin_ns) / 1e9, evidence):
            self._life = self._estimate()

    def _estimate(self) -> RemainingLife | None:
        trace, failure = self._trace, self._failure
        points = len(trace.time_s)
        if points < TRACE_MAX // 2 or points * trace.span_rows < ROWS_MIN or trace.deviating_rows < ROWS_MIN:
            self._earlier = []
            return None
        time_s = np.array(trace.time_s)
        reach = time_to(time_s, np.array(trace.evidence), failure.evidence)
        if reach is None:
            return None
        now_s = float(time_s[-1])
        low, median, high = failure.ratios
        life = RemainingLife(low * reach[0], median * reach[1], high * reach[1])
        overruled = self._overruled(now_s + life.q50_s)
        self._earlier = [*self._earlier[1 - EARLIER_MAX :], (now_s + life.q05_s, now_s + life.q95_s)]
        return None if overruled else life

    def _overruled(self, end_s: float) -> bool:
        """Return whether the end that is now expected lies outside most bands that were given before."""
        missed = sum(not low <= end_s <= high for low, high in self._earlier)
        return missed > OVERRULED_MAX * len(self._earlier)


def time_to(time_s: Float64s, evidence: Float64s, level: float) -> tuple[float, float] | None:
    """Return the seconds until a trace f64[N] of rising evidence may reach a level, and until its trend does.

    The trend's slope is the geometric mean of the whole trace's and its newer half's, each the median over all pairs
    of points (Theil 1950, Sen 1968); "may" grants the trace its own scatter about that line. None where it does not
    rise steadily: it is below its limit, has stepped, has stalled, or has been at the level already.
    """
    now = float(np.median(evidence[-5:]))
    rise = float(evidence[-1] - evidence[0])
    if not 1.0 <= now < level or evidence.max() >= level:
        return None
    if rise < RISE_MIN or np.diff(evidence).max() > STEP_MAX * rise:
        return None
    slopes = _slopes(time_s, evidence)
    if (slopes > 0).mean() < CONCORDANT_MIN:
        return None
    half = len(time_s) // 2
    whole, newer = float(np.median(slopes)), float(np.median(_slopes(time_s[half:], evidence[half:])))
    if whole <= 0 or newer < STALLED * whole:
        return None
    rate = float(np.sqrt(whole * newer))
    off = (evidence - whole * time_s)[half:]
    scatter = float(np.quantile(off - np.median(off), SCATTER_QUANTILE))
    return max(level - now - scatter, 0.0) / rate, (level - now) / rate


def _slopes(time_s: Float64s, evidence: Float64s) -> Float64s:
    """Return the slopes between all pairs of points, f64[N (N - 1) / 2]."""
    first, second = np.triu_indices(len(time_s), 1)
    return np.asarray((evidence[second] - evidence[first]) / (time_s[second] - time_s[first]))
