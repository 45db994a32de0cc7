"""Adaptation to benign wander: what little a healthy machine has moved since it was learnt is taken off its residual.

Only quiet rows are adapted to, and only so far: a fault that is seen freezes the adaptation, also while it is quiet now
and then, and one too slow to be seen can hide at most BOUND in any direction. `models.drift` watches the whole of it,
without adapting.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]

RATE = 0.003
"""Forgetting rate per row: slower than any memory of the score bank, which would else be blind to what it remembers."""
BOUND = 0.5
"""The largest offset of a component of the white residual, in its standard deviations."""
QUIET = 0.8
"""Rows with more evidence than this are not adapted to. Most healthy rows must have less: where the offset decides
which rows are quiet enough, it learns from those that agree with it, and walks away by itself."""
AFTER_ROWS = 600
"""Nor are so many rows after one at or above the limit: a fault that comes and goes is quiet in between."""
BLOCK_ROWS = 16
"""The offset changes once in so many rows, counted from the start, however the rows come."""


class Adaptation:
    """The offset of one asset's white residual over S channels; O(S) memory."""

    def __init__(self, channels: int, bound: float = BOUND) -> None:
        """Start without an offset; with `bound` 0 there will never be one."""
        self._bound = bound
        self._offset = np.zeros(channels)
        self._kept = np.zeros(channels)
        self._quiet = 0
        self._row = 0
        self._wary_rows = 0

    @property
    def offset(self) -> Float64s:
        """What is taken off, f64[S], at most the bound each way."""
        return self._offset.copy()

    def restore(self, offset: Float64s) -> None:
        """Go on from an `offset`."""
        self._offset = np.clip(offset, -self._bound, self._bound)

    def blocks(self, rows: int) -> Iterator[slice]:
        """Cut so many rows to come into blocks; `taken_off` and then `learn` must be called with each of them."""
        start = 0
        while start < rows:
            stop = min(start + BLOCK_ROWS - self._row % BLOCK_ROWS, rows)
            yield slice(start, stop)
            start = stop

    def taken_off(self, white: Float64s, distance: Float64s) -> tuple[Float64s, Float64s]:
        """Return a block's white residual f64[T, S] without the offset, its distance f64[T] changed in proportion."""
        moved = white - self._offset
        before = (white**2).sum(1)
        return moved, distance * np.where(before > 0, (moved**2).sum(1) / np.maximum(before, 1e-12), 1.0)

    def learn(self, white: Float64s, evidence: Float64s) -> None:
        """Take in the block's residual as it was, f64[T, S], and the evidence f64[T] of each row.

        It is NaN for a row that was not judged or must not be learnt from.
        """
        quiet = evidence < QUIET  # False for NaN
        above = np.flatnonzero(evidence >= 1.0)
        quiet[: self._wary_rows] = False
        self._wary_rows = max(self._wary_rows - len(evidence), 0)
        if len(above):
            quiet[above[0] :] = False
            self._wary_rows = AFTER_ROWS + int(above[-1]) + 1 - len(evidence)
        self._kept += white[quiet].sum(0)
        self._quiet += int(quiet.sum())
        self._row += len(white)
        if self._row % BLOCK_ROWS == 0 and self._quiet:
            share = 1.0 - (1.0 - RATE) ** self._quiet
            self._offset += share * (self._kept / self._quiet - self._offset)
            np.clip(self._offset, -self._bound, self._bound, out=self._offset)
            self._kept, self._quiet = np.zeros_like(self._kept), 0
