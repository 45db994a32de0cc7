"""Where some tags of one asset stand today, when that is not where their model was learnt: a new sensor, another span.

The level of such a tag, and its spread where that is plainly another, are learnt anew from what the other tags say it
should be. All else of the model stays, and so do all limits: a corrected value is judged like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.bundle import Statistics
from models.gaps import GapFiller

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

ROWS = 600
"""Judged rows from which a level is learnt."""
PLAIN = 2.0
"""A spread is another where it is more than so many times the learnt one, or less than its inverse."""

GAIN_MAX = 10.0


class Baseline:
    """The correction of one asset's S scored channels; O(S) memory.

    A tag whose level is being learnt is not judged: `learning` bool[C] says which tags these are.
    """

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics
        scored = len(statistics.scored)
        self._offset, self._gain = np.zeros(scored), np.ones(scored)
        self.learning = np.zeros(0, np.bool_)
        """Empty while none is."""
        self.rows = 0
        """How many rows the levels that are being learnt rest on so far."""
        self._sum, self._squares = np.zeros(scored), np.zeros(scored)

    @property
    def state(self) -> Float64s:
        """What is corrected, f64[2 S]: how far above its level each channel is, and how much its residual is stretched;
        zeros where nothing is.
        """
        return np.concatenate([self._offset, self._gain - 1.0])

    def restore(self, state: Float64s) -> None:
        """Go on from a `state`."""
        self._offset, stretch = np.split(state.copy(), 2)
        self._gain = 1.0 + stretch

    @property
    def offset(self) -> Float64s:
        """How far each channel is above its learnt level, in its unit, f64[S]."""
        return self._offset.copy()

    def begin(self, columns: Sequence[int], tags: int) -> None:
        """Learn the level of scored tags in these columns, of so many tags in all, from the rows to come."""
        self.learning = np.zeros(tags, np.bool_)
        self.learning[list(columns)] = True
        self.rows = 0
        self._sum[:] = self._squares[:] = 0.0
        channels = self.learning[self._statistics.scored]
        self._offset[channels], self._gain[channels] = 0.0, 1.0

    def end(self) -> None:
        """Learn no more; what was not learnt by now is as it was in the model."""
        self.learning = np.zeros(0, np.bool_)

    def corrected(self, values: Float32s, good: Bools) -> Float32s:
        """Return rows f32[N, C] as they would be on the machine that was learnt."""
        offset, gain, scored = self._offset, self._gain, self._statistics.scored
        if not offset.any() and (gain == 1.0).all():
            return values
        out = values.copy()
        out[:, scored] = values[:, scored] - offset
        if (gain != 1.0).any():
            stretched = scored[gain != 1.0]
            expected = self._expected(out, good, stretched)
            rest = out[:, stretched] - expected
            out[:, stretched] = expected + rest * gain[gain != 1.0]
        return out

    def learn(self, values: Float32s, good: Bools, counts: Bools) -> None:
        """Take in corrected rows f32[N, C], of which those that count, bool[N], show the machine as it should be.

        Once enough have come the levels are learnt, and nothing is `learning` any more.
        """
        columns = np.flatnonzero(self.learning)
        rows = counts & good[:, columns].all(1)
        taken = np.flatnonzero(rows)[: ROWS - self.rows]
        if len(taken):
            values, good = values[taken], good[taken]
            above = values[:, columns].astype(np.float64) - self._expected(values, good, columns)
            channels = self.learning[self._statistics.scored]
            order = np.searchsorted(np.sort(columns), self._statistics.scored[channels])
            self._sum[channels] += above.sum(0)[order]
            self._squares[channels] += (above**2).sum(0)[order]
            self.rows += len(taken)
        if self.rows == ROWS:
            self._settle()

    def _settle(self) -> None:
        channels = self.learning[self._statistics.scored]
        mean = self._sum[channels] / self.rows
        seen = np.sqrt(np.maximum(self._squares[channels] / self.rows - mean**2, 0.0))
        ratio = np.clip(self._learnt_spread(channels) / np.maximum(seen, 1e-12), 1.0 / GAIN_MAX, GAIN_MAX)
        self._offset[channels] = mean
        self._gain[channels] = np.where((ratio > PLAIN) | (ratio < 1.0 / PLAIN), ratio, 1.0)
        self.end()

    def _expected(self, values: Float32s, good: Bools, columns: npt.NDArray[np.int64]) -> Float64s:
        """Return what the tags outside of `columns` say of those in them, f64[N, T]."""
        used = self._statistics.used
        present = good[:, used] & ~np.isin(used, columns)
        filled = GapFiller(self._statistics).fill(values[:, used], present)
        place = {int(column): place for place, column in enumerate(used)}
        return filled[:, [place[int(column)] for column in columns]].astype(np.float64)

    def _learnt_spread(self, channels: Bools) -> Float64s:
        """Return how far off the learnt experts find these channels, given the others, f64[T] in their units."""
        regimes = self._statistics.experts.regimes
        at = np.flatnonzero(channels)
        inner = regimes.precision()[:, at][:, :, at]
        variance = np.diagonal(np.linalg.inv(inner), axis1=1, axis2=2)
        share = np.exp(regimes.log_weight)
        return np.asarray(np.sqrt(share @ variance / share.sum()) * self._statistics.scale[at])
