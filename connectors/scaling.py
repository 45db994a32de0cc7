"""Raw numbers to values in the tags' units, for every protocol. Pure and vectorized."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import BAD_DECODING_ERROR, BAD_OUT_OF_RANGE, Float32s, Tag, UInt32s, is_bad

Float64s = npt.NDArray[np.float64]

_SMALLEST: Final = float(np.finfo(np.float32).smallest_normal)
_LARGEST: Final = float(np.finfo(np.float32).max)


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

    def apply(self, raw: Float64s, status: UInt32s) -> tuple[Float32s, UInt32s]:
        """Turn raw numbers [..., C] into values; Bad cells become NaN.

        NaN and infinity are BadDecodingError. Outside [low, high], or subnormal, is BadOutOfRange: a number
        nearer to zero than 1.2e-38 is never a measurement but the signature of swapped words.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            wide = raw if self._plain else raw * self._scale + self._offset
            values = wide.astype(np.float32)
            if not status.any() and self._all_possible(raw, wide):
                return values, status.copy()  # as most rows are: each step below would cost as much as all of this
            impossible = (wide < self._low) | (wide > self._high) | np.isinf(values)
        impossible |= (np.abs(raw) < _SMALLEST) & (raw != 0)
        faults = np.where(np.isfinite(raw), np.where(impossible, BAD_OUT_OF_RANGE, 0), BAD_DECODING_ERROR)
        status = np.where(is_bad(status) | (faults == 0), status, faults).astype(np.uint32)
        values[is_bad(status)] = np.nan
        return values, status

    def _all_possible(self, raw: Float64s, wide: Float64s) -> bool:
        """Return whether every number is finite and within what a sensor can give."""
        small = np.abs(raw) < _SMALLEST
        return bool(
            ((wide >= self._lowest) & (wide <= self._highest)).all() and not (small.any() and raw[small].any())
        )
