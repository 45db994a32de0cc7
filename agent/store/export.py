"""Telemetry as Parquet, out and in: one row per row of a frame; what went out replays as it was."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np

from agent.store.blocks import Step
from agent.store.journal import StoreError
from connectors.frame import BAD_NO_COMMUNICATION, GOOD, Frame

if TYPE_CHECKING:
    import polars as pl

TIME, TAKEN = "time", "taken"
"""Columns of the source times, and of the times at which the agent took the frames (one value, one frame)."""


def write_parquet(steps: Iterable[Step], tags: Sequence[str], path: Path | IO[bytes]) -> int:
    """Write the steps of one asset to `path`, or to an open file, and return the number of rows.

    Columns: `time` and `taken` (datetime[ns, UTC]), one float32 per tag, one `<tag>.status` (uint32) per tag. Steps
    that were recovered are left out: no line was given them.
    """
    import polars as pl

    taken = [step for step in steps if step.frame.rows and not step.recovered]
    frames = [step.frame for step in taken]
    whole = Frame(
        np.concatenate([np.zeros(0, np.int64), *(f.source_time_ns for f in frames)]),
        np.concatenate([np.zeros((0, len(tags)), np.float32), *(f.values for f in frames)]),
        np.concatenate([np.zeros((0, len(tags)), np.uint32), *(f.status for f in frames)]),
    )
    clock = np.repeat(np.array([step.now_ns for step in taken], np.int64), [frame.rows for frame in frames])
    utc = pl.Datetime("ns", "UTC")
    columns = {
        TIME: pl.Series(whole.source_time_ns).cast(utc),
        TAKEN: pl.Series(clock).cast(utc),
        **{tag: pl.Series(whole.values[:, i], nan_to_null=True) for i, tag in enumerate(tags)},
        **{f"{tag}.status": pl.Series(whole.status[:, i]) for i, tag in enumerate(tags)},
    }
    pl.DataFrame(columns).write_parquet(path)
    return whole.rows


def column_names(path: Path) -> list[str]:
    """Return the columns of a Parquet file; raise StoreError where it is none."""
    import polars as pl

    try:
        return list(pl.read_parquet_schema(path))
    except FileNotFoundError as error:
        raise StoreError(f"{path}: there is no such file or folder; name one that there is") from error
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error


def read_parquet(path: Path, asset: str, tags: Sequence[str]) -> Iterator[Step]:
    """Give the steps of an asset recorded in `path`; without a column `taken`, a row is a step at its time.

    Null and NaN are Bad. Raise StoreError where the file or a column is missing, or holds no numbers.
    """
    import polars as pl

    names = column_names(path)
    missing = [name for name in (TIME, *tags) if name not in names]
    if missing:
        raise StoreError(f"{path}: no column {', '.join(missing)}; it has: {', '.join(names)}")
    wanted = [name for tag in (TIME, TAKEN, *tags) for name in (tag, f"{tag}.status") if name in names]
    try:
        table = pl.read_parquet(path, columns=wanted)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    kinds = {tag: table.schema[tag] for tag in tags}
    texts = [tag for tag, kind in kinds.items() if not (kind.is_numeric() or kind in (pl.Boolean, pl.Null))]
    if texts:
        raise StoreError(
            f"{path}: {', '.join(f'column {tag} is {kinds[tag]}' for tag in texts)}; "
            "a tag must be a number or true and false: export it again as such"
        )
    times = _times_ns(table[TIME], path)
    taken = _times_ns(table[TAKEN], path) if TAKEN in names else times
    values = table.select(pl.col(tags).cast(pl.Float32, strict=False)).to_numpy()
    values = np.asarray(values, np.float32).reshape(len(table), len(tags))
    status = np.column_stack(
        [
            table[f"{tag}.status"].cast(pl.UInt32).to_numpy()
            if f"{tag}.status" in names
            else np.where(np.isfinite(values[:, i]), np.uint32(GOOD), np.uint32(BAD_NO_COMMUNICATION))
            for i, tag in enumerate(tags)
        ]
    ).astype(np.uint32)
    frame = Frame.clean(times, values, status)
    new = np.ones(len(table), np.bool_) if TAKEN not in names else np.diff(taken, prepend=taken[:1] - 1) != 0
    edges = np.append(np.flatnonzero(new), len(table))
    for begin, end in itertools.pairwise(edges):
        part = Frame(frame.source_time_ns[begin:end], frame.values[begin:end], frame.status[begin:end])
        yield Step(asset, int(taken[begin]), part)


def span(path: Path) -> tuple[int, int]:
    """Return the first and the last time in a Parquet file, UTC in ns, zeros where it has no rows; raise StoreError."""
    import polars as pl

    if TIME not in (names := column_names(path)):
        raise StoreError(f"{path}: no column {TIME}; it has: {', '.join(names)}")
    try:
        times = _times_ns(pl.read_parquet(path, columns=[TIME])[TIME], path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise _unreadable(path, error) from error
    return (int(times.min()), int(times.max())) if len(times) else (0, 0)


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path}: not a readable Parquet file: {error}; copy or export it again")


def _times_ns(column: pl.Series, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return UTC nanoseconds of a datetime column; a number is seconds, a big whole number nanoseconds."""
    import polars as pl

    if column.null_count():
        raise StoreError(
            f'{path}: column "{column.name}" has {column.null_count()} rows without a time; remove them'
        )
    if column.dtype.is_integer() and len(column) and int(column.abs().max()) > 10**14:  # type: ignore[arg-type]
        return column.cast(pl.Int64).to_numpy()
    if column.dtype.is_numeric():
        return (column.cast(pl.Float64).to_numpy() * 1e9).astype(np.int64)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.cast_time_unit("ns").to_physical().to_numpy()
    raise StoreError(
        f'{path}: column "{column.name}" is {column.dtype}; a date with time, or seconds, is needed'
    )
