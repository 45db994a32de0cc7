"""Exponentially weighted means of many columns at several rates: streaming, and fast for one row and for thousands."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

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
        missing = np.asarray(np.isnan(x))
        complete = np.asarray(~missing.any((0, -1) if x.ndim == 3 else -1))
        edges = [0, *(np.flatnonzero(complete[1:] != complete[:-1]) + 1).tolist(), len(complete)]
        for low, high in pairwise(edges):
            stretch = slice(low, high)
            if complete[stretch].all():
                self._complete(x[..., stretch, :], out[:, stretch])
            else:
                self._incomplete(x[..., stretch, :], missing[..., stretch, :], out[:, stretch])
        return out

    def _complete(self, x: Float64s, out: Float64s) -> None:
        """Take rows in of which no value is missing; write the means."""
        for low in range(0, x.shape[-2], _BLOCK_ROWS):
            rows = x[..., low : low + _BLOCK_ROWS, :]
            n = rows.shape[-2]
            into = self._kernel[:, :n, :n] @ rows + self._keep[:, 1 : n + 1, None] * self._state[:, None]
            out[:, low : low + n] = into
            self._state = into[:, -1].copy()

    def _incomplete(self, x: Float64s, missing: Bools, out: Float64s) -> None:
        """Take rows in of which each lacks a value, for which the mean itself stands; write the means."""
        keep, state = self._keep[:, 1:2], self._state
        by_row = np.moveaxis(self._rates[:, None] * x, 1, 0)  # (T, R, Q)
        present = ~np.moveaxis(missing, -2, 0)
        for added, there, into in zip(by_row, present, np.moveaxis(out, 1, 0), strict=True):
            step = self._rates * state
            np.copyto(step, added, where=there)
            state = np.add(step, keep * state, out=into)
        self._state = state.copy()


@cache
def _kernels(rates: tuple[float, ...]) -> tuple[Float64s, Float64s]:
    """Return what is kept of the state after 0 to B rows, f64[R, B + 1], and what each row of B adds, f64[R, B, B].

    They depend on the rates alone and are large: all assets share them.
    """
    keep = np.power.outer(1.0 - np.asarray(rates), np.arange(_BLOCK_ROWS + 1))
    lag = np.subtract.outer(np.arange(_BLOCK_ROWS), np.arange(_BLOCK_ROWS))
    share = np.asarray(rates)[:, None, None] * keep[:, np.maximum(lag, 0)]
    return keep, np.where(lag >= 0, share, 0.0)
