"""Counters and totalizers to rates: how fast they count, whatever their width, resets and gaps. Pure.

What a model can use of a counter is how fast it counts. The count itself only rises, so that no level of it is normal
for long, and a 32-bit one has outgrown the 24 bits that a float32 keeps: near 4e9 its steps are 256. So the difference
is taken of the raw numbers, in 53 bits, and the value of such a tag is counts per second, times `scale`. A rate, unlike
an increment, does not depend on how long ago the last read was: after missed reads it is the mean over the gap.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Self

from connectors.frame import (
    BAD,
    BAD_DATA_LOST,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    Dtype,
    ModbusAddress,
    Tag,
    UInt32s,
)
from connectors.scaling import SMALLEST, Float64s, no_values

HIGHEST: Final = {
    Dtype.INT8_HIGH: 2**8 - 1, Dtype.INT8_LOW: 2**8 - 1, Dtype.UINT8_HIGH: 2**8 - 1, Dtype.UINT8_LOW: 2**8 - 1,
    Dtype.INT16: 2**16 - 1, Dtype.UINT16: 2**16 - 1, Dtype.INT32: 2**32 - 1, Dtype.UINT32: 2**32 - 1,
    Dtype.INT64: 2**64 - 1, Dtype.UINT64: 2**64 - 1, Dtype.BCD16: 10**4 - 1, Dtype.BCD32: 10**8 - 1,
}
"""After how many counts a number of each type begins anew; a signed one goes on with the most negative number."""
_OPCUA_MODULI: Final = (2.0**8, 2.0**16, 2.0**32, 2.0**64)
BURST: Final = 16.0
"""What goes round, or began anew, has counted no more than so many times what it usually counts in that time."""
UNKNOWN_SHARE: Final = 1 / 64
"""Before it has counted at all, a roll-over is one that goes on by no more than this share of the whole way round."""
_WEIGHT: Final = 1 / 64


def counted(tag: Tag) -> Tag:
    """Return a tag for the number that a counter shows, as on the device's display; other tags as they are."""
    if not tag.counter:
        return tag
    return replace(tag, unit="counts", scale=1.0, low=-math.inf, high=math.inf, counter=False, rollover=0.0)


class Counters:
    """The counters among tags, and where each stood last; lives as long as the agent, not as a connection."""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._counters = [(column, Counter(tag)) for column, tag in enumerate(tags) if tag.counter]

    @classmethod
    def of(cls, tags: Sequence[Tag]) -> Self | None:
        """Return the counters among tags, None where there are none: reading them costs nothing then."""
        return cls(tags) if any(tag.counter for tag in tags) else None

    def rates(self, raw: Float64s, status: UInt32s, time_ns: int, sampled: Mapping[int, int] | None = None) -> None:
        """Replace the counts in one row of raw numbers f64[C] by counts per second, in place, and their status.

        Only the columns `sampled` were read, or reported, at their source times (UTC), all at `time_ns` where it is
        None; the others are as they were before. Bad cells stay as they are.
        """
        for column, counter in self._counters:
            count = float(raw[column])
            if status[column] >= BAD or not math.isfinite(count):
                continue
            sampled_ns = time_ns if sampled is None else sampled.get(column)
            raw[column], code = counter.rate(count, time_ns, sampled_ns)
            if code != GOOD:
                status[column] = code


class Counter:
    """One counter. The first count gives no rate yet: BadWaitingForInitialData.

    A lower count than before is the roll-over if, going round at the end of the type (or after `rollover`), it has
    counted no more than usual. Else it is BadDataLost where it began anew, since what was counted before is not known,
    and BadOutOfRange where it went back; so is a count that is further than the tag's limit for the rate allows. The
    next count decides: where it goes on from the lower one the rate is good again, and where it goes on from the one
    before that, the lower one was a wrong read.
    """

    def __init__(self, tag: Tag) -> None:
        self._period_ns = tag.period_ms * 1_000_000
        self._per_s_max = (tag.high if tag.scale > 0 else tag.low) / tag.scale
        self._moduli = _moduli(tag)
        self._no_values = no_values(tag)
        self._last: tuple[float, int] | None = None
        self._other: tuple[float, int] | None = None
        self._told = math.nan, BAD_WAITING_FOR_INITIAL_DATA
        self._usual_per_s = 0.0
        self._rises = 0

    def rate(self, count: float, time_ns: int, sampled_ns: int | None) -> tuple[float, int]:
        """Return counts per second and the status of a finite count at `time_ns`; NaN where the status is Bad.

        Counts nearer than half a period to the last one leave the rate as it is, and so does one that was not sampled
        anew (None), until it is one and a half periods old: then the counter stands still. It was the same until a
        period ago at least, whatever its source time.
        """
        if is_new := sampled_ns is not None:
            time_ns = max(sampled_ns or 0, time_ns - self._period_ns)
        if count in self._no_values:
            return math.nan, BAD_SENSOR_FAILURE
        if 0 < abs(count) < SMALLEST:
            return math.nan, BAD_OUT_OF_RANGE
        last = self._other or self._last
        if last is None or (apart_ns := time_ns - last[1]) <= -self._period_ns:  # the clock was set back
            self._last, self._other = (count, time_ns), None
            self._told = math.nan, BAD_WAITING_FOR_INITIAL_DATA
        elif 2 * apart_ns >= self._period_ns * (1 if is_new else 3):
            self._told = self._judge(count, time_ns)
        return self._told

    def _judge(self, count: float, time_ns: int) -> tuple[float, int]:
        for before in (self._last, self._other):
            if before is not None and (step := self._step(before, count, time_ns)) is not None:
                per_s = step * 1e9 / (time_ns - before[1])
                self._last, self._other = (count, time_ns), None
                if step > 0:
                    self._rises += 1
                    self._usual_per_s += (per_s - self._usual_per_s) * max(_WEIGHT, 1 / self._rises)
                return per_s, GOOD
        assert self._last is not None
        began_anew = count <= self._last[0] / 2 and 0 <= count <= self._usual(time_ns - self._last[1])
        self._other = count, time_ns
        return math.nan, BAD_DATA_LOST if began_anew else BAD_OUT_OF_RANGE

    def _step(self, before: tuple[float, int], count: float, time_ns: int) -> float | None:
        """Return how much was counted since `before`, None where the counter cannot have gone there."""
        apart_ns = time_ns - before[1]
        most = self._per_s_max * apart_ns / 1e9
        if (step := count - before[0]) >= 0:
            return step if step <= most else None
        for modulus in self._moduli:
            usual = self._usual(apart_ns) if self._rises else modulus * UNKNOWN_SHARE
            around = step % modulus
            if max(before[0], -2 * before[0]) < modulus and around <= min(most, modulus / 2, usual):
                return around
        return None

    def _usual(self, apart_ns: int) -> float:
        """Return the most that it counts in a time, as it has counted until now."""
        return BURST * (self._usual_per_s * apart_ns / 1e9 + 1)


def _moduli(tag: Tag) -> tuple[float, ...]:
    """Return after how many counts a counter may begin anew; an OPC UA tag does not say of which type it is."""
    if tag.rollover:
        return (tag.rollover + 1,)
    if not isinstance(tag.address, ModbusAddress):
        return _OPCUA_MODULI
    if tag.dtype is Dtype.BIT:
        return (2.0**tag.address.bits,)
    return (HIGHEST[tag.dtype] + 1.0,) if tag.dtype in HIGHEST else ()
