"""A gate before a PLC's port, for any protocol on TCP: it lets traffic pass, holds it, or is shut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from enum import StrEnum

from simulators.clock import FreeClock

_CHUNK_BYTES = 65_536


class GateState(StrEnum):
    """Where a gate stands."""

    OPEN = "open"
    HELD = "held"
    SHUT = "shut"


class Gate:
    """Listens on `host` and `port` (0: a free one, kept from then on) and forwards to `target`.

    With `one_at_a_time`, a second connection is closed at once, as a device with one socket does. Replies pass
    `reply_delay_ms` later than they come.
    """

    def __init__(self, host: str, port: int, *, one_at_a_time: bool = False, reply_delay_ms: int = 0) -> None:
        self._one_at_a_time = one_at_a_time
        self._reply_delay_ns = reply_delay_ms * 1_000_000
        self._clock = FreeClock(0)
        self.host = host
        self.port = port
        self.target: tuple[str, int] | None = None
        self.state = GateState.SHUT
        self._flow = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def set(self, state: GateState) -> None:
        """Go to a state; from shut, listen again on the same port. Raise OSError where it is taken."""
        self.state = state
        if state is GateState.SHUT:
            await self._shut()
            return
        if self._server is None:
            self._server = await asyncio.start_server(self._connect, self.host, self.port)
            self.port = int(self._server.sockets[0].getsockname()[1])
        if state is GateState.OPEN:
            self._flow.set()
        else:
            self._flow.clear()

    async def _shut(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()
        connections = [task for task in self._connections if task is not asyncio.current_task()]
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        self._flow.clear()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it or the gate shuts."""
        if self._one_at_a_time and self._connections:
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._serve(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flow.wait()
        assert self.target is not None
        plc_reader, plc_writer = await asyncio.open_connection(*self.target)
        try:
            ways = [
                asyncio.create_task(self._pass(reader, plc_writer, 0)),
                asyncio.create_task(self._pass(plc_reader, writer, self._reply_delay_ns)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            plc_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_ns: int) -> None:
        """Pass bytes on while the gate is open; what arrives while it is held passes when it opens."""
        while data := await reader.read(_CHUNK_BYTES):
            await self._flow.wait()
            if delay_ns:
                await self._clock.sleep_until(self._clock.time_ns() + delay_ns)
            writer.write(data)
            await writer.drain()
