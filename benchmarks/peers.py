"""How a peer, which scores rows, becomes a method like ours: scaled columns, and a limit fixed before the test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.backtest.trial import BacktestError, Float64s, Judge, Judged, Learn, Segment
from connectors.frame import Bools, Float32s, Int64s

FIT_SHARE: Final = 0.7
QUANTILE: Final = 0.99
MISSING_MAX: Final = 0.5
ROWS_MIN: Final = 50

Scorer = Callable[[Float64s], Float64s]
"""Standardised complete rows f64[T, C] of one segment, in order -> score f64[T], higher is worse, NaN where blind."""
Fit = Callable[[Sequence[Float64s]], Scorer]
"""How to learn a scorer from stretches of standardised complete rows, each f64[T, C]."""


class UnfinishedError(BacktestError):
    """The method would take longer on these rows than a benchmark may."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """The columns that a peer is given, those that move and are mostly there, and their mean and deviation f64[C]."""

    columns: Int64s
    mean: Float64s
    sd: Float64s

    @classmethod
    def of(cls, stretches: Sequence[Float64s]) -> Scaling:
        """Learn from healthy rows f64[T, C], NaN where missing; raise BacktestError where no column is left."""
        rows = np.concatenate(stretches)
        here = np.isfinite(rows).mean(axis=0) > 1 - MISSING_MAX
        columns = np.flatnonzero(here)
        mean, sd = np.nanmean(rows[:, columns], axis=0), np.nanstd(rows[:, columns], axis=0)
        moves = sd > 1e-6 * np.maximum(np.abs(mean), 1e-12)
        if not moves.any():
            raise BacktestError("no column moves in the rows learnt from; learn from more rows")
        return cls(columns[moves].astype(np.int64), mean[moves], sd[moves])

    def apply(self, values: Float32s | Float64s) -> Float64s:
        """Return the standardised columns of f[T, C]."""
        scaled: Float64s = (values[:, self.columns] - self.mean) / self.sd
        return scaled


@dataclass(frozen=True, slots=True)
class PeerJudge:
    """A fitted peer with its limit."""

    scaling: Scaling
    scorer: Scorer
    limit: float

    def judge(self, _times_ns: Int64s, values: Float32s, _mask: Bools) -> Judged:
        """Score the complete rows of a segment in order; a row that lacks a value is blind."""
        score = scored(self.scorer, self.scaling.apply(values))
        with np.errstate(invalid="ignore"):
            return Judged(score, score > self.limit)


def scored(scorer: Scorer, rows: Float64s) -> Float64s:
    """Score f64[T, C] by its complete rows, NaN elsewhere."""
    complete = np.isfinite(rows).all(axis=1)
    score = np.full(len(rows), np.nan)
    if complete.any():
        score[complete] = scorer(rows[complete])
    return score


def peer(fit: Fit) -> Learn:
    """Make a method of `fit`: the limit is the customary 99 % quantile of the score on held-out healthy rows.

    The last 30 % of each healthy stretch are held out for the limit, from a scorer fitted to the first 70 %; the
    scorer that is tried is then fitted to all of them, as our own method is.
    """

    def learn(
        segments: Sequence[Segment],
        _tags: Sequence[str],
        _period_s: float,
        _alerts_per_s: float,
        _progress: Callable[[float], None],
        /,
    ) -> Judge:
        scaling = Scaling.of([segment.values.astype(np.float64) for segment in segments])
        scaled = [scaling.apply(segment.values) for segment in segments]
        stretches = [rows[np.isfinite(rows).all(axis=1)] for rows in scaled]
        if sum(map(len, stretches)) < ROWS_MIN:
            raise BacktestError(f"fewer than {ROWS_MIN} complete rows to learn from; learn from more rows")
        cuts = [round(FIT_SHARE * len(rows)) for rows in stretches]
        first = fit([rows[:cut] for rows, cut in zip(stretches, cuts, strict=True)])
        # Scored from the start, so that what a score remembers is there when the held-out rows begin.
        held = np.concatenate([first(rows)[cut:] for rows, cut in zip(stretches, cuts, strict=True) if len(rows)])
        return PeerJudge(scaling, fit(stretches), float(np.nanquantile(held, QUANTILE)))

    return learn


def thinned(stretches: Sequence[Float64s], rows_max: int) -> Float64s:
    """Return the rows of all stretches f64[T, C], evenly thinned to at most `rows_max`."""
    rows = np.concatenate(stretches)
    return rows if len(rows) <= rows_max else rows[np.linspace(0, len(rows) - 1, rows_max).astype(np.intp)]


def shortened(stretches: Sequence[Float64s], rows_max: int) -> list[Float64s]:
    """Return the end of each stretch, of equal shares, at most `rows_max` rows together."""
    share = min(1.0, rows_max / max(sum(map(len, stretches)), 1))
    return [rows[len(rows) - int(share * len(rows)) :] for rows in stretches]
