"""A Connector over recorded frames: back-test, incident replay, and an honest double in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from connectors import ConnectorError
from connectors.frame import BAD_NO_COMMUNICATION, GOOD, Float32s, Frame, Int64s, Tag, UInt32s, is_bad
from connectors.link import Clock
from connectors.scaling import Scaling, quietly

if TYPE_CHECKING:
    import polars as pl

STATUS_SUFFIX: Final = ".status"
"""A column `<tag>.status` (uint32, OPC UA status codes) beside a column `<tag>` is used where there is one.
"""


class ReplayConnector:
    """Plays a Parquet file: one column of times and one for each tag, in the tags' units (not scaled again).

    `columns` names a tag's column where it is not the tag's own name. A null or NaN is BadNoCommunication
    unless a status column says otherwise. Without a `clock`, each read gives the next `rows_per_read` rows
    as fast as one asks; with one, the rows (at most that many) whose time has come since `open`. After the
    last row: no rows.
    """

    def __init__(self, path: Path, tags: Sequence[Tag], clock: Clock | None = None, *,
                 columns: Mapping[str, str] | None = None, time_column: str = "time",
                 rows_per_read: int = 1) -> None:
        assert rows_per_read > 0
        self.tags = tuple(tags)
        self._path = path
        self._clock = clock
        self._columns = [(columns or {}).get(tag.name, tag.name) for tag in tags]
        self._time_column = time_column
        self._rows_per_read = rows_per_read
        self._frame: Frame | None = None
        self._next = 0
        self._begun_ns = 0

    @property
    def finished(self) -> bool:
        """Whether all rows have been read."""
        return self._frame is not None and self._next >= self._frame.rows

    async def open(self) -> None:
        """Load the recording, from its beginning; raise ConnectorError naming a column that is missing."""
        self._frame = self._load()
        self._next = 0
        self._begun_ns = 0 if self._clock is None else self._clock.monotonic_ns()

    async def read(self) -> Frame:
        """Return the next rows, none when there are no more or none is due yet."""
        frame = self._frame
        if frame is None:
            raise ConnectorError(f"the recording {self._path} is not open")
        end = min(self._next + self._rows_per_read, frame.rows)
        if self._clock is not None and frame.rows:
            now_ns = int(frame.source_time_ns[0]) + self._clock.monotonic_ns() - self._begun_ns
            later = np.flatnonzero(frame.source_time_ns[self._next:end] > now_ns)
            end = self._next + int(later[0]) if len(later) else end
        begin, self._next = self._next, end
        return Frame(frame.source_time_ns[begin:end], frame.values[begin:end], frame.status[begin:end])

    async def close(self) -> None:
        """Let go of the recording; may be called twice."""
        self._frame = None

    def _load(self) -> Frame:
        import polars as pl

        try:
            names = list(pl.read_parquet_schema(self._path))
            self._demand(names)
            statuses = [name + STATUS_SUFFIX for name in self._columns if name + STATUS_SUFFIX in names]
            wanted = dict.fromkeys([self._time_column, *self._columns, *statuses])
            table = pl.read_parquet(self._path, columns=list(wanted))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ConnectorError(f"{self._path} is not a readable Parquet file: {error}",
                                 retryable=False) from error
        status = np.stack([self._status(table, name) for name in self._columns], axis=1)
        raw = np.stack([self._numbers(table, name) for name in self._columns], axis=1)
        status[~np.isfinite(raw) & ~is_bad(status)] = BAD_NO_COMMUNICATION
        in_units = [Tag(tag.name, tag.unit, low=tag.low, high=tag.high) for tag in self.tags]
        with quietly():
            return Frame(self._times_ns(table), *Scaling(in_units).apply(raw.astype(np.float64), status))

    def _demand(self, names: Sequence[str]) -> None:
        missing = [name for name in (self._time_column, *self._columns) if name not in names]
        if missing:
            listed = ", ".join(f"'{name}'" for name in missing)
            raise ConnectorError(f"{self._path} has no column {listed}; it has: {', '.join(names)}",
                                 retryable=False)

    def _times_ns(self, table: pl.DataFrame) -> Int64s:
        """Return the time column as UTC ns: a datetime (without a zone it is taken for UTC) or integers of
        ns.
        """
        import polars as pl

        column = table[self._time_column]
        if column.dtype == pl.Datetime:
            column = column.dt.timestamp("ns")
        if not column.dtype.is_integer() or column.null_count():
            raise ConnectorError(
                f"{self._path}: column '{self._time_column}' must hold a time in every row, datetime or "
                f"integer nanoseconds since 1970; it is {column.dtype} with {column.null_count()} nulls",
                retryable=False)
        return column.cast(pl.Int64).to_numpy().astype(np.int64)

    def _numbers(self, table: pl.DataFrame, name: str) -> Float32s:
        import polars as pl

        column = table[name]
        if not (column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null)):
            raise ConnectorError(f"{self._path}: column '{name}' holds no numbers but {column.dtype}",
                                 retryable=False)
        return column.cast(pl.Float32).to_numpy().astype(np.float32)

    @staticmethod
    def _status(table: pl.DataFrame, name: str) -> UInt32s:
        import polars as pl

        if name + STATUS_SUFFIX not in table.columns:
            return np.full(len(table), GOOD, np.uint32)
        column = table[name + STATUS_SUFFIX].cast(pl.UInt32).fill_null(BAD_NO_COMMUNICATION)
        return column.to_numpy().astype(np.uint32)
