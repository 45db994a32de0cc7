"""A plant's past as a Parquet file: one row a period, one float32 per tag, and the truth where wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from connectors.frame import Float32s, Int64s
from simulators.machine import EPOCH_NS
from simulators.plant import Plant

if TYPE_CHECKING:
    import polars as pl

_ROWS_AT_ONCE = 21_600


def _silent(rows: int) -> None:
    """Tell nobody about `rows` more rows."""


def times_ns(start_s: int, count: int, period_s: int = 1) -> Int64s:
    """Return the UTC times, ns since 1970, of `count` rows from the simulated second `start_s`."""
    return EPOCH_NS + (start_s + period_s * np.arange(count, dtype=np.int64)) * 1_000_000_000


def frame(
    plant: Plant,
    start_s: int,
    count: int,
    period_s: int = 1,
    *,
    labels: bool = False,
    progress: Callable[[int], None] = _silent,
) -> pl.DataFrame:
    """Return columns `time` (datetime, UTC), one float32 per tag, and with `labels` the truth.

    `label` is 1 from the first onset on; `remaining_life_s` ends with the first failure, null before onset.
    `progress` hears how many rows each step added.
    """
    import polars as pl

    values = np.empty((count, len(plant.tags)), np.float32)
    for row in range(0, count, _ROWS_AT_ONCE):
        part = plant.rows(start_s + row * period_s, min(_ROWS_AT_ONCE, count - row), period_s)
        values[row : row + len(part)] = part
        progress(len(part))
    time = pl.Series("time", times_ns(start_s, count, period_s) // 1000).cast(pl.Datetime("us", "UTC"))
    columns = [time, *(pl.Series(tag.name, values[:, column]) for column, tag in enumerate(plant.tags))]
    if labels:
        left_s = remaining_life_s(plant, start_s + period_s * np.arange(count, dtype=np.int64))
        columns.append(pl.Series("label", np.isfinite(left_s).astype(np.int8)))
        columns.append(pl.Series("remaining_life_s", left_s).replace(np.inf, None))
    return pl.DataFrame(columns)


def remaining_life_s(plant: Plant, time_s: Int64s) -> Float32s:
    """Return the time to the first failure of what has begun, infinite before any onset, f32[T]."""
    left_s = np.full(len(time_s), np.inf)
    for degradation in plant.degradations:
        begun = time_s >= degradation.onset_s
        left_s[begun] = np.minimum(left_s[begun], np.maximum(degradation.failure_s - time_s[begun], 0.0))
    return left_s.astype(np.float32)


def write(
    path: Path,
    plant: Plant,
    start_s: int,
    count: int,
    period_s: int = 1,
    *,
    labels: bool = False,
    progress: Callable[[int], None] = _silent,
) -> None:
    """Write that frame to a Parquet file; raise OSError where it cannot be written."""
    frame(plant, start_s, count, period_s, labels=labels, progress=progress).write_parquet(path)
