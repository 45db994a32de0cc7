"""Operating modes: tags that people or the PLC set, and how long the machine takes to settle after they do.

A switch has few values; a set-point is held exactly, too, and then steps to any other. Where they stand is no sign of
health: what they ask of the machine is either known from the history or an unseen regime.
"""

from __future__ import annotations

import itertools
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
SETTLED_ROWS_MIN = 200
"""A mode with fewer rows does not tell how long it takes to settle: it takes as long as all together."""
LEARNT_MAX = 256
"""Of more settings than this no list is kept: a set-point is then a measurement more than a choice."""


@dataclass(frozen=True, slots=True)
class Modes:
    """`switches`: positions of the switching tags; `known`: the modes, combinations of their values in the history.

    `setpoints`: positions of the set-points, `low` and `high` the ranges in which they are known. After a change of any
    of them the machine is settling, for as many rows as `settle_rows` says of the mode that it is in then; these are
    neither learnt from nor scored. `learnt` lists the settings, values of all commands, of which the history has
    settled rows; it is empty where there are too many to list. `still` has for each mode the positions of the tags
    that stand still in it, such as what a press holds of its last stroke while it is stopped.
    """

    switches: tuple[int, ...]
    known: tuple[tuple[float, ...], ...]
    settle_rows: tuple[int, ...]
    setpoints: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    learnt: tuple[tuple[float, ...], ...] = ()
    still: tuple[tuple[int, ...], ...] = ()

    @property
    def commands(self) -> tuple[int, ...]:
        """The positions of all tags that are set and not measured."""
        return self.switches + self.setpoints

    def settling(self, stretch: Floats) -> Bools:
        """Say in which rows of f64[T, C] the machine settles."""
        rows = np.array([max(self.settle_rows, default=0), *self.settle_rows])[1 + self.modes(stretch)]
        return np.asarray(rows_since_change(stretch, self.commands) < rows)

    def modes(self, stretch: Floats) -> npt.NDArray[np.int64]:
        """Return the position in `known` of the mode in each row of f64[T, C], -1 where it is none of these.

        A missing value is no change: where one is missing the last row that had all stands for it.
        """
        values = stretch[:, list(self.switches)]
        found = np.full(len(values), -1)
        for number, mode in enumerate(self.known):
            found[(values == np.array(mode)).all(1)] = number
        complete = ~np.isnan(values).any(1)
        last = np.maximum.accumulate(np.where(complete, np.arange(len(values)), -1))
        return np.where(last >= 0, found[last], -1)


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


def learnt_settings(stretches: Sequence[Floats], modes: Modes) -> tuple[tuple[float, ...], ...]:
    """Return the values of all commands in settled, complete rows of f64[T, C]; none where there are too many."""
    settled = [s[~modes.settling(s)][:, list(modes.commands)] for s in stretches]
    values = np.concatenate(settled).astype(np.float32)
    found = np.unique(values[~np.isnan(values).any(1)], axis=0)
    return tuple(tuple(float(v) for v in row) for row in found) if len(found) <= LEARNT_MAX else ()


def still_tags(stretches: Sequence[Floats], modes: Modes) -> tuple[tuple[int, ...], ...]:
    """Return for each mode the positions of the tags of f64[T, C] that keep their value through it, commands left out.

    What moves in the row of a change does not count: a value is held from the first row of a mode.
    """
    columns = stretches[0].shape[1]
    moved, rows = np.zeros((len(modes.known), columns)), np.zeros((len(modes.known), columns))
    for stretch in stretches:
        mode = modes.modes(stretch)
        for number in range(len(modes.known)):
            inside = (mode[1:] == number) & (mode[:-1] == number)
            steps = np.diff(stretch, axis=0)[inside]
            rows[number] += (~np.isnan(steps)).sum(0)
            moved[number] += (np.abs(steps) > 0).sum(0)
    still = (moved <= (1.0 - STILL_MIN) * rows) & (rows >= SETTLED_ROWS_MIN)
    still[:, list(modes.commands)] = False
    return tuple(tuple(int(i) for i in np.flatnonzero(each)) for each in still)


def known_modes(stretches: Sequence[Floats], switches: tuple[int, ...]) -> tuple[tuple[float, ...], ...]:
    """Return the combinations of switch values in the history, NaN rows left out; without switches there is one."""
    if not switches:
        return ((),)
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


def settle_rows(
    since: npt.NDArray[np.int64], score: Float64s, mode: npt.NDArray[np.int64], least: Sequence[int]
) -> tuple[int, ...]:
    """Return for each mode after how many rows since a change the scores f64[N] are those when settled.

    `mode` i64[N] is that of each row, `since` i64[N] how many rows ago a command has changed. A row that was not judged
    has the score NaN; in each mode it is known to take `least` so many rows.
    """
    together = _settle_rows(since, score, 0)
    of_each = [mode == number for number in range(len(least))]
    return tuple(
        _settle_rows(since[own], score[own], rows) if own.sum() >= SETTLED_ROWS_MIN else max(together, rows)
        for own, rows in zip(of_each, least, strict=True)
    )


