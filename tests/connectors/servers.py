"""Small PLCs for the tests: real servers of both protocols on port 0, and one that follows a script."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from asyncua import Server, ua
from asyncua.server.user_managers import UserManager
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.framer import FramerType
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from connectors.frame import Table
from tests.loop import SteadyLoop

NAMESPACE = "urn:forewarn:test"
START_NS = 1_700_000_000_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ManualClock:
    """Time that stands still until a test moves it; sleepers wake as it passes them."""

    def __init__(self, start_ns: int = START_NS) -> None:
        self._monotonic_ns = 0
        self._offset_ns = start_ns
        self._moved = asyncio.Event()
        self.sleeps = 0

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def time_ns(self) -> int:
        return self._offset_ns + self._monotonic_ns

    async def sleep_until(self, monotonic_ns: int) -> None:
        self.sleeps += 1
        while self._monotonic_ns < monotonic_ns:
            await self._moved.wait()
            self._moved.clear()

    def advance_s(self, seconds: float) -> None:
        self._monotonic_ns += int(seconds * 1e9)
        self._moved.set()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run one test's coroutine function on a loop of its own."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        runner.run(bounded())


async def eventually(holds: Callable[[], bool]) -> None:
    """Return when something has come to hold; the test's own time-out is the limit."""
    while True:
        if holds():
            return
        await asyncio.sleep(0.001)


def pack(value: Any, datatype: AsyncModbusTcpClient.DATATYPE, order: str = "ABCD") -> list[int]:
    """Return a value's registers as pymodbus encodes it, its bytes then put into the order of the letters."""
    words = AsyncModbusTcpClient.convert_to_registers(value, datatype)
    return arrange(b"".join(word.to_bytes(2, "big") for word in words), order)


def arrange(octets: bytes, order: str) -> list[int]:
    """Return big-endian bytes as registers in an order of a letter for each byte, or one of the four short names."""
    reverse = octets[::-1]
    pairs = {"BADC": octets, "CDAB": reverse, "DCBA": reverse, "ABCD": octets}
    if len(order) == len(octets):
        arrived = bytes(octets["ABCDEFGH".index(letter)] for letter in order)
    else:
        swapped = order in ("BADC", "CDAB")  # of the reverse, each pair of bytes is the wrong way round
        arrived = bytes(pairs[order][i ^ swapped] for i in range(len(octets)))
    return [int.from_bytes(arrived[i:i + 2], "big") for i in range(0, len(arrived), 2)]


TABLES = {1: Table.COIL, 2: Table.DISCRETE_INPUT, 3: Table.HOLDING_REGISTER, 4: Table.INPUT_REGISTER}


