"""Data manipulation: a value that moved faster than its quantity can is none; what stays where it went is believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.line.hold import NEVER_NS
from connectors.frame import BAD_OUT_OF_RANGE, Bools, Frame, Int64s, is_bad

Float64s = npt.NDArray[np.float64]

STEP_SAMPLES: Final = 3
"""So many samples in a row that follow each other, but not the last good one, are no spike but a step."""
_F32_STEP: Final = 2.0**-23


class RateOfChange:
    """Refuses samples that are further from the last good one than `max_rates` allow, in units per second.

    `max_rates` f64[C] are infinite for tags without a limit. The time between two samples is that of their source
    times, so the longer nothing good came, the further a value may be: after a gap it is believed. Two samples count as
    a period apart at least: the stamp of an answer is not that of the measurement, rows of OPC UA repeat what has not
    changed, and a clock may be set back.

    A single spike is refused, and the value that comes back after it is good. Where samples stay at the new place, the
    `STEP_SAMPLES`th of them is good again and the others begin from there: a sensor that was exchanged is refused for
    two samples, not for ever. Samples nearer than half a period to the one before are not counted.
    """

    def __init__(self, max_rates: Sequence[float], periods_ns: Sequence[int]) -> None:
        limits = np.array(max_rates, np.float64)
        self._columns = np.flatnonzero(np.isfinite(limits))
        self._per_ns = limits[self._columns] / 1e9
        self._period_ns = np.array(periods_ns, np.int64)[self._columns]
        nothing, never = np.full(len(self._columns), np.nan), np.full(len(self._columns), NEVER_NS)
        self._last, self._last_ns = nothing, never
        self._away, self._away_ns = nothing, never
        self._stayed = np.zeros(len(self._columns), np.int64)

    def screen(self, frame: Frame) -> tuple[Frame, Bools | None]:
        """Return the frame with what moved too fast as BadOutOfRange, and where that is: bool[T, C], None nowhere."""
        if not len(self._columns):
            return frame, None
        refused = np.zeros((frame.rows, len(self._columns)), np.bool_)
        good = ~is_bad(frame.status[:, self._columns])
        for row in range(frame.rows):
            refused[row] = self._refuse(
                frame.values[row, self._columns].astype(np.float64), good[row], int(frame.source_time_ns[row])
            )
        if not refused.any():
            return frame, None
        too_fast = np.zeros(frame.status.shape, np.bool_)
        too_fast[:, self._columns] = refused
        status = np.where(too_fast, np.uint32(BAD_OUT_OF_RANGE), frame.status)
        return Frame(frame.source_time_ns, np.where(too_fast, np.float32(np.nan), frame.values), status), too_fast

    def _refuse(self, x: Float64s, good: Bools, time_ns: int) -> Bools:
        """Take one sample f64[K] of each limited tag; return which are refused."""
        near = ~(np.abs(x - self._last) > self._reach(x, self._last, self._last_ns, time_ns))  # so is the first of all
        follows = np.abs(x - self._away) <= self._reach(x, self._away, self._away_ns, time_ns)
        counts = np.abs(time_ns - self._away_ns) >= self._period_ns // 2
        stayed = np.where(follows, self._stayed + counts, 1)
        refused = good & ~near & (stayed < STEP_SAMPLES)
        taken = good & ~refused
        self._last, self._last_ns = np.where(taken, x, self._last), np.where(taken, time_ns, self._last_ns)
        moved = refused & ~(follows & ~counts)
        self._away = np.where(moved, x, np.where(taken, np.nan, self._away))
        self._away_ns = np.where(moved, time_ns, self._away_ns)
        self._stayed = np.where(refused, stayed, np.where(taken, 0, self._stayed))
        return np.asarray(refused)

    def _reach(self, x: Float64s, value: Float64s, value_ns: Int64s, time_ns: int) -> Float64s:
        """Return how far f64[K] a value can have moved until a time, and what 32 bits may add to that."""
        apart_ns = np.maximum(time_ns - value_ns, self._period_ns)
        return np.asarray(self._per_ns * apart_ns + _F32_STEP * np.maximum(np.abs(x), np.abs(value)))
