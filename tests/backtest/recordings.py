"""Small Parquet recordings for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

START = datetime(2026, 1, 1)  # noqa: DTZ001 - recordings often have no time zone


def write(path: Path, columns: Mapping[str, Sequence[object] | np.ndarray]) -> Path:
    pl.DataFrame(dict(columns)).write_parquet(path)
    return path


def plant(folder: Path, *, runs: int = 3, rows: int = 400, fault_at: int = 300, seed: int = 1) -> Path:
    """Runs of two coupled tags, 2 s apart, one shifted from `fault_at` on; and a clean run."""
    rng = np.random.default_rng(seed)
    names = ("when", "machine", "row", "speed", "flow", "fault", "note")
    columns: dict[str, list[object]] = {name: [] for name in names}
    for number in range(runs + 1):
        clean = number == runs
        speed = 50 + rng.normal(0, 1, rows)
        flow = 2 * speed + rng.normal(0, 0.1, rows)
        fault = (np.arange(rows) >= fault_at) & (not clean)
        columns["when"] += [START + timedelta(days=number, seconds=2 * row) for row in range(rows)]
        columns["machine"] += ["clean" if clean else f"m{number}"] * rows
        columns["row"] += list(range(rows))
        columns["speed"] += speed.tolist()
        columns["flow"] += (flow + 3.0 * fault).tolist()
        columns["fault"] += fault.astype(int).tolist()
        columns["note"] += ["text"] * rows
    return write(folder / "plant.parquet", columns)
