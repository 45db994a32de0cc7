"""The last different contents of a few tags' registers, taken from the data of block reads. Pure and vectorized."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.modbus.orders import Intps
from connectors.modbus.readings import Words

KEPT: Final = 64


class Samples:
    """Slots for the registers of one tag each, at most `registers`, and of the register on either side.

    `seen` i32[S] is how many contents came so far, `begun_ns` and `newest_ns` i64[S] when the slot was given to its tag
    and when the newest content came.
    """

    def __init__(self, slots: int, registers: int) -> None:
        width = registers + 2
        self.seen = np.zeros(slots, np.int32)
        self.begun_ns, self.newest_ns = np.zeros(slots, np.int64), np.zeros(slots, np.int64)
        self._kept = np.zeros((slots, KEPT, width), np.uint16)
        self._index = np.zeros((slots, width), np.int32)
        self._known = np.zeros((slots, width), np.bool_)
        self._own = np.zeros((slots, width), np.bool_)
        self._block = np.full(slots, -1, np.int32)

    def give(self, slot: int, registers: int, now_ns: int) -> None:
        """Give a slot to a tag of so many registers, with nothing in it."""
        self.seen[slot] = 0
        self.begun_ns[slot] = self.newest_ns[slot] = now_ns
        self._own[slot] = False
        self._own[slot, 1:1 + registers] = True
        self._known[slot], self._block[slot] = False, -1

    def forget(self, slot: int) -> None:
        """Begin anew with the same tag."""
        self.seen[slot] = 0
        self.begun_ns[slot] = self.newest_ns[slot]

    def place(self, slot: int, block: int, first: int, known: npt.NDArray[np.bool_]) -> None:
        """Say where a slot's registers are: `first` is the byte of the one before, in `block` (-1: not read).

        Where others are known than before, what was kept is forgotten.
        """
        width = len(known)
        self._block[slot] = block
        if not np.array_equal(self._known[slot, :width], known):
            self.seen[slot] = 0
        self._known[slot, :width] = known
        self._index[slot] = np.where(self._known[slot], first + 2 * np.arange(self._known.shape[1]), 0)

    def keep(self, octets: npt.NDArray[np.uint8], good: npt.NDArray[np.bool_], now_ns: int) -> None:
        """Keep the registers, among the bytes of a read, of tags whose own differ from the last ones kept."""
        given = np.flatnonzero((self._block >= 0) & np.append(good, False)[self._block])
        if not len(given):
            return
        index = self._index[given]
        words = octets[index].astype(np.uint16) << 8 | octets[index + 1]
        words[~self._known[given]] = 0
        last = self._kept[given, (self.seen[given] - 1) % KEPT]
        new = ((words != last) & self._own[given]).any(axis=1) | (self.seen[given] == 0)
        slots = given[new]
        self._kept[slots, self.seen[slots] % KEPT] = words[new]
        self.seen[slots] += 1
        self.newest_ns[slots] = now_ns

    def words(self, slot: int) -> Words:
        """Return what was kept u16[N, 1 + n + 1], the oldest first."""
        seen, width = int(self.seen[slot]), 2 + int(self._own[slot].sum())
        kept = self._kept[slot, :, :width]
        return np.roll(kept, -(seen % KEPT), axis=0) if seen > KEPT else kept[:seen]

    def shifts(self, slot: int) -> tuple[int, ...]:
        """Return the sides that are known: 0, and -1 or 1 where the register before or after is."""
        last = 1 + int(self._own[slot].sum())
        return (0, *((-1,) if self._known[slot, 0] else ()), *((1,) if self._known[slot, last] else ()))


def places(register: int, registers: int, start: int, count: int) -> tuple[int, npt.NDArray[np.bool_]]:
    """Return where the register before a tag's lies in a block, in bytes, and which of its own and neighbours do."""
    at: Intps = np.arange(-1, registers + 1) + register - start
    return 2 * int(at[0]), (at >= 0) & (at < count)
