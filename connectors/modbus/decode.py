"""Bytes of Modbus replies to columns: every type and order. Pure and vectorized.

The addresses are compiled once into index arrays; a row then costs one gather for each data type, however
many tags there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from connectors.counters import Counters
from connectors.frame import (
    BAD_COMMUNICATION_ERROR,
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_SERVICE,
    BAD_TIMEOUT,
    BAD_TYPE_MISMATCH,
    GOOD,
    Dtype,
    Float32s,
    ModbusAddress,
    Tag,
    UInt32s,
)
from connectors.modbus.orders import Intps, arrival, registers_of, string_arrival
from connectors.modbus.plan import BIT_TABLES, Block
from connectors.scaling import Float64s, Scaling, quietly

Places = Intps | slice

_NUMPY: Final[dict[Dtype, str]] = {
    Dtype.INT8_HIGH: ">i1", Dtype.INT8_LOW: ">i1", Dtype.UINT8_HIGH: ">u1", Dtype.UINT8_LOW: ">u1",
    Dtype.INT16: ">i2", Dtype.UINT16: ">u2", Dtype.INT32: ">i4", Dtype.UINT32: ">u4", Dtype.INT64: ">i8",
    Dtype.UINT64: ">u8", Dtype.FLOAT16: ">f2", Dtype.FLOAT32: ">f4", Dtype.FLOAT64: ">f8",
    Dtype.BCD16: "bcd", Dtype.BCD32: "bcd",
}
"""How numpy reads the big-endian bytes of a value; it has no BCD."""
UInt16s = npt.NDArray[np.uint16]
_ONE_BYTE: Final = {Dtype.INT8_HIGH: 0, Dtype.UINT8_HIGH: 0, Dtype.INT8_LOW: 1, Dtype.UINT8_LOW: 1}

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
        self._whole = len(places) == len(tags)
        self._fields = self._bit_fields(tags, blocks, places)
        self._numbers = self._groups(tags, blocks, places)
        self._strings = [_String.of(column, b, tags[column], self._first(tags[column], blocks, b))
                         for column, b in places if tags[column].dtype is Dtype.STRING]

    def decode(self, data: bytes | bytearray, block_status: Sequence[int], status: UInt32s,
               counters: Counters | None = None, time_ns: int = 0) -> tuple[Float32s, UInt32s]:
        """Return values f32[C] and status u32[C] of one row; `counters` turn counts at `time_ns` into rates.

        `block_status` [B] says how each block fared (where Bad, its bytes in `data` are not looked at);
        `status` u32[C] is what the tags that lie in no block have.
        """
        assert len(data) == self.size_bytes
        octets = np.frombuffer(data, np.uint8)
        raw = np.zeros(self._columns_total, np.float64)
        if self._fields is not None:
            columns, index, shift, mask = self._fields
            raw[columns] = (octets[index].view(">u2")[:, 0] >> shift) & mask
        if self._whole and not any(block_status):
            status = np.zeros(self._columns_total, np.uint32)
        else:
            status = status.copy()
            status[self._columns] = np.asarray(block_status, np.uint32)[self._block_of]
        for string in self._strings:
            known = string.numbers.get(string.text(octets))
            raw[string.column] = 0.0 if known is None else known
            if known is None and status[string.column] == GOOD:
                status[string.column] = BAD_TYPE_MISMATCH
        with quietly():
            for places, gather, dtype, width in self._numbers:
                given = octets[gather]
                raw[places] = _bcd(given.reshape(-1, width)) if dtype == "bcd" else given.view(dtype)
            if counters is not None:
                counters.rates(raw, status, time_ns)
            return self._scaling.apply(raw, status)

    def texts(self, data: bytes | bytearray, block_status: Sequence[int]) -> dict[int, str]:
        """Return the texts of the strings, by column, of blocks that came well."""
        if not self._strings:
            return {}
        octets = np.frombuffer(data, np.uint8)
        return {string.column: string.text(octets) for string in self._strings if block_status[string.block] == GOOD}

    def _first(self, tag: Tag, blocks: Sequence[Block], b: int) -> int:
        """Return where in the data the first byte of a tag of block `b` lies."""
        return self.offsets[b] + 2 * (_address(tag).register - blocks[b].start)

    def _bit_fields(self, tags: Sequence[Tag], blocks: Sequence[Block],
                    places: list[tuple[int, int]]) -> tuple[Intps, Intps, UInt16s, UInt16s] | None:
        """Return columns, the two bytes [N, 2] each field is in, how far to shift them, and what to keep."""
        columns, index, shifts, masks = [], [], [], []
        for column, b in places:
            address = _address(tags[column])
            if tags[column].dtype is not Dtype.BIT:
                continue
            if blocks[b].table in BIT_TABLES:  # the first is the lowest bit of the first byte
                byte, shift = divmod(address.register - blocks[b].start, 8)
                index.append([self.offsets[b] + byte] * 2)
            else:
                assert address.bit is not None, "the plan was checked"
                shift = address.bit
                index.append((self._first(tags[column], blocks, b) + arrival(address.order, 1)).tolist())
            columns.append(column)
            shifts.append(shift)
            masks.append((1 << address.bits) - 1)
        if not columns:
            return None
        return (np.array(columns, np.intp), np.array(index, np.intp),
                np.array(shifts, np.uint16), np.array(masks, np.uint16))

    def _groups(self, tags: Sequence[Tag], blocks: Sequence[Block],
                places: list[tuple[int, int]]) -> list[tuple[Places, Places, str, int]]:
        """Return columns and the bytes [N * width] of their values in big-endian order, by how numpy reads them."""
        groups: dict[tuple[str, int], list[tuple[int, Intps]]] = {}
        for column, b in places:
            tag = tags[column]
            if tag.dtype not in _NUMPY:
                continue
            index = self._first(tag, blocks, b) + arrival(_address(tag).order, registers_of(tag))
            if (byte := _ONE_BYTE.get(tag.dtype)) is not None:
                index = index[byte:byte + 1]
            groups.setdefault((_NUMPY[tag.dtype], len(index)), []).append((column, index))
        return [(_run(np.array([column for column, _ in members], np.intp)),
                 _run(np.concatenate([index for _, index in members])), dtype, width)
                for (dtype, width), members in groups.items()]


@dataclass(frozen=True, slots=True)
class _String:
    """A text of a fixed number of registers, and what its texts stand for."""

    column: int
    block: int
    index: Intps
    numbers: dict[str, float]

    @classmethod
    def of(cls, column: int, block: int, tag: Tag, first: int) -> _String:
        index = first + string_arrival(_address(tag).order, registers_of(tag))
        return cls(column, block, index, dict(tag.texts))

    def text(self, octets: npt.NDArray[np.uint8]) -> str:
        """Return the text up to its first NUL, without the blanks that fill it up."""
        return octets[self.index].tobytes().partition(b"\0")[0].decode("latin-1").strip()


def _run(places: Intps) -> Places:
    """Return places that follow one another as the slice they are: numpy copies that faster than it gathers."""
    follow = len(places) and (np.diff(places) == 1).all()
    return slice(int(places[0]), int(places[-1]) + 1) if follow else places


def _bcd(octets: npt.NDArray[np.uint8]) -> Float64s:
    """Return the numbers whose decimal digits are the halves of bytes [N, width]; NaN where one is above 9."""
    digits = np.stack([octets >> 4, octets & 15], axis=-1).reshape(len(octets), -1)
    numbers = digits @ 10.0 ** np.arange(digits.shape[1] - 1, -1, -1)
    return np.where((digits > 9).any(axis=1), np.nan, numbers)


def _address(tag: Tag) -> ModbusAddress:
    assert isinstance(tag.address, ModbusAddress)
    return tag.address
