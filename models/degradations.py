"""Degradations as signal transforms on a plant's standardised channels, with the truth about each channel.

They follow the fault models of sensor and process monitoring (Isermann, "Fault-Diagnosis Systems", 2006, chapters 5
and 7): additive, multiplicative and dynamic faults of one channel, and faults of the process behind several of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64s = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]

FAULTS = (
    "none",
    "bias",
    "ramp",
    "stuck",
    "gain",
    "noise",
    "delay",
    "decoupling",
    "oscillation",
    "shift",
    "intermittent",
)
"""The fault types of a channel that the head tells apart, in the order of its outputs; "shift" is the process's."""

ODDS = {"ramp": 3.0, "gain": 0.7, "delay": 0.5, "decoupling": 0.5}
"""How often fault types are drawn, 1 where nothing is said: what wears grows, and few signals are late."""
PREVALENCE = {"bias": 0.3, "ramp": 1.5, "intermittent": 1.5}
"""How often they occur, relative to how often they are drawn, 1 where nothing is said.

At its first row a jump may be a contact that opens or a sensor that is off for good, and for a while a ramp may be a
step: then the head is to say what is more usual. Chosen on five seeds of the simulated machines.
"""
FAILURE_SD = 5.0
"""A growing degradation has become a failure when it reaches this many healthy standard deviations."""
HORIZON_ROWS = 128
"""The head says whether the failure lies within so many rows."""
VISIBLE_SD = 0.15
"""A growing degradation below this is neither a fault nor healthy: such rows teach nothing."""
LARGEST_SD = 20.0
"""A growing degradation grows no further."""
LENGTH_ROWS_MIN = 50.0
SHIFTED_MIN = 3
"""A shift of fewer channels is no different from theirs."""
GAIN_MIN = 0.2
"""With less a channel is as good as stuck."""


@dataclass(frozen=True, slots=True)
class Degradation:
    """One degradation of L rows: `kind`, an index of FAULTS, its `channels`, `amplitude` f64[L] in sd, `failure_row`.

    `failure_row` counts from the onset and is infinite where the degradation does not grow to a failure.
    """

    kind: int
    channels: Ints
    amplitude: Float64s
    failure_row: float

    def failing(self) -> Bools:
        """Return bool[L]: the failure is at most HORIZON_ROWS ahead, or has happened."""
        return np.asarray(np.arange(len(self.amplitude)) >= self.failure_row - HORIZON_ROWS)

    def visible(self) -> Bools:
        """Return bool[L]: the degradation is large enough to be called one."""
        return np.asarray(self.amplitude >= VISIBLE_SD)


