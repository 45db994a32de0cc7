"""The score bank: exponentially weighted means of the row score at several time scales; streaming, O(scales)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

RATES = (1.0, 0.3, 0.1, 0.03, 0.01)
"""Forgetting rates lambda per row (Roberts, Technometrics 1959): a spike and a slow drift need different memories."""

_BLOCK_ROWS = 128


class ScoreBank:
    """Running statistics f64[M] of a stream of row scores, one for each forgetting rate.

    Every statistic starts from the healthy reference (`reference` f64[M]), not from the first row, which may already be
    faulty. A row without a score (NaN) leaves the state as it is.
    """

    def __init__(self, reference: Float64s, rates: tuple[float, ...] = RATES) -> None:
        assert reference.shape == (len(rates),)
        self._reference = reference.copy()
        self._rates = np.asarray(rates)
        self._kernels = [_kernel(rate) for rate in rates]
        self._state = reference.copy()

    def reset(self) -> None:
        """Forget everything seen; start again from the healthy reference."""
        self._state = self._reference.copy()

    def update(self, score: Float64s) -> Float64s:
        """Take row scores f64[T] in and return the statistics f64[T, M] after each row (NaN where the row has none)."""
        out = np.full((len(score), len(self._rates)), np.nan)
        seen = np.flatnonzero(~np.isnan(score))
        for start in range(0, len(seen), _BLOCK_ROWS):
            rows = seen[start : start + _BLOCK_ROWS]
            for j, (memory, weights) in enumerate(self._kernels):
                out[rows, j] = weights[: len(rows), : len(rows)] @ score[rows] + memory[: len(rows)] * self._state[j]
            self._state = out[rows[-1]].copy()
        return out


def _kernel(rate: float) -> tuple[Float64s, Float64s]:
    """Return the closed form of a block of s += rate * (x - s): the old state's share f64[n], the rows' f64[n, n]."""
    keep = (1.0 - rate) ** np.arange(_BLOCK_ROWS + 1)
    lag = np.subtract.outer(np.arange(_BLOCK_ROWS), np.arange(_BLOCK_ROWS))
    weights: Float64s = np.where(lag >= 0, rate * keep[np.maximum(lag, 0)], 0.0)
    return np.asarray(keep[1:], np.float64), weights
