"""`forewarn learn`: from a Parquet history to what is learnt from: stretches on a grid, tags with units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.backtest.grid import Rows, segments_of
from agent.backtest.table import NO_TIME, Ints, Table, read_table
from agent.backtest.tagging import choose_tags
from agent.backtest.trial import FAULTY, HEALTHY, BacktestError, Int8s, Segment
from agent.line.hold import hold_ns
from agent.line.rate_of_change import RateOfChange
from agent.line.spans import Span, covers
from connectors.frame import BAD_NO_DATA, GOOD, Bools, Float32s, Frame, Int64s
from models.remaining import Run, horizon_of

Float64s = npt.NDArray[np.float64]

NS_PER_MS = 1_000_000
MS_PER_DAY = 86_400_000
DAYS_MIN = 7
"""A shorter history is learnt from all the same, and a person is told what to expect."""
SPARSE = 2.0
"""Rows so many periods apart leave half of the grid's rows missing: that is another pace, not a poor recording."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns mean what. Without `time` rows are `period_ms` apart; rows with a `label` are left out.

    `rul` is the life a run has left, in seconds; rows that wear shows in are then no healthy rows.

    `tags` None means all numeric columns, `tags_option` is what named them; `units` maps a tag to its unit,
    "1" where it says nothing. `period_option` is what said `period_ms`. `periods_ms` are the periods of tags that
    are sampled more slowly: their values are held in between, as they are when the agent runs. `max_rates`, in units
    per second, are of tags whose values are left out where they moved faster, as the agent leaves them out. `without`
    are times, as `agent.line.spans.union` returns them, from which nothing is learnt.
    """

    time: str | None = None
    run: tuple[str, ...] = ()
    label: str | None = None
    rul: str | None = None
    tags: tuple[str, ...] | None = None
    period_ms: int | None = None
    units: Mapping[str, str] | None = None
    tags_option: str = "--tags"
    period_option: str = "--period"
    periods_ms: Mapping[str, int] | None = None
    max_rates: Mapping[str, float] | None = None
    without: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class History:
    """Healthy stretches f32[T, C] on the grid of `period_ms` (NaN missing), the tags as (name, unit), and notes.

    `lives` are the runs row by row as they were recorded, where it is known how long each had left. `settling` bool[T]
    of each stretch are rows that only teach how long the machine settles; empty where that is not known. `rows_without`
    is how many rows were left out by their time.
    """

    segments: tuple[Float32s, ...]
    tags: tuple[tuple[str, str], ...]
    period_ms: int
    rows: int
    notes: tuple[str, ...]
    lives: tuple[Run, ...] = ()
    settling: tuple[Bools, ...] = ()
    rows_without: int = 0


def read_history(path: Path, reading: Reading) -> History:
    """Read a history; raise BacktestError saying what is there where it does not fit."""
    table = read_table(path)
    notes: list[str] = []
    time = reading.time or _only_date(table, reading, notes)
    runs = table.runs(reading.run)
    label = np.full(table.rows, HEALTHY, np.int8) if reading.label is None else table.label(reading.label)
    roles = [name for name in (time, *reading.run, reading.label, reading.rul) if name is not None]
    option = reading.tags_option
    tags = choose_tags(table, reading.tags, roles, [], [rows for _, rows in runs], notes, option)
    times_ns = _times(table, runs, time, reading)
    period_ms = reading.period_ms or _period_ms(runs, times_ns, str(time))
    _check_pace(runs, times_ns, period_ms, reading.period_option)
    if faulty := int((label == FAULTY).sum()):
        notes.append(f"{faulty:,} rows labelled as faults are left out")
    without = covers(reading.without, times_ns)
    label = np.where(without, FAULTY, label)
    own_ms = reading.periods_ms or {}
    values = table.values(tags, option)
    if refused := _refuse_too_fast(values, times_ns, [rows for _, rows in runs], tags, reading, period_ms):
        notes.append(f"{refused:,} values that moved faster than max_rate are left out")
    lives = [] if reading.rul is None else _lives(runs, times_ns, values, _life_s(table, reading.rul), period_ms)
    label = _worn_out(label, runs, times_ns, lives, notes)
    hold = {
        column: most_ns
        for column, tag in enumerate(tags)
        if (most_ns := hold_ns(own_ms.get(tag, period_ms) * NS_PER_MS, period_ms * NS_PER_MS))
    }
    found: list[Segment] = []
    for name, rows in runs:
        healthy = rows[(label[rows] != FAULTY) & (times_ns[rows] != NO_TIME)]
        part = Rows(name, times_ns[healthy], _rows_of(values, healthy), label[healthy])
        found += segments_of(part, period_ms * NS_PER_MS, hold)
    if not found:
        why = f": its {int(without.sum()):,} rows are of times that are left out" if without.any() else ""
        raise BacktestError(f"{path} has no row to learn from{why}")
    recorded = sum(segment.rows for segment in found)
    if (days := recorded * period_ms / MS_PER_DAY) < DAYS_MIN:
        notes.append(
            f"the history is {days:.2g} days long: what a machine does now and then is hardly in it; expect false "
            "alerts and faults that are seen late, and learn again from a week or two"
        )
    units = reading.units or {}
    if wrong := sorted(units.keys() - tags):
        raise BacktestError(f"--unit {wrong[0]}: that is no tag of this history; it has: {', '.join(tags)}")
    return History(
        tuple(segment.values for segment in found),
        tuple((tag, units.get(tag, "1")) for tag in tags),
        period_ms,
        recorded,
        tuple(notes),
        tuple(lives),
        rows_without=int(without.sum()),
    )


def _refuse_too_fast(
    values: Float32s, times_ns: Int64s, runs: Sequence[Ints], tags: Sequence[str], reading: Reading, period_ms: int
) -> int:
    """Make what moved faster than its tag can NaN, in place and as a running agent does; return how many that were."""
    said = reading.max_rates or {}
    limits = {column: said[tag] for column, tag in enumerate(tags) if tag in said}
    periods_ns = [(reading.periods_ms or {}).get(tags[column], period_ms) * NS_PER_MS for column in limits]
    columns, refused = np.array([*limits], np.intp), 0
    for run in runs if limits else ():
        rows = _in_time(run, times_ns)
        part = values[np.ix_(rows, columns)]
        status = np.where(np.isnan(part), np.uint32(BAD_NO_DATA), np.uint32(GOOD))
        _, too_fast = RateOfChange([*limits.values()], periods_ns).screen(Frame.clean(times_ns[rows], part, status))
        if too_fast is not None:
            refused += int(too_fast.sum())
            values[np.ix_(rows, columns)] = np.where(too_fast, np.float32(np.nan), part)
    return refused


def _rows_of(values: Float32s, rows: Ints) -> Float32s:
    """Return some rows of f32[N, C]; where they follow each other without a copy, for a history may be long."""
    if len(rows) and (np.diff(rows) == 1).all():
        return values[rows[0] : rows[-1] + 1]
    return values[rows]


def _life_s(table: Table, name: str) -> Float64s:
    """Return the column of remaining life in seconds, f64[N], NaN where it is not known."""
    table.values([name], "--rul")  # complains where it is missing or no number
    return np.asarray(table.column(name).to_numpy(), np.float64)


def _lives(
    runs: Sequence[tuple[str, Ints]], times_ns: Int64s, values: Float32s, life_s: Float64s, period_ms: int
) -> list[Run]:
    found = []
    for name, rows in runs:
        timed = _in_time(rows, times_ns)
        found.append(Run(name, values[timed], life_s[timed] * 1000 / period_ms))
    return found


def _in_time(rows: Ints, times_ns: Int64s) -> Ints:
    """Return the rows that have a time, in its order."""
    timed = rows[times_ns[rows] != NO_TIME]
    return np.asarray(timed[np.argsort(times_ns[timed], kind="stable")])


def _worn_out(
    label: Int8s, runs: Sequence[tuple[str, Ints]], times_ns: Int64s, lives: Sequence[Run], notes: list[str]
) -> Int8s:
    """Return the labels with those rows as faults in which wear may show: with less life left than the horizon."""
    horizon_rows = horizon_of(lives)
    if horizon_rows is None:
        return label
    label = label.copy()
    worn = 0
    for (_, rows), life in zip(runs, lives, strict=True):
        with_less = _in_time(rows, times_ns)[life.remaining_rows < horizon_rows]
        label[with_less] = FAULTY
        worn += len(with_less)
    notes.append(f"{worn:,} rows have less than {horizon_rows:.0f} rows of life left: they do not teach what is normal")
    return label


def _only_date(table: Table, reading: Reading, notes: list[str]) -> str | None:
    dates = table.dates()
    if len(dates) == 1:
        notes.append(f"{dates[0]} is the only column of dates and times, so it is taken as the time")
        return dates[0]
    if reading.period_ms is None:
        raise BacktestError(
            "say how far the rows are apart: --time COLUMN, or --period 1s where there is none; "
            f"{table.path} has: {', '.join(table.columns)}"
        )
    notes.append(
        f"no column of {table.path.name} holds dates and times, so its rows are taken to be "
        f"{reading.period_ms / 1000:g} s apart; if one holds text, write it as dates and times and name it with --time"
    )
    return None


def _times(table: Table, runs: Sequence[tuple[str, Ints]], time: str | None, reading: Reading) -> Int64s:
    """Return the time of each row, i64[N]: by its place in the run where the file has none."""
    if time is not None:
        return table.times_ns(time)
    assert reading.period_ms is not None
    places = np.zeros(table.rows, np.int64)
    for _, rows in runs:
        places[rows] = np.arange(len(rows)) * reading.period_ms * NS_PER_MS
    return places


def _period_ms(runs: Sequence[tuple[str, Ints]], times_ns: Int64s, time: str) -> int:
    step_ms = _step_ms(runs, times_ns)
    if step_ms is None:
        raise BacktestError(
            f"--time {time} never rises within a run; name the right column, or give --period"
        )
    return max(1, round(step_ms))


def _check_pace(runs: Sequence[tuple[str, Ints]], times_ns: Int64s, period_ms: int, option: str) -> None:
    """Refuse a history of rows so much further apart than the period that most rows of the grid would be missing."""
    step_ms = _step_ms(runs, times_ns)
    if step_ms is not None and step_ms >= SPARSE * period_ms:
        raise BacktestError(
            f"the rows of the history are {step_ms / 1000:g} s apart and {option} says {period_ms / 1000:g} s: a model "
            f"is learnt at the pace at which the asset is read; set it to {step_ms / 1000:g} s, or record the history "
            f"each {period_ms / 1000:g} s"
        )


def _step_ms(runs: Sequence[tuple[str, Ints]], times_ns: Int64s) -> float | None:
    """Return how far rows that follow each other are apart (the median), None where time never rises."""
    steps_ns = np.concatenate([np.diff(times_ns[rows][times_ns[rows] != NO_TIME]) for _, rows in runs])
    steps_ns = steps_ns[steps_ns > 0]
    return float(np.median(steps_ns)) / NS_PER_MS if len(steps_ns) else None
