"""Arrays of DataValues (OPC UA Part 6, 5.2.2.17) to numpy arrays, without an object for each value. Pure.

A number with its status and times has a fixed length, which the first two bytes tell: most messages are one structured
array. Where lengths differ, one pass finds where each value begins, and those of one length are decoded together. A
value of any other kind (a text, an array, a structure) is left to `decode_one`, the wire library's decoder.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from connectors.frame import BAD_TYPE_MISMATCH, BAD_WAITING_FOR_INITIAL_DATA, GOOD, Int64s, UInt32s, is_bad
from connectors.opcua.times import TIME_NS_MAX
from connectors.scaling import Float64s

STATUS_MASK: Final = 0xFFFF0000  # the lower half is flags: limits, queue overflow
_OVERFLOW: Final = 0x480         # info type DataValue, overflow bit (Part 4, 7.39)
_VALUE: Final = 0x01
_FIELDS: Final = ((0x02, "code", "<u4"), (0x04, "source", "<i8"), (0x10, "source_pico", "<u2"),
                  (0x08, "server", "<i8"), (0x20, "server_pico", "<u2"))
_NULL: Final = 0
_BOOLEAN: Final = 1
_NUMBERS: Final = {2: "<i1", 3: "<u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8"}
_EPOCH_US: Final = 11_644_473_600_000_000  # from 1601, where OPC UA counts from, to 1970
_TIME_US_MAX: Final = TIME_NS_MAX // 1000

Record: TypeAlias = npt.NDArray[np.void]


class DataValues(NamedTuple):
    """N values: `handle` u32[N] (the monitored item's client handle; 0 in a read), `raw` f64[N] (NaN where Bad),
    `status` u32[N] without its flags, `source_ns` and `server_ns` i64[N] (UTC ns since 1970; 0 where there is none).

    `overflows` counts the values which say that older ones were lost in the server's queue. `texts` are those that came
    instead of numbers, which are BadTypeMismatch here: place, text, and the status that the server gave.
    """

    handle: UInt32s
    raw: Float64s
    status: UInt32s
    source_ns: Int64s
    server_ns: Int64s
    overflows: int
    texts: tuple[tuple[int, str, int], ...] = ()


class OneValue(NamedTuple):
    """One decoded DataValue: its number or text (None where it is null or neither), and where the next one begins."""

    end: int
    number: float | None
    is_null: bool
    code: int
    source_ns: int
    server_ns: int
    text: str | None = None


DecodeOne: TypeAlias = Callable[[bytes, int], OneValue]


class _Columns:
    """The arrays while they are filled."""

    def __init__(self, count: int) -> None:
        self.handle = np.zeros(count, np.uint32)
        self.raw = np.full(count, np.nan)
        self.code = np.zeros(count, np.uint32)
        self.fault = np.full(count, BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        self.source_ns = np.zeros(count, np.int64)
        self.server_ns = np.zeros(count, np.int64)
        self.texts: list[tuple[int, str, int]] = []

    def put(self, where: slice | npt.NDArray[np.intp], records: Record) -> None:
        names = records.dtype.names or ()
        if "handle" in names:
            self.handle[where] = records["handle"]
        if "number" in names:
            self.raw[where] = records["number"]
            self.fault[where] = GOOD
        if "flag" in names:
            self.raw[where] = records["flag"] != 0
            self.fault[where] = GOOD
        if "code" in names:
            self.code[where] = records["code"]
        if "source" in names:
            self.source_ns[where] = _utc_ns(records["source"])
        if "server" in names:
            self.server_ns[where] = _utc_ns(records["server"])

    def put_one(self, i: int, handle: int, value: OneValue) -> None:
        self.handle[i] = handle
        if value.number is not None:
            self.raw[i] = value.number
            self.fault[i] = GOOD
        elif not value.is_null:
            self.fault[i] = BAD_TYPE_MISMATCH
        if value.text is not None:
            self.texts.append((i, value.text, value.code & STATUS_MASK))
        self.code[i] = value.code
        self.source_ns[i], self.server_ns[i] = value.source_ns, value.server_ns

    def finished(self) -> DataValues:
        status = self.code & np.uint32(STATUS_MASK)
        status = np.where(is_bad(status) | (self.fault == GOOD), status, self.fault)
        self.raw[is_bad(status)] = np.nan
        overflows = int(np.count_nonzero((self.code & np.uint32(_OVERFLOW)) == _OVERFLOW))
        return DataValues(self.handle, self.raw, status, self.source_ns, self.server_ns, overflows, tuple(self.texts))


def data_values(data: bytes, at: int, count: int, decode_one: DecodeOne, *, handles: bool) -> tuple[DataValues, int]:
    """Decode `count` values from `at` on, each behind its client handle if `handles`; return them and where they end.

    Raises ValueError where `data` ends before they do, before anything is allocated for a count that cannot be, and
    what `decode_one` raises.
    """
    prefix = 4 if handles else 0
    if count > (len(data) - at) // (prefix + 1):
        raise ValueError(f"{count} values announced in {len(data) - at} bytes")
    columns = _Columns(max(count, 0))
    if count <= 0:
        return columns.finished(), at
    first = _layout(_head(data, at + prefix), handles)
    if first is not None and (records := _alike(data, at, count, first)) is not None:
        columns.put(slice(None), records)
        return columns.finished(), at + count * first.itemsize
    return _mixed(data, at, columns, count, decode_one, prefix)


def _mixed(data: bytes, at: int, columns: _Columns, count: int, decode_one: DecodeOne,
           prefix: int) -> tuple[DataValues, int]:
    """Find where each value begins, then decode those of one layout together."""
    places: dict[np.dtype[np.void], tuple[list[int], list[int]]] = {}
    for i in range(count):
        layout = _layout(_head(data, at + prefix), prefix > 0)
        if layout is None:
            value = decode_one(data, at + prefix)
            columns.put_one(i, int.from_bytes(data[at:at + prefix], "little"), value)
            at = value.end
        else:
            which, offsets = places.setdefault(layout, ([], []))
            which.append(i)
            offsets.append(at)
            at += layout.itemsize
    if at > len(data):
        raise ValueError(f"values end {at - len(data)} bytes behind their message")
    octets = np.frombuffer(data, np.uint8)
    for layout, (which, offsets) in places.items():
        rows = octets[np.array(offsets)[:, None] + np.arange(layout.itemsize)]
        columns.put(np.array(which), np.ascontiguousarray(rows).view(layout)[:, 0])
    return columns.finished(), at


def _head(data: bytes, at: int) -> int:
    """Return what tells the layout: the mask of a DataValue's parts and, where it has a value, the value's type."""
    mask = data[at] if at < len(data) else -1
    kind = data[at + 1] if mask & _VALUE and at + 1 < len(data) else 0
    if mask < 0 or (mask & _VALUE and at + 1 >= len(data)):
        raise ValueError("values end behind their message")
    return mask | kind << 8


@functools.cache  # a head has two bytes: the cache is bounded
def _layout(head: int, handles: bool) -> np.dtype[np.void] | None:
    """Return how a value with this head lies in the message, or None where that is not of fixed length."""
    mask, kind = head & 0xFF, head >> 8
    fields = [("handle", "<u4")] if handles else []
    fields.append(("mask", "u1"))
    if mask & ~0x3F:
        return None
    if mask & _VALUE:
        fields.append(("kind", "u1"))
        if kind == _BOOLEAN:
            fields.append(("flag", "u1"))
        elif kind in _NUMBERS:
            fields.append(("number", _NUMBERS[kind]))
        elif kind != _NULL:
            return None
    fields += [(name, form) for bit, name, form in _FIELDS if mask & bit]
    return np.dtype(fields)


def _alike(data: bytes, at: int, count: int, layout: np.dtype[np.void]) -> Record | None:
    """Return the values as one structured array if all have this layout."""
    if at + count * layout.itemsize > len(data):
        return None
    records = np.frombuffer(data, layout, count, at)
    same = bool((records["mask"] == records["mask"][0]).all())
    if same and "kind" in (layout.names or ()):
        same = bool((records["kind"] == records["kind"][0]).all())
    return records if same else None


def _utc_ns(ticks: npt.NDArray[np.int64]) -> Int64s:
    """Turn 100 ns since 1601 into ns since 1970, to the microsecond; 0 for what says nothing (1601, 9999)."""
    microseconds = ticks // 10 - _EPOCH_US
    known = (microseconds > 0) & (microseconds <= _TIME_US_MAX)
    return np.where(known, microseconds, 0) * 1000
