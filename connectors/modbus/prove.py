"""The decode prover: is another reading of a tag's registers far more plausible than the configured one? Pure.

It speaks only where the difference is beyond doubt: a person who was sent to a healthy tag does not go twice. What it
cannot tell it leaves alone: a wrong register that holds a quantity as plausible as the right one, or a wrong scale
inside of the sensor's range. What all tags of a table tell together is in connectors.modbus.alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import Dtype, ModbusAddress, Tag
from connectors.modbus.orders import REGISTERS, full_name
from connectors.modbus.readings import (
    IMPOSSIBLE_BITS,
    ODD_BITS_MAX,
    OTHER_SIGN,
    Judged,
    Reading,
    Words,
    judge,
    readings,
)
from connectors.scaling import Float64s

GAIN_BITS: Final = 4.0
"""How much less the other reading must cost for each sample: a sixteenth of the changes."""
TOTAL_BITS: Final = 64.0
"""How much less it must cost for all samples: chance gives that once in 10^19."""
DISTINCT_MIN: Final = 8
"""Fewer different values may be the steps of a switch, which fit many readings."""
_DIFFERENCE_BITS: Final = 0.5
"""What each difference from the configured reading costs another one, so that the nearest of equals is named."""
_RIVAL_BITS: Final = 3.0
_CARRIES_MIN, _CARRIES_KEPT = 16, 128
_HALF_WORD: Final = 1 << 15
_FITTING_MOST: Final = 3


Carries = npt.NDArray[np.int16]
"""How often the lower word of a 32-bit value ran over, and what became of that, i16[4].

Of that many times the upper word that the configuration takes carried it so often, the word on the lower one's other
side so often, and that one went the other way so often.
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """The readings that are far more plausible than the configured one, the likeliest first, and the same in words."""

    readings: tuple[Reading, ...]
    text: str


def prove(tag: Tag, words: Words, shifts: tuple[int, ...] = (0,),
          told: Carries | None = None) -> tuple[Finding | None, bool]:
    """Judge the registers u16[N, 1 + n + 1] of a tag, its n and one on either side, as they came one after another.

    `shifts` says which sides were read: 0, and -1 or 1 where the register before or after is known; an unknown one is
    0 throughout. `told` is what longer watching told of the lower word. Return what is found, and whether the
    configured reading was proven to be the best one.
    """
    return weigh(tag, words, judge(tag, words, readings(tag, shifts)), shifts, told)


def weigh(tag: Tag, words: Words, judged: Sequence[Judged], shifts: tuple[int, ...],
          told: Carries | None = None) -> tuple[Finding | None, bool]:
    """Do as `prove` does, of readings that are judged already, the configured one first.

    It is proven where no order is nearly as good, or where many values all lie in the sensor's range.
    """
    own, *others = judged
    distinct = len(np.unique(words[:, 1:-1], axis=0))
    if distinct < 2 or len(words) < 3 or (distinct < DISTINCT_MIN and own.impossible < 1.0):
        return None, False
    enough = max(GAIN_BITS, TOTAL_BITS / (len(words) - 1))
    better = [other for other in others if _gain(tag, own, other) >= enough]
    if better:
        return _finding(tag, own, _likeliest(own, better)), False
    carried = _carried(tag, shifts, carries(tag, words) if told is None else told)
    if carried is not None:
        (_, other) = judge(tag, words, [own.reading, carried])
        if other.odd_bits + other.range_bits <= ODD_BITS_MAX:
            return _finding(tag, own, [other]), False
    rivals = [other.bits for other in others if other.reading.order != own.reading.order]
    in_range = bool(np.isfinite(tag.high - tag.low)) and own.range_bits == 0.0
    return None, in_range or (bool(rivals) and min(rivals) - own.bits >= GAIN_BITS)


def _gain(tag: Tag, own: Judged, other: Judged) -> float:
    """Return how many bits less another reading costs for each sample."""
    if other.odd_bits + other.range_bits > ODD_BITS_MAX:
        return 0.0  # it cannot be either
    gain = own.bits - other.bits
    if other.reading.shift != 0:  # that another quantity is smooth and in range says nothing of this one
        gain = min(gain, own.change_bits - other.change_bits) if own.odd_bits > ODD_BITS_MAX else 0.0
    elif other.reading.factor != 1.0 and not _far_out(tag, own.values):
        return 0.0
    elif _hovers(own, other):
        gain += IMPOSSIBLE_BITS
    return gain


