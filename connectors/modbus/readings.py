"""The ways to read the same registers, and how plausible each is. Pure and vectorized.

Every order of the same bytes holds the same information, so what tells the right one is how few bits it takes to say
how each value differs from the one before: the right reading of a machine's quantity changes by little, a wrong one
moves the fast bits to the top. Bits that never change at the low end are not counted, so that a number in coarse steps
is not taken for a rough one. On top of that comes what no quantity does: numbers that are none, subnormal, or of 10^30,
exponents all over the scale, whole multiples of 65,536, and values outside of the sensor's range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import BAD_SENSOR_FAILURE, Dtype, ModbusAddress, Tag
from connectors.modbus.orders import ORDERS, REGISTERS, arrival, full_name
from connectors.scaling import Float64s, Scaling

Words = npt.NDArray[np.uint16]
UInt64s = npt.NDArray[np.uint64]

FLOATS: Final = frozenset({Dtype.FLOAT16, Dtype.FLOAT32, Dtype.FLOAT64})
OTHER_SIGN: Final = {
    Dtype.INT16: Dtype.UINT16, Dtype.INT32: Dtype.UINT32, Dtype.INT64: Dtype.UINT64,
    Dtype.UINT16: Dtype.INT16, Dtype.UINT32: Dtype.INT32, Dtype.UINT64: Dtype.INT64,
}
PROVABLE: Final = FLOATS | OTHER_SIGN.keys()
"""The types whose readings are compared: the others have no order, sign or scale that could be another."""
SCALES: Final = (0.001, 0.01, 0.1, 10.0, 100.0, 1000.0)
IMPOSSIBLE_BITS: Final = 8.0
"""What a sample that cannot be a measurement costs: as much as a change of 256 steps."""
ODD_BITS_MAX: Final = 3.0
"""What a reading may cost for what no measurement does, and still be one."""
_EXPONENT_BITS: Final = 0.25
"""What an octave of spread between the magnitudes of a float costs; noise about zero has one or two of them."""
_SMALLEST: Final = {Dtype.FLOAT16: 2.0**-14, Dtype.FLOAT32: 1e-12, Dtype.FLOAT64: 1e-12}
_LARGEST: Final = 1e12
_WORD: Final = 1 << 16
_NUMPY: Final = {
    Dtype.FLOAT16: ">f2", Dtype.FLOAT32: ">f4", Dtype.FLOAT64: ">f8", Dtype.INT16: ">i2", Dtype.UINT16: ">u2",
    Dtype.INT32: ">i4", Dtype.UINT32: ">u4", Dtype.INT64: ">i8", Dtype.UINT64: ">u8",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a tag: `shift` registers away, in `order`, as `dtype`, its scale times `factor`."""

    shift: int
    order: str
    dtype: Dtype
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What a reading makes of N samples, and what one costs in bits.

    It costs for its change, for what no measurement does (`odd_bits`), and for being outside of the sensor's range;
    `impossible` is the share of numbers that no sensor gives.
    """

    reading: Reading
    values: Float64s
    change_bits: float
    odd_bits: float
    range_bits: float
    impossible: float

    @property
    def bits(self) -> float:
        """What a sample costs altogether."""
        return self.change_bits + self.odd_bits + self.range_bits


def configured(tag: Tag) -> Reading:
    """Return the way a tag is read."""
    assert isinstance(tag.address, ModbusAddress)
    return Reading(0, full_name(tag.address.order, REGISTERS[tag.dtype]), tag.dtype)


def readings(tag: Tag, shifts: Sequence[int]) -> list[Reading]:
    """Return all ways to read a tag in each of `shifts`; the configured one is the first."""
    own = configured(tag)
    found = [Reading(shift, order, dtype) for shift in shifts for order in ORDERS[REGISTERS[tag.dtype]]
             for dtype in (tag.dtype, OTHER_SIGN.get(tag.dtype, tag.dtype))]
    found += [Reading(0, own.order, tag.dtype, factor) for factor in SCALES]
    return list(dict.fromkeys((own, *found)))


def meant(tag: Tag, words: Words) -> Words:
    """Return the registers u16[N, 1 + n + 1] without those that, as configured, say that there is no value."""
    if not tag.invalid:
        return words
    own = configured(tag)
    octets = np.ascontiguousarray(words[:, 1:-1].astype(">u2")).view(np.uint8)
    given = octets[:, arrival(own.order, REGISTERS[tag.dtype])]
    raw = np.ascontiguousarray(given).view(_NUMPY[tag.dtype]).astype(np.float64)
    _, status = Scaling([tag]).apply(raw, np.zeros(raw.shape, np.uint32))
    kept: Words = words[status[:, 0] != BAD_SENSOR_FAILURE]
    return kept


def judge(tag: Tag, words: Words, ways: Sequence[Reading]) -> list[Judged]:
    """Return what each way makes of the registers u16[N, 1 + n + 1], the tag's n and one on either side."""
    width = 2 * REGISTERS[tag.dtype]
    octets = np.ascontiguousarray(words.astype(">u2")).view(np.uint8)
    index = np.stack([2 * (1 + way.shift) + arrival(way.order, width // 2) for way in ways])
    given = np.ascontiguousarray(octets[:, index].transpose(1, 0, 2))       # [ways, N, bytes]
    change_bits = _change_bits(given.view(f">u{width}")[..., 0], 8 * width, tag.dtype in FLOATS)
    lone = [_lone_bits(words[:, place]) for place in range(words.shape[1])]
    judged: list[Judged] = []
    oddities: dict[Reading, tuple[Float64s, float, float]] = {}  # they are the same at every scale
    for i, way in enumerate(ways):
        unscaled = replace(way, factor=1.0)
        if unscaled not in oddities:
            with np.errstate(invalid="ignore"):
                raw = given[i].view(_NUMPY[way.dtype])[:, 0].astype(np.float64)
            oddities[unscaled] = raw, *_oddity(way, raw)
        raw, odd_bits, impossible = oddities[unscaled]
        with np.errstate(invalid="ignore", over="ignore"):
            values = raw * tag.scale * way.factor + tag.offset
            outside = float(((values < tag.low) | (values > tag.high)).mean())
        # only with the registers that it leaves over does a reading explain what another one explains
        over = sum(lone) - sum(lone[1 + way.shift:1 + way.shift + width // 2])
        bits = float(change_bits[i]) + over
        judged.append(Judged(way, values, bits, odd_bits, IMPOSSIBLE_BITS * outside, impossible))
    return judged


def _lone_bits(word: Words) -> float:
    """Return what a register costs as a number of its own, its bytes either way round."""
    both = np.stack([word, word.byteswap()])
    return float(_change_bits(both, 16, floats=False).min())


def _change_bits(numbers: npt.NDArray[np.unsignedinteger], width: int, floats: bool) -> Float64s:
    """Return how many bits a change takes on average, of rows [K, N] of numbers of `width` bits.

    It is told against the value before or, as for a ramp, against the change before, whichever is shorter. Numbers may
    run over their end, as counters do; floats are put in the order of their size.
    """
    wide, every = numbers.astype(np.uint64), np.uint64((1 << width) - 1)
    if floats:
        sign = np.uint64(1 << (width - 1))
        wide = np.where(wide & sign, wide ^ every, wide | sign)
    forth = (wide[:, 1:] - wide[:, :-1]) & every
    return np.minimum(_bits(forth, every), _bits((forth[:, 1:] - forth[:, :-1]) & every, every))


def _bits(forth: UInt64s, every: np.uint64) -> Float64s:
    """Return what changes [K, N] take, forth or back, in steps of the lowest bit that ever changes."""
    changes = np.minimum(forth, (~forth + np.uint64(1)) & every)
    together = np.bitwise_or.reduce(changes, axis=1)
    step = np.maximum(together & (~together + np.uint64(1)), np.uint64(1))
    bits = np.log2(1.0 + (changes // step[:, None]).astype(np.float64))
    return np.asarray(bits.sum(axis=1) / max(1, bits.shape[1]))


def _oddity(way: Reading, raw: Float64s) -> tuple[float, float]:
    """Return what a reading costs for all that no measurement does, and the share of what is no measurement at all."""
    if way.dtype not in FLOATS:
        multiples = REGISTERS[way.dtype] > 1 and bool(raw.any()) and not (raw % _WORD).any()
        return IMPOSSIBLE_BITS * multiples, 0.0
    size = np.abs(raw)
    impossible = float((~np.isfinite(raw) | (size > _LARGEST) | ((size < _SMALLEST[way.dtype]) & (raw != 0))).mean())
    octaves = np.log2(size[np.isfinite(size) & (size > 0)])
    spread = float(octaves.std()) if len(octaves) else 0.0
    return IMPOSSIBLE_BITS * impossible + min(IMPOSSIBLE_BITS, _EXPONENT_BITS * spread), impossible
