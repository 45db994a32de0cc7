"""Data manipulation: lays samples of any cadence onto the asset's grid and accounts for late and missing ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from connectors.frame import BAD_NO_DATA, Bools, Float32s, Frame, Int64s, UInt32s, is_bad

FRAMES_BACK_MAX = 3
"""So many frames in a row from the past are no longer late samples but a clock that was set back."""


@dataclass(frozen=True, slots=True)
class Grid:
    """N rows of the grid: `time_ns` i64[N], `values` f32[N, C] (NaN where not good), `good` bool[N, C]."""

    time_ns: Int64s
    values: Float32s
    good: Bools

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return len(self.time_ns)

    def then(self, later: Grid) -> Grid:
        """Return this grid followed by a later one."""
        return Grid(
            np.concatenate([self.time_ns, later.time_ns]),
            np.concatenate([self.values, later.values]),
            np.concatenate([self.good, later.good]),
        )

    def last(self, rows: int) -> Grid:
        """Return the newest rows."""
        start = max(self.rows - rows, 0)
        return Grid(self.time_ns[start:], self.values[start:], self.good[start:])


class Window:
    """Turns frames into grid rows, one for each period.

    The grid's phase is that of the first sample, so that a jitter of up to half a period moves no sample into
    another row. A row is closed once every tag was sampled, or by the first sample of a later row. A value is never
    carried into a row it was not sampled in. A gap longer than `gap_rows_max` counts as that many missing rows:
    nothing older matters. `late` counts samples for rows already closed, `clock_steps` how often the source's clock
    was set back.
    """

    def __init__(self, columns: int, period_ns: int, gap_rows_max: int) -> None:
        self.late = 0
        self.clock_steps = 0
        self._columns = columns
        self._period_ns = period_ns
        self._gap_rows_max = gap_rows_max
        self._origin_ns: int | None = None
        self._closed_slot = -1
        self._laid_slot = -1
        self._open: _OpenRow | None = None
        self._frames_back = 0

    def push(self, frame: Frame) -> Grid:
        """Take a frame in and return the rows it closed, oldest first, gaps as rows without good values."""
        if not frame.rows:
            return self._lay(np.zeros(0, np.int64), frame.values, frame.status)
        slots = self._slots(frame.source_time_ns)
        sampled = frame.status != BAD_NO_DATA
        if self._open is None and slots[0] > self._closed_slot and (np.diff(slots) > 0).all() and sampled.all():
            self._closed_slot = int(slots[-1])
            return self._lay(slots, frame.values, frame.status)
        closed = [row for i in range(frame.rows) for row in self._merge(int(slots[i]), frame, i)]
        return self._lay(
            np.array([row.slot for row in closed], np.int64),
            np.array([row.values for row in closed], np.float32).reshape(-1, self._columns),
            np.array([row.status for row in closed], np.uint32).reshape(-1, self._columns),
        )

    def _slots(self, time_ns: Int64s) -> Int64s:
        """Return the periods from the origin to each sample, rounded; re-anchor after a clock was set back."""
        if self._origin_ns is None:
            self._origin_ns = int(time_ns[0])
        newest = self._closed_slot if self._open is None else self._open.slot
        behind = self._origin_ns + (newest - 1) * self._period_ns - int(time_ns.max())
        self._frames_back = self._frames_back + 1 if behind > 0 else 0
        if self._frames_back >= FRAMES_BACK_MAX:
            self._frames_back = 0
            self.clock_steps += 1
            self._open = None
            self._origin_ns, self._closed_slot, self._laid_slot = int(time_ns[0]), -1, -1
        return np.asarray((time_ns - self._origin_ns + self._period_ns // 2) // self._period_ns)

    def _merge(self, slot: int, frame: Frame, row: int) -> list[_OpenRow]:
        """Merge one sample row into the open row; return the rows that this closes."""
        if slot <= self._closed_slot or (self._open is not None and slot < self._open.slot):
            self.late += 1
            return []
        closed = []
        if self._open is not None and slot > self._open.slot:
            closed.append(self._open)
            self._open = None
        if self._open is None:
            self._open = _OpenRow(
                slot, np.full(self._columns, np.nan, np.float32), np.full(self._columns, BAD_NO_DATA, np.uint32)
            )
        sampled = frame.status[row] != BAD_NO_DATA
        self._open.values[sampled] = frame.values[row, sampled]
        self._open.status[sampled] = frame.status[row, sampled]
        if (self._open.status != BAD_NO_DATA).all():
            closed.append(self._open)
            self._open = None
        if closed:
            self._closed_slot = closed[-1].slot
        return closed

    def _lay(self, slots: Int64s, values: Float32s, status: UInt32s) -> Grid:
        """Put closed rows on the grid after the last one; slots between them become missing rows."""
        if not len(slots):
            return Grid(slots, values[:0], np.zeros((0, self._columns), np.bool_))
        steps = np.minimum(np.diff(slots, prepend=self._laid_slot), self._gap_rows_max + 1)
        position = np.cumsum(steps) - 1
        rows = int(position[-1]) + 1
        time_ns = np.zeros(rows, np.int64)
        time_ns[position] = slots
        # A missing row is named by counting back from the present row after it.
        after = position[np.searchsorted(position, np.arange(rows))]
        time_ns = self._time_ns(time_ns[after] - (after - np.arange(rows)))
        laid = np.full((rows, self._columns), np.nan, np.float32)
        good = np.zeros((rows, self._columns), np.bool_)
        laid[position] = values
        good[position] = ~is_bad(status) & np.isfinite(values)
        self._laid_slot = int(slots[-1])
        return Grid(time_ns, np.where(good, laid, np.float32(np.nan)), good)

    def _time_ns(self, slots: Int64s) -> Int64s:
        assert self._origin_ns is not None
        return np.asarray(self._origin_ns + slots * self._period_ns)


@dataclass(slots=True)
class _OpenRow:
    """A grid row that not every tag has been sampled for yet."""

    slot: int
    values: Float32s
    status: UInt32s
