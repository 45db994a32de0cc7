"""How long the value of a slow tag is current: for live rows, and for the rows of a history that is learnt from."""

from __future__ import annotations

from typing import Final

import numpy as np

from connectors.frame import Float32s, Int64s

NEVER_NS: Final = np.iinfo(np.int64).min // 2
"""The time of a sample that has not come; far enough from the end of its type to be subtracted from."""


def hold_ns(period_ns: int, grid_ns: int) -> int:
    """Return how old a tag's newest sample may be in a row of the grid, 0 for a tag as fast as the grid.

    The value of a slower tag is current until the next one is due; half a row is for jitter.
    """
    return period_ns + grid_ns // 2 if period_ns > grid_ns else 0


def held(values: Float32s, sampled_ns: Int64s, grid_time_ns: Int64s, most_ns: int) -> Float32s:
    """Return one tag's rows f32[N] with each gap filled from the sample before it, while that is current.

    `values` are NaN where there was no sample, `sampled_ns` i64[N] says when each was taken; no row is further than
    `most_ns` from the sample it shows.
    """
    rows = np.arange(len(values))
    newest = np.maximum.accumulate(np.where(np.isfinite(values), rows, -1))
    young = (newest >= 0) & (grid_time_ns - sampled_ns[newest] <= most_ns)
    return np.where(young, values[newest], np.float32(np.nan))
