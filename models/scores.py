"""The score bank: running statistics of the experts' white residual; streaming, causal, O(tags) memory.

A spike, a slow drift, an oscillation and a sensor that grows noisy need different statistics, and each a memory of its
own length. All start from the healthy reference, not from the first row, which may already be faulty.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from models.averages import Averages

Float64s = npt.NDArray[np.float64]

MEMORIES = (0.3, 0.1, 0.03, 0.01)
"""Forgetting rates lambda per row (Roberts, Technometrics 1959)."""
PRESENT = MEMORIES.index(0.1)
"""The memory that says whether what a longer one remembers is still there."""
SPREAD_RATE = MEMORIES[PRESENT]
SPREAD_FLOOR = 0.05
CAP = 2.0
"""A memory takes at most this many times its limit from one row, so that a second of garbage is soon forgotten."""


@dataclass(frozen=True, slots=True)
class Statistic:
    """One of the bank: its name and the forgetting rate of its memory; 1 has none."""

    name: str
    rate: float


STATISTICS = (
    Statistic("distance", 1.0),
    *(Statistic(f"mean distance {rate:g}", rate) for rate in MEMORIES),
    *(Statistic(f"distance of mean {rate:g}", rate) for rate in MEMORIES),
    Statistic(f"spread {SPREAD_RATE:g}", SPREAD_RATE),
)
"""The M statistics of the bank, in the order of its columns."""
SPREAD = len(STATISTICS) - 1
"""The column of the spread."""
_DISTANCES = slice(1, 1 + len(MEMORIES))
_EACH = np.arange(len(MEMORIES))


@dataclass(frozen=True)  # without slots: what is derived is kept in it
class Reference:
    """What is healthy for S channels, learnt from held-out rows.

    `covariance` f64[R, S, S] of the averaged white residual at each of the MEMORIES: benign drift is part of it, so
    that it is no surprise. `log_spread` f64[S] the mean log of the averaged squares.
    """

    covariance: Float64s
    log_spread: Float64s

    @cached_property
    def precision(self) -> Float64s:
        """The inverse of the covariance f64[R, S, S]; all assets of one bundle share it."""
        return np.asarray(np.linalg.inv(self.covariance))

    @cached_property
    def root(self) -> Float64s:
        """The symmetric root of the precision f64[R, S, S]: it makes an average of unit variance where all is well."""
        lengths, directions = np.linalg.eigh(self.covariance)
        return np.asarray((directions / np.sqrt(lengths)[:, None, :]) @ directions.transpose(0, 2, 1))


class ScoreBank:
    """Running statistics f64[M] of one asset; `limits` f64[M] bound what a memory takes from one row."""

    def __init__(self, reference: Reference, limits: Float64s) -> None:
        channels = len(reference.log_spread)
        self._r = reference
        self._precision = reference.precision
        self._cap = CAP * np.minimum(limits[_DISTANCES], limits[0])
        self._row_cap = CAP * limits[0]
        # One call for all averages: of the distance as each memory takes it, of the rows and of their squares.
        start = np.concatenate([np.ones(len(MEMORIES)), np.zeros(channels), np.ones(channels)])
        self._averages = Averages(start, MEMORIES)

    def update(self, white: Float64s, distance: Float64s) -> Float64s:
        """Take rows in: the white residual f64[T, S] and its squared length per channel f64[T], about 1 when healthy.

        Return the statistics f64[T, M] after each row, NaN where the row's distance is NaN: it leaves no trace.
        """
        seen = ~np.isnan(distance)
        if seen.all():
            return self._update(white, distance)
        out = np.full((len(white), len(STATISTICS)), np.nan)
        if seen.any():
            out[seen] = self._update(white[seen], distance[seen])
        return out

    def _update(self, white: Float64s, distance: Float64s) -> Float64s:
        bounded = white * np.sqrt(np.minimum(1.0, self._row_cap / np.maximum(distance, 1e-12)))[:, None]
        capped = np.minimum(distance[:, None], self._cap)
        averages = self._averages.update(np.concatenate([capped, bounded, bounded**2], 1))  # (R, T, R + 2 S)
        channels = white.shape[1]
        mean_distance = averages[_EACH, :, _EACH].T
        mean = averages[:, :, len(MEMORIES) : len(MEMORIES) + channels]
        square = averages[PRESENT, :, -channels:]
        pulled = mean @ self._precision
        distance_of_mean = (pulled * mean).sum(2).T / channels  # (T, R)
        # A memory counts as far as what it remembers is still there: an event that is over must not keep an alarm.
        longer = slice(PRESENT + 1, None)
        still_there = (pulled[longer] * mean[PRESENT]).sum(2).T / channels
        mean_distance[:, longer] = np.minimum(mean_distance[:, longer], mean_distance[:, PRESENT, None])
        present = np.maximum(still_there, 0.0)
        distance_of_mean[:, longer] = np.minimum(present, distance_of_mean[:, longer])
        spread = np.abs(np.log(square + SPREAD_FLOOR) - self._r.log_spread).mean(1)
        return np.column_stack([distance, mean_distance, distance_of_mean, spread])


class ReferenceLearner:
    """Learns a Reference from stretches of held-out rows, chunk by chunk."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._rows = 0
        self._scatter = np.zeros((len(MEMORIES), channels, channels))
        self._log_spread = np.zeros(channels)
        self.begin()

    def begin(self) -> None:
        """Begin another stretch: its memories know nothing of the one before."""
        self._means = Averages(np.zeros(self._channels), MEMORIES)
        self._squares = Averages(np.ones(self._channels), (SPREAD_RATE,))

    def update(self, white: Float64s, counted: npt.NDArray[np.bool_]) -> None:
        """Take rows f64[T, S] into the memories, those `counted` bool[T] into the reference, too."""
        mean = self._means.update(white)[:, counted]
        square = self._squares.update(white**2)[0][counted]
        self._rows += int(counted.sum())
        self._scatter += mean.transpose(0, 2, 1) @ mean
        self._log_spread += np.log(square + SPREAD_FLOOR).sum(0)

    def reference(self) -> Reference:
        """Return what was learnt.

        Averages of few independent rows say little of a covariance: it leans on that of white noise, as wide as the
        averages are, with the weight of S + 2 rows (the mean of an inverse Wishart posterior).
        """
        rate = np.asarray(MEMORIES)
        independent = rate / (2.0 - rate)  # the variance of the average of white noise, too
        rows = max(self._rows, 1) * independent
        prior = self._channels + 2.0
        covariance = []
        for own, n, least in zip(self._scatter / max(self._rows, 1), rows, independent, strict=True):
            width = max(float(np.trace(own)) / self._channels, 0.5 * least)
            covariance.append((own * n + width * prior * np.eye(self._channels)) / (n + prior))
        return Reference(np.stack(covariance), self._log_spread / max(self._rows, 1))
