"""What the fault head sees of each channel and of the whole: streaming, causal, O(tags) memory.

The same code runs where the head is trained, where a bundle's reference is learnt, and on the gateway. A channel is
described by exponentially weighted averages of its conditional residual `e` (in its standard deviations, given the
other channels) and of its own standardised deviation `z`, the whole by a bank of statistics. Both are relative to their
healthy level and spread on held-out rows, so that they mean the same on any plant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

RATES = (0.3, 0.1, 0.03, 0.01)
"""Forgetting rates per row of the averages of a channel's deviations; the newest row itself is a feature too."""
POWER_RATES = (0.1, 0.03)
"""Forgetting rates of its powers: variance, squared difference, share of unchanged raw values."""
MOVING = 2 * (1 + len(RATES)) + 5 * len(POWER_RATES)
"""How many features of a channel change from row to row."""
FEATURES = MOVING + 2 * len(RATES)
GLOBALS_CLIP = (-5.0, 12.0)
CHANNEL_CLIP = 20.0
_BLOCK_ROWS = 64
_VARIANCE_MIN = 1e-3


class Averages:
    """Exponentially weighted means of Q columns at R rates; they start from `start` f64[Q], not from the first row."""

    def __init__(self, start: Float64s, rates: tuple[float, ...]) -> None:
        self._keep = np.power.outer(1.0 - np.asarray(rates), np.arange(_BLOCK_ROWS + 1))  # (R, B + 1)
        lag = np.subtract.outer(np.arange(_BLOCK_ROWS), np.arange(_BLOCK_ROWS))
        share = np.asarray(rates)[:, None, None] * self._keep[:, np.maximum(lag, 0)]
        self._kernel = np.where(lag >= 0, share, 0.0)  # (R, B, B)
        self._state = np.repeat(start[None], len(rates), 0)  # (R, Q)

    def update(self, x: Float64s) -> Float64s:
        """Take rows f64[T, Q] in; return the means f64[R, T, Q] after each row. A missing value (NaN) changes none."""
        out = np.empty((len(self._state), *x.shape))
        for low, high in _blocks(np.asarray(~np.isnan(x).any(1))):
            n = high - low
            rows: Float64s = x[low:high]
            if n == 1:
                rows = np.where(np.isnan(rows), self._state[:, None], rows)  # (R, 1, Q)
            out[:, low:high] = self._kernel[:, :n, :n] @ rows + self._keep[:, 1 : n + 1, None] * self._state[:, None]
            self._state = out[:, high - 1].copy()
        return out


def _blocks(complete: Bools) -> list[tuple[int, int]]:
    """Cut T rows into blocks of complete rows, at most _BLOCK_ROWS long, and single incomplete ones."""
    blocks: list[tuple[int, int]] = []
    for row, whole in enumerate(complete):
        low, high = blocks[-1] if blocks else (0, 0)
        if blocks and whole and complete[low] and high - low < _BLOCK_ROWS:
            blocks[-1] = (low, high + 1)
        else:
            blocks.append((row, row + 1))
    return blocks


@dataclass(frozen=True, slots=True)
class Reference:
    """What is healthy: `power` f64[5, S] the mean powers the averages start from; level and spread of the features.

    `centre` and `spread` f64[S, F] are of the channels' features, `global_centre` and `global_spread` f64[M] of the
    logarithms of the statistics: their median, and how far above it their 99 % quantile lies.
    """

    power: Float64s
    centre: Float64s
    spread: Float64s
    global_centre: Float64s
    global_spread: Float64s

    def unrest(self) -> Float64s:
        """Return f64[S, 2 R]: how much wider the averages spread on healthy rows than those of independent rows.

        It tells the head how far this channel drifts when nothing is wrong.
        """
        means = slice(2, 2 + 2 * len(RATES))
        return np.asarray(np.log(self.spread[:, means] / _spread_min(self.power)[:, means]))

    def description(self) -> Float64s:
        """Return f64[2 M + 1]: level and spread of the healthy statistics, and the logarithm of how many channels."""
        return np.concatenate([self.global_centre, np.log(self.global_spread), [np.log(len(self.centre))]])


