"""A window of telemetry for people: so many points at most, each with mean, least and greatest."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from connectors.frame import Float32s, Int64s

Float64s = npt.NDArray[np.float64]


class Rows(NamedTuple):
    """Rows of some tags: when they were measured, ns UTC i64[T], and what, f32[T, C], NaN where nothing was."""

    time_ns: Int64s
    values: Float32s


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows are summarised: since <= source time < until, in `points_max` equal intervals."""

    since_ns: int
    until_ns: int
    points_max: int


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


class Summary:
    """A window being summarised; the memory it needs depends on its points and tags only."""

    def __init__(self, window: Window, columns: int) -> None:
        self.window = window
        self.rows = 0
        shape = (window.points_max, columns)
        self._first_ns = np.full(window.points_max, np.iinfo(np.int64).max)
        self._total, self._count = np.zeros(shape), np.zeros(shape, np.int64)
        self._low, self._high = np.full(shape, np.inf), np.full(shape, -np.inf)

    def add(self, rows: Rows) -> None:
        """Take rows in; those outside of the window are passed over."""
        since_ns, until_ns, points_max = self.window.since_ns, self.window.until_ns, self.window.points_max
        inside = (rows.time_ns >= since_ns) & (rows.time_ns < until_ns)
        times = rows.time_ns[inside]
        if not len(times):
            return
        values = rows.values[inside].astype(np.float64)
        # A span in nanoseconds times a number of points does not fit in 64 bits. The rounding of float64 may move a
        # row by nanoseconds over an edge, the last one not out of the window.
        places = ((times - since_ns) * float(points_max) / (until_ns - since_ns)).astype(np.intp)
        np.minimum(places, points_max - 1, out=places)
        if np.any(places[1:] < places[:-1]):
            order = np.argsort(places, kind="stable")
            places, times, values = places[order], times[order], values[order]
        begins = np.flatnonzero(np.diff(places, prepend=-1))
        at = places[begins]
        good = ~np.isnan(values)
        self._first_ns[at] = np.minimum(self._first_ns[at], np.minimum.reduceat(times, begins))
        self._total[at] += np.add.reduceat(np.where(good, values, 0.0), begins)
        self._count[at] += np.add.reduceat(good, begins, dtype=np.int64)
        self._low[at] = np.minimum(self._low[at], np.minimum.reduceat(np.where(good, values, np.inf), begins))
        self._high[at] = np.maximum(self._high[at], np.maximum.reduceat(np.where(good, values, -np.inf), begins))
        self.rows += len(times)

    def to_bytes(self) -> bytes:
        """Return what was gathered, for `merge` in another process."""
        file = io.BytesIO()
        np.savez(
            file, rows=self.rows, first_ns=self._first_ns, total=self._total, count=self._count,
            low=self._low, high=self._high,
        )
        return file.getvalue()

    def merge(self, gathered: bytes) -> None:
        """Add what another process gathered of the same window; raise ValueError where it is none."""
        with np.load(io.BytesIO(gathered), allow_pickle=False) as other:
            if other["total"].shape != self._total.shape:
                raise ValueError("a summary of another window")
            self.rows += int(other["rows"])
            np.minimum(self._first_ns, other["first_ns"], out=self._first_ns)
            self._total += other["total"]
            self._count += other["count"]
            np.minimum(self._low, other["low"], out=self._low)
            np.maximum(self._high, other["high"], out=self._high)

    def series(self) -> Series:
        """Return the points, less the empty ones."""
        used = np.flatnonzero(self._first_ns < np.iinfo(np.int64).max)
        total, count, low, high = self._total[used], self._count[used], self._low[used], self._high[used]
        nothing = count == 0
        mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=~nothing)
        return Series(
            self._first_ns[used], mean, np.where(nothing, np.nan, low), np.where(nothing, np.nan, high), self.rows
        )


def summarise(rows: Iterable[Rows], columns: int, window: Window) -> Summary:
    """Summarise rows of so many columns."""
    summary = Summary(window, columns)
    for some in rows:
        summary.add(some)
    return summary
