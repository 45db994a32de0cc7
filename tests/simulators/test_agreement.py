"""The failing wire and the pure function that stands for it: the connectors see the same frames from both."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from agent.clock import SystemClock
from connectors.frame import Frame
from connectors.link import Link
from connectors.modbus import connector as modbus
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.opcua import connector as opcua
from connectors.opcua.endpoint import OpcuaEndpoint, OpcuaMode
from simulators import wire
from simulators.machine import EPOCH_NS
from simulators.modbus import ModbusPlc
from simulators.opcua import OpcuaPlc
from simulators.plant import MACHINES, Plant
from simulators.serve import Plc
from simulators.wire import Symptom, WireKind

SECOND = 1_000_000_000
TIMES = EPOCH_NS + SECOND * np.arange(3, dtype=np.int64)
FAULTS = [
    (WireKind.EXCEPTION, 6),
    (WireKind.STALE, 0),
    (WireKind.SWAPPED_WORDS, 0),
    (WireKind.CLOCK_STEP, -600),
    (WireKind.WRONG_UNIT, 0),
    (WireKind.TIMEOUT, 0),
]


def agree(seen: Frame, expected: Frame, kind: WireKind) -> None:
    assert seen.rows == 1
    assert np.array_equal(seen.status, expected.status), kind
    assert np.array_equal(seen.values, expected.values, equal_nan=True), kind


async def compare(plc: Plc, link: Link, plant: Plant, kind: WireKind, argument: int) -> None:
    """Show two healthy rows, then one under the fault; what is read must be what the pure function says."""
    rows = plant.rows(900, 3)
    fault = wire.made(kind, int(TIMES[2]), 1, argument)
    expected = wire.apply([fault], TIMES, rows, link.tags)
    try:
        for row in range(3):
            if row == 2:
                await plc.inject(Symptom(kind.value), fault.argument)
            await plc.show(rows[row], int(TIMES[row]))
            seen = await link.read()
            one = slice(row, row + 1)
            wanted = Frame(expected.source_time_ns[one], expected.values[one], expected.status[one])
            agree(seen, wanted, kind)
            if isinstance(plc, OpcuaPlc) and kind is not WireKind.TIMEOUT:
                assert np.array_equal(seen.source_time_ns, wanted.source_time_ns)
    finally:
        await link.close()
        await plc.stop()


@pytest.mark.parametrize(("kind", "argument"), FAULTS)
@pytest.mark.parametrize("machine", tuple(MACHINES))
def test_over_modbus(machine: str, kind: WireKind, argument: int) -> None:
    async def scenario() -> None:
        plant = Plant(machine, 2)
        plc = ModbusPlc(plant.tags)
        await plc.start()
        endpoint = ModbusEndpoint("127.0.0.1", plc.port, 500, max_requests_per_s=1000, min_gap_ms=0)
        await compare(plc, modbus.supervise(endpoint, plant.tags, SystemClock()), plant, kind, argument)

    asyncio.run(scenario())


@pytest.mark.parametrize(("kind", "argument"), [(WireKind.EXCEPTION, 6), (WireKind.CLOCK_STEP, -600)])
def test_over_opcua(kind: WireKind, argument: int) -> None:
    async def scenario() -> None:
        plant = Plant("pump", 2)
        plc = OpcuaPlc(plant.opcua_tags)
        await plc.start()
        endpoint = OpcuaEndpoint(
            plc.address, OpcuaMode.POLL, max_requests_per_s=1000, min_gap_ms=0, insecure=True
        )
        await compare(plc, opcua.supervise(endpoint, plant.opcua_tags, SystemClock()), plant, kind, argument)

    asyncio.run(scenario())
