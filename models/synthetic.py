"""Random plants with ground truth: what the fault head is trained on, in place of anyone's labels.

A plant is a few slow factors (what the machine does) behind many channels (what the tags measure), each with noise of
its own. Whatever a healthy plant may do besides is one field of `Prior`: the share of plants that do it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models import degradations

Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

BENIGN_ROWS = 64
"""A step of a set-point or a change of regime counts as a benign change for so many rows."""


@dataclass(frozen=True, slots=True)
class Prior:
    """What plants are drawn from. Shares are of plants, 0..1; `noise_min` is of a channel's own noise.

    `channels` and `healthy_rows` are drawn uniformly, `amplitudes` log-uniformly. A plant is monitored for
    `monitored_rows`, a `long` one for up to `long_rows`, log-uniformly. `drift` is small and common to the channels,
    `wander` may be large and is each channel's own. Plants that are not `judged` teach what a fault looks like and what
    a benign change is, but not how much evidence a fault needs.
    """

    channels: tuple[int, int] = (4, 64)
    healthy_rows: tuple[int, int] = (300, 3000)
    monitored_rows: int = 400
    long_rows: int = 8000
    long: float = 0.0
    faulty: float = 0.75
    amplitudes: tuple[float, float] = (0.3, 6.0)
    judged: bool = True
    noise_min: float = 0.05
    drift: float = 1.0
    wander: float = 0.0
    slow: float = 0.0
    curved: float = 0.0
    setpoints: float = 0.0
    regimes: float = 0.0
    offsets: float = 0.0
    lags: float = 0.0
    heavy_tails: float = 0.0
    quantised: float = 0.0


Mixture = tuple[tuple[float, Prior], ...]
"""Priors, and the share of plants drawn from each."""

PLAIN = Prior(long=0.5, quantised=0.3)
VARIED = Prior(
    long=0.5, judged=False, noise_min=0.01, drift=0.3, wander=0.3, slow=0.5, curved=0.3, setpoints=0.3, regimes=0.4,
    offsets=0.2, lags=0.3, heavy_tails=0.2, quantised=0.6,
)  # fmt: skip
MIXTURE: Mixture = ((0.5, PLAIN), (0.5, VARIED))
"""What the shipped head is trained on. Judging varied plants made it timid on recordings of real ones."""


def pick(mixture: Mixture, rng: np.random.Generator) -> Prior:
    """Return one of the priors, by their shares."""
    if len(mixture) == 1:
        return mixture[0][1]
    shares = np.array([share for share, _ in mixture])
    return mixture[int(rng.choice(len(mixture), p=shares / shares.sum()))][1]


@dataclass(frozen=True, slots=True)
class Plant:
    """A plant's record: `values` f64[T, S], of which the first `healthy_rows` are healthy history.

    Truth per row: `fault`, `benign` and `failing` bool[T], `amplitude` f64[T] of the degradation in sd; `certain`
    bool[T] is False where the degradation is too small to be called one. Truth per channel: `kind` i[S], an index of
    `degradations.FAULTS`, from row `onset` on.
    `runs` i[T] numbers the separate recordings, `regimes` is how many operating regimes there are.
    """

    values: Float64s
    healthy_rows: int
    fault: Bools
    benign: Bools
    failing: Bools
    certain: Bools
    amplitude: Float64s
    kind: Ints
    onset: int
    runs: Ints
    regimes: int


def draw(prior: Prior, rng: np.random.Generator) -> Plant:
    """Draw a plant, its healthy history and a monitored part in which it may degrade."""
    return courses(prior, rng, 1)[0]


def courses(prior: Prior, rng: np.random.Generator, count: int) -> list[Plant]:
    """Draw a plant `count` times over: the same rows, in which it may degrade in another way each time."""
    channels = int(rng.integers(prior.channels[0], prior.channels[1] + 1))
    healthy = int(rng.integers(*prior.healthy_rows))
    monitored = prior.monitored_rows
    if rng.random() < prior.long:
        monitored = int(np.exp(rng.uniform(np.log(monitored), np.log(prior.long_rows))))
    rows = healthy + monitored
    loadings = _loadings(channels, rng)
    factors = autoregressive(rng.standard_normal((rows, len(loadings))), _memory(len(loadings), prior, rng))
    benign, runs = np.zeros(rows, bool), np.zeros(rows, np.intp)
    if rng.random() < prior.setpoints:
        benign |= _move_setpoints(factors, rng)
    if rng.random() < prior.offsets:
        runs = _move_runs(factors, healthy, rng)
        benign |= runs == runs[-1]
    values = _lagged(factors, loadings, rng) if rng.random() < prior.lags else factors @ loadings
    if rng.random() < prior.curved:
        values += _curvature(factors, loadings, rng)
    memory = np.where(rng.random(channels) < 0.5, 0.0, rng.uniform(0.0, 0.9, channels))
    size = np.exp(rng.uniform(np.log(prior.noise_min), 0.0, channels))
    values += autoregressive(_white((rows, channels), prior, rng), memory) * size
    regimes = 1
    if rng.random() < prior.regimes:
        values, changed, regimes = _through_regimes(values, rng)
        benign |= changed
    if rng.random() < prior.drift:
        values += _drift(values, rng)
    if prior.wander and rng.random() < prior.wander:
        moved = _wander(rows, size, rng)
        values += moved
        benign |= (np.abs(moved - moved[:healthy].mean(0)) > size).any(1)
    scale = values[:healthy].std(0) + 1e-9
    values, loadings = values / scale, loadings / scale
    step = _steps(channels, rng) if rng.random() < prior.quantised else np.zeros(channels)
    never = np.zeros(rows, bool)
    well = Plant(
        values, healthy, never, benign, never, ~never, np.zeros(rows), np.zeros(channels, np.intp), rows, runs, regimes
    )
    plants = [_degrade(well, loadings, prior, rng) for _ in range(count)]
    return [replace(plant, values=_rounded(plant.values, step)) for plant in plants]


def _degrade(plant: Plant, loadings: Float64s, prior: Prior, rng: np.random.Generator) -> Plant:
    if rng.random() >= prior.faulty:
        return plant
    rows, monitored = len(plant.values), len(plant.values) - plant.healthy_rows
    onset = plant.healthy_rows + int(rng.integers(min(40, monitored // 4), monitored * 5 // 8))
    degradation = degradations.draw(rows - onset, loadings, prior.amplitudes, rng)
    values, kind = plant.values.copy(), plant.kind.copy()
    values[onset:] = degradations.apply(values[onset:], values[:onset], degradation, loadings, rng)
    kind[degradation.channels] = degradation.kind

    before = np.zeros(onset, bool)
    return replace(
        plant,
        values=values,
        fault=np.concatenate([before, np.ones(rows - onset, bool)]),
        failing=np.concatenate([before, degradation.failing()]),
        certain=np.concatenate([~before, degradation.visible()]),
        amplitude=np.concatenate([np.zeros(onset), degradation.amplitude]),
        kind=kind,
        onset=onset,
    )


def _loadings(channels: int, rng: np.random.Generator) -> Float64s:
    """Return how K factors move the channels, f64[K, S]: of different strength, and each on a share of them."""
    count = int(rng.integers(1, max(2, channels // 3)))
    strength = rng.gamma(1.0, 1.0, (count, 1))
    return np.asarray(
        rng.standard_normal((count, channels)) * strength * (rng.random((count, channels)) < rng.uniform(0.2, 1.0))
    )


def _memory(count: int, prior: Prior, rng: np.random.Generator) -> Float64s:
    """Return the factors' coefficients; those of a slow plant remember ten to a thousand rows."""
    if rng.random() < prior.slow:
        return np.asarray(1.0 - 10.0 ** rng.uniform(-3.0, -1.0, count))
    return rng.uniform(0.0, 0.98, count)


