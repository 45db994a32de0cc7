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

from models.averages import Averages

Float64s = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

RATES = (0.3, 0.1, 0.03, 0.01)
"""Forgetting rates per row of the averages of a channel's deviations; the newest row itself is a feature too."""
AGE_RATES = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
"""Those of the averages that tell a ramp of hours from a step: how old a deviation seems to each."""
YOUNG, PRESENT = 0, 2
"""The positions of the averages that others are compared with, where a deviation is new and where it is not."""
_PAIRS = ((YOUNG, 1, 2), (YOUNG, 2, 3), (PRESENT, 3, 4), (PRESENT, 4, 5), (PRESENT, 5, 6))
"""Level, faster and slower average: the age that the slower one tells says how large the faster one is of a step."""
POWER_RATES = (0.1, 0.01)
"""Forgetting rates of its powers: variance, squared differences, kurtosis, share of unchanged raw values."""
LAGS = (1, 3, 8)
"""The squared differences of `e` over so many rows say where in the spectrum it moves."""
_OF_POWERS = [RATES.index(rate) for rate in POWER_RATES]
_MEANS = slice(2, 2 + 2 * len(RATES))
_LOGS = 4 + len(LAGS)
"""Logarithms of powers at each rate: variances of e and z, squared differences of z and e, kurtosis of e."""
LOUDNESS = (_MEANS.start + 2 * RATES.index(AGE_RATES[PRESENT]), _MEANS.stop)
"""The features that say how far a channel deviates: the present average of e, and the shorter variance of e."""
POWERS = len(LAGS) + 6
"""How many powers of a channel are averaged."""
MOVING = _MEANS.stop + (_LOGS + 2) * len(POWER_RATES) + 1
"""How many features of a channel are relative to their healthy level and spread."""
_OLD = len(AGE_RATES) - PRESENT - 1
PROFILE = 2 + _OLD + 2 * (len(_PAIRS) + _OLD)
"""How many say how old the present deviation is: two shares, ages, and by how much these contradict a step."""
FEATURES = MOVING + PROFILE + 2 * len(RATES)
GLOBALS_CLIP = (-5.0, 12.0)
CHANNEL_CLIP = 100.0
ROW_CLIP = 30.0
"""One row counts in the averages as so many standard deviations at most."""
SHARE_CLIP = 2.0
SHARES = (0.02, 0.98)
"""Nearer to 0 or 1 the share of an average says nothing more of an age."""
LOG_AGE = 5.0
"""Logarithms of ages in rows are relative to this."""
STRIKING = 8.0
"""A contradiction is this many times as large a feature, and its significance at most SIGNIFICANCE_MAX times."""
SIGNIFICANCE_MAX = 100.0
STAY_ROWS_MAX = 10_000
_OLD_RATES = np.array(AGE_RATES[PRESENT + 1 :])[:, None, None]
_RATIOS = np.array([AGE_RATES[fast] / AGE_RATES[slow] for _, fast, slow in _PAIRS])[:, None, None]
_LEVELS, _FASTER, _SLOWER = (list(column) for column in zip(*_PAIRS, strict=True))
_MOMENT_ROWS = 256
_VARIANCE_MIN = 1e-3


