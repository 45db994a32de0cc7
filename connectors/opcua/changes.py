"""Value changes as arrays, not as one object each, and the bounded queue in which they wait. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.frame import Int64s, UInt32s
from connectors.scaling import Float64s

Columns = npt.NDArray[np.intp]


class Changes(NamedTuple):
    """N values as the source gave them, in order of arrival, of the same or of different tags.

    `column` intp[N], `time_ns` i64[N] (source time, UTC, ns since 1970; 0 where unknown), `raw` f64[N] (NaN where the
    status is Bad), `status` u32[N] (OPC UA status codes).
    """

    column: Columns
    time_ns: Int64s
    raw: Float64s
    status: UInt32s

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.column)

    @classmethod
    def bad(cls, columns: Sequence[int], status: int) -> Changes:
        """Make changes without a time in which each of the columns has the Bad `status`."""
        count = len(columns)
        return cls(np.array(columns, np.intp), np.zeros(count, np.int64), np.full(count, np.nan),
                   np.full(count, status, np.uint32))

    @classmethod
    def joined(cls, parts: Sequence[Changes]) -> Changes:
        """Return the changes of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.bad((), 0)
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def timed(self, time_ns: int) -> Changes:
        """Return the changes with a time for those that have none."""
        return self._replace(time_ns=np.where(self.time_ns == 0, time_ns, self.time_ns))

    def take(self, which: slice | npt.NDArray[np.bool_] | Columns) -> Changes:
        """Return some of the changes."""
        return Changes(self.column[which], self.time_ns[which], self.raw[which], self.status[which])


class Backlog:
    """Changes that nobody has taken yet; of more than `most` values the oldest are dropped and counted."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: deque[Changes] = deque(maxlen=most + 1)  # each has at least one value
        self._count = 0
        self.drops = 0

    def append(self, changes: Changes) -> None:
        """Add changes behind those that wait."""
        if changes.size:
            self._parts.append(changes)
            self._count += changes.size
        while (excess := self._count - self._most) > 0:
            oldest = self._parts.popleft()
            if oldest.size > excess:
                self._parts.appendleft(oldest.take(slice(excess, None)))
            dropped = min(excess, oldest.size)
            self._count -= dropped
            self.drops += dropped

    def drain(self) -> Changes:
        """Take all that waits."""
        changes = Changes.joined(self._parts)
        self._parts.clear()
        self._count = 0
        return changes
