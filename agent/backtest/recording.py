"""A Parquet recording -> trials: rows to learn from and to try, tags, grid, what is odd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from agent.backtest.grid import Rows, segments_of
from agent.backtest.split import Split, split_rows
from agent.backtest.table import NO_TIME, Ints, Table, read_table
from agent.backtest.tagging import choose_tags
from agent.backtest.trial import HEALTHY, BacktestError, Segment, Trial
from connectors.frame import Bools, Int64s

NS_PER_S: Final = 1_000_000_000
NAMED_MAX: Final = 4
EMPTY_SHARE_MAX: Final = 0.5


@dataclass(frozen=True, slots=True)
class Layout:
    """What the columns mean. Without `time` rows are `period_s` apart; without both, time is the file's only
    column of dates and times. Without `run` the file is one run.

    `run` may name several columns, whose values together name a run. `tags` None means all numeric columns.
    """

    time: str | None = None
    run: tuple[str, ...] = ()
    label: str | None = None
    tags: tuple[str, ...] | None = None
    period_s: float | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """A file made ready: the tags of all trials, the trials, what is learnt from, and notes for a person."""

    path: Path
    tags: tuple[str, ...]
    period_ns: int
    trials: tuple[Trial, ...]
    learnt_from: str
    notes: tuple[str, ...]

    @property
    def period_s(self) -> float:
        """Seconds between two rows of the grid."""
        return self.period_ns / NS_PER_S


@dataclass(frozen=True, slots=True)
class Piece:
    """The rows of one run that are learnt from and that are tried, as row numbers."""

    run: str
    learn: Ints
    test: Ints


def load(path: Path, layout: Layout, split: Split) -> Recording:
    """Read a Parquet file; raise BacktestError, saying what is there, where it does not fit."""
    table = read_table(path)
    notes: list[str] = []
    runs = table.runs(layout.run)
    layout = _with_time(table, layout, notes)
    times_ns = None if layout.time is None else table.times_ns(layout.time)
    label = None if layout.label is None else table.label(layout.label)
    if label is None:
        notes.append("no --label: every row counts as healthy, so that a false episode is any episode")
    if times_ns is not None:
        runs = _timed(runs, times_ns, notes)
    parts = split_rows(table, runs, label, split, notes)
    pieces = [Piece(name, rows[parts.learn[rows]], rows[parts.test[rows]]) for name, rows in runs]
    roles = [name for name in (layout.time, *layout.run, layout.label) if name is not None]
    stretches = [rows for piece in pieces for rows in (piece.learn, piece.test)]
    tags = choose_tags(table, layout.tags, roles, parts.named, stretches, notes)
    period_ns = _period(runs, times_ns, layout)
    full = Rows(
        "",
        _times(table, runs, times_ns, period_ns),
        table.values(tags),
        np.full(table.rows, HEALTHY, np.int8) if label is None else label,
    )
    trials = _per_run(full, pieces, tags, period_ns)
    _note_fit(trials, int(sum(map(len, stretches))), period_ns, notes)
    trials = _with_something_to_learn(trials if split.per_run else [_joined(trials)], table, notes)
    return Recording(path, tags, period_ns, tuple(trials), str(split), tuple(notes))


def _with_time(table: Table, layout: Layout, notes: list[str]) -> Layout:
    """Take the file's only column of dates and times where neither time nor period is given."""
    dates = table.dates()
    if layout.time is not None or layout.period_s is not None or len(dates) != 1:
        return layout
    notes.append(f"no --time: {dates[0]} is the only column of dates and times, so it is taken")
    return replace(layout, time=dates[0])


def _timed(runs: list[tuple[str, Ints]], times_ns: Int64s, notes: list[str]) -> list[tuple[str, Ints]]:
    """Leave out the rows that have no time."""
    if without := int((times_ns == NO_TIME).sum()):
        notes.append(f"{without:,} rows have no time and are left out")
    return [(name, rows[times_ns[rows] != NO_TIME]) for name, rows in runs]


def _period(runs: Sequence[tuple[str, Ints]], times_ns: Int64s | None, layout: Layout) -> int:
    if layout.period_s is not None:
        return max(1, round(layout.period_s * NS_PER_S))
    if times_ns is None:
        raise BacktestError(
            "say how far the rows are apart: --time COLUMN, or --period 1s where there is none"
        )
    steps_ns = np.concatenate([np.diff(times_ns[rows]) for _, rows in runs])
    steps_ns = steps_ns[steps_ns > 0]
    if len(steps_ns) == 0:
        raise BacktestError(
            f"--time {layout.time} never rises within a run; name the right column, or give --period"
        )
    return int(np.median(steps_ns))


