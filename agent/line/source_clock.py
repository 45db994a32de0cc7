"""Data manipulation: a source's clock that is set ahead is told from samples that did not come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors.frame import Int64s

PERIODS_MIN: Final = 3
AHEAD_NS_MIN: Final = 1_000_000_000
"""A clock that is set ahead by less than so many periods, or a second, makes a gap of a few rows and is not told."""
_LEAK: Final = 1e-3
"""How far the usual offset follows a clock that runs slow, as a share of a period for each frame."""
WRONG_NS: Final = 86_400_000_000_000
"""A source's clock that is further from the gateway's is wrong; a zone of time, or a backlog, is less."""


def behind_ns(source_ns: int, now_ns: int) -> int:
    """Return how far a source's clock is behind the gateway's, less than 0 where it is ahead; 0 where it is not wrong.
    """
    return now_ns - source_ns if abs(now_ns - source_ns) > WRONG_NS else 0


class Redated:
    """Dates rows by the gateway's clock where that of their source is wrong: people say when something was by that."""

    def __init__(self) -> None:
        self._behind_ns = 0

    def follow(self, source_ns: int, now_ns: int) -> None:
        """Take the newest source time of a frame in that was read at `now_ns`."""
        if abs(now_ns - source_ns - self._behind_ns) > WRONG_NS:
            self._behind_ns = behind_ns(source_ns, now_ns)

    def dated(self, time_ns: Int64s, now_ns: int) -> Int64s:
        """Return the times i64[N] of rows that are there at `now_ns`."""
        return np.where(np.abs(time_ns - now_ns) > WRONG_NS, time_ns + self._behind_ns, time_ns)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A step ahead before row `row` of a frame; but for it the gap before that row would be `gap_ns` long."""

    row: int
    gap_ns: int


class SourceClock:
    """Compares the source times of frames with the gateway's time at which each was read.

    Their difference is the offset of the two clocks less the time that the frame was under way. What was under way for
    longer (a stall, a backlog after an outage) makes it smaller for a while and brings it back, and never above what is
    usual; samples that did not come leave it as it is. Only a clock that is set ahead makes it larger, with a gap
    in the source times of the same size. So does a source whose stamps stood still for a while.
    """

    def __init__(self, period_ns: int) -> None:
        self._least_ns = max(PERIODS_MIN * period_ns, AHEAD_NS_MIN)
        self._leak_ns = int(_LEAK * period_ns)
        self._usual_ns: int | None = None
        self._newest_ns = 0

    def step(self, time_ns: Int64s, now_ns: int) -> Ahead | None:
        """Take the source times i64[T] of a frame that was read at `now_ns` (UTC); return a step ahead among them."""
        newest_ns = int(time_ns.max())
        offset_ns, usual_ns, before_ns = newest_ns - now_ns, self._usual_ns, self._newest_ns
        if usual_ns is None:
            self.follow(newest_ns, now_ns)
            return None
        if (ahead_ns := offset_ns - usual_ns) > self._least_ns:
            gaps_ns = np.diff(np.maximum.accumulate(np.append(before_ns, time_ns)))
            row = int(gaps_ns.argmax())
            if gaps_ns[row] > self._least_ns:
                self.follow(newest_ns, now_ns)
                return Ahead(row, int(gaps_ns[row]) - ahead_ns)
        self._usual_ns = max(offset_ns, usual_ns - self._leak_ns)
        self._newest_ns = max(newest_ns, before_ns)
        return None

    def follow(self, newest_ns: int, now_ns: int) -> None:
        """Take the clock for right as it is: the newest source time, and the gateway's with it."""
        self._usual_ns, self._newest_ns = newest_ns - now_ns, newest_ns
