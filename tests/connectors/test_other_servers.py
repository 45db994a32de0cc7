"""Servers in C that share nothing with ours: libmodbus and open62541, where they are installed (CI has neither)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from agent.clock import SystemClock
from benchmarks.acquisition.peers import Peers
from benchmarks.acquisition.reader import NAMESPACE_INDEX_1
from benchmarks.result import BenchmarkError
from connectors.frame import Dtype, NodeAddress, Tag, is_bad
from connectors.modbus.connector import supervise as modbus
from connectors.opcua.connector import supervise as opcua
from connectors.opcua.endpoint import OpcuaMode
from connectors.opcua.gaps import Recorded, Recovery
from tests.connectors import modbus_side, opcua_side
from tests.connectors.modbus_side import HOLDING
from tests.connectors.servers import ManualClock, run
from tests.wire import ModbusRecorder, OpcuaRecorder, RecordingProxy


@contextmanager
def served(name: str, *arguments: object) -> Iterator[int]:
    peers = Peers.find()
    try:
        peers.program(name)
    except BenchmarkError as missing:
        pytest.skip(str(missing)[:200])
    with peers.server(name, *arguments) as port:
        yield port


def test_libmodbus_gives_what_it_holds() -> None:
    async def main() -> None:
        with served("modbus_server", 100) as port:
            async with RecordingProxy(ModbusRecorder, port) as proxy:
                tags = [modbus_side.tag(HOLDING, 2 * i, Dtype.FLOAT32) for i in range(100)]
                tags.append(modbus_side.tag(HOLDING, 9000))
                link = modbus(modbus_side.endpoint(proxy.port), tags, ManualClock())
                frame = await link.read()
                np.testing.assert_array_equal(frame.values[0, :100], 20 + np.arange(100, dtype=np.float32) % 50)
                assert is_bad(frame.status[0]).tolist() == [False] * 100 + [True]
                await link.close()
                proxy.assert_read_only()

    run(main)


@pytest.mark.parametrize("order", list(Recovery))
def test_what_open62541_has_recorded_fills_an_outage(order: Recovery) -> None:
    """It tells seven values at a time, of two of three nodes, and has new ones every 20 ms."""

    async def main() -> None:
        with served("opcua_server", 3, 20, 2) as port:
            async with RecordingProxy(OpcuaRecorder, port) as proxy:
                tags = [Tag(f"v{i}", "", NodeAddress(NAMESPACE_INDEX_1, f"s=v{i}"), period_ms=2) for i in range(3)]
                where = opcua_side.endpoint(proxy.port, OpcuaMode.SUBSCRIBE, history=order)
                clock = SystemClock()
                before = opcua(where, tags, clock)
                first = await before.read()
                while not first.rows:
                    await asyncio.sleep(0.02)
                    first = await before.read()
                await before.close()
                await asyncio.sleep(1)
                after = opcua(where, tags, clock, recorded=Recorded(int(first.source_time_ns[-1])))
                past = []
                while not past or after.health.about.missing_s:
                    await after.read()
                    found = await after.recover()
                    past += found.values.tolist() if found.rows else []
                    await asyncio.sleep(0.02)
                steps = [round(row[0]) for row in past]
                assert len(steps) > 20
                assert set(range(min(steps), max(steps) + 1)) - set(steps) == set(), "none is missing"
                assert all(row[1] == row[0] + 1 and np.isnan(row[2]) for row in past)
                assert min(steps) == first.values[-1, 0] + 1
                note, = after.health.notes
                assert "keeps no history of 1 of 3 tags: v2" in note
                await after.close()
                proxy.assert_read_only()

    run(main)


@pytest.mark.parametrize("mode", list(OpcuaMode))
def test_open62541_gives_what_it_holds(mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        with served("opcua_server", 1200, 50) as port:
            async with RecordingProxy(OpcuaRecorder, port) as proxy:
                names = [f"v{i}" for i in range(1200)]
                tags = [Tag(name, "", NodeAddress(NAMESPACE_INDEX_1, f"s={name}"), period_ms=50) for name in names]
                tags.append(Tag("x", "", NodeAddress(NAMESPACE_INDEX_1, "s=nowhere"), period_ms=50))
                link = opcua(opcua_side.endpoint(proxy.port, mode), tags, clock)
                times, steps = set(), set()
                while len(times) < 4:
                    frame = await link.read()
                    for time_ns, row, status in zip(frame.source_time_ns, frame.values, frame.status, strict=True):
                        assert is_bad(status).tolist() == [False] * 1200 + [True]
                        steps.update(np.unique(row[:1200] - np.arange(1200)).tolist())
                        times.add(int(time_ns))
                    await asyncio.sleep(0.05)
                assert all(step >= 1 and step == int(step) for step in steps), "each value is its number and the time"
                await link.close()
                proxy.assert_read_only()

    run(main)