@dataclass(frozen=True, slots=True)
class Reference:
    """What is healthy: `power` f64[P, S] the mean powers the averages start from; level and spread of the features.

    `centre` and `spread` f64[S, MOVING] are of the channels' features, `global_centre` and `global_spread` f64[M] of
    the logarithms of the statistics: their median, and how far above it their 99 % quantile lies.
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
        return np.asarray(np.log(self.spread[:, _MEANS] / _spread_min(self.power)[:, _MEANS]))

    def description(self) -> Float64s:
        """Return f64[2 M + 1]: level and spread of the healthy statistics, and the logarithm of how many channels."""
        return np.concatenate([self.global_centre, np.log(self.global_spread), [np.log(len(self.centre))]])


@dataclass(frozen=True, slots=True)
class Observed:
    """A stretch of rows as the floor sees it: `e` and `z` f64[T, S], `unchanged` bool[T, S], `stats` f64[T, M].

    `offset` f64[T, S] is e in a unit that is the same in all regimes; without it e itself is taken for that.
    """

    e: Float64s
    z: Float64s
    unchanged: Bools
    stats: Float64s
    offset: Float64s | None = None

    @property
    def offset_or_e(self) -> Float64s:
        """The offset, or what is taken for it."""
        return self.e if self.offset is None else self.offset


class Features:
    """The running features of one asset; `reference` is learnt by `learn_reference`."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._channels = _Channels(reference.power)
        self._profile = _Profile(reference)
        self._settled = reference.unrest().astype(np.float32)
        self._described = reference.description().astype(np.float32)
        self._usual = np.exp(reference.global_centre)

    def pass_over(self, e: Float64s, offset: Float64s) -> None:
        """Take rows e and their offsets f64[T, S] into the long memory alone."""
        self._profile.follow(e, offset)

    def follow(self, rows: Observed) -> None:
        """Take T rows in and say nothing of them, in half the time."""
        self._profile.follow(rows.e, rows.offset_or_e)
        self._channels.follow(rows)

    def update(self, rows: Observed) -> tuple[Float32s, Float32s]:
        """Take T rows in; return the channels' features f32[T, S, F] and the globals f32[T, G], squashed to a few
        units.

        A channel without a value (NaN) keeps its averages, a statistic without one is at its healthy level.
        """
        r = self._reference
        profile = self._profile.update(rows.e, rows.offset_or_e)
        channel = _bounded((self._channels.update(rows) - r.centre) / r.spread, -CHANNEL_CLIP, CHANNEL_CLIP)
        known = np.where(np.isnan(rows.stats), self._usual, rows.stats)
        whole = _bounded((_log(known) - r.global_centre) / r.global_spread, *GLOBALS_CLIP)
        settled, described = (np.broadcast_to(x, (len(whole), *x.shape)) for x in (self._settled, self._described))
        return (
            np.concatenate([squash(channel), profile, settled], 2),
            np.concatenate([squash(whole), described], 1),
        )


def squash(x: Float64s) -> Float32s:
    """Return sign(x) log(1 + |x|): linear near 0, and a hundred standard deviations are not a hundred times ten."""
    return np.copysign(np.log1p(np.abs(x)), x, dtype=np.float32, casting="same_kind")


def _bounded(x: Float64s, low: float, high: float) -> Float64s:
    """Return x within bounds, NaN as it is; for one row numpy's own `clip` takes longer than its work."""
    return np.minimum(np.maximum(x, low), high)


