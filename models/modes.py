"""Operating modes: tags that switch between few values, and how long the machine takes to settle after they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32] | Float64s
Bools = npt.NDArray[np.bool_]

VALUES_MAX = 16
STILL_MIN = 0.98
"""A switch keeps its value from row to row at least this often."""
SETTLE_CANDIDATES = (0, 3, 6, 12, 24, 48, 96, 192, 384, 768)
STEADY_RATIO = 1.5
"""Settled means: the 99 % quantile of the scores is at most this many times that of the rows long after a change."""
SETTLING_MAX = 0.2
"""No more than this share of the history may be given up to settling."""


@dataclass(frozen=True, slots=True)
class Modes:
    """`switches`: positions of the switching tags; `known`: the combinations of their values seen in the history.

    For `settle_rows` rows after a change of mode the machine is settling: its rows are neither learnt from nor scored.
    """

    switches: tuple[int, ...]
    known: tuple[tuple[float, ...], ...]
    settle_rows: int


def find_switches(stretches: Sequence[Floats]) -> tuple[int, ...]:
    """Return the positions of the tags of f64[T, C] that move, in steps between at most VALUES_MAX values."""
    return tuple(i for i in range(stretches[0].shape[1]) if _switches([s[:, i] for s in stretches]))


def _switches(column: Sequence[Floats]) -> bool:
    moves = np.concatenate([np.diff(part) for part in column])
    if (moves == 0).sum() < STILL_MIN * max(int((~np.isnan(moves)).sum()), 1):
        return False
    values = np.concatenate(column)
    return 1 < len(np.unique(values[~np.isnan(values)])) <= VALUES_MAX


def known_modes(stretches: Sequence[Floats], switches: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Return the combinations of switch values in the history, NaN rows left out."""
    values = np.concatenate([s[:, list(switches)] for s in stretches])
    return tuple(tuple(float(v) for v in row) for row in np.unique(values[~np.isnan(values).any(1)], axis=0))


def rows_since_change(stretch: Floats, switches: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return for each row of f64[T, C] how many rows ago a switch changed; the first row counts as a change.

    A missing value is no change: a row is compared with the last one that had all switches.
    """
    values = stretch[:, list(switches)]
    seen = np.flatnonzero(~np.isnan(values).any(1))
    changed = np.zeros(len(values), np.bool_)
    changed[seen[:1]] = True
    changed[seen[1:]] = (np.diff(values[seen], axis=0) != 0).any(1)
    last = np.maximum.accumulate(np.where(changed, np.arange(len(values)), 0))
    return np.asarray(np.arange(len(values)) - last)


def settle_rows(since: npt.NDArray[np.int64], score: Float64s) -> int:
    """Return after how many rows since a change the scores f64[N] are those of the settled machine."""
    limit = STEADY_RATIO * np.quantile(score[since >= np.median(since)], 0.99)
    allowed = [rows for rows in SETTLE_CANDIDATES if (since < rows).mean() <= SETTLING_MAX]
    for rows in allowed:
        following = score[(since >= rows) & (since < 2 * max(rows, 3))]
        if not len(following) or np.quantile(following, 0.99) <= limit:
            return rows
    return allowed[-1]


class ModeTracker:
    """Follows the mode of one asset row by row; at the start the machine counts as just switched."""

    def __init__(self, modes: Modes) -> None:
        self._modes = modes
        self._known = set(modes.known)
        self._current: tuple[float, ...] | None = None
        self._since = -1

    def update(self, values: npt.NDArray[np.float32], good: Bools) -> tuple[Bools, Bools]:
        """Take rows f32[T, C] in; return for each whether the machine is settling and whether its mode is unseen."""
        rows = len(values)
        settling, unseen = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
        if not self._modes.switches:
            return settling, unseen
        switches = list(self._modes.switches)
        for row in range(rows):
            if good[row, switches].all():
                mode = tuple(float(v) for v in values[row, switches])
                if mode != self._current:
                    self._current, self._since = mode, -1
            self._since += 1
            settling[row] = self._since < self._modes.settle_rows
            unseen[row] = self._current is not None and self._current not in self._known
        return settling, unseen
