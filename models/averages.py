"""Exponentially weighted means of many columns at several rates: streaming, and fast for one row and for thousands."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_BLOCK_ROWS = 64


class Averages:
    """Exponentially weighted means of Q columns at R rates; they start from `start` f64[Q], not from the first row."""

    def __init__(self, start: Float64s, rates: tuple[float, ...]) -> None:
        self._keep, self._kernel = _kernels(rates)
        self._state = np.repeat(start[None], len(rates), 0)  # (R, Q)
        self._rates = np.asarray(rates)[:, None]

    @property
    def state(self) -> Float64s:
        """Return the means f64[R, Q] so far."""
        return self._state.copy()

    def restore(self, state: Float64s) -> None:
        """Go on from a `state`."""
        self._state = state.copy()

    def update(self, x: Float64s) -> Float64s:
        """Take rows f64[T, Q] in, or f64[R, T, Q] of each rate; return the means f64[R, T, Q] after each row.

        A missing value (NaN) changes none.
        """
        if x.shape[-2] == 1:  # as on a gateway, row after row
            step = self._rates * (x[..., 0, :] - self._state)
            step[np.isnan(step)] = 0.0
            self._state = self._state + step
            return self._state[:, None]
        out = np.empty((len(self._state), *x.shape[-2:]))
        missing = np.asarray(np.isnan(x).any(-1))
        for low, high in _blocks(np.asarray(~(missing.any(0) if x.ndim == 3 else missing))):
            n = high - low
            rows: Float64s = x[..., low:high, :]
            if n == 1:
                rows = np.where(np.isnan(rows), self._state[:, None], rows)  # (R, 1, Q)
            out[:, low:high] = self._kernel[:, :n, :n] @ rows + self._keep[:, 1 : n + 1, None] * self._state[:, None]
            self._state = out[:, high - 1].copy()
        return out


@cache
def _kernels(rates: tuple[float, ...]) -> tuple[Float64s, Float64s]:
    """Return what is kept of the state after 0 to B rows, f64[R, B + 1], and what each row of B adds, f64[R, B, B].

    They depend on the rates alone and are large: all assets share them.
    """
    keep = np.power.outer(1.0 - np.asarray(rates), np.arange(_BLOCK_ROWS + 1))
    lag = np.subtract.outer(np.arange(_BLOCK_ROWS), np.arange(_BLOCK_ROWS))
    share = np.asarray(rates)[:, None, None] * keep[:, np.maximum(lag, 0)]
    return keep, np.where(lag >= 0, share, 0.0)


def _blocks(complete: Bools) -> list[tuple[int, int]]:
    """Cut T rows into blocks of complete rows, at most _BLOCK_ROWS long, and single incomplete ones."""
    if complete.all():
        return [(low, min(low + _BLOCK_ROWS, len(complete))) for low in range(0, len(complete), _BLOCK_ROWS)]
    blocks: list[tuple[int, int]] = []
    for row, whole in enumerate(complete):
        low, high = blocks[-1] if blocks else (0, 0)
        if blocks and whole and complete[low] and high - low < _BLOCK_ROWS:
            blocks[-1] = (low, high + 1)
        else:
            blocks.append((row, row + 1))
    return blocks
