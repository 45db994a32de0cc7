"""A recording proxy for Modbus TCP and OPC UA binary: it forwards, takes down every request, and can break
the road.

It knows the protocols from their standards alone and shares no code with the connectors, so that it bears
witness against them. Every proxy of a run is kept in `PROXIES`; tests/conftest.py looks at them all when the
run ends.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, Self

MODBUS_READS = {1, 2, 3, 4}
OPCUA_READS = {
    428,
    446,
    452,
    461,
    467,
    473,  # GetEndpoints, the secure channel, the session
    527,
    533,
    554,
    631,
    664,  # Browse, BrowseNext, TranslateBrowsePaths, Read, HistoryRead
    751,
    763,
    769,
    781,  # monitored items: create, modify, mode, delete
    787,
    793,
    799,
    847,  # subscriptions: create, modify, mode, delete
    826,
    832,
    841,  # publish, republish, transfer
}
PROXIES: list[RecordingProxy] = []


@dataclass(frozen=True)
class Request:
    """One request on the wire: a Modbus function code or the numeric id of an OPC UA service, and to whom."""

    code: int
    unit_id: int = 0
    at_s: float = 0.0


class Recorder(Protocol):
    """Cuts a client's byte stream into requests, and says of each whether it may be."""

    def feed(self, data: bytes) -> Iterator[Request]: ...

    @staticmethod
    def allows(request: Request) -> bool: ...


class ModbusRecorder:
    """Cuts a client's byte stream into Modbus TCP requests (Modbus Messaging on TCP/IP, 3.1)."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Request]:
        self._buffer += data
        while len(self._buffer) >= 8:
            length = int.from_bytes(self._buffer[4:6], "big") + 6
            if len(self._buffer) < length:
                return
            yield Request(self._buffer[7], self._buffer[6])
            self._buffer = self._buffer[max(length, 8) :]

    @staticmethod
    def allows(request: Request) -> bool:
        return request.code in MODBUS_READS


class RtuRecorder:
    """Cuts a client's byte stream into Modbus RTU requests (Modbus over Serial Line, 2.5.1), by their lengths.

    What has a length that nobody here knows is noted with its code, and all that came with it.
    """

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Request]:
        self._buffer += data
        while len(self._buffer) >= 8:
            code = self._buffer[1]
            length = 8 if 1 <= code <= 6 else 9 + self._buffer[6] if code in (15, 16) else len(self._buffer)
            if len(self._buffer) < length:
                return
            yield Request(code, self._buffer[0])
            self._buffer = self._buffer[length:]

    @staticmethod
    def allows(request: Request) -> bool:
        return request.code in MODBUS_READS


class AsciiRecorder:
    """Cuts a client's byte stream into the lines of Modbus ASCII (Modbus over Serial Line, 2.5.2)."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[Request]:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield Request(int(line[3:5], 16), int(line[1:3], 16))

    @staticmethod
    def allows(request: Request) -> bool:
        return request.code in MODBUS_READS


class OpcuaRecorder:
    """Cuts a client's byte stream into OPC UA messages (Part 6, 6.7.2 and 7.1); reads unencrypted channels
    only.

    The body of an encrypted message is noted as code 0: neither a read nor a write that anyone could prove.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._secure = False
        self._continued = False

    def feed(self, data: bytes) -> Iterator[Request]:
        self._buffer += data
        while len(self._buffer) >= 8:
            size = int.from_bytes(self._buffer[4:8], "little")
            if size < 8 or len(self._buffer) < size:
                return
            chunk, self._buffer = self._buffer[:size], self._buffer[size:]
            yield from self._chunk(chunk)

    def _chunk(self, chunk: bytes) -> Iterator[Request]:
        kind, part = chunk[:3], chunk[3:4]
        if kind == b"HEL":
            return
        if kind == b"OPN":
            policy_bytes = int.from_bytes(chunk[12:16], "little")
            self._secure = not chunk[16 : 16 + policy_bytes].endswith(b"#None")
            yield Request(0 if self._secure else self._service(chunk, kind))
            return
        first, self._continued = not self._continued, part == b"C"
        if first:
            yield Request(0 if self._secure else self._service(chunk, kind))

    @staticmethod
    def _service(chunk: bytes, kind: bytes) -> int:
        at = 16  # type, size, channel, token
        if kind == b"OPN":
            at = 12
            for _ in range(3):  # policy, certificate, thumbprint: -1 is null
                length = int.from_bytes(chunk[at : at + 4], "little", signed=True)
                at += 4 + max(0, length)
        body = chunk[at + 8 :]  # sequence number, request id
        if body[0] == 0:
            return body[1]
        if body[0] == 1:
            return struct.unpack_from("<H", body, 2)[0] if body[1] == 0 else -1
        return struct.unpack_from("<I", body, 3)[0] if body[0] == 2 else -1

    @staticmethod
    def allows(request: Request) -> bool:
        return request.code in OPCUA_READS or request.code == 0


class RecordingProxy:
    """`async with RecordingProxy(ModbusRecorder, port) as proxy:` and connect to `proxy.port` on loopback.

    `partition()` holds all bytes both ways and leaves connections standing; `heal()` delivers them late, as
    TCP does; `hang_up()` cuts all connections; `refuse()` and `accept()` close and reopen the door.
    `expects_writes` marks the proxy of a test that plants a write, so that the check at the end of the run
    does not count it.
    """

    def __init__(
        self,
        recorder: Callable[[], Recorder],
        target_port: int,
        *,
        expects_writes: bool = False,
    ) -> None:
        self.requests: list[Request] = []
        self.expects_writes = expects_writes
        self.connections_at_once_max = 0
        self.connections = 0
        self.target_port = target_port
        self.port = 0
        self._recorder = recorder
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.open = 0
        self._road = asyncio.Event()
        self._road.set()
        PROXIES.append(self)

    @property
    def writes(self) -> list[Request]:
        """Every request seen that was not a read."""
        return [request for request in self.requests if not self._recorder().allows(request)]

    def assert_read_only(self) -> None:
        """Fail if anything but reads came past."""
        assert not self.writes, f"requests that are no reads: {self.writes}"

    def codes(self) -> list[int]:
        """The function codes or service ids seen, in order."""
        return [request.code for request in self.requests]

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        self.hang_up()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def accept(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def partition(self) -> None:
        self._road.clear()

    def heal(self) -> None:
        self._road.set()

    def hang_up(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        self.connections_at_once_max = max(self.connections_at_once_max, self.open)
        self._writers.add(writer)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._relay(reader, writer)
        finally:
            self.open -= 1
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        back = asyncio.create_task(self._pump(far_reader, writer, None))
        try:
            await self._pump(reader, far_writer, self._recorder())
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            far_writer.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        recorder: Recorder | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65_536):
            if recorder is not None:
                self.requests += [Request(r.code, r.unit_id, loop.time()) for r in recorder.feed(data)]
            await self._road.wait()
            writer.write(data)
            await writer.drain()
        await self._road.wait()
        if recorder is None:
            writer.transport.abort()  # the server has hung up


def violations(proxies: Iterable[RecordingProxy]) -> list[str]:
    """Say which of these proxies, but for those of planted writes, saw a request that is no read."""
    return [
        f"proxy to port {proxy.target_port}: {proxy.writes}"
        for proxy in proxies
        if proxy.writes and not proxy.expects_writes
    ]
