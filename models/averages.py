"""Exponentially weighted means of many columns at several rates: streaming, and fast for one row and for thousands."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

_BLOCK_ROWS = 256
_WEIGHT_MAX = 1e100


class Averages:
    """Exponentially weighted means of Q columns at R rates; they start from `start` f64[Q], not from the first row."""

    def __init__(self, start: Float64s, rates: tuple[float, ...]) -> None:
        self._rates = np.asarray(rates)[:, None]
        self._keep, self._weight = _closed_form(rates)
        self._state = np.repeat(start[None], len(rates), 0)  # (R, Q)

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
        rows = self._keep.shape[1] - 1
        for low in range(0, x.shape[-2], rows):
            self._block(x[..., low : low + rows, :], out[:, low : low + rows])
        return out

    def _block(self, x: Float64s, out: Float64s) -> None:
        """Take rows in; write the means, k^n (start + sum of r x[i] k^-i) where k = 1 - r and n values have come."""
        come = slice(1, x.shape[-2] + 1)
        keep, weight = self._keep[:, come, None], self._weight[:, come, None]
        missing = np.isnan(x)
        if missing.any():
            x = np.where(missing, 0.0, x)
            if (missing == missing[..., :1]).all():  # what is alike for all columns is computed once
                missing = missing[..., :1]
            place = np.cumsum(~missing, -2) + self._keep.shape[1] * np.arange(len(out))[:, None, None]
            keep, weight = self._keep.take(place), self._weight.take(place)
        np.multiply(x, weight, out=out)
        np.add.accumulate(out, 1, out=out)
        out += self._state[:, None]
        out *= keep
        self._state = out[:, -1].copy()


@cache
def _closed_form(rates: tuple[float, ...]) -> tuple[Float64s, Float64s]:
    """Return what is kept of the start after 0 to B values, and the weight of each in the sum, both f64[R, B + 1].

    The weights grow, and B is as large as that allows. They depend on the rates alone: all assets share them.
    """
    rate = np.asarray(rates)[:, None]
    keep = np.maximum(1.0 - rate, np.finfo(np.float64).eps)
    rows = min(int(np.log(_WEIGHT_MAX) / -np.log(keep.min())), _BLOCK_ROWS)
    kept = np.asarray(np.power(keep, np.arange(rows + 1)))
    return kept, rate / kept
