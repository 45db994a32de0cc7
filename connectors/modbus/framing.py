"""Modbus TCP frames to and from bytes (Modbus Messaging on TCP/IP V1.0b, 3.1.3). Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from connectors.frame import Table

FUNCTIONS: Final[dict[Table, int]] = {
    Table.COIL: 1, Table.DISCRETE_INPUT: 2, Table.HOLDING_REGISTER: 3, Table.INPUT_REGISTER: 4,
}
"""The function code that reads each table."""
EXCEPTION: Final = 0x80
_HEADER: Final = struct.Struct(">HHHBB")   # transaction, protocol, length of what follows, unit id, function code
_REQUEST: Final = struct.Struct(">HHHBBHH")
_BEFORE_LENGTH: Final = 6
_LENGTH_MIN, _LENGTH_MAX = 2, 254          # unit id and function code; a PDU has 253 bytes at most


class FramingError(Exception):
    """The peer does not speak Modbus TCP, or its bytes are out of step: nothing after this can be trusted."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A frame as it came; `data` is what follows the function code."""

    transaction: int
    unit_id: int
    function: int
    data: bytes


def request(transaction: int, unit_id: int, table: Table, start: int, count: int) -> bytes:
    """Return the frame that asks a unit for `count` registers (or bits) of a table from `start` on."""
    return _REQUEST.pack(transaction, 0, 6, unit_id, FUNCTIONS[table], start, count)


def first_reply(received: bytes) -> tuple[Reply | None, int]:
    """Return the first whole frame of what was received and how many bytes it took; None, 0 where more must come.

    Raise FramingError for a header that cannot be: the length of the frame is then unknown.
    """
    if len(received) < _HEADER.size:
        return None, 0
    transaction, protocol, length, unit_id, function = _HEADER.unpack_from(received)
    if protocol or not _LENGTH_MIN <= length <= _LENGTH_MAX:
        raise FramingError(f"a reply with protocol {protocol} and length {length}")
    end = _BEFORE_LENGTH + length
    if len(received) < end:
        return None, 0
    return Reply(transaction, unit_id, function, received[_HEADER.size:end]), end
