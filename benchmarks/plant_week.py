"""A healthy machine of 64 tags: three operating modes, eight hidden causes with memory, sensors with noise."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

TAGS: Final = 64
CAUSES: Final = 8
MEMORY: Final = 0.95
DWELL_ROWS: Final = 3600
WEEK_ROWS: Final = 7 * 86_400

NAMES: Final = tuple(f"tag{number:02d}" for number in range(TAGS))


def rows(count: int, seed: int) -> npt.NDArray[np.float32]:
    """Return `count` rows f32[count, 64], a row a second; the same machine for every seed."""
    rng, machine = np.random.default_rng(seed), np.random.default_rng(64)
    loading, level = machine.normal(size=(CAUSES, TAGS)), machine.normal(0.0, 5.0, (3, TAGS))
    causes = np.sqrt(1 - MEMORY**2) * rng.standard_normal((count, CAUSES))
    for row in range(1, count):
        causes[row] += MEMORY * causes[row - 1]
    values = np.empty((count, TAGS), np.float32)
    for start in range(0, count, DWELL_ROWS):
        part = slice(start, start + DWELL_ROWS)
        noise = rng.normal(0.0, 0.3, (len(causes[part]), TAGS))
        values[part] = 50.0 + level[start // DWELL_ROWS % 3] + causes[part] @ loading + noise
    return values


def write(path: Path, count: int = WEEK_ROWS, seed: int = 1) -> None:
    """Write a history as Parquet, with the column `time` in UTC."""
    import polars as pl

    time_us = np.arange(count, dtype=np.int64) * 1_000_000
    values = rows(count, seed)
    columns = {name: values[:, column] for column, name in enumerate(NAMES)}
    time = pl.Series("time", time_us).cast(pl.Datetime("us", "UTC"))
    pl.DataFrame({"time": time, **columns}).write_parquet(path)