def autoregressive(noise: Float64s, memory: Float64s) -> Float64s:
    """Return AR(1) series of unit variance f64[T, M] from white noise f64[T, M] with coefficients f64[M] below 1."""
    out, state, fresh = np.empty_like(noise), noise[0].copy(), np.sqrt(1.0 - memory**2)
    for row, pushed in enumerate(noise * fresh):
        state = memory * state + pushed
        out[row] = state
    return out


def _white(shape: tuple[int, int], prior: Prior, rng: np.random.Generator) -> Float64s:
    if rng.random() < prior.heavy_tails:
        freedom = rng.uniform(3.5, 10.0)
        return np.asarray(rng.standard_t(freedom, shape) / np.sqrt(freedom / (freedom - 2.0)))
    return rng.standard_normal(shape)


def _lagged(factors: Float64s, loadings: Float64s, rng: np.random.Generator) -> Float64s:
    """Let each channel see the factors some rows late."""
    lags = np.floor(rng.random(loadings.shape[1]) * rng.uniform(2.0, 20.0)).astype(np.intp)
    return np.stack([np.roll(factors, lag, 0) @ loading for lag, loading in zip(lags, loadings.T, strict=True)], 1)


def _move_setpoints(factors: Float64s, rng: np.random.Generator) -> Bools:
    """Turn a factor or two into piecewise constant ones, in place; return the rows soon after a step, bool[T]."""
    rows, recent = len(factors), np.zeros(len(factors), bool)
    for column in rng.choice(factors.shape[1], min(int(rng.integers(1, 3)), factors.shape[1]), replace=False):
        steps: Bools = np.asarray(rng.random(rows) < 1.0 / rng.uniform(60.0, 400.0))
        levels = rng.choice(rng.standard_normal(int(rng.integers(2, 8))), int(np.sum(steps)) + 1)
        smooth = rng.uniform(0.0, 0.9)
        level = levels[np.cumsum(steps)]
        factors[:, column] = level + 0.1 * factors[:, column]
        for row in range(1, rows):
            factors[row, column] = smooth * factors[row - 1, column] + (1.0 - smooth) * factors[row, column]
        recent |= np.convolve(steps, np.ones(BENIGN_ROWS))[:rows] > 0
    return recent


