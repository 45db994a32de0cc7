"""Value changes to rows of a Frame, for protocols whose values carry their own source timestamps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from connectors.counters import Counters
from connectors.frame import BAD_WAITING_FOR_INITIAL_DATA, Frame, Tag
from connectors.opcua.changes import Changes, Columns
from connectors.scaling import Scaling, quietly

ROWS_MAX: Final = 256
"""Most rows one call returns; of more, the oldest are folded into the first row returned."""


class CurrentValues:
    """What every tag's value is now, and the rows that led there.

    Under a live subscription a value that was not reported is unchanged, hence still current: each row
    carries all tags. Before the first report a tag is BadWaitingForInitialData.
    """

    def __init__(self, tags: Sequence[Tag], group_ms: float = 0.0, counters: Counters | None = None) -> None:
        self._scaling = Scaling(tags)
        self._counters = counters
        self._group_ns = int(group_ms * 1e6)
        self._raw = np.full(len(tags), np.nan, np.float64)
        self._status = np.full(len(tags), BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        self._source_ns: int | None = None  # the newest source time of the latest changes
        self._row_ns: int | None = None     # the time of the latest row
        self._row_at_ns = 0                 # what that time is on our monotonic clock

    def rows(self, changes: Changes, time_ns: int, arrived_ns: int, settled_ns: int) -> Frame:
        """Return one row for each source time among `changes`, in its order, near ones (group_ms) as one.

        The very first changes are a starting point, not history: one row. Without changes: one row of what
        still holds, as long after the latest as our clock says, or none if that is not known yet.
        `arrived_ns` is when the changes came and `settled_ns` up to when all changes have surely come, on
        our monotonic clock; `time_ns` stands in for source times where there are none.
        """
        if not changes.size:
            return self._unchanged(time_ns, settled_ns)
        # A change without a time joins the newest.
        changes = changes.timed(int(changes.time_ns.max()) or self._row_ns or time_ns)
        order = np.argsort(changes.time_ns, kind="stable")
        groups = self._groups(changes, order)
        for group in groups[:-ROWS_MAX]:
            self._take(changes.take(group))
        groups = groups[-ROWS_MAX:]
        times_ns = np.array([changes.time_ns[group[-1]] for group in groups], np.int64)
        raw = np.empty((len(groups), len(self._raw)), np.float64)
        status = np.empty(raw.shape, np.uint32)
        for t, group in enumerate(groups):
            self._take(changes.take(group))
            raw[t], status[t] = self._raw, self._status
            if self._counters is not None:
                sampled = dict(zip(changes.column[group].tolist(), changes.time_ns[group].tolist(), strict=True))
                self._counters.rates(raw[t], status[t], int(times_ns[t]), sampled)
        self._source_ns = self._row_ns = int(times_ns[-1])
        self._row_at_ns = arrived_ns
        with quietly():
            return Frame(times_ns, *self._scaling.apply(raw, status))

    def poll(self, changes: Changes, time_ns: int, monotonic_ns: int) -> Frame:
        """Return one row of what was read just now, at its newest source time; where that stands still, time
        passes.
        """
        self._take(changes)
        newest_ns = int(changes.time_ns.max(initial=0)) or time_ns
        if newest_ns == self._source_ns and self._row_ns is not None:
            self._row_ns += monotonic_ns - self._row_at_ns
        else:
            self._source_ns = self._row_ns = newest_ns
        self._row_at_ns = monotonic_ns
        return self._row(self._row_ns, changes.column.tolist())

    def _unchanged(self, time_ns: int, settled_ns: int) -> Frame:
        if self._row_ns is None:
            return self._row(time_ns)
        if settled_ns <= self._row_at_ns:
            return Frame.empty(len(self._raw))
        self._row_ns += settled_ns - self._row_at_ns
        self._row_at_ns = settled_ns
        return self._row(self._row_ns)

    def _groups(self, changes: Changes, order: Columns) -> list[Columns]:
        """Cut the changes, in the order of their times, into groups of near ones."""
        if self._row_ns is None:
            return [order]
        times_ns = changes.time_ns[order]
        groups, start = [], 0
        while start < len(order):
            end = int(np.searchsorted(times_ns, times_ns[start] + self._group_ns, "right"))
            groups.append(order[start:end])
            start = end
        return groups

    def _take(self, changes: Changes) -> None:
        self._raw[changes.column] = changes.raw  # of several for one tag, the last one stays
        self._status[changes.column] = changes.status

    def _row(self, time_ns: int, sampled: Sequence[int] = ()) -> Frame:
        raw, status = self._raw, self._status.copy()
        if self._counters is not None:
            raw = raw.copy()
            self._counters.rates(raw, status, time_ns, dict.fromkeys(sampled, time_ns))
        with quietly():
            values, status = self._scaling.apply(raw[None, :], status[None, :])
        return Frame(np.array([time_ns], np.int64), values, status)
