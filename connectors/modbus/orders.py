"""How many registers a value takes, and in which order its bytes arrive. Pure.

An order names the bytes as they arrive, `A` the most significant: of two bytes "AB" or "BA", of four "ABCD" and its
three swaps, of eight "ABCDEFGH" and its seven: bytes in words, words in double words, and double words may each be
swapped. The four names of four letters hold for every width: "CDAB" turns the words round and "BADC" the bytes of each
word. A string has characters, not a most significant byte: "AB" or "BA" says which of a register is the first.
"""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import Dtype, ModbusAddress, Tag

Intps = npt.NDArray[np.intp]

REGISTERS: Final[dict[Dtype, int]] = {
    Dtype.BIT: 1, Dtype.INT8_HIGH: 1, Dtype.INT8_LOW: 1, Dtype.UINT8_HIGH: 1, Dtype.UINT8_LOW: 1,
    Dtype.INT16: 1, Dtype.UINT16: 1, Dtype.FLOAT16: 1, Dtype.BCD16: 1,
    Dtype.INT32: 2, Dtype.UINT32: 2, Dtype.FLOAT32: 2, Dtype.BCD32: 2,
    Dtype.INT64: 4, Dtype.UINT64: 4, Dtype.FLOAT64: 4,
}
"""How many registers a value of each type takes; a string takes as many as its address says."""
_LETTERS: Final = "ABCDEFGH"


def _swaps(octets: int) -> tuple[str, ...]:
    """Return the orders of so many bytes: each pair of neighbours, pair of pairs, ... swapped or not."""
    sizes = [size for size in (1, 2, 4) if size < octets]
    return tuple("".join(_LETTERS[i ^ sum(size for size, swap in zip(sizes, swapped, strict=True) if swap)]
                         for i in range(octets)) for swapped in product((False, True), repeat=len(sizes)))


ORDERS: Final[dict[int, tuple[str, ...]]] = {1: _swaps(2), 2: _swaps(4), 4: _swaps(8)}
"""The orders of a value of 1, 2 and 4 registers; the first is big-endian, as the standard wants it."""
SHORT: Final = ("ABCD", "CDAB", "BADC", "DCBA")
_SHORT_FOR: Final[dict[int, dict[str, str]]] = {
    1: dict(zip(SHORT, ("AB", "AB", "BA", "BA"), strict=True)),
    2: {},
    4: dict(zip(SHORT, ("ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"), strict=True)),
}


def registers_of(tag: Tag) -> int:
    """Return how many registers (or bits of a bit table) a tag takes."""
    if tag.dtype is Dtype.STRING:
        assert isinstance(tag.address, ModbusAddress)
        return tag.address.length
    return REGISTERS[tag.dtype]


def names(dtype: Dtype) -> tuple[str, ...]:
    """Return what the order of a value of this type may be called."""
    if dtype is Dtype.STRING:
        return ("AB", "BA", "ABCD", "BADC")
    return tuple(dict.fromkeys((*ORDERS[REGISTERS[dtype]], *SHORT)))


def full_name(order: str, registers: int) -> str:
    """Return the name of an order with a letter for each byte of so many registers."""
    return _SHORT_FOR[registers].get(order, order)


def arrival(order: str, registers: int) -> Intps:
    """Return, for each byte of the big-endian value, where it lies among the bytes that arrive."""
    name = full_name(order, registers)
    return np.array([name.index(letter) for letter in _LETTERS[:2 * registers]], np.intp)


def string_arrival(order: str, registers: int) -> Intps:
    """Return, for each character of a string, where it lies among the bytes that arrive."""
    swap = 1 if order in ("BA", "BADC") else 0
    return np.arange(2 * registers, dtype=np.intp) ^ swap
