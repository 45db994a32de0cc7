"""A recording as a plant: any Parquet file's numeric columns as tags with generated addresses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from connectors.frame import Dtype, Float32s, Int64s, ModbusAddress, Table, Tag
from simulators.machine import UNIT_ID
from simulators.plant import opcua_tags

if TYPE_CHECKING:
    import polars as pl

_TRUTH = ("label", "remaining_life_s")


class Recording:
    """Rows of a Parquet file: `times_ns` i64[T] (UTC), `values` f32[T, C], NaN for nothing.

    Every tag is a float32 in input registers of unit 1 on Modbus, two registers each, and a variable of its
    own name on OPC UA.
    """

    def __init__(self, name: str, columns: Sequence[str], times_ns: Int64s, values: Float32s) -> None:
        assert values.shape == (len(times_ns), len(columns))
        self.name = name
        self.epoch_ns = int(times_ns[0])
        self.period_ns = (
            max(1_000_000, int(np.median(np.diff(times_ns)))) if len(times_ns) > 1 else 1_000_000_000
        )
        self.times_ns = times_ns
        self.values = values
        self.tags = tuple(
            Tag(column, "", ModbusAddress(UNIT_ID, Table.INPUT_REGISTER, 2 * index), Dtype.FLOAT32)
            for index, column in enumerate(columns)
        )
        self.opcua_tags = opcua_tags(name, self.tags)

    def row(self, time_ns: int) -> tuple[Float32s, int]:
        """Return the newest row that is not after a time, and its own time; the first row before all rows."""
        index = max(0, int(np.searchsorted(self.times_ns, time_ns, side="right")) - 1)
        return self.values[index], int(self.times_ns[index])

    @classmethod
    def read(
        cls, path: Path, columns: Sequence[str] = (), time: str | None = "time", period_s: float | None = None
    ) -> Recording:
        """Read a Parquet file: its numeric columns, or those named, and the times of its column `time`.

        `period_s` makes the times instead, from 1970 on. Raise ValueError that says what is wrong with the
        file and what it has; OSError where it cannot be read.
        """
        import polars as pl

        try:
            frame = pl.read_parquet(path)
        except pl.exceptions.PolarsError as error:
            raise ValueError(f"{path} is not a Parquet file that can be read: {error}") from error
        if frame.is_empty():
            raise ValueError(f"{path} has no rows.")
        times_ns = _times_ns(frame, path, time, period_s)
        excluded = (*_TRUTH, time)
        chosen = columns or [c for c in frame.columns if frame[c].dtype.is_numeric() and c not in excluded]
        if missing := [column for column in chosen if column not in frame.columns]:
            raise ValueError(
                f"{path} has no column {', '.join(missing)}; it has: {', '.join(frame.columns)}."
            )
        if not chosen:
            raise ValueError(f"{path} has no numeric column; it has: {', '.join(frame.columns)}.")
        if words := [column for column in chosen if not frame[column].dtype.is_numeric()]:
            raise ValueError(f"{path}: not numbers: {', '.join(words)}.")
        values = frame.select(pl.col(column).cast(pl.Float32) for column in chosen).to_numpy()
        return cls(path.stem, chosen, times_ns, np.array(values, np.float32))


def _times_ns(frame: pl.DataFrame, path: Path, time: str | None, period_s: float | None) -> Int64s:
    """Return the times of the rows, ns; they must not go back."""
    import polars as pl

    if period_s is not None:
        return (np.arange(len(frame)) * (period_s * 1e9)).astype(np.int64)
    if time is None or time not in frame.columns:
        raise ValueError(
            f"{path} has no time column {time!r}; name one of {', '.join(frame.columns)}, "
            f"or give the period of its rows."
        )
    column = frame[time]
    if isinstance(column.dtype, pl.Datetime):
        column = column.cast(pl.Datetime("ns")).to_physical()
    if not column.dtype.is_integer() or column.null_count():
        raise ValueError(f"{path}: the time column {time!r} must hold datetimes or int64 ns, without gaps.")
    times_ns = column.to_numpy().astype(np.int64)
    if np.any(np.diff(times_ns) < 0):
        raise ValueError(f"{path}: the times in {time!r} go back; sort the file, or play one run of it.")
    return times_ns