class _Profile:
    """How old the present deviation of each channel is, by averages of its offset with longer and longer memory.

    The average at rate r of a step that is a rows old is the share 1 - exp(-r a) of it. So each share gives an age, and
    an age says what the shares at other rates are, and that of the average's own average, 1 - exp(-r a) (1 + r a). What
    they are not, contradicts a step: of a ramp the faster averages are smaller, the averages' averages larger.
    """

    def __init__(self, reference: Reference) -> None:
        columns = [_MEANS.start + 2 * RATES.index(AGE_RATES[at]) for at in (YOUNG, PRESENT)]
        self._spread = reference.spread[:, columns].T  # (2, S)
        self._level = reference.centre[:, _MEANS.stop - 2]
        self._offsets = Averages(np.zeros(len(self._level)), AGE_RATES)
        self._twice = Averages(np.zeros(len(self._level)), AGE_RATES[PRESENT + 1 :])
        self._squares = Averages(np.zeros(2 * len(self._level)), AGE_RATES[PRESENT : PRESENT + 1])

    def follow(self, e: Float64s, offset: Float64s) -> tuple[Float64s, Float64s, Float64s]:
        """Take rows e and their offsets f64[T, S] in; return the averages of both squares, of the offset and of these.

        f64[T, 2 S], f64[R, T, S] and, of the rates older than the present one, f64[R', T, S].
        """
        bounded = offset * np.minimum(1.0, ROW_CLIP / np.maximum(np.abs(e), 1e-9))
        (squares,) = self._squares.update(np.concatenate([bounded, _bounded(e, -ROW_CLIP, ROW_CLIP)], 1) ** 2)
        averages = self._offsets.update(bounded)
        return squares, averages, self._twice.update(averages[PRESENT + 1 :])

    def update(self, e: Float64s, offset: Float64s) -> Float32s:
        """Take rows e and their offsets f64[T, S] in.

        Return f32[T, S, PROFILE]: what share of the present average a newer and an older one have, the logarithms of
        the ages, by how much these contradict a step and how significant that is. Where nothing deviates, all but the
        ages are about 0.
        """
        channels = e.shape[1]
        squares, averages, twice = self.follow(e, offset)
        # The unit of the offset, in standard deviations of e.
        unit = np.sqrt(squares[:, :channels] / (squares[:, channels:] + 1e-12))
        twice = twice - self._level * unit
        averages = averages - self._level * unit
        noise = self._spread[:, None] * unit + 1e-12  # (2, T, S)
        levels = averages[[YOUNG, PRESENT]]
        size = np.maximum(np.abs(levels), noise)
        young, present = np.copysign(1.0 / size, levels)
        old = averages[PRESENT + 1 :] * present
        left = 1.0 - _bounded(old, *SHARES)
        ages = -np.log(left)  # times their rates
        faster, slower = averages[_FASTER], averages[_SLOWER]
        faster[:2], slower[:2] = faster[:2] * young, slower[:2] * young
        faster[2:], slower[2:] = faster[2:] * present, slower[2:] * present
        of_step = 1.0 - (1.0 - _bounded(slower, *SHARES)) ** _RATIOS
        against = np.concatenate([of_step - faster, twice * present - (1.0 - left * (1.0 + ages))])
        weight = np.minimum(size / noise, SIGNIFICANCE_MAX)
        significance = against * weight[[0, 0] + [1] * (len(against) - 2)]
        shares = np.stack([averages[PRESENT - 1] * present, old[0]])
        every = [
            _bounded(shares, -SHARE_CLIP, SHARE_CLIP),
            np.log(ages / _OLD_RATES) - LOG_AGE,
            _bounded(STRIKING * against, -SHARE_CLIP, SHARE_CLIP),
            squash(significance),
        ]
        return np.concatenate(every, dtype=np.float32, casting="same_kind").transpose(1, 2, 0)


