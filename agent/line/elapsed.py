"""How much time passes from row to row, by a clock that people and networks set."""

from __future__ import annotations

import numpy as np

from connectors.frame import Int64s

FAR_NS = 366 * 86_400_000_000_000
"""A PLC whose battery is empty begins in 1970: a clock is not a year ahead or behind because nobody looked."""
BELIEVED_ROWS = 64
"""After so many rows in a row such a clock is believed, and its time taken for the present."""


class Elapsed:
    """Counts periods; `newest_ns` is the present (UTC) as far as it is known, None before the first row.

    Each row lets one period pass, and a gap before it as many as it is long. While a clock is behind what it showed
    before, the present goes on by a period a row, so that nothing passes twice when the clock is set right. A clock
    that is set ahead by less than a year cannot be told from an absence.
    """

    def __init__(self, period_ns: int, newest_ns: int | None) -> None:
        self.newest_ns = newest_ns
        self._period_ns = period_ns
        self._far_rows = 0

    def update(self, times_ns: Int64s) -> Int64s:
        """Return how many periods pass with each row of UTC times i64[N], at least 1."""
        return np.array([self._pass(time_ns) for time_ns in times_ns.tolist()], np.int64)

    def _pass(self, time_ns: int) -> int:
        if self.newest_ns is None:
            self.newest_ns = time_ns
            return 1
        ahead_ns = time_ns - self.newest_ns
        far = abs(ahead_ns) > FAR_NS
        self._far_rows = self._far_rows + 1 if far else 0
        if self._far_rows >= BELIEVED_ROWS:
            self.newest_ns = time_ns
            return 1
        periods = 1 if far else max(round(ahead_ns / self._period_ns), 1)
        self.newest_ns = self.newest_ns + self._period_ns if far or ahead_ns <= 0 else time_ns
        return periods