def _repeated(constant: Float64s, moving: Float64s) -> Float32s:
    return np.broadcast_to(constant, (len(moving), *constant.shape)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Observed:
    """A stretch of rows as the floor sees it: `e` and `z` f64[T, S], `unchanged` bool[T, S], `stats` f64[T, M]."""

    e: Float64s
    z: Float64s
    unchanged: Bools
    stats: Float64s


class Features:
    """The running features of one asset; `reference` is learnt by `learn_reference`."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._channels = _Channels(reference.power)
        self._settled = reference.unrest()
        self._described = reference.description()

    def update(self, rows: Observed) -> tuple[Float32s, Float32s]:
        """Take T rows in; return the channels' features f32[T, S, F] and the globals f32[T, G], squashed to a few
        units.

        A channel without a value (NaN) keeps its averages, a statistic without one is at its healthy level.
        """
        r = self._reference
        channel = np.clip((self._channels.update(rows) - r.centre) / r.spread, -CHANNEL_CLIP, CHANNEL_CLIP)
        known = np.where(np.isnan(rows.stats), np.exp(r.global_centre), rows.stats)
        whole = np.clip((_log(known) - r.global_centre) / r.global_spread, *GLOBALS_CLIP)
        return (
            np.concatenate([squash(channel), _repeated(self._settled, channel)], 2),
            np.concatenate([squash(whole), _repeated(self._described, whole)], 1),
        )


def squash(x: Float64s) -> Float32s:
    """Return sign(x) log(1 + |x|): linear near 0, and a hundred standard deviations are not a hundred times ten."""
    return np.asarray(np.sign(x) * np.log1p(np.abs(x)), np.float32)


class _Channels:
    """The raw features f64[T, S, F] of each channel."""

    def __init__(self, power: Float64s) -> None:
        channels = power.shape[1]
        self._power = power
        self._means = Averages(np.zeros(2 * channels), RATES)
        self._powers = Averages(power.ravel(), POWER_RATES)
        self._last: Float64s | None = None

    def update(self, rows: Observed) -> Float64s:
        both = np.hstack([rows.e, rows.z])  # (T, 2 S)
        mean = self._means.update(both)
        unchanged = np.where(np.isnan(rows.e), np.nan, rows.unchanged)
        squares = self._powers.update(np.hstack([self._squares(both), unchanged]))
        length, channels = rows.e.shape
        square, change, still = np.split(squares, [2 * channels, 4 * channels], axis=2)
        at = [RATES.index(rate) for rate in POWER_RATES]
        variance = np.log(np.maximum(square - mean[at] ** 2, 0.0) + _VARIANCE_MIN)
        parts = [np.nan_to_num(both)[None], mean, variance, np.log(change + _VARIANCE_MIN)]
        parts = [part.reshape(-1, length, 2, channels).swapaxes(1, 2).reshape(-1, length, channels) for part in parts]
        return np.asarray(np.concatenate([*parts, still]).transpose(1, 2, 0))

    def _squares(self, both: Float64s) -> Float64s:
        """Squares and squared differences f64[T, 4 S]; the first difference is the healthy one."""
        before = np.vstack([both[:1] if self._last is None else self._last, both[:-1]])
        change = (both - before) ** 2
        if self._last is None:
            change[0] = self._power[2:4].ravel()
        self._last = both[-1:]
        return np.hstack([both**2, change])


def powers(stretches: Sequence[Observed]) -> Float64s:
    """Return the healthy means f64[5, S]: squares of e and z, squared differences of e and z, unchanged values."""
    means = []
    for name in ("e", "z"):
        values = [getattr(s, name) for s in stretches]
        change = np.vstack([np.diff(v, axis=0) ** 2 for v in values])
        means.append((np.nanmean(np.vstack(values) ** 2, 0), np.nanmean(change, 0)))
    still = np.vstack([s.unchanged for s in stretches]).mean(0)
    return np.stack([means[0][0], means[1][0], means[0][1], means[1][1], still])


def learn_reference(stretches: Sequence[Observed]) -> Reference:
    """Learn what is healthy from stretches of healthy rows that the floor was not fitted to, the longer the better."""
    power = powers(stretches)
    features = np.concatenate([_Channels(power).update(s) for s in stretches])
    stats = _log(np.vstack([s.stats for s in stretches]))
    centre = np.nanmedian(stats, 0)
    return Reference(
        power=power,
        centre=features.mean(0),
        spread=np.maximum(features.std(0), _spread_min(power)),
        global_centre=centre,
        global_spread=np.nanquantile(stats, 0.99, 0) - centre + 0.05,
    )


def _spread_min(power: Float64s) -> Float64s:
    """Return the least spread f64[S, F] to believe: that of averages of independent rows; 0.05 for the others."""
    share = np.array([1.0, *(np.sqrt(rate / (2.0 - rate)) for rate in RATES)])
    e, z = np.sqrt(power[0]), np.sqrt(power[1])
    means = np.stack([share[:, None] * e, share[:, None] * z], 1).reshape(-1, len(e))
    rest = np.full((MOVING - len(means), len(e)), 0.05)
    return np.vstack([means, rest]).T + 1e-3


def _log(stats: Float64s) -> Float64s:
    return np.asarray(np.log(np.maximum(stats, 0.0) + 1e-6))


STATISTICS_RATES = (0.3, 0.1, 0.03, 0.01)
STATISTICS = 2 * len(STATISTICS_RATES) + 6
GLOBALS = 3 * STATISTICS + 1
"""How many values the head sees of the whole: the statistics now, and what is healthy for them."""


class Statistics:
    """A bank of M = STATISTICS statistics of the whole, each about 1 on independent healthy rows.

    D2 per channel, now and averaged; the T2 of the averaged whitened row with its exact variance (Lowry et al.,
    Technometrics 34, 1992); mean squared difference and mean squared residual; the largest averaged |e| and |z|.
    """

    def __init__(self, channels: int) -> None:
        self._d2 = Averages(np.ones(1), STATISTICS_RATES)
        self._white = Averages(np.zeros(channels), STATISTICS_RATES)
        self._deviation = Averages(np.zeros(2 * channels), (0.1, 0.03))
        self._change = Averages(np.array([2.0, 1.0]), (0.1,))
        self._last: Float64s | None = None
        self._rows = 0

    def update(self, e: Float64s, z: Float64s, white: Float64s) -> Float64s:
        """Return the statistics f64[T, M] of rows e, z f64[T, S] and the whitened rows f64[T, S].

        Missing values (NaN) leave no trace; the D2 of a row that is not whitened is missing, too.
        """
        d2 = (white**2).mean(1)
        count = self._rows + np.cumsum(~np.isnan(white).any(1))
        self._rows = int(count[-1]) if len(count) else self._rows
        rates = np.asarray(STATISTICS_RATES)[:, None]
        variance = rates / (2.0 - rates) * (1.0 - (1.0 - rates) ** (2.0 * np.maximum(count, 1)))  # (R, T)
        t2 = (self._white.update(white) ** 2).mean(2) / variance
        before = np.vstack([e[:1] if self._last is None else self._last, e[:-1]])
        self._last = e[-1:]
        square = np.stack([((e - before) ** 2).mean(1), (e**2).mean(1)], 1)
        mean = np.abs(self._deviation.update(np.hstack([e, z])))  # (2, T, 2 S)
        channels = e.shape[1]
        largest = [part.max(1) for part in (mean[0, :, :channels], mean[0, :, channels:], mean[1, :, :channels])]
        parts = [d2, *self._d2.update(d2[:, None])[:, :, 0], *t2, *self._change.update(square)[0].T, *largest]
        return np.stack(parts, 1)


class Rows(Protocol):
    """What the experts say of T rows over S scored channels of C tags; see `models.runtime.Scores`."""

    @property
    def residual(self) -> Float32s:
        """f32[T, C], NaN for tags that are not scored."""

    @property
    def score(self) -> Float64s:
        """f64[T], NaN for rows that have too few good values."""

    @property
    def deviation(self) -> Float32s:
        """f32[T, S]."""

    @property
    def white(self) -> Float32s:
        """f32[T, S]."""


class FeatureTracker:
    """Follows one asset on the gateway: from the experts' scores to what the head sees of each row."""

    def __init__(self, reference: Reference, scored: npt.NDArray[np.int64]) -> None:
        self._scored = scored
        self._features = Features(reference)
        self._statistics = Statistics(len(scored))
        self._last = np.full((1, len(scored)), np.nan, np.float32)

    def update(self, scores: Rows, values: Float32s, good: Bools) -> tuple[Float32s, Float32s]:
        """Take T rows with values f32[T, C] and their good ones bool[T, C]; return features as `Features` does.

        What stands for a missing value is no observation: neither it nor a row without a score leaves a trace.
        """
        present = good[:, self._scored]
        own = np.where(present, values[:, self._scored], np.float32(np.nan))
        unchanged = np.vstack([self._last, own[:-1]]) == own
        self._last = own[-1:]
        e = np.where(present, scores.residual[:, self._scored].astype(np.float64), np.nan)
        z = np.where(present, scores.deviation.astype(np.float64), np.nan)
        white = np.where(np.isnan(scores.score)[:, None], np.nan, scores.white.astype(np.float64))
        return self._features.update(Observed(e, z, unchanged, self._statistics.update(e, z, white)))