def _cost(own: Judged, other: Judged) -> float:
    """Return what a reading costs, more the farther from the configured one it is; a scale by its powers of ten."""
    return other.bits + _DIFFERENCE_BITS * _differences(own.reading, other.reading)


def _differences(own: Reading, way: Reading) -> float:
    """Return how far a reading is from the configured one."""
    differences = sum((own.shift != way.shift, own.order != way.order, own.dtype is not way.dtype))
    return differences + abs(float(np.log10(way.factor)))


def _far_out(tag: Tag, values: Float64s) -> bool:
    """Return whether the values are farther from the sensor's range than a sensor goes: half its width."""
    width = tag.high - tag.low
    if not np.isfinite(width):
        return False
    middle = float(np.median(values))
    return not tag.low - width / 2 <= middle <= tag.high + width / 2


def _hovers(own: Judged, other: Judged) -> bool:
    """Return whether only the sign differs, and the other sign makes of jumps over all numbers a change about zero.

    A counter that runs over jumps one way; a quantity about zero jumps both ways, and has values close to it.
    """
    if own.reading.order != other.reading.order or OTHER_SIGN.get(own.reading.dtype) is not other.reading.dtype:
        return False
    jumps = np.diff(own.values)
    big = np.abs(jumps) > np.ptp(own.values) / 2
    if np.sum(big & (jumps > 0)) < 3 or np.sum(big & (jumps < 0)) < 3:
        return False
    in_order = np.sort(other.values)
    span = float(in_order[-1] - in_order[0])
    return bool(span < np.ptp(own.values) / 4 and (np.diff(in_order) < span / 4).all())


def fitting(tag: Tag, judged: Sequence[Judged]) -> str:
    """Say how else a tag would be in its range where it never is as configured; "" where nothing mends it.

    That is no proof, and said only of a tag that gives no value anyway.
    """
    own, *others = judged
    if own.range_bits + IMPOSSIBLE_BITS * own.impossible < IMPOSSIBLE_BITS:
        return ""
    fit = [other for other in others if not other.range_bits and not other.impossible and other.values.any()
           and other.odd_bits <= ODD_BITS_MAX]
    in_order = sorted(fit, key=lambda other: (abs(other.reading.shift), _differences(own.reading, other.reading),
                                              other.bits))
    nearest: dict[tuple[int, str, Dtype], Judged] = {}
    for other in in_order:  # of several scales the nearest
        nearest.setdefault((other.reading.shift, other.reading.order, other.reading.dtype), other)
    ways = [f"{_how(tag, own.reading, other.reading)} ({other.values[-1]:.4g})"
            for other in list(nearest.values())[:_FITTING_MOST]]
    return f"it would fit {', or '.join(ways)}" if ways else ""


def astray(told: Carries) -> bool:
    """Whether the lower word plainly belongs to the other side."""
    _, own, beside, against = told.tolist()
    return bool(beside >= _CARRIES_MIN and own <= beside / 3 and against <= beside / 6)


