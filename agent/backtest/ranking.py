"""How well a score puts faulty rows above healthy ones, whatever the limit: average precision and VUS-PR."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from agent.backtest.trial import Float64s
from connectors.frame import Bools

Ints = npt.NDArray[np.intp]

BUFFER_ROWS: Final = 100
THRESHOLDS: Final = 250


def average_precision(faulty: Bools, score: Float64s) -> float:
    """Return the sum over thresholds of (gain in recall) * precision for bool[T] and f64[T]; NaN without both
    classes.

    Rows of equal score are taken together and nothing is interpolated, as in scikit-learn's
    `average_precision_score`.
    """
    if not (faulty.any() and not faulty.all()):
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last_of_ties = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    true = np.cumsum(faulty[order])[last_of_ties]
    precision = true / (last_of_ties + 1)
    recall = true / true[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def vus_pr(
    faulty: Bools, score: Float64s, buffer_rows: int = BUFFER_ROWS, thresholds: int = THRESHOLDS
) -> float:
    """Return the volume under the precision-recall surface for bool[T] and f64[T]; NaN without both classes.

    Range-based precision and recall in which each event has soft shoulders of up to half the buffer on either
    side, averaged over buffers of 0..`buffer_rows` rows: Paparrizos et al., "Volume under the surface: a new
    accuracy evaluation measure for time-series anomaly detection", PVLDB 15(11), 2022. Thresholds lie at
    evenly spaced ranks. The published implementations walk all rows for each buffer and threshold; here only
    the rows in the shoulders are summed anew for a buffer, for all thresholds at once.
    """
    if not (faulty.any() and not faulty.all()):
        return float("nan")
    descending = -np.sort(-score)
    limits = descending[np.linspace(0, len(score) - 1, thresholds).astype(np.intp)]
    first_over = np.searchsorted(-limits, -score)  # the first (highest) threshold that a row reaches, per row
    predicted = np.searchsorted(-descending, -limits, side="right")  # rows at or over each threshold
    starts, ends = events_of(faulty)
    inside = _cumulated(first_over[faulty], None, thresholds)
    row, position, distance = _shoulders(faulty, starts, ends, buffer_rows // 2)

    volume = 0.0
    for buffer in range(buffer_rows + 1):
        near = distance <= buffer // 2
        weight = np.bincount(position[near], np.sqrt(1 - distance[near] / max(buffer, 1)), len(row))
        true = inside + _cumulated(first_over[row], np.minimum(weight, 1.0), thresholds)
        recall = np.minimum(true / (inside[-1] + (true - inside) / 2), 1.0)
        reached = recall * _share_touched(score, starts, ends, buffer // 2, limits)
        volume += float(np.sum(np.diff(reached, prepend=0.0) * true / predicted))
    return volume / (buffer_rows + 1)


def events_of(faulty: Bools) -> tuple[Ints, Ints]:
    """Return the first and the last row of each stretch of True in bool[T]."""
    edges = np.diff(faulty.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _cumulated(first_over: Ints, weight: Float64s | None, thresholds: int) -> Float64s:
    """Sum the rows' weights (1 where None) over each threshold, given the first that each reaches."""
    return np.cumsum(np.bincount(first_over, weight, thresholds)).astype(np.float64)


def _shoulders(faulty: Bools, starts: Ints, ends: Ints, reach: int) -> tuple[Ints, Ints, Ints]:
    """Return the healthy rows near an event; per (row, event) the position among those and the distance."""
    distance = np.arange(1, reach + 1)
    rows = np.concatenate([(ends[:, None] + distance).ravel(), (starts[:, None] - distance).ravel()])
    distances = np.tile(distance, 2 * len(starts))
    keep = (rows >= 0) & (rows < len(faulty))
    keep[keep] = ~faulty[rows[keep]]
    row, position = np.unique(rows[keep], return_inverse=True)
    return row, position, distances[keep]


def _share_touched(score: Float64s, starts: Ints, ends: Ints, reach: int, limits: Float64s) -> Float64s:
    """Return per threshold the share of events, with shoulders, that reach it; touching ones are one."""
    apart = ends[:-1] + reach < starts[1:] - reach
    first = np.maximum(starts[np.append(True, apart)] - reach, 0)
    last = np.minimum(ends[np.append(apart, True)] + reach, len(score) - 1)
    bounds = np.column_stack([first, last + 1]).ravel()
    peaks = np.maximum.reduceat(np.append(score, -np.inf), bounds)[::2]
    return np.searchsorted(np.sort(-peaks), -limits, side="right") / len(peaks)
