"""The frozen-sensor check: a value that stays exactly the same for much longer than it ever did in the history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.averages import Averages

Bools = npt.NDArray[np.bool_]
Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

FACTOR = 3
"""A value counts as frozen after this many times the longest stay in the history."""
ROWS_MIN = 120
NEVER = np.iinfo(np.int64).max
"""The limit of a tag that may stand still for as long as it likes."""
MOVED_RATE = 0.003
"""The forgetting rate per row of how often a tag moves."""
FROZEN_TOGETHER_MAX = 0.5
"""When a larger share of the tags has stopped at the same moment, the source is stale, not the sensors."""


def frozen_limits(stretches: Sequence[npt.NDArray[np.float32] | Float64s], restless: Sequence[int]) -> Int64s:
    """Return for each of C tags of f64[T, C] after how many rows without any change its value counts as frozen.

    Only the tags at the positions `restless` can freeze. A constant or a switch stands still by its nature: the
    history does not say for how long it may.
    """
    columns = stretches[0].shape[1]
    limits = np.full(columns, NEVER)
    before, unknown = np.zeros(1, np.int64), np.full((1, 1), np.nan)
    for i in restless:  # tag by tag: a long history of all tags at once is too large
        longest = max(int(_stays(s[:, i : i + 1].astype(np.float64), before, unknown)[0].max()) for s in stretches)
        limits[i] = max(FACTOR * longest, ROWS_MIN)
    return limits


class FrozenTracker:
    """Counts how long each of C tags has shown exactly the same value; `limits` i64[C] as of `frozen_limits`."""

    def __init__(self, limits: Int64s) -> None:
        self._limits = limits.astype(np.float64)
        self._stale_above = FROZEN_TOGETHER_MAX * int((limits < NEVER).sum())
        self._stay = np.zeros(len(limits), np.int64)
        self._last = np.full((1, len(limits)), np.nan)

    def update(self, values: npt.NDArray[np.float32], good: Bools) -> tuple[Float64s, Bools]:
        """Take rows f32[T, C] in; return evidence f64[T, C], 1 at the limit, and bool[T]: the whole source is stale.

        A missing value ends a stay. A source is stale when most tags that used to move have stopped in the same row and
        stood still for a third of the limit since: a process that has run into its stops does so tag by tag.
        """
        x = np.where(good, values.astype(np.float64), np.nan)
        stay, self._last = _stays(x, self._stay, self._last)
        if len(stay):
            self._stay = stay[-1]
        evidence = stay / self._limits
        stale = np.zeros(len(stay), np.bool_)
        still = evidence > 1.0 / FACTOR
        for row in np.flatnonzero(still.sum(1) > self._stale_above):
            _, together = np.unique(stay[row, still[row]], return_counts=True)
            stale[row] = together.max() > self._stale_above
        return np.where(stale[:, None], 0.0, evidence), stale


class StayTracker:
    """How surprising it is that each of C tags has not moved for so long, by how often it moved lately.

    A noisy flow that shows one value ten times over is stuck, whatever its history had in a stop of the machine.
    """

    def __init__(self, columns: int) -> None:
        self._moved = Averages(np.zeros(columns), (MOVED_RATE,))
        self._rows = np.zeros(columns, np.int64)

    def update(self, stay: Float64s, good: Bools, counted: Bools, held: Bools) -> Float64s:
        """Take rows in: for how many rows each tag has stood still, f64[T, C], 0 where it has just moved.

        Return f64[T, C], the negative log probability of such a stay, in nats, if each row moved it with the same
        chance. That chance is learnt from rows that are `counted` bool[T] and have `good` bool[T, C] values. Rows in
        which a tag stands still by the nature of the machine's mode, `held` bool[T, C], are no part of its stay.
        """
        moved = np.where(counted[:, None], (stay == 0) & good, np.nan)
        chance = np.minimum(self._moved.update(moved)[0], 0.99)
        row = np.arange(len(stay))[:, None]
        start = np.maximum.accumulate(np.where((stay == 0) | held, row, -1), 0)
        rows = np.where(start >= 0, row - start, row + 1 + self._rows)
        self._rows = rows[-1]
        return np.asarray(-rows * np.log1p(-chance))


def _stays(x: Float64s, before: Int64s, last: Float64s) -> tuple[Int64s, Float64s]:
    """Return for each cell of x f64[T, C] how many rows before it showed the same value, and the last row."""
    if not len(x):
        return np.zeros(x.shape, np.int64), last
    row = np.arange(len(x))[:, None]
    changed = np.vstack([last, x[:-1]]) != x
    start = np.maximum.accumulate(np.where(changed, row, -1), 0)
    return np.where(start >= 0, row - start, row + 1 + before), x[-1:]
