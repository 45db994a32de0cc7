"""A sensor that is replaced: its terminal is loose, then its wires are off, and the new one reads otherwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from connectors.frame import Dtype, Float32s, Tag
from simulators.serve import Source

_FORM: Final = "TAG@LOOSE_S:AWAY_S:BACK_S:MORE"
_EXAMPLE: Final = "bearing_nde_temperature@7800:8400:9000:4"
_SECOND_NS: Final = 1_000_000_000
LOOSE_SHARE, LOOSE_PART = 0.25, 0.075
"""A loose terminal adds so much of the sensor's range in so large a share of the seconds."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A sensor's terminal is loose from `loose_s` on, in simulated seconds; from `away_s` on its wires are off, and
    from `back_s` on there is one that reads `more` more, in the tag's unit.
    """

    tag: str
    loose_s: float
    away_s: float
    back_s: float
    more: float

    def reads(self, value: float, tag: Tag, second: int) -> float:
        """Return what the PLC is given in a simulated second in which the old sensor would read a value."""
        if second < self.loose_s:
            return value
        if second >= self.back_s:
            return value + self.more
        if second >= self.away_s:
            return tag.high + (tag.high - tag.low)  # as of a resistance thermometer without wires
        opens = np.random.default_rng([second]).random() < LOOSE_SHARE
        return value + LOOSE_PART * (tag.high - tag.low) * opens


def parse(text: str, tags: Sequence[Tag]) -> Swap:
    """Read a swap; raise ValueError with the remedy."""
    name, _, rest = text.partition("@")
    known = [tag.name for tag in tags if tag.dtype is not Dtype.BIT and math.isfinite(tag.high - tag.low)]
    if name not in known:
        raise ValueError(f"There is no sensor {name!r}; there are: {', '.join(known)}.")
    try:
        loose_s, away_s, back_s, more = map(float, rest.split(":"))
    except ValueError:
        raise ValueError(f"Cannot read the swap {text!r}; write it as {_FORM}, such as {_EXAMPLE}.") from None
    if not 0 <= loose_s <= away_s < back_s < math.inf:
        raise ValueError(f"A sensor is first loose, then away, then back: {text!r} says otherwise; such as {_EXAMPLE}.")
    return Swap(name, loose_s, away_s, back_s, more)


class SwapSource:
    """A source of which some sensors are replaced."""

    def __init__(self, source: Source, swaps: Sequence[Swap]) -> None:
        self.name, self.tags, self.opcua_tags = source.name, source.tags, source.opcua_tags
        self.epoch_ns, self.period_ns = source.epoch_ns, source.period_ns
        self._source = source
        columns = {tag.name: column for column, tag in enumerate(source.tags)}
        self._swaps = [(columns[swap.tag], swap) for swap in swaps]

    def row(self, time_ns: int) -> tuple[Float32s, int]:
        """Return the newest row that is not after a time, and its own time."""
        values, own_ns = self._source.row(time_ns)
        values, second = values.copy(), (own_ns - self.epoch_ns) // _SECOND_NS
        for column, swap in self._swaps:
            values[column] = swap.reads(float(values[column]), self.tags[column], second)
        return values, own_ns
