"""One suite over every connector: the same data gives the same frames by whatever road it comes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pytest
from pymodbus.client import AsyncModbusTcpClient

from connectors import Connector, ConnectorError
from connectors.frame import Frame, ModbusAddress, NodeAddress, Table, Tag
from connectors.link import Link, LinkState, LoadGuard
from connectors.modbus import endpoint as endpoint_module
from connectors.modbus.connector import ModbusConnector
from connectors.modbus.endpoint import Framing, ModbusEndpoint
from connectors.opcua.connector import OpcuaConnector
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode
from connectors.replay import ReplayConnector
from simulators.serial import SerialLine
from tests.connectors import certificates
from tests.connectors.modbus_side import WIRES
from tests.connectors.servers import (
    NAMESPACE,
    START_NS,
    ManualClock,
    ModbusPlc,
    OpcuaPlc,
    modbus_server,
    pack,
    run,
)
from tests.wire import OpcuaRecorder, RecordingProxy

S = 1_000_000_000
TAGS = (Tag("pressure", "bar", low=0.0, high=25.0), Tag("temperature", "degC"), Tag("current", "A", low=-5.0))
ROWS = np.array(
    [  # the first row is what is there when the road is opened
        [1.25, 20.0, 0.0],
        [2.5, -40.5, 3.0],
        [2.5, -40.5, 3.0],
        [25.0, 1e-40, 4.5],
        [25.001, 7.0, -5.0],
        [0.0, 0.0, -5.001],
        [math.inf, 3e38, 1.0],
        [3.0, math.nan, 2.0],
        [3.5, 8.0, 2.5],
    ],
    np.float32,
)


def times_ns() -> list[int]:
    return [START_NS + i * S for i in range(len(ROWS))]


class Show(Protocol):
    async def __call__(self, row: int) -> None: ...


@dataclass
class Road:
    """A connector and the way to put a row of data at its far end, and whose clock its rows bear."""

    connector: Connector
    show: Show
    source_time: bool = False


Build = Callable[[ManualClock, OpcuaPlc, Path], AbstractAsyncContextManager[Road]]


class Unit:
    """A Modbus unit that shows the rows, in three byte orders with gaps between."""

    def __init__(self) -> None:
        self.plc = ModbusPlc()
        self.tags = [
            replace(tag, address=ModbusAddress(1, Table.INPUT_REGISTER, 4 * i, ("ABCD", "CDAB", "DCBA")[i]))
            for i, tag in enumerate(TAGS)
        ]
        for gap in (2, 6):
            self.plc.put(Table.INPUT_REGISTER, gap, [0, 0])

    async def show(self, row: int) -> None:
        for i, (tag, value) in enumerate(zip(self.tags, ROWS[row], strict=True)):
            assert isinstance(tag.address, ModbusAddress)
            words = pack(float(value), AsyncModbusTcpClient.DATATYPE.FLOAT32, tag.address.order)
            self.plc.put(Table.INPUT_REGISTER, 4 * i, words)

    def road(self, clock: ManualClock, endpoint: ModbusEndpoint) -> Road:
        return Road(ModbusConnector(endpoint, self.tags, clock, LoadGuard(clock, 1000, 0)), self.show)


@asynccontextmanager
async def through_tcp(clock: ManualClock, framing: Framing, *, serial: bool = False) -> AsyncIterator[Road]:
    framer, recorder = WIRES[framing]
    unit = Unit()
    await unit.show(0)
    async with modbus_server({1: unit.plc}, framer=framer) as port, RecordingProxy(recorder, port) as proxy:
        if serial:
            line = SerialLine()
            await line.plug("127.0.0.1", proxy.port)
            endpoint = ModbusEndpoint(framing=framing, line=endpoint_module.SerialLine(str(line.path), parity="N"))
            try:
                yield unit.road(clock, endpoint)
            finally:
                await line.unplug()
        else:
            yield unit.road(clock, ModbusEndpoint("127.0.0.1", proxy.port, framing=framing))
        proxy.assert_read_only()


def modbus(framing: Framing, *, serial: bool = False) -> Build:
    return lambda clock, plc, folder: through_tcp(clock, framing, serial=serial)


@asynccontextmanager
async def modbus_tls(clock: ManualClock, plc: OpcuaPlc, folder: Path) -> AsyncIterator[Road]:
    unit = Unit()
    await unit.show(0)
    certificate, key = certificates.write(folder, "plc")
    async with modbus_server({1: unit.plc}, secured=certificates.server_context(certificate, key)) as port:
        tls = endpoint_module.Tls(certificate, server_name="plc")
        yield unit.road(clock, ModbusEndpoint("127.0.0.1", port, tls=tls))


@asynccontextmanager
async def opcua(clock: ManualClock, plc: OpcuaPlc, mode: OpcuaMode) -> AsyncIterator[Road]:
    tags = [replace(tag, address=NodeAddress(NAMESPACE, f"s={tag.name}"), period_ms=10) for tag in TAGS]

    async def show(row: int) -> None:
        await plc.show(
            {tag.name: float(value) for tag, value in zip(TAGS, ROWS[row], strict=True)}, times_ns()[row]
        )

    async with plc.serving([tag.name for tag in TAGS]), RecordingProxy(OpcuaRecorder, plc.port) as proxy:
        await show(0)
        endpoint = OpcuaEndpoint(
            f"opc.tcp://127.0.0.1:{proxy.port}", mode, insecure=True, publishing_interval_ms=20
        )
        yield Road(OpcuaConnector(endpoint, tags, clock, LoadGuard(clock, 1000, 0)), show, source_time=True)
        proxy.assert_read_only()


@asynccontextmanager
async def subscribed(clock: ManualClock, plc: OpcuaPlc, folder: Path) -> AsyncIterator[Road]:
    async with opcua(clock, plc, OpcuaMode.SUBSCRIBE) as road:
        yield road


@asynccontextmanager
async def polled(clock: ManualClock, plc: OpcuaPlc, folder: Path) -> AsyncIterator[Road]:
    async with opcua(clock, plc, OpcuaMode.POLL) as road:
        yield road


@asynccontextmanager
async def replayed(clock: ManualClock, plc: OpcuaPlc, folder: Path) -> AsyncIterator[Road]:
    status = np.where(np.isfinite(ROWS), 0, 0x80070000).astype(np.uint32)  # as it was recorded from the wire
    columns = {"time": times_ns()} | {tag.name: ROWS[:, i] for i, tag in enumerate(TAGS)}
    columns |= {f"{tag.name}.status": status[:, i] for i, tag in enumerate(TAGS)}
    pl.DataFrame(columns).write_parquet(folder / "recording.parquet")

    async def show(row: int) -> None:
        """The clock shows the rows."""

    yield Road(ReplayConnector(folder / "recording.parquet", TAGS, clock), show)


ROADS: dict[str, Build] = {
    "modbus tcp": modbus(Framing.TCP),
    "modbus rtu over tcp": modbus(Framing.RTU),
    "modbus ascii over tcp": modbus(Framing.ASCII),
    "modbus rtu": modbus(Framing.RTU, serial=True),
    "modbus ascii": modbus(Framing.ASCII, serial=True),
    "modbus tls": modbus_tls,
    "opcua subscribe": subscribed,
    "opcua poll": polled,
    "replay": replayed,
}
pytestmark = pytest.mark.parametrize("road", ROADS)


async def row_at(connector: Connector, time_ns: int) -> Frame:
    """Read until the row of this time has come; the test's own time-out is the limit."""
    while True:
        frame = await connector.read()
        at = np.flatnonzero(frame.source_time_ns == time_ns)
        if len(at):
            return Frame(frame.source_time_ns[at], frame.values[at], frame.status[at])
        await asyncio.sleep(0.002)


