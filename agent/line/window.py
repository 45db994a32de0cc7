"""Data manipulation: lays samples of any cadence onto the asset's grid and accounts for late and missing ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.line.hold import NEVER_NS, hold_ns
from agent.line.source_clock import SourceClock
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
    another row. A row is closed once every tag that paces the grid was sampled, or by the first sample of a later row.
    `periods_ns` are the tags' own: the fastest, and all that are as fast as the grid, pace it. The value of a tag
    slower than the grid counts in each row that is no further from its sample than the tag's period and half a row.
    No other value is carried into a row it was not sampled in. A gap longer than `gap_rows_max` counts as that many
    missing rows: nothing older matters. Where the source's clock is set ahead (agent.line.source_clock) the grid moves
    along, and no row is missing that was not. `late` counts samples for rows already closed, or older than what is held
    of a slow tag; `duplicates` those with the time of the one before; `clock_steps` how often the source's clock was
    set, back or ahead.
    """

    def __init__(
        self, columns: int, period_ns: int, gap_rows_max: int, periods_ns: Sequence[int] | None = None
    ) -> None:
        self.late = self.duplicates = self.clock_steps = 0
        own_ns = np.full(columns, period_ns, np.int64) if periods_ns is None else np.array(periods_ns, np.int64)
        assert own_ns.shape == (columns,)
        self._columns = columns
        self._period_ns = period_ns
        self._gap_rows_max = gap_rows_max
        self._slow = np.flatnonzero(own_ns > period_ns)
        self._paces = own_ns <= max(period_ns, int(own_ns.min()))
        self._hold_ns = np.array([hold_ns(int(own_ns[c]), period_ns) for c in self._slow], np.int64)
        self._newest_ns = np.full(columns, NEVER_NS, np.int64)
        self._newest = np.full(columns, np.nan, np.float32)
        self._laid_held = self._held()
        self._origin_ns: int | None = None
        self._closed_slot = -1
        self._laid_slot = -1
        self._open: _OpenRow | None = None
        self._frames_back = 0
        self._clock = SourceClock(period_ns)

    def push(self, frame: Frame, now_ns: int) -> Grid:
        """Take a frame in that was read at `now_ns` (UTC); return the rows it closed, oldest first.

        Gaps are rows without good values.
        """
        if (frame.status == BAD_NO_DATA).all():
            return self._lay([])
        step = self._clock.step(frame.source_time_ns, now_ns)
        if step is None:
            return self._take(frame, now_ns)
        before, after = frame.rows_of(slice(step.row)), frame.rows_of(slice(step.row, None))
        earlier = self._take(before, now_ns).then(self._move_ahead(int(after.source_time_ns[0]), step.gap_ns))
        return earlier.then(self._take(after, now_ns))

    def _take(self, frame: Frame, now_ns: int) -> Grid:
        sampled = frame.status != BAD_NO_DATA
        if not sampled.any():
            return self._lay([])
        slots = self._slots(frame.source_time_ns, now_ns)
        if (
            not self._slow.size and self._open is None
            and slots[0] > self._closed_slot and (np.diff(slots) > 0).all() and sampled.all()
        ):
            self._closed_slot = int(slots[-1])
            self._newest_ns[:] = frame.source_time_ns[-1]
            return self._laid_on_grid(slots, frame.values, frame.status, self._no_held(frame.rows))
        return self._lay([row for i in range(frame.rows) for row in self._merge(int(slots[i]), frame, i)])

    def _move_ahead(self, time_ns: int, gap_ns: int) -> Grid:
        """Move the grid so that a sample at `time_ns` by the clock that was set comes `gap_ns` after the newest row.

        The gap is too long by what the sample was longer under way than usual, so that only whole periods count.
        """
        assert self._origin_ns is not None
        self.clock_steps += 1
        grid = self._lay([] if self._open is None else [self._close()])
        slot = self._closed_slot + max(gap_ns // self._period_ns, 1)
        origin_ns, self._origin_ns = self._origin_ns, time_ns - slot * self._period_ns
        self._newest_ns = _later(self._newest_ns, self._origin_ns - origin_ns)
        self._laid_held = _Held(_later(self._laid_held.time_ns, self._origin_ns - origin_ns), self._laid_held.values)
        return grid

    def _slots(self, time_ns: Int64s, now_ns: int) -> Int64s:
        """Return the periods from the origin to each sample, rounded; re-anchor after a clock was set back."""
        if self._origin_ns is None:
            self._origin_ns = int(time_ns[0])
        newest = self._closed_slot if self._open is None else self._open.slot
        behind = self._origin_ns + (newest - 1) * self._period_ns - int(time_ns.max())
        self._frames_back = self._frames_back + 1 if behind > 0 else 0
        if self._frames_back >= FRAMES_BACK_MAX:
            self._frames_back = 0
            self.clock_steps += 1
            self._clock.follow(int(time_ns.max()), now_ns)
            self._open = None
            self._origin_ns, self._closed_slot, self._laid_slot = int(time_ns[0]), -1, -1
            self._newest_ns[:], self._newest[:] = NEVER_NS, np.nan  # how old they are cannot be told any more
            self._laid_held = self._held()
        return np.asarray((time_ns - self._origin_ns + self._period_ns // 2) // self._period_ns)

    def _merge(self, slot: int, frame: Frame, row: int) -> list[_OpenRow]:
        """Merge one sample row into the open row; return the rows that this closes."""
        time_ns, sampled = int(frame.source_time_ns[row]), frame.status[row] != BAD_NO_DATA
        if not sampled.any():
            return []
        if (self._newest_ns[sampled] == time_ns).all():
            self.duplicates += 1
            return []
        closed = []
        if self._open is not None and slot > self._open.slot:
            closed.append(self._close())
        in_time = slot > self._closed_slot and (self._open is None or slot >= self._open.slot)
        newer = sampled & (time_ns > self._newest_ns)
        if not in_time and not newer[self._slow].any():
            self.late += 1
            return closed
        self._newest_ns[newer], self._newest[newer] = time_ns, frame.values[row, newer]
        if not in_time:  # the row of a slow tag is closed, but its value holds for those to come
            self.late += bool((sampled & self._paces).any())
            return closed
        if self._open is None:
            self._open = _OpenRow(
                slot,
                np.full(self._columns, np.nan, np.float32),
                np.full(self._columns, BAD_NO_DATA, np.uint32),
                self._held(),
            )
        self._open.values[sampled] = frame.values[row, sampled]
        self._open.status[sampled] = frame.status[row, sampled]
        if (self._open.status[self._paces] != BAD_NO_DATA).all():
            closed.append(self._close())
        return closed

    def _close(self) -> _OpenRow:
        row, self._open = self._open, None
        assert row is not None
        row.held = self._held()
        self._closed_slot = row.slot
        return row

    def _held(self) -> _Held:
        return _Held(self._newest_ns[self._slow], self._newest[self._slow])

    def _no_held(self, rows: int) -> _Held:
        return _Held(np.zeros((rows, 0), np.int64), np.zeros((rows, 0), np.float32))

    def _lay(self, closed: Sequence[_OpenRow]) -> Grid:
        if not closed:
            return Grid(
                np.zeros(0, np.int64),
                np.zeros((0, self._columns), np.float32),
                np.zeros((0, self._columns), np.bool_),
            )
        return self._laid_on_grid(
            np.array([row.slot for row in closed], np.int64),
            np.array([row.values for row in closed], np.float32),
            np.array([row.status for row in closed], np.uint32),
            _Held(np.array([row.held.time_ns for row in closed]), np.array([row.held.values for row in closed])),
        )

    def _laid_on_grid(self, slots: Int64s, values: Float32s, status: UInt32s, held: _Held) -> Grid:
        """Put closed rows on the grid after the last one; slots between them become missing rows."""
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
        if self._slow.size:
            before = held.after(self._laid_held)
            at = np.searchsorted(position, np.arange(rows), side="right")  # a missing row sees what was held before it
            laid[:, self._slow] = before.values[at]
            young = time_ns[:, None] - before.time_ns[at] <= self._hold_ns
            good[:, self._slow] = young & np.isfinite(before.values[at])
            self._laid_held = before.last()
        self._laid_slot = int(slots[-1])
        return Grid(time_ns, np.where(good, laid, np.float32(np.nan)), good)

    def _time_ns(self, slots: Int64s) -> Int64s:
        assert self._origin_ns is not None
        return np.asarray(self._origin_ns + slots * self._period_ns)


def _later(time_ns: Int64s, by_ns: int) -> Int64s:
    """Return times by a clock that was set ahead; what never came stays so."""
    return np.where(time_ns == NEVER_NS, time_ns, time_ns + by_ns)


@dataclass(frozen=True, slots=True)
class _Held:
    """The newest samples of the slow tags, when and what: i64[S] and f32[S], or one such row for each of N."""

    time_ns: Int64s
    values: Float32s

    def after(self, first: _Held) -> _Held:
        """Return the rows with another one before them."""
        return _Held(np.vstack([first.time_ns, self.time_ns]), np.vstack([first.values, self.values]))

    def last(self) -> _Held:
        """Return the last of the rows."""
        return _Held(self.time_ns[-1], self.values[-1])


@dataclass(slots=True)
class _OpenRow:
    """A grid row that not every tag has been sampled for yet; `held` is set when it is closed."""

    slot: int
    values: Float32s
    status: UInt32s
    held: _Held