def _settle_rows(since: npt.NDArray[np.int64], score: Float64s, least: int) -> int:
    judged = ~np.isnan(score)
    steady = score[judged & (since >= np.median(since))]
    if not len(steady):
        return least
    limit = STEADY_RATIO * np.quantile(steady, 0.99)
    allowed = [rows for rows in SETTLE_CANDIDATES if rows >= least and (since < rows).mean() <= SETTLING_MAX]
    for rows in allowed:
        following = score[judged & (since >= rows) & (since < 2 * max(rows, 3))]
        if not len(following) or np.quantile(following, 0.99) <= limit:
            return rows
    return max([least, *allowed])


@dataclass(frozen=True, slots=True)
class Followed:
    """T rows, bool[T]: whether the machine is `settling`, its mode `unseen`, its setting `new`; `held` bool[T, C].

    `mode` i64[T] is the position of its mode among the known ones, -1 where it is none of them or not known yet.

    A new setting is a known mode with set-points in their ranges of which the history has no settled row all the same.
    A held value is one of a tag that stands still in this mode, and the same as when the machine had come into it and
    settled: it was measured under another command, and says nothing of this one. What still comes while the machine
    settles, such as the last stroke of a press when it is over, was measured under that as well. A row in which the
    wire gave another value changes nothing of the next ones.
    """

    settling: Bools
    unseen: Bools
    new: Bools
    held: Bools
    mode: npt.NDArray[np.int64]


class ModeTracker:
    """Follows the mode of one asset row by row; at the start the machine counts as just switched."""

    def __init__(self, modes: Modes) -> None:
        self._modes = modes
        self._settle_rows = dict(zip(modes.known, modes.settle_rows, strict=True))
        self._place = {mode: number for number, mode in enumerate(modes.known)}
        self._longest = max(modes.settle_rows, default=0)
        self._learnt = set(modes.learnt)
        self._low, self._high = np.array(modes.low), np.array(modes.high)
        self._current: tuple[float, ...] | None = None
        self._known = False
        self._settles = self._longest
        self._since = -1
        self._still = {mode: list(tags) for mode, tags in zip(modes.known, modes.still, strict=False)}
        self._brought = np.empty(0, np.float32)
        self._stands: list[int] = []
        """The tags that stand still in the mode it is in."""

    def update(self, values: npt.NDArray[np.float32], good: Bools) -> Followed:
        """Take rows f32[T, C] in with their good values bool[T, C]; rows under the same commands are taken together."""
        rows = len(values)
        settling, unseen, new = (np.zeros(rows, np.bool_) for _ in range(3))
        mode = np.full(rows, -1 if self._modes.switches else 0)
        followed = Followed(settling, unseen, new, np.zeros(values.shape, np.bool_), mode)
        commands = list(self._modes.commands)
        if not commands:
            return followed
        begins = self._changes(values, good, commands)
        edges = [*([] if begins[:1] == [0] else [0]), *begins, rows]
        for begin, end in itertools.pairwise(edges):
            if begin in begins:
                self._come_into(values[begin])
            since = self._since + 1
            self._since += end - begin
            settles = min(max(self._settles - since, 0), end - begin)
            settling[begin : begin + settles] = True
            if self._current is not None:
                mode[begin:end] = self._place.get(self._current[: len(self._modes.switches)], -1)
                unseen[begin:end] = not self._known
                new[begin:end] = bool(self._learnt) and self._current not in self._learnt
                if self._stands:
                    followed.held[begin:end] = self._hold(values[begin:end], good[begin:end], settles)
        return followed

    def _changes(self, values: npt.NDArray[np.float32], good: Bools, commands: list[int]) -> list[int]:
        """Return the rows in which there are other commands than before, of those that tell all of them."""
        told = good[:, commands]
        rows = [0] if len(told) == 1 and told.all() else np.flatnonzero(told.all(1)).tolist()
        if not rows:
            return []
        first = [] if tuple(values[rows[0], commands].tolist()) == self._current else [rows[0]]
        if len(rows) == 1:
            return first
        there = values[rows][:, commands]
        return [*first, *np.asarray(rows)[1:][(there[1:] != there[:-1]).any(1)].tolist()]

    def _come_into(self, row: npt.NDArray[np.float32]) -> None:
        self._current, self._since = tuple(row[list(self._modes.commands)].tolist()), -1
        switched = self._current[: len(self._modes.switches)]
        self._settles = self._settle_rows.get(switched, self._longest)
        self._known = self._is_known(self._current)
        self._stands = self._still.get(switched, [])
        self._brought = np.full(len(row), np.float32(np.nan))
        self._brought[self._stands] = row[self._stands]

    def _hold(self, values: npt.NDArray[np.float32], good: Bools, settles: int) -> Bools:
        """Return which of the values f32[T, C] are those that the machine brought into the mode.

        They may come while it settles, in the first `settles` rows.
        """
        held = np.zeros(values.shape, np.bool_)
        for row in range(settles):
            held[row, self._stands] = good[row, self._stands]
            self._brought = np.where(held[row], values[row], self._brought)
        held[settles:] = values[settles:] == self._brought
        return held

    def _is_known(self, mode: tuple[float, ...]) -> bool:
        switches = len(self._modes.switches)
        if mode[:switches] not in self._settle_rows:
            return False
        setpoints = np.array(mode[switches:])
        return bool(((self._low <= setpoints) & (setpoints <= self._high)).all())