def draw(rows: int, loadings: Float64s, amplitudes: tuple[float, float], rng: np.random.Generator) -> Degradation:
    """Draw a degradation of L = `rows` rows on a plant with factor loadings f64[K, S].

    The kinds have ODDS, but that a shift of too few channels is called a bias; the amplitude is log-uniform in
    `amplitudes`; a ramp always grows and half of the others do where a growing one makes sense.
    """
    odds = np.array([ODDS.get(fault, 1.0) for fault in FAULTS[1:]])
    kind = 1 + int(rng.choice(len(odds), p=odds / odds.sum()))
    moved = _moved(loadings, rng)
    if FAULTS[kind] == "shift" and len(moved) < SHIFTED_MIN:
        kind = FAULTS.index("bias")
    name, channels = FAULTS[kind], loadings.shape[1]
    wide = name in {"bias", "ramp"} and rng.random() < 0.2
    count = int(rng.integers(1, max(2, channels // 3) if wide else 3))
    chosen = rng.choice(channels, min(count, channels), replace=False)
    if name == "shift":
        chosen = moved
    size = float(np.exp(rng.uniform(*np.log(amplitudes))))
    growing = name == "ramp" or (name in {"gain", "noise", "oscillation", "shift"} and rng.random() < 0.5)
    if not growing:
        return Degradation(kind, chosen, np.full(rows, size), np.inf)
    power = rng.choice([1.0, 2.0])
    length = np.exp(rng.uniform(np.log(LENGTH_ROWS_MIN), np.log(max(2.0 * rows, 2.0 * LENGTH_ROWS_MIN))))
    amplitude = np.minimum(2.0 * size * ((np.arange(rows) + 1.0) / length) ** power, LARGEST_SD)
    return Degradation(kind, chosen, amplitude, length * (FAILURE_SD / (2.0 * size)) ** (1.0 / power))


def _moved(loadings: Float64s, rng: np.random.Generator) -> Ints:
    """Return the channels that one randomly drawn factor moves: those it loads by a third of its most."""
    strength = np.abs(loadings[rng.integers(len(loadings))])
    return np.flatnonzero(strength >= max(strength.max() / 3.0, 1e-9)) if strength.max() > 0 else np.array([0])


def apply(
    x: Float64s, history: Float64s, degradation: Degradation, loadings: Float64s, rng: np.random.Generator
) -> Float64s:
    """Return x f64[L, S], the rows after the onset, with the degradation; `history` f64[N, S] are the rows before."""
    out, chosen = x.copy(), degradation.channels
    out[:, chosen] = _TRANSFORMS[FAULTS[degradation.kind]](
        x[:, chosen], history[:, chosen], degradation.amplitude[:, None], loadings[:, chosen], rng
    )
    return out


_Transform = Callable[[Float64s, Float64s, Float64s, Float64s, np.random.Generator], Float64s]


def _offset(x: Float64s, _history: Float64s, a: Float64s, _loadings: Float64s, rng: np.random.Generator) -> Float64s:
    return np.asarray(x + a * rng.choice([-1.0, 1.0], x.shape[1]) * rng.uniform(0.5, 1.5, x.shape[1]))


def _stuck(x: Float64s, history: Float64s, _a: Float64s, _loadings: Float64s, _rng: np.random.Generator) -> Float64s:
    return np.repeat(history[-1:], len(x), 0)


def _gain(x: Float64s, history: Float64s, a: Float64s, _loadings: Float64s, rng: np.random.Generator) -> Float64s:
    centre, way = history.mean(0), rng.choice([-0.5, 1.0])
    return np.asarray(centre + (x - centre) * np.maximum(1.0 + way * a, GAIN_MIN))


def _noise(x: Float64s, _history: Float64s, a: Float64s, _loadings: Float64s, rng: np.random.Generator) -> Float64s:
    return x + a * rng.standard_normal(x.shape)


def _delay(x: Float64s, history: Float64s, _a: Float64s, _loadings: Float64s, rng: np.random.Generator) -> Float64s:
    lag = int(rng.integers(2, 40))
    return np.vstack([history[-lag:], x])[: len(x)]


def _decoupling(
    x: Float64s, history: Float64s, _a: Float64s, _loadings: Float64s, rng: np.random.Generator
) -> Float64s:
    """The channel follows itself at another time: healthy by itself, but no longer with the others."""
    start = rng.integers(0, max(len(history) - len(x), 1))
    return np.resize(history[start : start + len(x)], x.shape)


def _oscillation(
    x: Float64s, _history: Float64s, a: Float64s, _loadings: Float64s, rng: np.random.Generator
) -> Float64s:
    phase = 2 * np.pi * (np.arange(len(x)) / np.exp(rng.uniform(np.log(3.0), np.log(60.0))) + rng.random())
    return np.asarray(x + a * np.sin(phase)[:, None])


def _shift(x: Float64s, _history: Float64s, a: Float64s, loadings: Float64s, rng: np.random.Generator) -> Float64s:
    """Move the channels along the factor that loads them most."""
    direction = loadings[np.abs(loadings).sum(1).argmax()]
    return np.asarray(x + rng.choice([-1.0, 1.0]) * a * direction / max(np.abs(direction).max(), 1e-9))


def _intermittent(
    x: Float64s, history: Float64s, a: Float64s, _loadings: Float64s, rng: np.random.Generator
) -> Float64s:
    """Bursts of a few rows, as of a loose contact: the signal jumps, or drops to a level of its own."""
    struck = rng.random(len(x)) < np.exp(rng.uniform(np.log(0.01), np.log(0.12)))
    struck[0] = True
    lasting = np.convolve(struck, np.ones(int(rng.integers(1, 5))))[: len(x), None] > 0
    way = rng.choice([-1.0, 1.0], x.shape[1])
    if rng.random() < 0.5:
        return np.asarray(np.where(lasting, x + 2.0 * a * way, x))
    centre = history.mean(0)
    level = centre + a * way * np.exp(rng.uniform(np.log(2.0), np.log(20.0), x.shape[1]))
    return np.asarray(np.where(lasting, level + 0.05 * (x - centre), x))


_TRANSFORMS: dict[str, _Transform] = {
    "bias": _offset,
    "ramp": _offset,
    "stuck": _stuck,
    "gain": _gain,
    "noise": _noise,
    "delay": _delay,
    "decoupling": _decoupling,
    "oscillation": _oscillation,
    "shift": _shift,
    "intermittent": _intermittent,
}
