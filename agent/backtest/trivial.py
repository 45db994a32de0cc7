"""Rules that know nothing of machines, measured like a model: a figure that they reach too says nothing.

Each is a `Learn`; the keys of TRIVIAL are the names in reports.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.backtest.trial import Float64s, Judge, Judged, Learn, Segment
from connectors.frame import Bools, Float32s, Int64s

RANDOM_ALARMS: Final = 0.01
RANDOM_SEED: Final = 20_000
Z_QUANTILE: Final = 0.999


class AlwaysOn:
    """Alarm from the first row to the last."""

    def judge(self, times_ns: Int64s, _values: Float32s, _mask: Bools) -> Judged:
        """Alarm on every row; all scores are equal."""
        return Judged(np.zeros(len(times_ns)), np.ones(len(times_ns), np.bool_))


class Random:
    """A score drawn at random, the same for the same rows; 1 % of rows alarm."""

    def judge(self, times_ns: Int64s, values: Float32s, _mask: Bools) -> Judged:
        """Draw one score in 0..1 for each row, alarm over 0.99."""
        seed = [RANDOM_SEED, zlib.crc32(values.tobytes())]
        score = np.random.default_rng(seed).random(len(times_ns))
        return Judged(score, score > 1 - RANDOM_ALARMS)


class Timetable:
    """Alarm from 25 % to 75 % of each segment: wins where faults are staged in the middle of a recording."""

    def judge(self, times_ns: Int64s, _values: Float32s, _mask: Bools) -> Judged:
        """Alarm by the share of the segment's rows that are past."""
        past = np.arange(len(times_ns)) / max(len(times_ns), 1)
        on = (past >= 0.25) & (past < 0.75)
        return Judged(on.astype(np.float64), on)


@dataclass(frozen=True, slots=True)
class LargestZ:
    """The largest absolute z-score of all tags, limited by a quantile of the learnt part.

    `mean` and `sd` are f64[C]; a tag whose `sd` is NaN was constant or missing while learning and is left
    out.
    """

    mean: Float64s
    sd: Float64s
    limit: float

    def judge(self, _times_ns: Int64s, values: Float32s, _mask: Bools) -> Judged:
        """Score each row by its largest |z|, NaN where no tag is there."""
        score = self.score(values)
        return Judged(score, score > self.limit)

    def score(self, values: Float32s) -> Float64s:
        """Return the largest |z| of each row of f32[T, C]."""
        largest = np.fmax.reduce(np.abs((values - self.mean) / self.sd), axis=1, initial=-np.inf)
        return np.where(np.isneginf(largest), np.nan, largest)


def _nothing_to_learn(judge: Judge) -> Learn:
    return lambda *_: judge


def learn_largest_z(
    segments: Sequence[Segment],
    _tags: Sequence[str],
    _period_s: float,
    _alerts_per_s: float,
    _progress: Callable[[float], None],
) -> Judge:
    """Learn mean, standard deviation and the 99.9 % quantile of the largest |z| from healthy segments."""
    values = np.concatenate([segment.values for segment in segments]).astype(np.float64)
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0.0).sum(axis=0) / count
    sd = np.sqrt(np.where(present, np.square(values - mean), 0.0).sum(axis=0) / count)
    # A constant column summed in floating point has a deviation of a few units in the last place.
    sd[sd <= 1e-9 * np.maximum(np.abs(mean), 1e-30)] = np.nan
    score = LargestZ(mean, sd, limit=np.inf).score(values.astype(np.float32))
    known = score[~np.isnan(score)]
    return LargestZ(mean, sd, limit=float(np.quantile(known, Z_QUANTILE)) if len(known) else np.inf)


TRIVIAL: Final[Mapping[str, Learn]] = {
    "always-on": _nothing_to_learn(AlwaysOn()),
    "random": _nothing_to_learn(Random()),
    "clock": _nothing_to_learn(Timetable()),
    "max |z|": learn_largest_z,
}
