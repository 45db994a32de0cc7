"""Raw numbers to values in the tags' units, for every protocol. Pure and vectorized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED,
    Dtype,
    Float32s,
    Tag,
    UInt32s,
    all_good,
    is_bad,
)

Float64s = npt.NDArray[np.float64]

SMALLEST: Final = float(np.finfo(np.float32).smallest_normal)
_LARGEST: Final = float(np.finfo(np.float32).max)
_SIGNED_BITS: Final = {Dtype.INT8_HIGH: 8, Dtype.INT8_LOW: 8, Dtype.INT16: 16, Dtype.INT32: 32, Dtype.INT64: 64}


def quietly() -> np.errstate:
    """Return what keeps numpy from warning: a number beyond float32, or a signalling NaN, is data and no fault of ours.
    """
    return np.errstate(over="ignore", invalid="ignore")


class Scaling:
    """Raw numbers to values in the tags' units, and the verdict on each: is it finite, and can it be?"""

    def __init__(self, tags: Sequence[Tag]) -> None:
        self._scale = np.array([tag.scale for tag in tags], np.float64)
        self._offset = np.array([tag.offset for tag in tags], np.float64)
        self._low = np.array([tag.low for tag in tags], np.float64)
        self._high = np.array([tag.high for tag in tags], np.float64)
        self._plain = bool((self._scale == 1).all() and (self._offset == 0).all())
        self._lowest = np.maximum(self._low, -_LARGEST)
        self._highest = np.minimum(self._high, _LARGEST)
        self._clamp = np.array([tag.clamp for tag in tags], np.bool_)
        self._invalid = _invalid(tags)

    def apply(self, raw: Float64s, status: UInt32s) -> tuple[Float32s, UInt32s]:
        """Turn raw numbers [..., C] into values; Bad cells become NaN.

        NaN and infinity are BadDecodingError, a raw number that means "no value" BadSensorFailure. Outside
        [low, high] the value is the limit and Uncertain where the tag is clamped, else BadOutOfRange. Subnormal
        is BadOutOfRange as well: a number nearer to zero than 1.2e-38 is never a measurement but the signature
        of swapped words. Where all is well the status is the one that was given. Call it `quietly`.
        """
        wide = raw if self._plain else raw * self._scale + self._offset
        if all_good(status) and self._all_possible(raw, wide):
            return wide.astype(np.float32), status  # as most rows are: each step below would cost as much
        outside = (wide < self._low) | (wide > self._high)
        limited = np.where(self._clamp, np.clip(wide, self._low, self._high), wide).astype(np.float32)
        faults = np.where(outside, np.where(self._clamp, UNCERTAIN_ENGINEERING_UNITS_EXCEEDED, BAD_OUT_OF_RANGE), 0)
        faults[np.isinf(limited) | ((np.abs(raw) < SMALLEST) & (raw != 0))] = BAD_OUT_OF_RANGE
        faults[~np.isfinite(raw)] = BAD_DECODING_ERROR
        for numbers in self._invalid:
            faults[raw == numbers] = BAD_SENSOR_FAILURE
        status = np.where(is_bad(status) | (faults == 0), status, faults).astype(np.uint32)
        limited[is_bad(status)] = np.nan
        return limited, status

    def _all_possible(self, raw: Float64s, wide: Float64s) -> bool:
        """Return whether every number is finite, means a value, and is within what a sensor can give."""
        if np.fmin(np.fmax(wide, self._lowest), self._highest).tobytes() != wide.tobytes():  # NaN becomes a limit
            return False
        small = np.abs(raw) < SMALLEST
        if b"\1" in small.tobytes() and raw[small].any():
            return False
        return not (self._invalid and any((raw == numbers).any() for numbers in self._invalid))


def no_values(tag: Tag) -> set[float]:
    """Return the raw numbers that mean "no value".

    A number is written as people read it: 0x8000 is also what an int16 takes for -32768, and 1e38 also what a float32
    can hold of it.
    """
    bits = _SIGNED_BITS.get(tag.dtype, 0)
    with np.errstate(over="ignore"):
        said = {float(number) for number in tag.invalid} | {float(np.float32(number)) for number in tag.invalid}
    return said | {number - 2.0**bits for number in said if bits and 2.0 ** (bits - 1) <= number < 2.0**bits}


def _invalid(tags: Sequence[Tag]) -> list[Float64s]:
    """Return rows [C] of numbers that mean "no value", NaN where a tag has no more of them.

    Those of a counter were looked for among its counts: a rate may be the same number.
    """
    numbers = [[] if tag.counter else sorted(no_values(tag)) for tag in tags]
    return [np.array([own[i] if i < len(own) else np.nan for own in numbers], np.float64)
            for i in range(max(map(len, numbers), default=0))]
