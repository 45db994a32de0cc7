"""What a simulated machine is: its sensors, its products and shifts, and the physics of one block of time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import Bools, Int64s, Tag

Floats = npt.NDArray[np.float64]

BLOCK_S: Final = 3600
"""Plants are simulated in blocks of this many seconds, whatever is asked for."""

EPOCH_NS: Final = 1_767_592_800 * 1_000_000_000
"""Simulated second 0: Monday 2026-01-05 06:00 UTC, the beginning of the early shift."""

NAMESPACE_URI: Final = "urn:forewarn:simulators"
UNIT_ID: Final = 1


ALL: Final = slice(0, None, 1)
"""Every second of a block; `slice(phase, None, period)` are those that are read when it is read less often."""


@lru_cache(maxsize=64)
def _response(tau_s: float, count: int, columns: int) -> tuple[Floats, Floats]:
    """Return (1 - a) a^-k and a^k for k from 1 to `count`, a = exp(-1 / tau): both [T], or [T, 1] for many columns."""
    decay = np.exp(-np.arange(1, count + 1) / tau_s)
    if columns:
        decay = decay[:, None]
    return -np.expm1(-1.0 / tau_s) / decay, decay


class Memory:
    """What a machine carries from one block to the next: the last value of every lag, by name.

    A lag that starts to exist starts at its target.
    """

    def __init__(self, values: Mapping[str, Floats] | None = None) -> None:
        self._values: dict[str, Floats] = dict(values or {})

    def copy(self) -> Memory:
        """Return a memory with the same content that can go its own way."""
        return Memory(self._values)

    def without(self, prefix: str) -> Memory:
        """Return a memory of the same content but for the names that begin with `prefix`."""
        return Memory({name: value for name, value in self._values.items() if not name.startswith(prefix)})

    def knows(self, name: str) -> bool:
        """Return whether something was kept under a name."""
        return name in self._values

    def recall(self, name: str, default: Floats) -> Floats:
        """Return what was kept under a name, or the default."""
        return self._values.get(name, default)

    def keep(self, name: str, value: Floats) -> None:
        """Keep a copy of an array for the next block."""
        self._values[name] = np.array(value, np.float64)

    def lag(self, name: str, towards: npt.ArrayLike, tau_s: float, rows: slice = ALL) -> Floats:
        """Return the first-order response, time constant `tau_s`, to a target [T] or [T, C] at 1 Hz, in `rows` of it.

        y[n] = a y[n-1] + (1 - a) u[n] with a = exp(-1 / tau); in closed form, which is vectorized,
        y[n] = a^n (y0 + (1 - a) sum u[k] a^-k).
        """
        target = np.asarray(towards, np.float64)
        state = self.recall(name, target[0])
        response = np.empty_like(target)
        stride = max(1, int(300 * tau_s))  # a^-k stays below e^300
        for start in range(0, len(target), stride):
            part, here = target[start : start + stride], response[start : start + stride]
            weight, decay = _response(tau_s, *part.shape[:1], part.ndim - 1)
            np.multiply(part, weight, out=here)
            np.cumsum(here, axis=0, out=here)
            last = (here[-1] + state) * decay[-1]
            read = slice((rows.start - start) % rows.step, None, rows.step)
            shown = here[read]  # a view: what is not read stays as it is
            shown += state
            shown *= decay[read]
            state = last
        self.keep(name, state)
        return response[rows]

    def wander(self, name: str, noise: Floats, tau_s: float, rows: slice = ALL) -> Floats:
        """Return an AR(1) process of unit variance and correlation time `tau_s` from white noise [T(, C)], in `rows`.

        The noise becomes what the process is driven by.
        """
        self.keep(name, self.recall(name, noise[0]))
        a = np.exp(-1.0 / tau_s)
        noise *= np.sqrt(1.0 - a * a) / (1.0 - a)
        return self.lag(name, noise, tau_s, rows)


@dataclass(frozen=True, slots=True)
class Channel:
    """One sensor: its tag on Modbus, and how it sees the truth; noise in the unit of the tag.

    `noise` and `wander` are the standard deviations of the white and of the autocorrelated part, `step` the
    resolution of the converter (0: only that of the register), `drift` what a drifting sensor is off by in
    the end.
    """

    tag: Tag
    noise: float = 0.0
    wander: float = 0.0
    step: float = 0.0
    drift: float = 0.0


@dataclass(frozen=True, slots=True)
class Shifts:
    """When a machine runs, in hours of a production day that starts at 06:00, and how it changes products.

    A product is held for a time drawn from `hold_h`; every product is made at least once a day.
    `changeover_s` is the stop between two products, 0 for a change on the fly.
    """

    hours: tuple[tuple[float, float], ...]
    products: int
    hold_h: tuple[float, float]
    changeover_s: int


@dataclass(frozen=True, slots=True)
class Block:
    """One block of T seconds: time, what is asked of the machine, weather and damage, all of shape [T]."""

    time_s: Int64s
    product: Int64s
    running: Bools
    ambient: Floats
    rng: np.random.Generator
    memory: Memory
    damages: Mapping[str, Floats] = field(default_factory=dict)

    def damage(self, kind: str) -> Floats:
        """Return the damage a degradation has done, 0 to 1."""
        return self.damages.get(kind, np.zeros(len(self.time_s)))

    def noise(self) -> Floats:
        """Draw white noise of unit variance."""
        return self.rng.standard_normal(len(self.time_s))

    def wander(self, name: str, tau_s: float) -> Floats:
        """Draw autocorrelated noise of unit variance, bounded to 3 standard deviations."""
        return 3.0 * np.tanh(self.memory.wander(name, self.noise(), tau_s) / 3.0)


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine: `simulate` turns a block into the true value of every tag by name, each [T].

    `symptoms` are the tags that its maker measures to see its faults: vibration, the temperatures of bearings, the
    pressures across filters and at seals, and what a controller has to put out.
    """

    name: str
    number: int
    channels: tuple[Channel, ...]
    shifts: Shifts
    simulate: Callable[[Block], Mapping[str, Floats]]
    symptoms: tuple[str, ...]

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Return its tags, in the order of the columns, with their Modbus addresses."""
        return tuple(channel.tag for channel in self.channels)