@dataclass
class ModbusPlc:
    """A unit's four tables as dictionaries; an address that is not in them is answered by exception 2."""

    words: dict[Table, dict[int, int]] = field(default_factory=lambda: {table: {} for table in Table})
    fault: ExcCodes | None = None
    port: int = 0

    def put(self, table: Table, register: int, words: Sequence[int]) -> None:
        self.words[table].update({register + i: word for i, word in enumerate(words)})

    async def serve(
        self, code: int, start: int, address: int, count: int, registers: list[int], values: Any
    ) -> ExcCodes | None:
        words = self.words[TABLES[code]]
        if self.fault is not None:
            return self.fault
        if code <= 2:
            for register in range(address // 16, address // 16 + count):
                bits = sum(bool(words.get(16 * register + i)) << i for i in range(16))
                registers[register - start] = bits
            return None
        for register in range(address, address + count):
            if register not in words:
                return ExcCodes.ILLEGAL_ADDRESS
            registers[register - start] = words[register]
        return None


@asynccontextmanager
async def modbus_server(
    units: dict[int, ModbusPlc],
    port: int = 0,
    framer: FramerType = FramerType.SOCKET,
    secured: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """Serve units by pymodbus on loopback; yields the port."""
    devices = []
    for unit_id, plc in units.items():
        bits = [SimData(0, count=1024, values=False, datatype=DataType.BITS)]
        registers = [SimData(0, count=1000, values=0, datatype=DataType.REGISTERS)]
        tables = (bits, list(bits), registers, list(registers))
        devices.append(SimDevice(unit_id, simdata=tables, action=plc.serve))
    if secured is None:
        server = ModbusTcpServer(devices, framer=framer, address=("127.0.0.1", port))
    else:
        server = ModbusTlsServer(devices, address=("127.0.0.1", port), sslctx=secured)
    await server.serve_forever(background=True)
    try:
        yield server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await server.shutdown()


Script = Callable[[bytes], Awaitable[bytes | None] | bytes | None]


@asynccontextmanager
async def scripted_server(script: Script) -> AsyncIterator[int]:
    """Answer each Modbus request with what `script` makes of it; None is silence, b"" hangs up."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            while request := await reader.read(300):
                reply = script(request)
                reply = await reply if isinstance(reply, Awaitable) else reply
                if reply == b"":
                    break
                if reply is not None:
                    writer.write(reply)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answer(
    request: bytes, pdu: bytes, *, transaction: int | None = None, unit_id: int | None = None
) -> bytes:
    """Frame a reply PDU for a request."""
    head = request[:2] if transaction is None else transaction.to_bytes(2, "big")
    unit = request[6:7] if unit_id is None else bytes([unit_id])
    return head + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + unit + pdu


class OpcuaPlc:
    """An asyncua server with one variable for each name, in a namespace whose index is not the usual one.

    It runs on a loop of its own in a thread, because it takes seconds to start and one serves many tests.
    """

    def __init__(
        self,
        *,
        spare_namespaces: int = 3,
        security: Sequence[ua.SecurityPolicyType] = (ua.SecurityPolicyType.NoSecurity,),
        certificate: tuple[Path, Path] | None = None,
        users: UserManager | None = None,
    ) -> None:
        self._users = users
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        start = self._start(spare_namespaces, list(security), certificate)
        asyncio.run_coroutine_threadsafe(start, self._loop).result(60)

    async def _start(
        self,
        spare_namespaces: int,
        security: list[ua.SecurityPolicyType],
        certificate: tuple[Path, Path] | None,
    ) -> None:
        self.server = server = Server(user_manager=self._users)
        await server.init()
        server.set_endpoint("opc.tcp://127.0.0.1:0")
        server.set_security_policy(security)
        if certificate is not None:
            await server.load_certificate(str(certificate[0]))
            await server.load_private_key(str(certificate[1]))
        for i in range(spare_namespaces):
            await server.register_namespace(f"urn:somebody:else:{i}")
        self.index = await server.register_namespace(NAMESPACE)
        await server.start()
        assert server.bserver is not None
        self.port = server.bserver.port

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        await self.server.stop()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Await something on the server's own loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    @asynccontextmanager
    async def serving(self, names: Sequence[str] = ()) -> AsyncIterator[OpcuaPlc]:
        """Have these variables, 0.0 at START_NS, and those added meanwhile, until the end of the block."""
        self._names = [*names]
        for name in names:
            await self.call(self._add(name, 0.0, ua.VariantType.Double))
        await self.show(dict.fromkeys(names, 0.0))
        try:
            yield self
        finally:
            await self.call(self._forget())

    async def _forget(self) -> None:
        service = self.server.iserver.subscription_service
        await service.delete_subscriptions(list(service.subscriptions))  # of clients which just vanished
        # A session that was closed late is still being taken down.
        await eventually(lambda: not any(map(self._is_monitored, self._names)))
        await self.server.delete_nodes([self.server.get_node(self.node(name)) for name in self._names])

    def _is_monitored(self, name: str) -> bool:
        node = self.server.iserver.aspace.get(self.node(name))
        return node is not None and bool(node.attributes[ua.AttributeIds.Value].datachange_callbacks)

    def node(self, name: str) -> ua.NodeId:
        return ua.NodeId(name, self.index)

    async def add(self, name: str, value: Any, kind: ua.VariantType = ua.VariantType.Double) -> None:
        self._names.append(name)
        await self.call(self._add(name, value, kind))

    async def _add(self, name: str, value: Any, kind: ua.VariantType) -> None:
        await self.server.nodes.objects.add_variable(self.node(name), name, value, varianttype=kind)

    async def show(
        self,
        values: dict[str, Any],
        time_ns: int | None = START_NS,
        status: int = 0,
        kind: ua.VariantType = ua.VariantType.Double,
        server_time: datetime | None = None,
    ) -> None:
        """Set values, all with one source time and status; the server publishes them together."""
        stamp = None if time_ns is None else EPOCH + timedelta(microseconds=time_ns // 1000)
        await self.call(
            self._show(
                {
                    self.node(name): ua.DataValue(
                        ua.Variant(value, kind),
                        ua.StatusCode(status),
                        SourceTimestamp=stamp,
                        ServerTimestamp=server_time,
                    )
                    for name, value in values.items()
                }
            )
        )

    async def _show(self, values: dict[ua.NodeId, ua.DataValue]) -> None:
        for node, value in values.items():
            await self.server.write_attribute_value(node, value)
