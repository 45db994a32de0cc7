"""Value changes to rows of a Frame, for protocols whose values carry their own source timestamps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np

from connectors.frame import BAD_WAITING_FOR_INITIAL_DATA, Frame, Tag
from connectors.scaling import Scaling

ROWS_MAX: Final = 256
"""Most rows one call returns; of more, the oldest are folded into the first row returned."""


class Change(NamedTuple):
    """A value as the source gave it: column, source time (UTC ns, None if unknown), raw number, status code.
    """

    column: int
    time_ns: int | None
    raw: float
    status: int


class CurrentValues:
    """What every tag's value is now, and the rows that led there.

    Under a live subscription a value that was not reported is unchanged, hence still current: each row
    carries all tags. Before the first report a tag is BadWaitingForInitialData.
    """

    def __init__(self, tags: Sequence[Tag], group_ms: float = 0.0) -> None:
        self._scaling = Scaling(tags)
        self._group_ns = int(group_ms * 1e6)
        self._raw = np.full(len(tags), np.nan, np.float64)
        self._status = np.full(len(tags), BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        self._source_ns: int | None = None  # the newest source time of the latest changes
        self._row_ns: int | None = None     # the time of the latest row
        self._row_at_ns = 0                 # what that time is on our monotonic clock

    def rows(self, changes: Iterable[Change], time_ns: int, arrived_ns: int, settled_ns: int) -> Frame:
        """Return one row for each source time among `changes`, in its order, near ones (group_ms) as one.

        The very first changes are a starting point, not history: one row. Without changes: one row of what
        still holds, as long after the latest as our clock says, or none if that is not known yet.
        `arrived_ns` is when the changes came and `settled_ns` up to when all changes have surely come, on
        our monotonic clock; `time_ns` stands in for source times where there are none.
        """
        groups = self._groups(changes, time_ns)
        if not groups:
            return self._unchanged(time_ns, settled_ns)
        if self._row_ns is None:
            groups = [[change for group in groups for change in group]]
        for group in groups[:-ROWS_MAX]:
            self._take(group)
        groups = groups[-ROWS_MAX:]
        times_ns = np.empty(len(groups), np.int64)
        raw = np.empty((len(groups), len(self._raw)), np.float64)
        status = np.empty(raw.shape, np.uint32)
        for t, group in enumerate(groups):
            self._take(group)
            times_ns[t] = _source_time(group[-1])
            raw[t], status[t] = self._raw, self._status
        self._source_ns = self._row_ns = int(times_ns[-1])
        self._row_at_ns = arrived_ns
        return Frame(times_ns, *self._scaling.apply(raw, status))

    def poll(self, changes: Sequence[Change], time_ns: int, monotonic_ns: int) -> Frame:
        """Return one row of what was read just now, at its newest source time; where that stands still, time
        passes.
        """
        self._take(changes)
        known = [change.time_ns for change in changes if change.time_ns is not None]
        newest_ns = max(known) if known else time_ns
        if newest_ns == self._source_ns and self._row_ns is not None:
            self._row_ns += monotonic_ns - self._row_at_ns
        else:
            self._source_ns = self._row_ns = newest_ns
        self._row_at_ns = monotonic_ns
        return self._row(self._row_ns)

    def _unchanged(self, time_ns: int, settled_ns: int) -> Frame:
        if self._row_ns is None:
            return self._row(time_ns)
        if settled_ns <= self._row_at_ns:
            return Frame.empty(len(self._raw))
        self._row_ns += settled_ns - self._row_at_ns
        self._row_at_ns = settled_ns
        return self._row(self._row_ns)

    def _groups(self, changes: Iterable[Change], time_ns: int) -> list[list[Change]]:
        """Sort the changes by source time and bring near ones together; one without a time joins the newest.
        """
        changes = list(changes)
        known = [change.time_ns for change in changes if change.time_ns is not None]
        unknown_ns = max(known) if known else self._row_ns or time_ns
        timed = [change._replace(time_ns=unknown_ns) if change.time_ns is None else change
                 for change in changes]
        timed.sort(key=_source_time)
        groups: list[list[Change]] = []
        for change in timed:
            if not groups or _source_time(change) - _source_time(groups[-1][0]) > self._group_ns:
                groups.append([])
            groups[-1].append(change)
        return groups

    def _take(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._raw[change.column] = change.raw
            self._status[change.column] = change.status

    def _row(self, time_ns: int) -> Frame:
        values, status = self._scaling.apply(self._raw[None, :], self._status[None, :])
        return Frame(np.array([time_ns], np.int64), values, status)


def _source_time(change: Change) -> int:
    assert change.time_ns is not None
    return change.time_ns
