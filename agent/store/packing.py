"""Columns of telemetry in few bytes, exactly: what a general compressor cannot see is taken out before it.

A reading is, as a rule, a small whole number times the step of its converter, and near the reading before it. Each
column of a block is therefore written as whole numbers: multiples of the coarsest step that gives back each float32
to the bit, or the bits themselves, in an order in which near values are near; then as differences from the row before
or from the mean, whichever are smaller; then in planes of bytes, so that bytes alike lie together.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import Bools, Float32s, Int64s, UInt32s, is_bad

Uint8s = npt.NDArray[np.uint8]
Float64s = npt.NDArray[np.float64]

_BITS: Final = 15
"""The step of a column which is no multiple of any: its bits are written."""
_NUMERATOR: Final = np.array([10, 5, 2] + [1] * 12, np.float64)
_DENOMINATOR: Final = np.array(
    [1, 1, 1, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 10_000], np.float64
)
_WHOLE_MAX: Final = 2.0**31
_TRIED_ROWS: Final = 8
_DIFFERENCES: Final = 0x80


class Reader:
    """What was packed, taken piece by piece in the order it was written."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def at_end(self) -> bool:
        """Whether all was taken."""
        return self._at >= len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        self._at += size
        return self._data[self._at - size : self._at]

    def ints(self, count: int) -> Int64s:
        """Return the next `count` whole numbers, as `ints` packed them."""
        widths = self.take(1)[0]
        low = int.from_bytes(self.take(widths >> 4), "little", signed=True)
        width = widths & 15
        little = np.zeros((count, 8), np.uint8)
        little[:, :width] = np.frombuffer(self.take(width * count), np.uint8).reshape(width, count).T
        with np.errstate(over="ignore"):
            return little.view("<i8").ravel() + np.int64(low)


def ints(numbers: Int64s) -> bytes:
    """Pack whole numbers: their least, and what each exceeds it by in planes of bytes. Their number is not kept."""
    low = int(numbers.min()) if len(numbers) else 0
    with np.errstate(over="ignore"):
        above = (numbers - np.int64(low)).astype("<u8")
    width = (int(above.max()).bit_length() + 7) // 8 if len(numbers) else 0
    size = 0 if low == 0 else (low if low > 0 else ~low).bit_length() // 8 + 1
    planes = above.view(np.uint8).reshape(-1, 8)[:, :width].T
    return bytes([width | size << 4]) + low.to_bytes(size, "little", signed=True) + planes.tobytes()


def cells(values: Float32s, status: UInt32s) -> bytes:
    """Pack values f32[T, C] and their statuses u32[T, C]; a Bad cell costs its status only."""
    codes = _pack_codes(np.ascontiguousarray(status.T))
    return codes + _pack_values(np.ascontiguousarray(values.T), ~is_bad(status.T))


def read_cells(packed: Reader, rows: int, columns: int) -> tuple[Float32s, UInt32s]:
    """Return the values f32[T, C] and statuses u32[T, C] that `cells` packed."""
    status = _read_codes(packed, rows, columns)
    there = ~is_bad(status)
    values = np.full((columns, rows), np.nan, np.float32)
    values[there] = _read_values(packed, np.count_nonzero(there, axis=1))
    return np.ascontiguousarray(values.T), np.ascontiguousarray(status.T)


def _pack_codes(status: UInt32s) -> bytes:
    """Pack statuses u32[C, T]: the first row, and the planes of bytes in which a row changes from the one before."""
    rows = status.shape[1]
    changes = status[:, 1:] ^ status[:, :-1]
    changed = int(np.bitwise_or.reduce(changes, axis=None)) if changes.size else 0
    first = status[:, 0] if rows else np.zeros(0, np.uint32)
    parts = [ints(first.astype(np.int64))] if rows else []
    kept = [place for place in range(4) if changed >> 8 * place & 0xFF]
    parts.append(bytes([sum(1 << place for place in kept)]))
    parts += [(changes >> np.uint32(8 * place)).astype(np.uint8).tobytes() for place in kept]
    return b"".join(parts)


def _read_codes(packed: Reader, rows: int, columns: int) -> UInt32s:
    status = np.zeros((columns, rows), np.uint32)
    if rows:
        status[:, 0] = packed.ints(columns)
    kept = packed.take(1)[0]
    for place in range(4):
        if kept >> place & 1:
            plane = np.frombuffer(packed.take(columns * (rows - 1)), np.uint8).reshape(columns, rows - 1)
            status[:, 1:] |= plane.astype(np.uint32) << np.uint32(8 * place)
    np.bitwise_xor.accumulate(status, axis=1, out=status)
    return status