class _Channels:
    """The raw features f64[T, S, MOVING] of each channel."""

    def __init__(self, power: Float64s) -> None:
        channels = power.shape[1]
        self._means = Averages(np.zeros(2 * channels), RATES)
        self._powers = Averages(power.ravel(), POWER_RATES)
        self._past = np.full((max(LAGS), 2 * channels), np.nan)
        self._stay = np.zeros(channels)

    def follow(self, rows: Observed) -> tuple[Float64s, Float64s, Float64s, Float64s]:
        """Take T rows in; return e and z side by side f64[T, 2 S], their averages f64[R, T, 2 S] and those of their
        powers f64[R', T, P, S], and how long each value has stood still f64[T, S].
        """
        both = _bounded(np.concatenate([rows.e, rows.z], 1), -ROW_CLIP, ROW_CLIP)
        unchanged = np.where(np.isnan(rows.e), np.nan, rows.unchanged)
        length, channels = rows.e.shape
        mean = self._means.update(both)
        known = np.concatenate([self._past, both])
        self._past = known[-max(LAGS) :].copy()  # here and below: a view would keep all rows
        powers = self._powers.update(_powers(known, unchanged).reshape(length, -1))
        return both, mean, powers.reshape(len(POWER_RATES), length, -1, channels), self._stays(rows.unchanged)

    def update(self, rows: Observed) -> Float64s:
        both, mean, powers, stays = self.follow(rows)
        length, channels = rows.e.shape
        level = mean[_OF_POWERS].reshape(len(POWER_RATES), length, 2, channels)
        logs = np.empty((len(POWER_RATES), length, _LOGS + 1, channels))
        logs[:, :, :2] = np.maximum(powers[:, :, :2] - level**2, 0.0)
        logs[:, :, 2:-1] = powers[:, :, 2:-2]
        logs[:, :, -1] = powers[:, :, 0]
        logs = np.log(logs + _VARIANCE_MIN)
        logs[:, :, -2] -= 2.0 * logs[:, :, -1]  # the kurtosis
        out = np.empty((length, channels, MOVING))
        for at, average in zip(range(0, _MEANS.stop, 2), (np.where(np.isnan(both), 0.0, both), *mean), strict=True):
            out[:, :, at : at + 2] = average.reshape(length, 2, channels).transpose(0, 2, 1)
        shared = out[:, :, _MEANS.stop : -1]
        for at, of_rate in enumerate(logs):
            shared[:, :, at * _LOGS : (at + 1) * _LOGS] = of_rate[:, :-1].transpose(0, 2, 1)
        product = powers[:, :, -2] - level[:, :, 0] * level[:, :, 1]
        shared[:, :, -2 * len(POWER_RATES) : -len(POWER_RATES)] = product.transpose(1, 2, 0)
        shared[:, :, -len(POWER_RATES) :] = powers[:, :, -1].transpose(1, 2, 0)
        out[:, :, -1] = stays
        return out

    def _stays(self, unchanged: Bools) -> Float64s:
        """Return log(1 + how many rows each value has stood still), f64[T, S]."""
        row = np.arange(len(unchanged))[:, None]
        begun = np.maximum.accumulate(np.where(unchanged, -1, row), 0)
        stay = np.minimum(np.where(begun >= 0, row - begun, row + 1 + self._stay), STAY_ROWS_MAX)
        self._stay = stay[-1].copy()
        return np.log1p(stay)


def _powers(known: Float64s, unchanged: Float64s | Bools) -> Float64s:
    """Return the powers f64[T, P, S] of the last T rows of e and z side by side, f64[max(LAGS) + T, 2 S].

    They are the squares of e and z, the squared differences of z and of e, e^4, e z and the unchanged values.
    """
    first, (length, channels) = max(LAGS), unchanged.shape
    e, z = known[:, :channels], known[:, channels:]
    out = np.empty((length, POWERS, channels))
    out[:, 0], out[:, 1], out[:, 2] = e[first:], z[first:], z[first:] - z[first - 1 : -1]
    for at, lag in enumerate(LAGS, 3):
        out[:, at] = e[first:] - e[first - lag : -lag]
    out[:, -2] = out[:, 0] * out[:, 1]
    out[:, :-3] *= out[:, :-3]
    out[:, -3] = out[:, 0] * out[:, 0]
    out[:, -1] = unchanged
    return out


def powers(stretches: Sequence[Observed]) -> Float64s:
    """Return the healthy means f64[P, S] of the powers."""
    total, known = 0.0, 0
    for rows in stretches:
        both = np.clip(np.hstack([rows.e, rows.z]), -ROW_CLIP, ROW_CLIP)
        before = np.full((max(LAGS), both.shape[1]), np.nan)
        found = _powers(np.vstack([before, both]), rows.unchanged)
        total, known = total + np.nansum(found, 0), known + (~np.isnan(found)).sum(0)
    return np.asarray(total / np.maximum(known, 1))


