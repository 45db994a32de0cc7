"""Operating modes: tags that people or the PLC set, and how long the machine takes to settle after they do.

A switch has few values; a set-point is held exactly, too, and then steps to any other. Where they stand is no sign of
health: what they ask of the machine is either known from the history or an unseen regime.
"""

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
STEP_MIN = 0.25
"""A set-point's median step, in units of its spread; one digit of a slow sensor is less."""
BEYOND = 0.05
"""So far outside of its learnt range a set-point is still known, in units of that range."""
SETTLE_CANDIDATES = (0, 3, 6, 12, 24, 48, 96, 192, 384, 768)
STEADY_RATIO = 1.5
"""Settled means: the 99 % quantile of the scores is at most this many times that of the rows long after a change."""
SETTLING_MAX = 0.2
"""No more than this share of the history may be given up to settling."""


@dataclass(frozen=True, slots=True)
class Modes:
    """`switches`: positions of the switching tags; `known`: the combinations of their values seen in the history.

    `setpoints`: positions of the set-points, `low` and `high` the ranges in which they are known. For `settle_rows`
    rows after a change of any of them the machine is settling: its rows are neither learnt from nor scored.
    """

    switches: tuple[int, ...]
    known: tuple[tuple[float, ...], ...]
    settle_rows: int
    setpoints: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def commands(self) -> tuple[int, ...]:
        """The positions of all tags that are set and not measured."""
        return self.switches + self.setpoints


def find_switches(stretches: Sequence[Floats]) -> tuple[int, ...]:
    """Return the positions of the tags of f64[T, C] that move, in steps between at most VALUES_MAX values."""
    return tuple(i for i in range(stretches[0].shape[1]) if _switches([s[:, i] for s in stretches]))


def _switches(column: Sequence[Floats]) -> bool:
    return _held(column) and 1 < len(_distinct(column)) <= VALUES_MAX


def is_setpoint(column: Sequence[Floats]) -> bool:
    """Say whether a tag f[T] is held exactly, and steps between more values than a switch has."""
    if not _held(column) or len(_distinct(column)) <= VALUES_MAX:
        return False
    moves = np.concatenate([np.diff(part) for part in column])
    steps = np.abs(moves[~np.isnan(moves) & (moves != 0)])
    return bool(np.median(steps) >= STEP_MIN * np.nanstd(np.concatenate(column)))


def _held(column: Sequence[Floats]) -> bool:
    """Say whether f[T] keeps its value from row to row, mostly."""
    moves = np.concatenate([np.diff(part) for part in column])
    return bool((moves == 0).sum() >= STILL_MIN * max(int((~np.isnan(moves)).sum()), 1))


def _distinct(column: Sequence[Floats]) -> Floats:
    values = np.concatenate(column)
    return np.unique(values[~np.isnan(values)])


def setpoint_ranges(
    stretches: Sequence[Floats], setpoints: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return between which values each set-point of f64[T, C] is known."""
    low, high = [], []
    for i in setpoints:
        values = _distinct([s[:, i] for s in stretches]).astype(np.float64)
        beyond = BEYOND * (values[-1] - values[0])
        low.append(float(values[0] - beyond))
        high.append(float(values[-1] + beyond))
    return tuple(low), tuple(high)


def known_modes(stretches: Sequence[Floats], switches: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Return the combinations of switch values in the history, NaN rows left out."""
    values = np.concatenate([s[:, list(switches)] for s in stretches])
    return tuple(tuple(float(v) for v in row) for row in np.unique(values[~np.isnan(values).any(1)], axis=0))


def rows_since_change(stretch: Floats, commands: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """Return for each row of f64[T, C] how many rows ago a command changed; the first row counts as a change.

    A missing value is no change: a row is compared with the last one that had all commands.
    """
    values = stretch[:, list(commands)]
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


@dataclass(frozen=True, slots=True)
class Followed:
    """T rows: whether the machine is `settling` and whether its mode is `unseen`, bool[T]; how many commands were
    `given` so far, i64[T], the first mode counted as one.
    """

    settling: Bools
    unseen: Bools
    given: npt.NDArray[np.int64]


class ModeTracker:
    """Follows the mode of one asset row by row; at the start the machine counts as just switched."""

    def __init__(self, modes: Modes) -> None:
        self._modes = modes
        self._known = set(modes.known)
        self._low, self._high = np.array(modes.low), np.array(modes.high)
        self._current: tuple[float, ...] | None = None
        self._since = -1
        self._given = 0

    def update(self, values: npt.NDArray[np.float32], good: Bools) -> Followed:
        """Take rows f32[T, C] in with their good values bool[T, C]."""
        rows = len(values)
        followed = Followed(np.zeros(rows, np.bool_), np.zeros(rows, np.bool_), np.zeros(rows, np.int64))
        commands = list(self._modes.commands)
        if not commands:
            return followed
        for row in range(rows):
            if good[row, commands].all():
                mode = tuple(float(v) for v in values[row, commands])
                if mode != self._current:
                    self._current, self._since, self._given = mode, -1, self._given + 1
            self._since += 1
            followed.settling[row] = self._since < self._modes.settle_rows
            followed.unseen[row] = self._current is not None and not self._is_known(self._current)
            followed.given[row] = self._given
        return followed

    def _is_known(self, mode: tuple[float, ...]) -> bool:
        switches = len(self._modes.switches)
        if switches and mode[:switches] not in self._known:
            return False
        setpoints = np.array(mode[switches:])
        return bool(((self._low <= setpoints) & (setpoints <= self._high)).all())