def more_carries(told: Carries, more: Carries) -> Carries:
    """Return the sum, the older part halved where there is much of it."""
    return np.where(told[0] > _CARRIES_KEPT, told // 2, told) + more


def carries(tag: Tag, words: Words) -> Carries:
    """Return what the registers u16[N, 1 + n + 1] of a tag tell of its lower word; zeros where it has not two words.

    Where the words of two neighbouring values are taken for one, the value is as plausible as the right one, but for
    its low bits: they run over and nothing is carried into the upper word, yet into the register beside it.
    """
    if REGISTERS[tag.dtype] != 2:
        return np.zeros(4, np.int16)
    words_swapped, bytes_swapped = _swaps(tag)
    upper, lower, beside = (2, 1, 0) if words_swapped else (1, 2, 3)
    change = np.diff((words.byteswap() if bytes_swapped else words).astype(np.int64), axis=0)
    over = np.abs(change[:, lower]) > _HALF_WORD
    carry = -np.sign(change[over, lower])
    own, other = change[over, upper], change[over, beside]
    return np.array([len(carry), (own == carry).sum(), (other == carry).sum(), (other == -carry).sum()], np.int16)


def _carried(tag: Tag, shifts: tuple[int, ...], told: Carries) -> Reading | None:
    """Return the reading one register away to which the lower word plainly belongs."""
    words_swapped, bytes_swapped = _swaps(tag) if REGISTERS[tag.dtype] == 2 else (False, False)
    shift = -1 if words_swapped else 1
    if not astray(told) or shift not in shifts:
        return None
    other = {(True, False): "ABCD", (True, True): "BADC", (False, False): "CDAB", (False, True): "DCBA"}
    return Reading(shift, other[words_swapped, bytes_swapped], tag.dtype)


def _swaps(tag: Tag) -> tuple[bool, bool]:
    """Return whether a 32-bit tag is read with its words, and with the bytes in its words, swapped."""
    assert isinstance(tag.address, ModbusAddress)
    order = full_name(tag.address.order, 2)
    return order in ("CDAB", "DCBA"), order in ("BADC", "DCBA")


def _likeliest(own: Judged, better: Sequence[Judged]) -> list[Judged]:
    """Return the best reading of each register that is about as plausible as the best of all, the tag's own first.

    Two readings one register apart share a word. Where it is the upper one, and what is below it is noise, both give
    nearly the same number, and nothing but the PLC's own display can tell which is meant.
    """
    in_order = sorted(better, key=lambda other: _cost(own, other))
    near = [other for other in in_order if _cost(own, other) <= _cost(own, in_order[0]) + _RIVAL_BITS]
    best = {other.reading.shift: other for other in reversed(near)}
    return sorted(best.values(), key=lambda other: (abs(other.reading.shift), _cost(own, other)))


def _finding(tag: Tag, own: Judged, likeliest: Sequence[Judged]) -> Finding:
    """Say "as CDAB this is a smooth 49.98 to 50.02 Hz; as configured it jumps by 10^30"."""
    first, *rivals = likeliest
    text = f"{_how(tag, own.reading, first.reading)} this is a smooth {_span(first.values)} {tag.unit}"
    for rival in rivals:
        text += f", or {_how(tag, own.reading, rival.reading)} {_span(rival.values)} {tag.unit}"
    return Finding(tuple(one.reading for one in likeliest), f"{text}; as configured it {_as_is(tag, own.values)}")


def _how(tag: Tag, own: Reading, way: Reading) -> str:
    """Say what to change, such as "as CDAB at register 101"."""
    assert isinstance(tag.address, ModbusAddress)
    how = [f"as {way.order}"] if way.order != own.order else []
    how += [f"as {way.dtype}"] if way.dtype is not own.dtype else []
    how += [f"at register {tag.address.register + way.shift}"] if way.shift else []
    how += [f"with scale = {tag.scale * way.factor:g}"] if way.factor != 1.0 else []
    return " ".join(how)


def _span(values: Float64s) -> str:
    """Write the lowest and the highest number with as many digits as tell them apart."""
    low, high = float(values.min()), float(values.max())
    digits = 3
    while digits < 9 and f"{low:.{digits}g}" == f"{high:.{digits}g}":
        digits += 1
    return f"{low:.{digits + 1}g} to {high:.{digits + 1}g}"


def _as_is(tag: Tag, values: Float64s) -> str:
    """Say what the configured reading makes of it."""
    finite = values[np.isfinite(values)]
    jump = float(np.abs(np.diff(finite)).max(initial=0.0))
    if jump >= 1e6:
        return f"jumps by 10^{int(np.log10(jump))}"
    if len(finite) < len(values):
        return f"is no number in {len(values) - len(finite)} of {len(values)} samples"
    if jump < 1e-6:
        return f"is {finite[-1]:.3g}"
    outside = (finite < tag.low) | (finite > tag.high)
    beyond = ", out of range" if outside.mean() > 0.5 else ""
    return f"goes from {_span(finite)}, in jumps of {jump:.3g}{beyond}"