def test_the_same_data_gives_the_same_frames(road: str, opcua_plc: OpcuaPlc, tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with ROADS[road](clock, opcua_plc, tmp_path) as there:
            assert isinstance(there.connector.tags, tuple)
            await there.connector.open()
            for i, time_ns in enumerate(times_ns()):
                await there.show(i)
                if i and not there.source_time:
                    clock.advance_s(1)
                frame = await row_at(there.connector, time_ns)
                expected = np.array(
                    [
                        [  # by hand: what each tag's limits and the rules for numbers say of this row
                            0x80070000
                            if not math.isfinite(v)
                            else 0x803C0000
                            if not tag.low <= v <= tag.high or 0 < abs(v) < 1.1754944e-38
                            else 0
                            for tag, v in zip(TAGS, ROWS[i].tolist(), strict=True)
                        ]
                    ],
                    np.uint32,
                )
                np.testing.assert_array_equal(frame.status[-1:], expected)
                np.testing.assert_array_equal(frame.values[-1:], np.where(expected, np.nan, ROWS[i]))
                if there.source_time:  # only now, lest an old value still hold at the time of the next row
                    clock.advance_s(1)
            await there.connector.close()
            await there.connector.close()

    run(main)


def test_reading_what_is_not_open_is_an_error_that_says_so(
    road: str, opcua_plc: OpcuaPlc, tmp_path: Path
) -> None:
    async def main() -> None:
        async with ROADS[road](ManualClock(), opcua_plc, tmp_path) as there:
            with pytest.raises(ConnectorError, match=r"is not (connected|open)"):
                await there.connector.read()
            await there.connector.close()

    run(main)


def test_opening_again_begins_anew(road: str, opcua_plc: OpcuaPlc, tmp_path: Path) -> None:
    async def main() -> None:
        async with ROADS[road](ManualClock(), opcua_plc, tmp_path) as there:
            for _ in range(2):
                await there.connector.open()
                frame = await row_at(there.connector, START_NS)
                assert frame.values[0].tolist() == ROWS[0].tolist()
            await there.connector.close()

    run(main)


def test_under_a_link_it_delivers_and_ends(road: str, opcua_plc: OpcuaPlc, tmp_path: Path) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with ROADS[road](clock, opcua_plc, tmp_path) as there:
            link = Link(lambda: there.connector, TAGS, clock)
            assert (await link.read()).values.tolist() == [ROWS[0].tolist()]
            assert link.health.state is LinkState.DELIVERING
            await link.close()

    run(main)