def _through_regimes(values: Float64s, rng: np.random.Generator) -> tuple[Float64s, Bools, int]:
    """Let the plant change between regimes of different means and spreads; return it, the changes and how many."""
    rows, channels = values.shape
    count = int(rng.integers(2, 5))
    changes: Bools = np.asarray(rng.random(rows) < 1.0 / np.exp(rng.uniform(np.log(40.0), np.log(400.0))))
    regime = rng.integers(0, count, int(changes.sum()) + 1)[np.cumsum(changes)]
    means = rng.standard_normal((count, channels)) * rng.uniform(0.5, 3.0) * values.std(0)
    spreads = np.exp(rng.normal(0.0, rng.uniform(0.1, 0.8), (count, channels)))
    return values * spreads[regime] + means[regime], np.convolve(changes, np.ones(BENIGN_ROWS))[:rows] > 0, count


def _move_runs(factors: Float64s, healthy: int, rng: np.random.Generator) -> Ints:
    """Cut history into runs at operating points of their own, in place; the monitored part is one more run."""
    count = int(rng.integers(2, 12))
    runs: Ints = np.minimum(np.arange(len(factors)) * count // healthy, count)
    moved = rng.random(factors.shape[1]) < rng.uniform(0.2, 1.0)
    factors += (rng.standard_normal((count + 1, factors.shape[1])) * moved * rng.uniform(0.2, 1.5))[runs]
    return runs


def _curvature(factors: Float64s, loadings: Float64s, rng: np.random.Generator) -> Float64s:
    """Return what products of factors add to the channels: a linear floor sees it drift with the operating point."""
    count = min(len(loadings), 3)
    one, other = rng.integers(0, len(loadings), (2, count))
    products = factors[:, one] * factors[:, other]
    onto = rng.standard_normal((count, loadings.shape[1])) * (rng.random((count, loadings.shape[1])) < 0.5)
    return np.asarray(np.exp(rng.uniform(np.log(0.01), np.log(0.5))) * products @ onto)


def _drift(values: Float64s, rng: np.random.Generator) -> Float64s:
    """Return a slow random walk f64[T, S] on some channels, small beside their spread."""
    rows, channels = values.shape
    walk = np.cumsum(rng.standard_normal((rows, 1)), 0) / np.sqrt(rows)
    size = rng.uniform(0.0, 0.3) * rng.standard_normal(channels) * (rng.random(channels) < 0.3)
    return np.asarray(walk * size * values.std(0))


def _wander(rows: int, noise: Float64s, rng: np.random.Generator) -> Float64s:
    """Return slow drift f64[rows, S] of some channels: a walk or a wave, large or small beside their own noise f64[S].

    What a healthy sensor's calibration or the season does; the head must learn from history how far it goes.
    """
    channels = len(noise)
    if rng.random() < 0.5:
        course = np.cumsum(rng.standard_normal((rows, channels)), 0) / np.sqrt(rows)
    else:
        turns = np.arange(rows)[:, None] / rng.uniform(300.0, 3000.0, channels) + rng.random(channels)
        course = np.sin(2.0 * np.pi * turns)
    size = np.exp(rng.uniform(np.log(0.05), np.log(3.0), channels)) * noise
    return np.asarray(course * size * (rng.random(channels) < rng.uniform(0.0, 0.6)))


def _steps(channels: int, rng: np.random.Generator) -> Float64s:
    """Return the resolution f64[S] of the channels' converters: up to half a standard deviation, 0 for very fine."""
    step = np.exp(rng.uniform(np.log(1e-3), np.log(0.5), channels))
    return np.where(rng.random(channels) < 0.5, step, 0.0)


def _rounded(values: Float64s, step: Float64s) -> Float64s:
    """Return values f64[T, S] in multiples of step f64[S]; the columns whose step is 0 stay as they are."""
    rounded, coarse = values.copy(), step > 0
    rounded[:, coarse] = np.round(values[:, coarse] / step[coarse]) * step[coarse]
    return rounded