def _pack_values(values: Float32s, there: Bools) -> bytes:
    steps, wholes = _as_wholes(values, there)
    counts = np.count_nonzero(there, axis=1)
    used = np.flatnonzero(counts)
    counts, begins = counts[used], _begins(counts[used])
    flat = (wholes.ravel() if there.all() else wholes[there]).astype(np.int64)
    if not len(flat):
        return b""
    differences = np.diff(flat, prepend=flat[:1])
    differences[begins] = 0
    middle = np.add.reduceat(flat, begins) // counts
    around = flat - np.repeat(middle, counts)
    by_row = np.add.reduceat(np.abs(differences), begins) < np.add.reduceat(np.abs(around), begins)
    rest = np.where(np.repeat(by_row, counts), differences, around)
    signless = ((rest << 1) ^ (rest >> 63)).astype(np.uint64)
    widths = _bytes_needed(np.maximum.reduceat(signless, begins))
    head = (steps[used] | np.where(by_row, _DIFFERENCES, 0) | widths << 4).astype(np.uint8)
    of_cell = np.repeat(widths, counts)
    planes = [
        (signless[of_cell > place] >> np.uint64(8 * place)).astype(np.uint8).tobytes()
        for place in range(int(widths.max()))
    ]
    return b"".join([head.tobytes(), ints(np.where(by_row, flat[begins], middle)), *planes])


def _read_values(packed: Reader, counts: npt.NDArray[np.intp]) -> Float32s:
    counts = counts[counts > 0]
    if not len(counts):
        return np.zeros(0, np.float32)
    head = np.frombuffer(packed.take(len(counts)), np.uint8)
    base = packed.ints(len(counts))
    by_row, widths = (head & _DIFFERENCES) != 0, head >> 4 & 7
    of_cell = np.repeat(widths, counts)
    signless = np.zeros(int(counts.sum()), np.int64)
    for place in range(int(widths.max())):
        here = of_cell > place
        plane = np.frombuffer(packed.take(int(np.count_nonzero(here))), np.uint8)
        signless[here] |= plane.astype(np.int64) << (8 * place)
    rest = (signless >> 1) ^ -(signless & 1)
    summed = np.cumsum(rest)
    begins = _begins(counts)
    summed -= np.repeat(summed[begins], counts)  # differences begin with nothing in each column
    wholes = np.where(np.repeat(by_row, counts), summed, rest) + np.repeat(base, counts)
    return _from_wholes(wholes, np.repeat(head & 15, counts))


def _as_wholes(values: Float32s, there: Bools) -> tuple[Uint8s, Float64s]:
    """Return for each column of f32[C, T] its step, and its cells as multiples of it (any number where not there)."""
    exact = values.astype(np.float64)
    bits = values.view(np.int32)
    steps = _first_guess(exact[:, :_TRIED_ROWS], bits[:, :_TRIED_ROWS], ~there[:, :_TRIED_ROWS])
    wholes = np.empty(values.shape)
    pending = np.arange(len(values))
    while True:
        pending = pending[steps[pending] < _BITS]
        if not len(pending):
            break
        fits, found = _multiples(exact[pending], bits[pending], ~there[pending], steps[pending])
        wholes[pending[fits]] = found[fits]
        pending = pending[~fits]
        steps[pending] += 1
    rest = steps == _BITS
    wholes[rest] = _ordered(bits[rest])
    return steps, wholes


def _first_guess(exact: Float64s, bits: npt.NDArray[np.int32], absent: Bools) -> Uint8s:
    """Return the coarsest step that fits the first rows: the rest will tell whether it is right."""
    fits, _ = _multiples(exact[:, None], bits[:, None], absent[:, None], np.arange(_BITS, dtype=np.uint8)[None])
    return np.where(fits.any(1), fits.argmax(1), _BITS).astype(np.uint8)


def _multiples(
    exact: Float64s, bits: npt.NDArray[np.int32], absent: Bools, steps: Uint8s
) -> tuple[Bools, Float64s]:
    """Return which columns of f64[..., T] are multiples of their step [...], to the bit, and the multiples."""
    numerator, denominator = _NUMERATOR[steps][..., None], _DENOMINATOR[steps][..., None]
    with np.errstate(invalid="ignore", over="ignore"):
        wholes = np.rint(exact * (denominator / numerator)) + 0.0  # no -0.0: it is not the whole number 0
        again = (wholes * numerator / denominator).astype(np.float32)
    same = (again.view(np.int32) == bits) & (np.abs(wholes) < _WHOLE_MAX)
    return (same | absent).all(axis=-1), wholes


def _from_wholes(wholes: Int64s, steps: Uint8s) -> Float32s:
    plain = steps < _BITS
    scale = np.where(plain, steps, 0)
    values = (wholes * _NUMERATOR[scale] / _DENOMINATOR[scale]).astype(np.float32)
    values.view(np.int32)[~plain] = _ordered(wholes[~plain].astype(np.int32))
    return values


def _ordered(bits: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Turn the bits of float32 into whole numbers in the order of the values, and back."""
    return bits ^ (bits >> 31 & 0x7FFFFFFF)


def _begins(counts: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    return np.cumsum(counts) - counts


def _bytes_needed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.intp]:
    limits = np.array([1 << 8 * place for place in range(5)], np.uint64)
    return np.searchsorted(limits, numbers, side="right")
