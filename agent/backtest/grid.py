"""Rows as they were recorded -> segments on the grid of the period. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.backtest.trial import UNLABELLED, BacktestError, Int8s, Segment
from agent.line.hold import NEVER_NS, held
from connectors.frame import Float32s, Int64s

HOLE_ROWS_MAX: Final = 1000
"""A longer hole of missing rows ends the segment; the model then starts afresh, as after a restart."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one run in the order of the file: `times_ns` i64[N], `values` f32[N, C], `label` i8[N]."""

    run: str
    times_ns: Int64s
    values: Float32s
    label: Int8s


def segments_of(rows: Rows, period_ns: int, hold_ns: Mapping[int, int] | None = None) -> Iterator[Segment]:
    """Lay the rows on the grid that starts at the first of them; raise BacktestError where time goes back.

    A row goes to the nearest point of the grid, so that jitter is forgiven; of several rows at one point the
    last stands, as for an agent that reads at this period, and a fault in any of them is kept. Points without
    a row are missing, except that the columns in `hold_ns` keep a value for so long (agent.line.hold).
    """
    if len(rows.times_ns) == 0:
        return
    steps_ns = np.diff(rows.times_ns)
    if (steps_ns < 0).any():
        raise BacktestError(_backwards(rows, int(np.argmax(steps_ns < 0))))
    new_piece = np.flatnonzero(steps_ns > (HOLE_ROWS_MAX + 1) * period_ns) + 1
    for piece in np.split(np.arange(len(rows.times_ns)), new_piece):
        yield _laid(rows, piece, period_ns, hold_ns or {})


def points(times_ns: Int64s, period_ns: int) -> npt.NDArray[np.intp]:
    """Return the nearest point of the grid for each of i64[N], counted from the first of them."""
    nearest: npt.NDArray[np.intp] = ((times_ns - times_ns[0] + period_ns // 2) // period_ns).astype(np.intp)
    return nearest


def _laid(rows: Rows, piece: npt.NDArray[np.intp], period_ns: int, hold_ns: Mapping[int, int]) -> Segment:
    whole = slice(int(piece[0]), int(piece[-1]) + 1)
    times_ns = rows.times_ns[whole]
    point = points(times_ns, period_ns)
    length = int(point[-1]) + 1
    if length == len(point) and (np.diff(point) == 1).all():
        values = rows.values[whole]  # on the grid already; a long history is not copied
    else:
        values = np.full((length, rows.values.shape[1]), np.nan, np.float32)
        values[point] = rows.values[whole]  # of equal points numpy keeps the last
    grid_ns = times_ns[0] + np.arange(length, dtype=np.int64) * period_ns
    if hold_ns:
        values = values.copy()
        for column, most_ns in hold_ns.items():
            values[:, column] = _held(rows.values[whole, column], times_ns, point, grid_ns, most_ns)
    mask = np.isfinite(values)
    if any(np.isinf(column).any() for column in values.T):  # one after another: a history may be long
        values = np.where(mask, values, np.float32(np.nan))
    label = np.full(length, UNLABELLED, np.int8)
    np.maximum.at(label, point, rows.label[whole])
    return Segment(rows.run, grid_ns, values, mask, label)


def _held(
    column: Float32s, times_ns: Int64s, point: npt.NDArray[np.intp], grid_ns: Int64s, most_ns: int
) -> Float32s:
    """Return a slow tag on the grid: rows in which it was not sampled take nothing from those in which it was."""
    sampled = np.isfinite(column)
    values, sampled_ns = np.full(len(grid_ns), np.nan, np.float32), np.full(len(grid_ns), NEVER_NS, np.int64)
    values[point[sampled]], sampled_ns[point[sampled]] = column[sampled], times_ns[sampled]
    return held(values, sampled_ns, grid_ns, most_ns)


def _backwards(rows: Rows, row: int) -> str:
    before, after = (np.datetime64(int(rows.times_ns[at]), "ns") for at in (row, row + 1))
    return (
        f"run {rows.run}: time goes back from {before} to {after} at row {row + 2} of the run; sort by "
        "time, or name the columns that tell recordings apart with --run A,B, or pick rows with --test"
    )
