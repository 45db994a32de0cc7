"""One Modbus connection: one request at a time, its bytes filtered on the way out, its reply checked on the way in."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, cast

from connectors import ConnectorError
from connectors.frame import BAD_DECODING_ERROR, BAD_TIMEOUT, GOOD
from connectors.modbus.decode import exception_status
from connectors.modbus.endpoint import ModbusEndpoint, Tls
from connectors.modbus.framing import EXCEPTION, Frames, FramingError, Reply, frames
from connectors.modbus.plan import Block
from connectors.readonly import ReadOnlyTransport


class Answer(NamedTuple):
    """What came of one request: data where `status` is Good; `exception` is the device's exception code, or
    0. `replied` is False where there was no reply that could be one to this request.
    """

    status: int
    data: bytes = b""
    exception: int = 0
    replied: bool = True


class Wire:
    """A connection to one of an endpoint's addresses. A reply that came too late is nobody's answer: see `numbered`."""

    def __init__(self, endpoint: ModbusEndpoint, address: tuple[str, int]) -> None:
        self._endpoint = endpoint
        self._host, self._port = address
        self._timeout_s = endpoint.timeout_ms / 1e3
        self._frames = frames(endpoint.framing)
        self._conversation = _Conversation(self._frames)
        self.numbered = self._frames.numbered
        """Whether a reply names its request. Where not, a late one can look like the answer to the next."""

    def __str__(self) -> str:
        return str(self._endpoint) if self._endpoint.line else f"Modbus device {self._host}:{self._port}"

    async def connect(self) -> None:
        """Connect; raise ConnectorError saying why that failed."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._open()
        except TimeoutError:
            why = f"no answer within {self._endpoint.timeout_ms} ms"
        except ssl.SSLCertVerificationError as error:
            raise ConnectorError(f"{self} does not prove who it is ({error.verify_message}): check ca and server_name "
                                 "of this connection against the device's certificate") from error
        except (OSError, UnicodeError) as error:  # the latter for a host name that cannot be one
            why = _reason(error)
        else:
            return
        hint = ("Check that the device is plugged in, that this account may use it, and that no other program does"
                if self._endpoint.line else
                "Check the address, the network, and that the device has a connection free")
        raise ConnectorError(f"cannot connect to {self}: {why}. {hint}", unreachable=True)

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self._conversation.close()

    async def request(self, block: Block) -> Answer:
        """Ask for a block; raise ConnectorError where the connection is lost or its order cannot be trusted.
        """
        try:
            reply = await self._conversation.ask(block, self._timeout_s)
        except OSError as error:
            raise ConnectorError(f"{self} dropped the connection ({error})") from error
        except FramingError as error:
            raise ConnectorError(f"{self} does not answer in Modbus TCP ({error}): check host, port and protocol"
                                 ) from error
        if reply is None:
            heard = not self.numbered and self._conversation.heard
            return Answer(BAD_DECODING_ERROR if heard else BAD_TIMEOUT, replied=False)
        if reply.unit_id != block.unit_id:
            raise ConnectorError(f"{self} answered for unit {reply.unit_id} when asked for unit "
                                 f"{block.unit_id}: it mixes up its clients")
        return answer_of(reply, block)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        if self._endpoint.line is not None:
            from connectors.modbus.serialport import SerialPort

            SerialPort(self._endpoint.line, self._conversation)
            return
        tls = self._endpoint.tls
        name = None if tls is None else tls.server_name or self._host
        await loop.create_connection(lambda: self._conversation, self._host, self._port,
                                     ssl=None if tls is None else _context(tls), server_hostname=name)


class _Conversation(asyncio.Protocol):
    """One question at a time over one connection, and the reply to it. `heard`: bytes came since the question."""

    def __init__(self, frames: Frames) -> None:
        self.heard = False
        self._frames = frames
        self._transport: ReadOnlyTransport | None = None
        self._received = b""
        self._reply: asyncio.Future[Reply | None] | None = None
        self._fault: OSError | FramingError | None = None

    async def ask(self, block: Block, timeout_s: float) -> Reply | None:
        """Send a request and return the reply to it, or None where none came in time.

        Raise OSError where the connection is lost, FramingError where what came is not Modbus.
        """
        if self._fault is not None or self._transport is None:
            raise self._fault or ConnectionResetError("not connected")
        if not self._frames.numbered:
            self._received = b""  # what came before the question is no answer to it
        loop = asyncio.get_running_loop()
        self.heard, self._reply = False, loop.create_future()
        # A timer and a bare future: asyncio.wait_for costs more and, in Python 3.11, loses a cancellation.
        timer = loop.call_later(timeout_s, self._settle, None)
        try:
            self._transport.write(self._frames.ask(block))
            return await self._reply
        finally:
            timer.cancel()
            self._reply = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the read-only filter between us and the wire."""
        self._transport = ReadOnlyTransport(cast("asyncio.Transport", transport), self._frames.check)

    def data_received(self, data: bytes) -> None:
        """Take the reply that is waited for; all else is passed over."""
        self.heard = True
        if self._reply is None and not self._frames.numbered:
            return
        try:
            reply, self._received = self._frames.reply(self._received + data)
        except FramingError as error:
            self._fail(error)
            self.close()
            return
        if reply is not None:
            self._settle(reply)

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


def answer_of(reply: Reply, block: Block) -> Answer:
    """Return what a reply is worth: right function, right count and as many bytes as it says, or nothing."""
    data, size = reply.data, block.size_bytes
    if reply.function == block.function and len(data) == 1 + size and data[0] == size:
        return Answer(GOOD, data[1:])
    if reply.function == block.function | EXCEPTION and len(data) == 1:
        return Answer(exception_status(data[0]), exception=data[0])
    return Answer(BAD_DECODING_ERROR)


def _context(tls: Tls) -> ssl.SSLContext:
    """Return TLS 1.2 or later that believes nobody but `tls.ca`; raise ConnectorError for a file that is not usable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(tls.ca, lambda: context.load_verify_locations(tls.ca), "the certificates that vouch for the device")
    if tls.certificate is not None:
        own = tls.certificate
        _load(own, lambda: context.load_cert_chain(own, tls.private_key), "our certificate and its private_key")
    return context


def _load(file: Path, load: Callable[[], None], what: str) -> None:
    try:
        load()
    except OSError as error:  # ssl.SSLError is one
        raise ConnectorError(f"{file} ({what}): {error.strerror or error}; give files in PEM format that this account "
                             "may read", retryable=False) from error


def _reason(error: OSError | UnicodeError) -> str:
    """Return the operating system's words for an error; asyncio puts its own, without the reason, in their
    place.
    """
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror | ssl.SSLError) and error.errno:
        return os.strerror(error.errno)
    return str(error)
