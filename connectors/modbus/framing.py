"""Modbus requests and replies to and from bytes, in each of the three framings. Pure.

A framing serves one connection and one question at a time: `ask` gives the frame to send, `reply` finds the answer to
it among what was received since.
"""

from __future__ import annotations

import struct
from binascii import Error as HexError
from binascii import unhexlify
from typing import Final, NamedTuple, Protocol

from connectors.modbus.endpoint import Framing
from connectors.modbus.plan import Block
from connectors.readonly import check_modbus, check_modbus_ascii, check_modbus_rtu, crc16, lrc

EXCEPTION: Final = 0x80
_HEADER: Final = struct.Struct(">HHHBB")  # transaction, protocol, length of what follows, unit id, function code
_MBAP_REQUEST: Final = struct.Struct(">HHHBBHH")
_REQUEST: Final = struct.Struct(">BBHH")
_BEFORE_LENGTH: Final = 6
_LENGTH_MIN, _LENGTH_MAX = 2, 254  # unit id and function code; a PDU has 253 bytes at most
_TRANSACTIONS: Final = 0xFFFF
_LINE_BYTES_MAX: Final = 513  # of an ASCII frame (Modbus over Serial Line V1.02, 2.5.2.1)


class FramingError(Exception):
    """The peer does not speak Modbus, or its bytes are out of step: nothing after this can be trusted."""


class Reply(NamedTuple):
    """A frame as it came; `data` is what follows the function code. Transaction 0: frames bear no number."""

    transaction: int
    unit_id: int
    function: int
    data: bytes


class Frames(Protocol):
    """What a wire asks of a framing. `numbered`: a reply names its question, so that a late one is known as such."""

    numbered: bool

    @staticmethod
    def check(data: bytes) -> None:
        """Raise WriteRefusedError unless `data` is one request that reads."""

    def ask(self, block: Block) -> bytes:
        """Return the request for a block; from now on `reply` looks for the answer to this one."""

    def reply(self, received: bytes) -> tuple[Reply | None, bytes]:
        """Return the reply, None where it has not come whole, and those bytes that may belong to one still to come.

        Raise FramingError where the bytes cannot be understood.
        """


def frames(framing: Framing) -> Frames:
    """Return a new conversation in a framing."""
    match framing:
        case Framing.TCP:
            return TcpFrames()
        case Framing.RTU:
            return RtuFrames()
        case Framing.ASCII:
            return AsciiFrames()


class TcpFrames:
    """MBAP frames; replies to questions that were given up are passed over by their transaction."""

    numbered = True

    @staticmethod
    def check(data: bytes) -> None:
        """Raise WriteRefusedError unless `data` is one request that reads."""
        check_modbus(data)

    def __init__(self) -> None:
        self._transaction = 0

    def ask(self, block: Block) -> bytes:
        """Return the request for a block."""
        self._transaction = self._transaction % _TRANSACTIONS + 1
        return request(self._transaction, block)

    def reply(self, received: bytes) -> tuple[Reply | None, bytes]:
        """Return the reply with our transaction, whatever else is in it, and what follows."""
        while received:
            reply, size = first_reply(received)
            if reply is None:
                break
            received = received[size:]
            if reply.transaction == self._transaction:
                return reply, received
        return None, received


def request(transaction: int, block: Block) -> bytes:
    """Return the MBAP frame that asks for a block."""
    return _MBAP_REQUEST.pack(transaction, 0, 6, block.unit_id, block.function, block.start, block.count)


def first_reply(received: bytes) -> tuple[Reply | None, int]:
    """Return the first whole MBAP frame of what was received and how many bytes it took; None, 0 where more must come.

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


class _Unnumbered:
    """What a frame without a transaction is known by: unit id, function code, and the length of what was asked."""

    numbered = False

    def __init__(self) -> None:
        self._good = self._refused = b""
        self._size = 0

    def _await(self, block: Block) -> bytes:
        """Wait for the reply to the request for a block; return that request without its checksum."""
        self._size = block.size_bytes
        self._good = bytes([block.unit_id, block.function, block.size_bytes])
        self._refused = bytes([block.unit_id, block.function | EXCEPTION])
        return _REQUEST.pack(block.unit_id, block.function, block.start, block.count)


class RtuFrames(_Unnumbered):
    """Frames known by unit id, function code, length and CRC alone.

    All four must be those of the answer that is waited for: what is not it, noise, a torn frame, a late reply of
    another unit, the traffic of another master, is passed over.
    """

    @staticmethod
    def check(data: bytes) -> None:
        """Raise WriteRefusedError unless `data` is one request that reads."""
        check_modbus_rtu(data)

    def ask(self, block: Block) -> bytes:
        """Return the request for a block."""
        body = self._await(block)
        return body + crc16(body)

    def reply(self, received: bytes) -> tuple[Reply | None, bytes]:
        """Return the reply, looked for at every offset, and from where on one may still be growing."""
        keep = len(received)
        at = received.find(self._good[:1])
        while at >= 0:
            head = received[at:at + 3]
            size = 0
            if head[:2] == self._refused[:len(head)]:
                size = 5
            elif head == self._good[:len(head)]:
                size = 5 + self._size
            frame = received[at:at + size]
            if len(frame) < size or len(head) < 2:
                keep = min(keep, at)
            elif size and crc16(frame[:-2]) == frame[-2:]:
                return Reply(0, frame[0], frame[1], frame[2:-2]), b""
            at = received.find(self._good[:1], at + 1)
        return None, received[keep:]


class AsciiFrames(_Unnumbered):
    """Lines of hexadecimal digits between ":" and CR LF, known by unit id, function code, length and LRC alone."""

    @staticmethod
    def check(data: bytes) -> None:
        """Raise WriteRefusedError unless `data` is one request that reads."""
        check_modbus_ascii(data)

    def ask(self, block: Block) -> bytes:
        """Return the request for a block."""
        body = self._await(block)
        return b":" + (body + lrc(body)).hex().upper().encode() + b"\r\n"

    def reply(self, received: bytes) -> tuple[Reply | None, bytes]:
        """Return the first line that is the reply, and the line that is still growing."""
        *lines, rest = received.split(b"\r\n")
        for line in lines:
            frame = _unhex(line[line.rfind(b":") + 1:]) if b":" in line else b""
            if len(frame) < 4 or lrc(frame[:-1]) != frame[-1:]:
                continue
            refused = frame[:2] == self._refused and len(frame) == 4
            if refused or (frame[:3] == self._good and len(frame) == 4 + self._size):
                return Reply(0, frame[0], frame[1], frame[2:-1]), b""
        return None, rest[-_LINE_BYTES_MAX:]


def _unhex(digits: bytes) -> bytes:
    try:
        return unhexlify(digits)
    except HexError:
        return b""
