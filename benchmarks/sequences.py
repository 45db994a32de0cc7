"""Peers that judge a row by those before it: windows, a forecast, a matrix profile, a stream.

What they are given joins the healthy stretches one after the other, as their packages take a single series.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from agent.backtest.trial import Float64s
from benchmarks.peers import Scorer, UnfinishedError, shortened

WINDOW_ROWS: Final = 20
LSTM_ROWS_MAX: Final = 3_000
LSTM_EPOCHS: Final = 10
"""Fewer than the package's 50, and at most so many rows, so that a benchmark ends in minutes."""
PAIRS_MAX: Final = 30_000_000
"""Pairs of windows times columns that the matrix profile may compare for one segment."""
TREES: Final = 25
RANGE_SD: Final = 4.0


def lstm(stretches: Sequence[Float64s], seed: int) -> Scorer:
    """Mahalanobis distance of the error of pyod's LSTM forecast of the next row from the last 20."""
    import torch
    from pyod.models.ts_lstm import LSTMAD

    torch.manual_seed(seed)
    model = LSTMAD(window_size=WINDOW_ROWS, epochs=LSTM_EPOCHS, batch_size=64)
    model.fit(np.concatenate(shortened(stretches, LSTM_ROWS_MAX)))

    def score(rows: Float64s) -> Float64s:
        if len(rows) <= WINDOW_ROWS:
            return np.full(len(rows), np.nan)
        found: Float64s = model.decision_function(rows)
        found[:WINDOW_ROWS] = np.nan
        return found

    return score


def kmeans_windows(stretches: Sequence[Float64s], seed: int) -> Scorer:
    """Distance of windows of 20 rows to the nearest of 20 centres (aeon's KMeansAD).

    The package averages over the windows on both sides of a row; its score is moved to the end of the last of them,
    so that none looks ahead.
    """
    from aeon.anomaly_detection.series.distance_based import KMeansAD

    model = KMeansAD(window_size=WINDOW_ROWS, random_state=seed)
    model.fit(np.concatenate(stretches), axis=0)

    def score(rows: Float64s) -> Float64s:
        late = np.full(len(rows), np.nan)
        if len(rows) >= WINDOW_ROWS:
            late[WINDOW_ROWS - 1 :] = model.predict(rows, axis=0)[: len(rows) - WINDOW_ROWS + 1]
        return late

    return score


def matrix_profile(stretches: Sequence[Float64s]) -> Scorer:
    """Mean over columns of the distance of the last 20 rows to the nearest healthy window (stumpy).

    The windows are not normalised one by one, because that would take away a shift of the level. Raises
    UnfinishedError where there are too many pairs of windows for minutes.
    """
    import stumpy

    gap = np.full((1, stretches[0].shape[1]), np.nan)  # no window lies across two stretches
    healthy = np.concatenate([part for stretch in stretches for part in (stretch, gap)][:-1])

    def score(rows: Float64s) -> Float64s:
        if len(rows) * healthy.size > PAIRS_MAX:
            raise UnfinishedError(f"a matrix profile of {len(rows):,} against {len(healthy):,} rows takes too long")
        late = np.full(len(rows), np.nan)
        if len(rows) >= WINDOW_ROWS:
            columns = zip(rows.T, healthy.T, strict=True)
            late[WINDOW_ROWS - 1 :] = np.mean([nearest(row, known) for row, known in columns], axis=0)
        return late

    def nearest(row: Float64s, known: Float64s) -> Float64s:
        profile = stumpy.stump(row.copy(), WINDOW_ROWS, known.copy(), ignore_trivial=False, normalize=False)
        distance: Float64s = profile[:, 0].astype(np.float64)
        return distance

    return score


def half_space_trees(stretches: Sequence[Float64s], seed: int) -> Scorer:
    """Half-space trees (river), which learn row by row from the healthy rows and then only score."""
    from river.anomaly import HalfSpaceTrees

    rows = np.concatenate(stretches)
    window = min(250, len(rows) // 2)  # the trees score by the window before the current one
    model: Any = HalfSpaceTrees(n_trees=TREES, window_size=window, seed=seed)
    for row in _unit(rows):
        model.learn_one(row)
    return lambda judged: np.array([model.score_one(row) for row in _unit(judged)])


def _unit(rows: Float64s) -> list[dict[int, float]]:
    """Return the rows as river wants them: a dictionary each, values between 0 and 1."""
    inside = np.clip((rows + RANGE_SD) / (2 * RANGE_SD), 0, 1)
    return [dict(enumerate(row)) for row in inside.tolist()]
