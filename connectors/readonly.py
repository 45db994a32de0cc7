"""Read-only by construction: what may leave this machine towards a PLC, judged by its bytes. Pure.

The wire libraries can write; these checks stand between them and the socket, so that no mistake above them,
ours or theirs, can change anything in a PLC. docs/adr/0005 gives the reasons.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any, Final

MODBUS_READS: Final = frozenset({1, 2, 3, 4})
"""Read coils, discrete inputs, holding registers, input registers."""

OPCUA_READS: Final[dict[int, str]] = {
    428: "GetEndpoints", 446: "OpenSecureChannel", 452: "CloseSecureChannel", 461: "CreateSession",
    467: "ActivateSession", 473: "CloseSession", 527: "Browse", 533: "BrowseNext",
    554: "TranslateBrowsePaths", 631: "Read", 664: "HistoryRead", 751: "CreateMonitoredItems",
    763: "ModifyMonitoredItems", 769: "SetMonitoringMode", 781: "DeleteMonitoredItems", 787: "CreateSubscription",
    793: "ModifySubscription", 799: "SetPublishingMode", 826: "Publish", 832: "Republish",
    841: "TransferSubscriptions", 847: "DeleteSubscriptions",
}
"""Requests that change nothing in the address space, by the numeric id of their binary encoding (Part 6,
A.3).
"""

_MODBUS_REQUEST_BYTES: Final = 12  # header 7, function code, address, count
_SERIAL_REQUEST_BYTES: Final = 6  # unit id, function code, address, count
_ASCII_REQUEST: Final = re.compile(rb":((?:[0-9A-F]{2}){3,})\r\n")


class WriteRefusedError(Exception):
    """Something tried to send a PLC more than a read. It was stopped before the socket; it is a bug of ours.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was stopped before the socket: Forewarn only reads. This is a bug in "
                         "Forewarn; nothing reached the PLC. Please report it with the lines above.")


def check_modbus(data: bytes) -> None:
    """Raise WriteRefusedError unless `data` is exactly one Modbus TCP request of function 1, 2, 3 or 4."""
    if len(data) < 8 or data[2:4] != b"\0\0" or int.from_bytes(data[4:6], "big") != len(data) - 6:
        raise WriteRefusedError(f"a Modbus frame that is not one whole request ({data[:16].hex(' ')})")
    if data[7] not in MODBUS_READS:
        raise WriteRefusedError(f"Modbus function {data[7]} to unit {data[6]}")
    if len(data) != _MODBUS_REQUEST_BYTES:
        raise WriteRefusedError(f"a Modbus read of {len(data)} bytes instead of {_MODBUS_REQUEST_BYTES}")


def check_modbus_rtu(data: bytes) -> None:
    """Raise WriteRefusedError unless `data` is exactly one Modbus RTU request of function 1, 2, 3 or 4."""
    if len(data) < 4 or crc16(data[:-2]) != data[-2:]:
        raise WriteRefusedError(f"a Modbus RTU frame that is not one whole request ({data[:16].hex(' ')})")
    _check_read(data[:-2])


def check_modbus_ascii(data: bytes) -> None:
    """Raise WriteRefusedError unless `data` is exactly one Modbus ASCII request of function 1, 2, 3 or 4."""
    if (whole := _ASCII_REQUEST.fullmatch(data)) is None:
        raise WriteRefusedError(f"a Modbus ASCII frame that is not one whole request ({data[:32]!r})")
    frame = bytes.fromhex(whole[1].decode())
    if lrc(frame[:-1]) != frame[-1:]:
        raise WriteRefusedError(f"a Modbus ASCII frame whose check does not fit ({data[:32]!r})")
    _check_read(frame[:-1])


def _check_read(request: bytes) -> None:
    """Check unit id, function code, address and count of a request on a serial line."""
    if request[1] not in MODBUS_READS:
        raise WriteRefusedError(f"Modbus function {request[1]} to unit {request[0]}")
    if len(request) != _SERIAL_REQUEST_BYTES:
        raise WriteRefusedError(f"a Modbus read of {len(request)} bytes instead of {_SERIAL_REQUEST_BYTES}")


def crc16(data: bytes) -> bytes:
    """Return the CRC of a Modbus RTU frame, low byte first (Modbus over Serial Line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC_OF_BYTE[(crc ^ byte) & 0xFF]
    return crc.to_bytes(2, "little")


def _crc_of_byte(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (0xA001 if byte & 1 else 0)
    return byte


_CRC_OF_BYTE: Final = tuple(_crc_of_byte(byte) for byte in range(256))


def lrc(data: bytes) -> bytes:
    """Return the check byte of a Modbus ASCII frame: what makes the sum of all bytes 0 (the same, 6.2.1)."""
    return bytes([-sum(data) & 0xFF])


def check_opcua(request: bytes) -> None:
    """Raise WriteRefusedError unless `request`, before encryption, begins with the id of a service that
    reads.
    """
    if request[:2] != b"\x01\x00" or len(request) < 4:  # requests begin with a four-byte NodeId, namespace 0
        raise WriteRefusedError(f"an OPC UA request of unknown encoding ({request[:8].hex(' ')})")
    service = int.from_bytes(request[2:4], "little")
    if service not in OPCUA_READS:
        raise WriteRefusedError(f"OPC UA service request i={service}")


class ReadOnlyTransport:
    """An asyncio transport that shows every outgoing byte to `check` first; all else is the real transport's.

    `check` raises WriteRefusedError for what must not leave.
    """

    def __init__(self, transport: asyncio.Transport, check: Callable[[bytes], None]) -> None:
        self._transport = transport
        self._check = check

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` if the check lets it pass."""
        whole = bytes(data)
        self._check(whole)
        self._transport.write(whole)

    def writelines(self, data: list[bytes]) -> None:
        """Send the parts as one if the check lets them pass."""
        self.write(b"".join(data))

    def sendto(self, *_: Any) -> None:
        """Refuse: no datagram is a read of ours."""
        raise WriteRefusedError("a datagram")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
