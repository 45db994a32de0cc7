"""Faults of one tag as signal transforms of what was really recorded, at sizes that a person understands.

The kinds are those of models.degradations, which draws them at random sizes, in standard deviations, to train on; here
their size is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agent.config.assets import TagConfig
from models.bundle import Statistics

Float64s = npt.NDArray[np.float64]

SWING_SD: Final = 4.0
"""What a tag that swings about zero usually moves within, in its standard deviations."""
DELAYS_ROWS: Final = (2, 5, 10, 20, 40)
PERIODS_ROWS: Final = (3.0, 60.0)
"""Between these an oscillation's period is drawn."""


def normal_value(statistics: Statistics, column: int) -> float | None:
    """Return what sizes of a tag are percentages of: the mean it was learnt with, above 0; None where it never moved.

    Of a tag that swings about zero it is the range that it usually moves within.
    """
    places = np.flatnonzero(statistics.used == column)
    if not len(places):
        return None
    mean, sd = abs(float(statistics.centre[places[0]])), float(statistics.scale[places[0]])
    return mean if mean > SWING_SD / 2 * sd else SWING_SD * sd


@dataclass(frozen=True, slots=True)
class Case:
    """What a fault is made from: the tag's values f64[H] from its onset on, and f64[P] before; NaN is nothing measured.

    `size` is in the tag's unit, of a gain a share of its swings, of a delay in rows. `rng` draws the rest.
    """

    values: Float64s
    past: Float64s
    size: float
    rng: np.random.Generator


def _way(case: Case) -> float:
    return float(case.rng.choice([-1.0, 1.0]))


def _bias(case: Case) -> Float64s:
    return np.asarray(case.values + _way(case) * case.size)


def _ramp(case: Case) -> Float64s:
    return np.asarray(case.values + _way(case) * case.size * np.linspace(0.0, 1.0, len(case.values)))


def _stuck(case: Case) -> Float64s:
    good = case.past[np.isfinite(case.past)]
    held = good[-1] if len(good) else case.values[np.isfinite(case.values)][:1].sum()
    return np.where(np.isfinite(case.values), held, np.nan)


def _gain(case: Case) -> Float64s:
    middle = float(np.nanmean(np.concatenate([case.past, case.values[:1]])))
    return np.asarray(middle + (case.values - middle) * (1.0 + _way(case) * case.size))


def _noise(case: Case) -> Float64s:
    return case.values + case.size * case.rng.standard_normal(len(case.values))


def _oscillation(case: Case) -> Float64s:
    period_rows = np.exp(case.rng.uniform(*np.log(PERIODS_ROWS)))
    phase = np.arange(len(case.values)) / period_rows + case.rng.random()
    return np.asarray(case.values + case.size * np.sin(2 * np.pi * phase))


def _delay(case: Case) -> Float64s:
    return np.concatenate([case.past[-round(case.size) :], case.values])[: len(case.values)]


def _decoupling(case: Case) -> Float64s:
    """The tag follows itself at another time: healthy by itself, but no longer with the others."""
    rows = len(case.values)
    return np.roll(case.values, int(case.rng.integers(rows // 4, max(3 * rows // 4, rows // 4 + 1))))


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: what it does to a tag's values, what its `sizes` are, and how it is told with a size in words.

    Sizes are percentages of the tag's normal value, of its swings, rows, or there are none.
    """

    transform: Callable[[Case], Float64s]
    of: str
    words: str


SIZES: Final = {
    "percent": (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
    "swing": (5.0, 10.0, 20.0, 50.0, 90.0),
    "rows": tuple(float(rows) for rows in DELAYS_ROWS),
    "": (1.0,),
}
FAULTS: Final = {
    "bias": Fault(_bias, "percent", "{tag} off by {size}"),
    "ramp": Fault(_ramp, "percent", "{tag} drifting by {size} in {within}"),
    "stuck": Fault(_stuck, "", "{tag} stuck"),
    "gain": Fault(_gain, "swing", "{tag} swinging {size} too much or too little"),
    "noise": Fault(_noise, "percent", "noise of {size} on {tag}"),
    "oscillation": Fault(_oscillation, "percent", "{tag} oscillating by {size}"),
    "delay": Fault(_delay, "rows", "{tag} late by {size}"),
    "decoupling": Fault(_decoupling, "", "{tag} no longer going with the others"),
}
"""By the names that the alerts have for them."""


def made(fault: Fault, case: Case, tag: TagConfig) -> Float64s:
    """Return what the agent would read of a tag with the fault, f64[H]: outside of its limits nothing, or the limit."""
    values = fault.transform(case)
    if tag.clamp:
        return np.clip(values, tag.low, tag.high)
    return np.where((values >= tag.low) & (values <= tag.high), values, np.nan)
