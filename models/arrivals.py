"""Where a machine comes to rest after a command: at home in a regime that was learnt, or far from every one.

How far a row is from the regimes does not tell a fault from a way of running that the history did not have. What comes
before does: a machine that was at home, is switched, and then settles far from every regime has gone where it never
was while it was learnt. Of a machine that goes away by itself, or that is far off after a second command, too, this
cannot be said.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FAR_SD = 4.0
"""So many standard deviations per tag (root mean square) are far; a fault is found long before it is as large."""


class ArrivalTracker:
    """Follows one asset row by row; `median` and `limit` are those of the score of healthy rows.

    A machine is at home again once a row is nearer to the median than to the limit, on the scale of the evidence.
    """

    def __init__(self, median: float, limit: float, *, at_home: bool) -> None:
        self._limit = limit
        self._far = max(FAR_SD**2, limit)
        self._home = float(np.sqrt(median * limit))
        self._at_home = at_home
        self._commands = 0
        self._astray = False

    def update(self, commands: Ints, settling: Bools, score: Float64s) -> Bools:
        """Take rows in: how often the machine was switched i64[T], whether it settles, and its score, NaN if unknown.

        Return whether it runs where it was never learnt, bool[T]. Rows without a score, and those in which the machine
        settles, change nothing.
        """
        astray = np.zeros(len(score), np.bool_)
        if not len(score) or not commands[-1]:
            return astray
        for row in np.flatnonzero(~settling & ~np.isnan(score)).tolist():
            if commands[row] != self._commands:
                self._commands = int(commands[row])
                self._astray = self._at_home and bool(score[row] >= self._far)
            elif score[row] < self._home:
                self._astray = False
            self._at_home = not self._astray and bool(score[row] < self._limit)
            astray[row] = self._astray
        return astray
