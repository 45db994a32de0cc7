"""A Parquet file as the back-test reads it: columns by name, conditions in SQL, and errors that say what is
there.

The only place of the back-test that knows polars, imported where it is used because it takes a while.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from agent.backtest.trial import FAULTY, HEALTHY, UNLABELLED, BacktestError, Int8s
from connectors.frame import Bools, Float32s, Int64s

if TYPE_CHECKING:
    import polars as pl

Ints = npt.NDArray[np.intp]

NO_TIME: Final = np.iinfo(np.int64).min
SHOWN_MAX: Final = 8
SECONDS_MAX: Final = 9.2e9
"""Larger numbers do not fit 64-bit nanoseconds; they are milliseconds or finer since 1970, not seconds."""


@dataclass(frozen=True, slots=True)
class Table:
    """N `rows` of a file, which stay there: a column is read when it is asked for, since a history may be long."""

    path: Path
    schema: Mapping[str, pl.DataType]
    rows: int

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return list(self.schema)

    def column(self, name: str) -> pl.Series:
        """Read a column that there is."""
        return self._read([name]).get_column(name)

    def _read(self, names: Sequence[str]) -> pl.DataFrame:
        import polars as pl

        with _readable(self.path):
            return pl.read_parquet(self.path, columns=list(names))

    def require(self, option: str, names: Iterable[str]) -> None:
        """Raise BacktestError naming all columns of `names` that the file lacks, and those that it has."""
        columns = self.columns
        missing = [name for name in names if name not in columns]
        if missing:
            near = [match for name in missing for match in difflib.get_close_matches(name, columns, 1)]
            hint = f" (did you mean {', '.join(near)}?)" if near else ""
            raise BacktestError(
                f"{option}: {self.path} has no column {', '.join(missing)}{hint}; "
                f"name one that it has: {', '.join(columns)}"
            )

    def where(self, option: str, condition: str) -> tuple[Bools, list[str]]:
        """Return the rows that fulfil a polars SQL condition, bool[N], and the columns that it names."""
        import polars as pl

        try:
            expression = pl.sql_expr(condition)
            named = list(dict.fromkeys(expression.meta.root_names()))
            self.require(option, named)
            frame = self._read(named or self.columns[:1])
            found = frame.with_columns(expression.alias(option)).get_column(option)
        except pl.exceptions.PolarsError as error:
            reason = str(error).strip().splitlines()[0]
            raise BacktestError(
                f'{option} "{condition}" is no condition on {self.path}: {reason}; '
                "write one such as \"split = 'train' and t < DATE '2026-02-01'\""
            ) from error
        if found.dtype != pl.Boolean:
            raise BacktestError(
                f'{option} "{condition}" gives {found.dtype} on {self.path}, not true or false; '
                "compare it with something"
            )
        return found.fill_null(value=False).to_numpy(), named

    def contents(self, names: Sequence[str]) -> str:
        """Say in words what the columns hold: the range of numbers, the values of others."""
        return "; ".join(f"{name} holds {self._content(name)}" for name in names)

    def _content(self, name: str) -> str:
        column = self.column(name).drop_nulls()
        if column.len() == 0:
            return "nothing"
        if column.dtype.is_numeric() or column.dtype.is_temporal():
            return _range(column)
        values = [f"'{value}'" for value in column.unique(maintain_order=True).to_list()]
        more = f" and {len(values) - SHOWN_MAX} more" if len(values) > SHOWN_MAX else ""
        return ", ".join(values[:SHOWN_MAX]) + more

    def times_ns(self, name: str) -> Int64s:
        """Return a column of dates and times, or of seconds, as i64[N] in ns; NO_TIME where it is null."""
        import polars as pl

        self.require("--time", [name])
        column = self.column(name)
        if column.dtype == pl.Date:
            column = column.cast(pl.Datetime("us"))
        if isinstance(column.dtype, pl.Datetime):
            return column.dt.epoch("ns").fill_null(NO_TIME).to_numpy()
        if not column.dtype.is_numeric():
            raise BacktestError(
                f"--time {name} of {self.path} is {column.dtype}; it must be a date and time, or a number "
                "of seconds"
            )
        seconds = column.cast(pl.Float64).to_numpy()
        if (np.abs(seconds) > SECONDS_MAX).any():
            raise BacktestError(
                f"--time {name} of {self.path} holds {_range(column)}, too large for "
                "seconds; write it as a date and time, or divide it"
            )
        known = np.isfinite(seconds)
        return np.where(known, np.rint(np.where(known, seconds, 0.0) * 1e9).astype(np.int64), NO_TIME)

    def runs(self, names: Sequence[str]) -> list[tuple[str, Ints]]:
        """Return name and rows of each run in the order of the file, which is one run if `names` is empty."""
        import polars as pl

        self.require("--run", names)
        if not names:
            return [(self.path.stem, np.arange(self.rows))]
        parts = [pl.col(name).cast(pl.String).fill_null("null") for name in names]
        rows = self._read(names).select(pl.concat_str(parts, separator="/").alias("run")).with_row_index("row")
        grouped = rows.group_by("run", maintain_order=True).agg("row")
        return [(name, np.asarray(members, np.intp)) for name, members in grouped.iter_rows()]

    def label(self, name: str) -> Int8s:
        """Return a column of labels as i8[N]: above 0 a fault, else healthy, null or NaN not known."""
        import polars as pl

        self.require("--label", [name])
        column = self.column(name)
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise BacktestError(
                f"--label {name} of {self.path} is {column.dtype}; it must be a number (above 0 is a fault) "
                "or true and false"
            )
        number = column.cast(pl.Float64).to_numpy()
        return np.where(np.isnan(number), UNLABELLED, np.where(number > 0, FAULTY, HEALTHY)).astype(np.int8)

    def dates(self) -> list[str]:
        """Return the names of the columns that hold dates and times."""
        import polars as pl

        return [name for name, dtype in self.schema.items() if isinstance(dtype, pl.Datetime)]

    def numeric(self) -> list[str]:
        """Return the names of the columns that hold numbers."""
        return [name for name, dtype in self.schema.items() if dtype.is_numeric()]

    def integers(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` whose columns hold whole numbers by type."""
        return [name for name in names if self.schema[name].is_integer()]

    def integer_values(self, name: str) -> Int64s | None:
        """Return a column of whole numbers as i64[N]; None where some are missing."""
        import polars as pl

        column = self.column(name)
        return None if column.null_count() else column.cast(pl.Int64, strict=False).fill_null(0).to_numpy()

    def distinct(self, name: str) -> int:
        """Return how many different values a column holds."""
        return int(self.column(name).n_unique())

    def values(self, tags: Sequence[str], option: str = "--tags") -> Float32s:
        """Return the tags' columns as f32[N, C], NaN where null; `option` is what named them."""
        import polars as pl

        self.require(option, tags)
        schema = self.schema
        texts = [tag for tag in tags if not (schema[tag].is_numeric() or schema[tag] == pl.Boolean)]
        if texts:
            raise BacktestError(
                f"{option}: {', '.join(f'{tag} is {schema[tag]}' for tag in texts)} in {self.path}; "
                "a tag must be a number or true and false"
            )
        values = np.empty((self.rows, len(tags)), np.float32)
        for column, tag in enumerate(tags):  # one after another: a long history fits once, not twice
            values[:, column] = self.column(tag).cast(pl.Float32).to_numpy()
        return values


def _range(column: pl.Series) -> str:
    return f"{column.min()!s} to {column.max()!s}"


def read_table(path: Path) -> Table:
    """Look what a Parquet file holds; raise BacktestError where that fails or it has no rows."""
    import polars as pl

    if not path.is_file():
        raise BacktestError(f"{path}: there is no such file; name one that there is")
    with _readable(path):
        lazy = pl.scan_parquet(path)
        schema, rows = dict(lazy.collect_schema()), int(lazy.select(pl.len()).collect().item())
    if rows == 0:
        raise BacktestError(f"{path} has no rows; its columns are: {', '.join(schema)}")
    return Table(path, schema, rows)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise BacktestError for what goes wrong in reading the file."""
    import polars as pl

    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BacktestError(
            f"{path} cannot be read as Parquet: {reason}; copy or export it again"
        ) from error