def _times(table: Table, runs: Sequence[tuple[str, Ints]], times_ns: Int64s | None, period_ns: int) -> Int64s:
    """Return the time of each row, i64[N]; by its place in the run where the file has none."""
    if times_ns is not None:
        return times_ns
    places = np.zeros(table.rows, np.int64)
    for _, rows in runs:
        places[rows] = np.arange(len(rows)) * period_ns
    return places


def _per_run(full: Rows, pieces: Sequence[Piece], tags: tuple[str, ...], period_ns: int) -> list[Trial]:
    """Lay the rows of each run on the grid, what is learnt from and what is tried apart."""

    def laid(name: str, rows: Ints) -> tuple[Segment, ...]:
        return tuple(
            segments_of(Rows(name, full.times_ns[rows], full.values[rows], full.label[rows]), period_ns)
        )

    return [Trial(tags, laid(piece.run, piece.learn), laid(piece.run, piece.test)) for piece in pieces]


def _joined(trials: Sequence[Trial]) -> Trial:
    """Make one trial of all runs."""
    return Trial(
        trials[0].tags,
        tuple(segment for trial in trials for segment in trial.learn),
        tuple(segment for trial in trials for segment in trial.test),
    )


def _with_something_to_learn(trials: Sequence[Trial], table: Table, notes: list[str]) -> list[Trial]:
    """Leave out the tags, and the trials, that have no value in the learnt part; say so in `notes`."""
    tried = [trial for trial in trials if trial.test]
    measured = [_measured(trial) for trial in tried]
    kept = [_narrowed(trial, seen) for trial, seen in zip(tried, measured, strict=True) if seen.any()]
    if not kept:
        raise BacktestError(f"{table.path}: no tag has a value in what is learnt from; learn from other rows")
    blind = [trial.test[0].run for trial, seen in zip(tried, measured, strict=True) if not seen.any()]
    if blind:
        notes.append(
            f"{len(blind)} of {len(tried)} runs have nothing to learn from and are left out: {_some(blind)}"
        )
    lacking: dict[str, list[str]] = {}
    for trial, seen in zip(tried, measured, strict=True):
        for tag in np.array(trial.tags)[~seen].tolist() if seen.any() else ():
            lacking.setdefault(tag, []).append(trial.test[0].run)
    if lacking:
        words = (tag if len(tried) == 1 else f"{tag} ({len(runs)} runs)" for tag, runs in lacking.items())
        notes.append(f"without a value in what is learnt from, so left out: {', '.join(words)}")
    return kept


def _measured(trial: Trial) -> Bools:
    """Return the tags that have a value in the learnt part, bool[C]."""
    seen = np.zeros(len(trial.tags), np.bool_)
    for part in trial.learn:
        seen |= part.mask.any(axis=0)
    return seen


def _narrowed(trial: Trial, keep: Bools) -> Trial:
    """Return the trial with the tags of `keep`, bool[C]."""

    def narrow(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
        return tuple(replace(part, values=part.values[:, keep], mask=part.mask[:, keep]) for part in segments)

    tags = tuple(tag for tag, kept in zip(trial.tags, keep, strict=True) if kept)
    return trial if keep.all() else Trial(tags, narrow(trial.learn), narrow(trial.test))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= NAMED_MAX else f"{', '.join(names[:NAMED_MAX])} and others"


def _note_fit(trials: Sequence[Trial], rows: int, period_ns: int, notes: list[str]) -> None:
    """Say when the period fits the rows badly."""
    grid = sum(segment.rows for trial in trials for segment in (*trial.learn, *trial.test))
    if rows < (1 - EMPTY_SHARE_MAX) * grid:
        notes.append(
            f"the grid at a period of {period_ns / NS_PER_S:g} s has {grid:,} points for {rows:,} rows, "
            "most of them missing; is --period right?"
        )
    if rows > grid:
        notes.append(
            f"at a period of {period_ns / NS_PER_S:g} s, {rows:,} rows fall on {grid:,} points; "
            "the last at each point stands"
        )