def learn_reference(stretches: Sequence[Observed]) -> Reference:
    """Learn what is healthy from stretches of healthy rows that the floor was not fitted to, the longer the better."""
    power = powers(stretches)
    mean, deviation = _moments(stretches, power)
    stats = _log(np.vstack([s.stats for s in stretches]))
    centre = np.nanmedian(stats, 0)
    return Reference(
        power=power,
        centre=mean,
        spread=np.maximum(deviation, _spread_min(power)),
        global_centre=centre,
        global_spread=np.nanquantile(stats, 0.99, 0) - centre + 0.05,
    )


def _moments(stretches: Sequence[Observed], power: Float64s) -> tuple[Float64s, Float64s]:
    """Return mean and deviation f64[S, MOVING] of the features; those of all rows at once would be large."""
    rows, total, squares = 0, np.zeros(1), np.zeros(1)
    for stretch in stretches:
        channels = _Channels(power)
        for start in range(0, len(stretch.e), _MOMENT_ROWS):
            part = slice(start, start + _MOMENT_ROWS)
            features = channels.update(
                Observed(stretch.e[part], stretch.z[part], stretch.unchanged[part], stretch.stats[part])
            )
            rows, total, squares = rows + len(features), total + features.sum(0), squares + (features**2).sum(0)
    mean = total / rows
    return mean, np.sqrt(np.maximum(squares / rows - mean**2, 0.0))


def _spread_min(power: Float64s) -> Float64s:
    """Return the least spread f64[S, MOVING] to believe: that of independent rows."""
    share = np.sqrt([1.0, *(rate / (2.0 - rate) for rate in RATES)])
    of_powers = np.sqrt([rate / (2.0 - rate) for rate in POWER_RATES])
    e, z, still = np.sqrt(power[0]), np.sqrt(power[1]), np.sqrt(power[-1] * (1.0 - power[-1]))
    means = np.stack([share[:, None] * e, share[:, None] * z], 1).reshape(-1, len(e))
    logs = np.repeat(np.sqrt(2.0) * of_powers, _LOGS)[:, None] * np.ones(len(e))
    shares = [of_powers[:, None] * e * z, of_powers[:, None] * still + 0.02, np.full((1, len(e)), 0.3)]
    return np.vstack([means, logs, *shares]).T + 1e-3


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
        self._last = e[-1:].copy()
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
    def expected(self) -> Float32s:
        """f32[T, C] in raw units, NaN for tags that are not scored."""

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

    def follow(self, scores: Rows, values: Float32s, good: Bools, held: Bools, ignored: Bools) -> None:
        """Take rows in as `update` does and say nothing of them."""
        self._features.follow(self._observed(scores, values, good, held, ignored))

    def update(
        self, scores: Rows, values: Float32s, good: Bools, held: Bools, ignored: Bools
    ) -> tuple[Float32s, Float32s]:
        """Take T rows with values f32[T, C] and their good ones bool[T, C]; return features as `Features` does.

        What stands for a missing value is no observation, nor is one that is `held` bool[T, C]: neither leaves a trace,
        nor does a row that has no score or is `ignored` bool[T], since the machine settles or runs where it was not
        learnt.
        """
        return self._features.update(self._observed(scores, values, good, held, ignored))

    def _observed(self, scores: Rows, values: Float32s, good: Bools, held: Bools, ignored: Bools) -> Observed:
        judged = ~ignored & ~np.isnan(scores.score)
        present = (good & ~held)[:, self._scored] & judged[:, None]
        own = np.where(good[:, self._scored], values[:, self._scored], np.float32(np.nan))
        unchanged = np.vstack([self._last, own[:-1]]) == own
        self._last = own[-1:].copy()
        e = np.where(present, scores.residual[:, self._scored].astype(np.float64), np.nan)
        z = np.where(present, scores.deviation.astype(np.float64), np.nan)
        white = np.where(judged[:, None], scores.white.astype(np.float64), np.nan)
        offset = own.astype(np.float64) - scores.expected[:, self._scored]
        return Observed(e, z, unchanged, self._statistics.update(e, z, white), offset)
