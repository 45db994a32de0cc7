"""A window of telemetry for people: so many points at most, each with mean, least and greatest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.store.blocks import Step

Float64s = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

STEPS_AT_ONCE: Final = 1024
"""A step is one row as a rule: alone, each would cost a dozen calls of numpy."""


@dataclass(frozen=True, slots=True)
class Series:
    """P points of C tags: `time_ns` i64[P] (earliest of each), `mean`, `low`, `high` f64[P, C] (NaN: none).

    `rows` is how many rows were summarised.
    """

    time_ns: Int64s
    mean: Float64s
    low: Float64s
    high: Float64s
    rows: int


def summarise(
    steps: Iterable[Step], columns: list[int], since_ns: int, until_ns: int, points_max: int
) -> Series:
    """Summarise the rows with since <= source time < until in `points_max` equal intervals, less the empty.

    The memory it needs depends on `points_max` and on the size of a step only.
    """
    shape = (points_max, len(columns))
    first_ns = np.full(points_max, np.iinfo(np.int64).max)
    total, count = np.zeros(shape), np.zeros(shape, np.int64)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    rows = 0
    stream = iter(steps)
    while batch := list(islice(stream, STEPS_AT_ONCE)):
        times = np.concatenate([step.frame.source_time_ns for step in batch])
        inside = (times >= since_ns) & (times < until_ns)
        times = times[inside]
        values = np.concatenate([step.frame.values[:, columns] for step in batch])[inside].astype(np.float64)
        # A span in nanoseconds times a number of points does not fit in 64 bits. The rounding of float64 may move a
        # row by nanoseconds over an edge, the last one not out of the window.
        places = ((times - since_ns) * float(points_max) / (until_ns - since_ns)).astype(np.intp)
        np.minimum(places, points_max - 1, out=places)
        good = ~np.isnan(values)
        np.minimum.at(first_ns, places, times)
        np.add.at(total, places, np.where(good, values, 0.0))
        np.add.at(count, places, good)
        np.minimum.at(low, places, np.where(good, values, np.inf))
        np.maximum.at(high, places, np.where(good, values, -np.inf))
        rows += len(times)
    used = np.flatnonzero(first_ns < np.iinfo(np.int64).max)
    total, count, low, high = total[used], count[used], low[used], high[used]
    nothing = count == 0
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=~nothing)
    return Series(first_ns[used], mean, np.where(nothing, np.nan, low), np.where(nothing, np.nan, high), rows)
