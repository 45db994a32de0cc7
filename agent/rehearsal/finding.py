"""What a fire drill has found, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

from agent.line.wording import lasting
from agent.rehearsal.faults import FAULTS
from agent.rehearsal.rates import share_interval

FOUND_MIN: Final = 0.9
"""A size counts as seen where so many are."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One size of a fault at `of` moments, at `tried` of them really: after how many seconds each that was seen was.

    `percent` is that of the tag's normal value, or of its swings, `value` the size in the tag's unit, or in seconds of
    a delay; None where it has none.
    """

    percent: float | None
    value: float | None
    seen_s: tuple[float, ...]
    of: int
    tried: int

    @property
    def seen(self) -> int:
        """How often it was seen."""
        return len(self.seen_s)

    @property
    def interval(self) -> tuple[float, float]:
        """Between which shares it is seen, 95 % sure."""
        return share_interval(self.seen, self.of)

    @property
    def median_s(self) -> float | None:
        """After how long it was seen where it was, in the median; None where it never was."""
        return median(self.seen_s) if self.seen_s else None


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault of a tag: its sizes, the smallest first; `normal` is the tag's normal value in its unit."""

    tag: str
    unit: str
    fault: str
    normal: float
    sizes: tuple[Tried, ...]

    @property
    def smallest(self) -> Tried | None:
        """The smallest size that is seen FOUND_MIN of the times, None where none is."""
        return next((one for one in self.sizes if one.seen >= FOUND_MIN * one.of), None)

    def sentence(self, within_s: float) -> str:
        """Return what a person wants to know of it: of the smallest size seen, else of the one seen most."""
        told = self.smallest or max(reversed(self.sizes), key=lambda one: one.seen)
        what = FAULTS[self.fault].words.format(tag=self.tag, size=self._size(told), within=lasting(within_s))
        low, high = told.interval
        times = f"{told.seen} of {told.of} times ({100 * low:.0f} to {100 * high:.0f} %)"
        if told.median_s is None:
            return f"{what} would not be seen within {lasting(within_s)}, 0 of {told.of} times"
        return f"{what} would be seen in {lasting(told.median_s)}, {times}"

    def _size(self, one: Tried) -> str:
        if one.percent is None:
            return "" if one.value is None else lasting(one.value)
        unit = "" if self.unit in ("", "1") else f" {self.unit}"
        return f"{one.percent:g} %" + ("" if one.value is None else f" ({one.value:.3g}{unit})")


@dataclass(frozen=True, slots=True)
class Drill:
    """A drill of one asset: when it was held, on what of the record (UTC), with which model and budget, what it found.

    `moments` is how many healthy moments were found of those asked for, `wanted`, each with `within_s` after it.
    """

    asset: str
    held_ns: int
    since_ns: int
    until_ns: int
    budget: str
    model_hash: str
    within_s: float
    seed: int
    wanted: int
    moments: int
    findings: tuple[Finding, ...]
