"""Bytes of Modbus replies to columns: every type and order. Pure and vectorized.

The addresses are compiled once into index arrays; a row then costs one gather for each data type, however
many tags there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.frame import (
    BAD_COMMUNICATION_ERROR,
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_SERVICE,
    BAD_TIMEOUT,
    Dtype,
    Float32s,
    ModbusAddress,
    Tag,
    UInt32s,
)
from connectors.modbus.plan import BIT_TABLES, REGISTERS, Block
from connectors.scaling import Scaling

Intps = npt.NDArray[np.intp]
Places = Intps | slice

_NUMPY: Final[dict[Dtype, str]] = {
    Dtype.INT16: ">i2", Dtype.UINT16: ">u2", Dtype.INT32: ">i4", Dtype.UINT32: ">u4", Dtype.INT64: ">i8",
    Dtype.UINT64: ">u8", Dtype.FLOAT32: ">f4", Dtype.FLOAT64: ">f8",
}

EXCEPTION_STATUS: Final[dict[int, int]] = {
    1: BAD_CONFIGURATION_ERROR,  # illegal function: the device does not have that table
    2: BAD_NODE_ID_UNKNOWN,      # illegal data address
    3: BAD_CONFIGURATION_ERROR,  # illegal data value: more than the device gives at once
    4: BAD_DEVICE_FAILURE,
    5: BAD_OUT_OF_SERVICE,       # acknowledge: it is at something longer
    6: BAD_OUT_OF_SERVICE,       # server device busy
    8: BAD_DEVICE_FAILURE,       # memory parity error
    10: BAD_NO_COMMUNICATION,    # gateway path unavailable
    11: BAD_TIMEOUT,             # gateway target device failed to respond
}


def exception_status(code: int) -> int:
    """Return the status code for a Modbus exception code (Modbus Application Protocol V1.1b3, section 7)."""
    return EXCEPTION_STATUS.get(code, BAD_COMMUNICATION_ERROR)


class Decoder:
    """The layout of the replies to `blocks`, compiled: where each tag's bytes lie and what they mean.

    The replies' data lie one after another in one buffer of `size_bytes`; `offsets[b]` is where block b
    begins.
    """

    def __init__(self, tags: Sequence[Tag], blocks: Sequence[Block]) -> None:
        sizes = [block.size_bytes for block in blocks]
        self.offsets = tuple(int(offset) for offset in np.cumsum([0, *sizes])[:-1])
        self.size_bytes = sum(sizes)
        self._columns_total = len(tags)
        self._scaling = Scaling(tags)
        places = [(column, b) for b, block in enumerate(blocks) for column in block.columns]
        self._columns = _run(np.array([column for column, _ in places], np.intp))
        self._block_of = np.array([b for _, b in places], np.intp)
        self._bit_columns, self._bit_bytes, self._bit_shifts = self._bits(tags, blocks, places)
        self._numbers = self._groups(tags, blocks, places)

    def decode(self, data: bytes | bytearray, block_status: UInt32s,
               status: UInt32s) -> tuple[Float32s, UInt32s]:
        """Return values f32[C] and status u32[C] of one row.

        `block_status` u32[B] says how each block fared (where Bad, its bytes in `data` are not looked at);
        `status` u32[C] is what the tags that lie in no block have.
        """
        assert len(data) == self.size_bytes
        octets = np.frombuffer(data, np.uint8)
        raw = np.zeros(self._columns_total, np.float64)
        if len(self._bit_columns):
            raw[self._bit_columns] = (octets[self._bit_bytes] >> self._bit_shifts) & 1
        with np.errstate(invalid="ignore"):  # a signalling NaN on the wire is data, not a fault of ours
            for columns, index, dtype in self._numbers:
                raw[columns] = octets[index].reshape(-1).view(dtype)
        status = status.copy()
        status[self._columns] = block_status[self._block_of]
        return self._scaling.apply(raw, status)

    def _bits(self, tags: Sequence[Tag], blocks: Sequence[Block],
              places: list[tuple[int, int]]) -> tuple[Intps, Intps, npt.NDArray[np.uint8]]:
        found: list[tuple[int, int, int]] = []
        for column, b in places:
            address = _address(tags[column])
            block, base = blocks[b], self.offsets[b]
            if block.table in BIT_TABLES:  # the first is the lowest bit of the first byte
                byte, shift = divmod(address.register - block.start, 8)
                found.append((column, base + byte, shift))
            elif address.bit is not None:
                high, shift = divmod(address.bit, 8)
                low_byte = 0 if _swaps_bytes(address.order) else 1
                found.append((column, base + 2 * (address.register - block.start) + (low_byte ^ high), shift))
        table = np.array(found, np.intp).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2].astype(np.uint8)

    def _groups(self, tags: Sequence[Tag], blocks: Sequence[Block],
                places: list[tuple[int, int]]) -> list[tuple[Places, Places, str]]:
        groups: dict[Dtype, list[tuple[int, Intps]]] = {}
        for column, b in places:
            tag = tags[column]
            if tag.dtype is not Dtype.BIT:
                address = _address(tag)
                first = self.offsets[b] + 2 * (address.register - blocks[b].start)
                index = first + _byte_order(tag.dtype, address.order)
                groups.setdefault(tag.dtype, []).append((column, index))
        return [(_run(np.array([column for column, _ in members], np.intp)),
                 _run(np.stack([index for _, index in members])), _NUMPY[dtype])
                for dtype, members in groups.items()]


def _run(places: Intps) -> Places:
    """Return places that follow one another as the slice they are: numpy copies that faster than it gathers."""
    flat = places.reshape(-1)
    return slice(int(flat[0]), int(flat[-1]) + 1) if len(flat) and (np.diff(flat) == 1).all() else places


def _byte_order(dtype: Dtype, order: str) -> Intps:
    """Return, for each byte of the big-endian value, where it lies among the bytes that arrive."""
    index = np.arange(2 * REGISTERS[dtype], dtype=np.intp).reshape(-1, 2)  # [words, bytes of a word]
    if order in ("CDAB", "DCBA"):
        index = index[::-1]
    if _swaps_bytes(order):
        index = index[:, ::-1]
    return index.reshape(-1)


def _swaps_bytes(order: str) -> bool:
    return order in ("BADC", "DCBA")


def _address(tag: Tag) -> ModbusAddress:
    assert isinstance(tag.address, ModbusAddress)
    return tag.address
