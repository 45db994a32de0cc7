"""Whether anything added to the floor predicts healthy rows better that nothing was fitted to.

The figure is how much likelier each channel's value becomes, given all other channels, in nats a channel: the mixture
of the regimes, each with the correction, at the width that suits. A linear machine gives nothing to gain, a curved one
what its regimes leave over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Final

import numpy as np

from benchmarks import cmapss, cranfield, skab, tep
from benchmarks.options import Options
from benchmarks.result import BenchmarkError, Figure, Result, mean_over_seeds
from benchmarks.virtual_sensors import Learn, Rows, network, random_features
from connectors.frame import Float32s, Int64s
from models import channels
from models.experts import RIM
from models.history import FOLDS, History
from models.regimes import Float64s, Regimes, choose, fit
from simulators.plant import Plant

GAIN: Final = "held-out gain"
UNIT: Final = "nats a channel"
TWICE: Final = "twice the regimes"
FOUND: Final = "the regimes found"
METHODS: Final[Mapping[str, Learn]] = {"network": network, "random features": random_features}
SUBSET: Final = "FD002"
PUMP_PERIOD_S: Final = 5
PUMP_ROWS: Final = 2 * 86_400 // PUMP_PERIOD_S
CURVED_ROWS: Final = 6000
MEMORY: Final = 0.95
WIDTH_STEPS: Final = 8
STRETCH_MIN: Final = 0.05
"""Residuals are not believed to vary less than by this share: a set-point that stands still has no density to gain."""

Stretches = Sequence[Float32s]


@dataclass(frozen=True, slots=True)
class Floor:
    """Regimes over U standardised channels, the S scored ones first; the others are kept between `low` and `high`."""

    regimes: Regimes
    low: Float64s
    high: Float64s

    @classmethod
    def fitted(cls, x: Float64s, scored: int, count: int, ridge: float, start: Regimes | None = None) -> Floor:
        """Fit to rows f64[N, U]."""
        low, high = x[:, scored:].min(0), x[:, scored:].max(0)
        return cls(fit(x, count, ridge, start=start), low - RIM * (high - low), high + RIM * (high - low))

    def see(self, x: Float64s) -> Seen:
        """Judge each scored channel of rows f64[N, U] given all others, in every regime."""
        scored = x.shape[1] - len(self.low)
        rows = x.copy()
        rows[:, scored:] = np.clip(x[:, scored:], self.low, self.high)
        r, P = self.regimes, self.regimes.precision()
        width = 1.0 / np.sqrt(np.diagonal(P, axis1=1, axis2=2)[:, :scored])
        pulls = [(rows - mean) @ p[:, :scored] for mean, p in zip(r.mean, P, strict=True)]
        residual = np.stack(pulls, 1) * width
        density = r.assess(rows)[0]
        others = density[:, :, None] - log_normal(residual, width)
        others -= np.logaddexp.reduce(others, axis=1, keepdims=True)
        best = density.argmax(1)
        kept = residual[np.arange(len(x)), best]
        return Seen(others, residual, width, Rows(rows, kept * width[best], kept))


@dataclass(frozen=True, slots=True)
class Seen:
    """N rows in K regimes: `others` f64[N, K, S] the log chance of each regime given all channels but the one judged.

    `residual` f64[N, K, S] in its standard deviations, which are `width` f64[K, S]; `rows` as the likeliest regime has
    them.
    """

    others: Float64s
    residual: Float64s
    width: Float64s
    rows: Rows


def log_normal(residual: Float64s, width: Float64s, stretch: Float64s | float = 1.0) -> Float64s:
    """Return the log density of residuals in standard deviations `width`, their variance `stretch` times as large."""
    return np.asarray(-0.5 * residual**2 / stretch - 0.5 * np.log(2 * np.pi * stretch) - np.log(width))


def surprise(parts: Sequence[Seen], corrections: Sequence[Float64s]) -> Float64s:
    """Return f64[S]: the mean negative log density of each channel given all others, corrected by f64[N, S] each.

    A channel's variance is stretched by what suits all the rows, found by expectation-maximisation.
    """
    stretch = np.ones(corrections[0].shape[1])
    left = [part.residual - correction[:, None] for part, correction in zip(parts, corrections, strict=True)]
    rows = sum(len(each) for each in left)
    for _ in range(WIDTH_STEPS):
        squares = np.zeros(len(stretch))
        for part, each in zip(parts, left, strict=True):
            joint = part.others + log_normal(each, part.width, stretch)
            squares += (np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)) * each**2).sum((0, 1))
        stretch = np.maximum(squares / rows, STRETCH_MIN)
    total = np.zeros(len(stretch))
    for part, each in zip(parts, left, strict=True):
        total -= np.logaddexp.reduce(part.others + log_normal(each, part.width, stretch), axis=1).sum(0)
    return total / rows


@dataclass(frozen=True, slots=True)
class Plain:
    """A history without labels: standardised rows `x` f64[N, U], `fold` i64[N], and the floor's size."""

    x: Float64s
    fold: Int64s
    scored: int
    count: int
    ridge: float

    @classmethod
    def of(cls, stretches: Stretches, *, whole: bool = False) -> Plain:
        """Type the channels, choose the number of regimes and cut the folds as `forewarn learn` does, settling aside.

        With `whole` a stretch is in one fold: what is held out may be at an operating point that no other row is at.
        """
        roles = channels.roles(stretches)
        looked_at = (channels.SCORED, channels.SETPOINT, channels.DRIFTING)
        used = [at for role in looked_at for at, has in enumerate(roles) if has == role]
        history = History.of(stretches, np.array(used, np.int64))
        x, fold = history.rows()
        if whole:
            pairs = zip(history.stretches, history.skipped, strict=True)
            parts = [replace(history, stretches=(each,), skipped=(skipped,)).rows()[0] for each, skipped in pairs]
            x = np.concatenate(parts)
            fold = np.repeat(np.arange(len(parts)) % FOLDS, [len(part) for part in parts])
        half = np.arange(len(x)) * 2 * FOLDS // len(x) % 2 == 0
        *_, (count, ridge, _) = choose(x[half], x[~half])
        return cls(x, fold, roles.count(channels.SCORED), count, ridge)

    def floors(self, count: int) -> list[Floor]:
        """Return for each fold the floor that has not seen it."""
        start = fit(self.x, count, self.ridge)
        return [
            Floor.fitted(self.x[self.fold != f], self.scored, count, self.ridge, start) for f in range(FOLDS)
        ]

    def gain(self, learn: Learn, seed: int) -> float:
        """Return what a correction gains on the held-out folds."""
        parts, corrections = [], []
        for f, floor in enumerate(self.floors(self.count)):
            held, aside = self.fold == f, self.fold == (f + 1) % FOLDS
            correction = learn(floor.see(self.x[~held & ~aside]).rows, floor.see(self.x[aside]).rows, seed)
            parts.append(floor.see(self.x[held]))
            corrections.append(correction(parts[-1].rows))
        nothing = [np.zeros_like(each) for each in corrections]
        return float((surprise(parts, nothing) - surprise(parts, corrections)).mean())

    def gain_of_regimes(self, count: int) -> float:
        """Return what so many regimes gain on the held-out folds instead."""
        few, many = (self._surprise(each) for each in (self.count, count))
        return float((few - many).mean())

    def _surprise(self, count: int) -> Float64s:
        parts = [floor.see(self.x[self.fold == f]) for f, floor in enumerate(self.floors(count))]
        return surprise(parts, [np.zeros((len(part.others), self.scored)) for part in parts])


