"""One Modbus TCP connection: one request at a time, filtered on the way out, its reply checked on the way in."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import Final, cast

from connectors import ConnectorError
from connectors.frame import BAD_DECODING_ERROR, BAD_TIMEOUT, GOOD
from connectors.modbus.decode import exception_status
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.framing import EXCEPTION, FUNCTIONS, FramingError, Reply, first_reply, request
from connectors.modbus.plan import Block
from connectors.readonly import ReadOnlyTransport, check_modbus

_TRANSACTIONS: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request: data where `status` is Good; `exception` is the device's exception code, or
    0.
    """

    status: int
    data: bytes = b""
    exception: int = 0


class Wire:
    """One TCP connection. A reply that came too late finds its transaction given up and is nobody's answer."""

    def __init__(self, endpoint: ModbusEndpoint) -> None:
        self._endpoint = endpoint
        self._timeout_s = endpoint.timeout_ms / 1e3
        self._transaction = 0
        self._conversation = _Conversation()

    async def connect(self) -> None:
        """Connect; raise ConnectorError saying why that failed."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout_s):
                await loop.create_connection(lambda: self._conversation, self._endpoint.host, self._endpoint.port)
        except TimeoutError:
            why = f"no answer within {self._endpoint.timeout_ms} ms"
        except (OSError, UnicodeError) as error:  # the latter for a host name that cannot be one
            why = _reason(error)
        else:
            return
        raise ConnectorError(f"cannot connect to {self._endpoint}: {why}. Check the address, the network, and "
                             "that the device has a connection free")

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._conversation.close()

    async def request(self, block: Block) -> Answer:
        """Ask for a block; raise ConnectorError where the connection is lost or its order cannot be trusted.
        """
        self._transaction = transaction = self._transaction % _TRANSACTIONS + 1
        frame = request(transaction, block.unit_id, block.table, block.start, block.count)
        try:
            reply = await self._conversation.ask(frame, transaction, self._timeout_s)
        except OSError as error:
            raise ConnectorError(f"{self._endpoint} dropped the connection ({error})") from error
        except FramingError as error:
            raise ConnectorError(f"{self._endpoint} does not answer in Modbus TCP ({error}): check host and port"
                                 ) from error
        if reply is None:
            return Answer(BAD_TIMEOUT)
        if reply.unit_id != block.unit_id:
            raise ConnectorError(f"{self._endpoint} answered for unit {reply.unit_id} when asked for unit "
                                 f"{block.unit_id}: it mixes up its clients")
        return _answer(reply, block)


class _Conversation(asyncio.Protocol):
    """One question at a time over one connection, and the reply to it."""

    def __init__(self) -> None:
        self._transport: ReadOnlyTransport | None = None
        self._received = b""
        self._asked = 0
        self._reply: asyncio.Future[Reply | None] | None = None
        self._fault: OSError | FramingError | None = None

    async def ask(self, frame: bytes, transaction: int, timeout_s: float) -> Reply | None:
        """Send a request and return the reply with its transaction, or None where none came in time.

        Raise OSError where the connection is lost, FramingError where what came is not Modbus TCP.
        """
        if self._fault is not None or self._transport is None:
            raise self._fault or ConnectionResetError("not connected")
        loop = asyncio.get_running_loop()
        self._asked, self._reply = transaction, loop.create_future()
        self._transport.write(frame)
        # A timer and a bare future: asyncio.wait_for costs more and, in Python 3.11, loses a cancellation.
        timer = loop.call_later(timeout_s, self._settle, None)
        try:
            return await self._reply
        finally:
            timer.cancel()
            self._reply = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the read-only filter between us and the socket."""
        self._transport = ReadOnlyTransport(cast("asyncio.Transport", transport), check_modbus)

    def data_received(self, data: bytes) -> None:
        """Take the reply that is waited for; others came too late for their question."""
        self._received += data
        try:
            while self._received:
                reply, size = first_reply(self._received)
                if reply is None:
                    return
                self._received = self._received[size:]
                if reply.transaction == self._asked:
                    self._settle(reply)
        except FramingError as error:
            self._fail(error)
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits: the device has hung up."""
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed by the device"))

    def close(self) -> None:
        """Close the connection; may be called twice."""
        if self._transport is not None:
            self._transport.close()

    def _settle(self, reply: Reply | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(reply)

    def _fail(self, fault: OSError | FramingError) -> None:
        self._fault = self._fault or fault
        self._received = b""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(fault)


def _answer(reply: Reply, block: Block) -> Answer:
    """Return what a reply is worth: right function, right count and as many bytes as it says, or nothing."""
    function = FUNCTIONS[block.table]
    if reply.function == function + EXCEPTION and len(reply.data) == 1:
        return Answer(exception_status(reply.data[0]), exception=reply.data[0])
    size = block.size_bytes
    if reply.function != function or len(reply.data) != 1 + size or reply.data[0] != size:
        return Answer(BAD_DECODING_ERROR)
    return Answer(GOOD, reply.data[1:])


def _reason(error: OSError | UnicodeError) -> str:
    """Return the operating system's words for an error; asyncio puts its own, without the reason, in their
    place.
    """
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror) and error.errno:
        return os.strerror(error.errno)
    return str(error)