def run(options: Options) -> Iterator[Result]:
    """Yield the gain of every chosen method on each set, where there are regimes also over the floor without them."""
    wanted = {name.lower() for name in options.methods}
    learners = {name: learn for name, learn in METHODS.items() if not wanted or name in wanted}
    if "network" in learners and find_spec("torch") is None:
        raise BenchmarkError("the network needs torch: install the extra [bench], or name other --methods")
    for name, stretches in sets(options).items():
        models = [Plain.of(each) for each in stretches[: options.limit]]
        found = [model.count for model in models]
        cases = [(name, models, TWICE, [2 * count for count in found])]
        if name == "cranfield":
            apart = [Plain.of(each, whole=True) for each in stretches]
            cases.append((f"{name}, whole sets held out", apart, TWICE, [2 * model.count for model in apart]))
        if len(models) == 1 and found[0] > 1:
            cases.append((f"{name}, one regime", [replace(model, count=1) for model in models], FOUND, found))
        for case, tried, method, counts in cases:
            yield from _corrected(case, tried, learners, options)
            if not wanted or method in wanted:
                gains = [model.gain_of_regimes(count) for model, count in zip(tried, counts, strict=True)]
                yield from mean_over_seeds("refinement", method, [[_figure(case, gains)]], {})


def _corrected(
    case: str, models: Sequence[Plain], learners: Mapping[str, Learn], options: Options
) -> Iterator[Result]:
    for method, learn in learners.items():
        figures = []
        for seed in range(options.seeds):
            options.progress(f"{case}, {method}, seed {seed}", seed / options.seeds)
            figures.append([_figure(case, [model.gain(learn, seed) for model in models])])
        yield from mean_over_seeds("refinement", method, figures, {})


def _figure(case: str, gains: Sequence[float]) -> Figure:
    """Return the mean over the models of a set."""
    return Figure(case, GAIN, float(np.mean(gains)), UNIT)


def sets(options: Options) -> dict[str, list[Stretches]]:
    """Return by name what each model of a set learns from, all of it healthy."""
    import polars as pl

    found: dict[str, list[Stretches]] = {}
    for name, recorded in (("tep", tep.trials), ("skab", skab.trials), ("cranfield", cranfield.trials)):
        found[name] = [[part.values for part in trial.learn] for trial in recorded(options).trials]
    table = pl.read_parquet(options.file(cmapss.FILE, cmapss.ORIGIN))
    fleet = cmapss.engines(table, SUBSET, None)
    found[SUBSET] = [[each.values[: cmapss.HEALTHY_CYCLES] for each in fleet if each.unit % 2 == 0]]
    found["simulated pump"] = [[Plant("pump", 1).rows(0, PUMP_ROWS, PUMP_PERIOD_S)]]
    found["curved plant"] = [[curved(CURVED_ROWS, 1)]]
    return found


def curved(rows: int, seed: int) -> Float32s:
    """Return f32[rows, 6] of a made-up machine: two causes with memory, their product, a square, a sine and a sum."""
    rng = np.random.default_rng(seed)
    cause = rng.standard_normal((rows, 2))
    for row in range(1, rows):
        cause[row] = MEMORY * cause[row - 1] + np.sqrt(1.0 - MEMORY**2) * cause[row]
    a, b = np.tanh(cause).T
    exact = np.stack([a, b, a * b, a**2 - b, np.sin(2.0 * a) + b, a + b], 1)
    return (exact + rng.normal(0.0, 0.05, exact.shape)).astype(np.float32)
