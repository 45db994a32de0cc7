"""Our side of the comparison, in a process of its own: the connectors as the daemon runs them.

python -m benchmarks.acquisition.reader modbus PORT CONNECTIONS READS [PERIOD], or opcua PORT COUNT PERIOD SECONDS;
prints the processor time in seconds and how many values came (or their sum), as the peers do.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Final

import numpy as np
import uvloop

from agent.clock import SystemClock
from benchmarks.result import BenchmarkError
from connectors.frame import ModbusAddress, NodeAddress, Table, Tag
from connectors.link import Link
from connectors.modbus import connector as modbus_connector
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.opcua import connector as opcua_connector
from connectors.opcua.endpoint import OpcuaEndpoint

NAMESPACE_INDEX_1: Final = "urn:open62541.unconfigured.application"
FLOATS: Final = 62
SETTLE_S: Final = 2.5
UNBOUND: Final = {"max_requests_per_s": 1e6, "min_gap_ms": 0.0}
"""The load guard at work, but never in the way."""


def registers(count: int, unit_id: int = 1) -> list[Tag]:
    """Return tags of consecutive float32 holding registers."""
    return [
        Tag(f"v{i}", "", ModbusAddress(unit_id, Table.HOLDING_REGISTER, 2 * i)) for i in range(count)
    ]


def modbus_link(port: int, count: int = FLOATS) -> Link:
    """Return a link to the Modbus server."""
    return modbus_connector.supervise(
        ModbusEndpoint("127.0.0.1", port, **UNBOUND), registers(count), SystemClock()
    )


def opcua_link(port: int, count: int, period_ms: int) -> Link:
    """Return a link that subscribes to the OPC UA server."""
    tags = [Tag(f"v{i}", "", NodeAddress(NAMESPACE_INDEX_1, f"s=v{i}"), period_ms=period_ms) for i in range(count)]
    endpoint = OpcuaEndpoint(
        f"opc.tcp://127.0.0.1:{port}", insecure=True, publishing_interval_ms=period_ms, timeout_ms=10_000,
        max_nodes_per_request=1000, queue_size=1, **UNBOUND,
    )
    return opcua_connector.supervise(endpoint, tags, SystemClock())


async def modbus(port: int, connections: int, reads: int, period_ms: int = 0) -> tuple[float, float]:
    """Read `reads` times in all, as fast as it goes or each connection once a period."""
    links, clock = [modbus_link(port) for _ in range(connections)], SystemClock()
    for link in links:
        if (await link.read()).status.any():
            raise BenchmarkError(link.health.error)
    left = iter(range(reads))

    async def read(link: Link, number: int) -> float:
        total, due_ns = 0.0, begin_ns + period_ms * 1_000_000 * number // connections
        for _ in left:
            if period_ms:
                await clock.sleep_until(due_ns)
                due_ns += period_ms * 1_000_000
            total += float((await link.read()).values[0].sum())
        return total

    begun_s, begin_ns = time.process_time(), clock.monotonic_ns()
    total = sum(await asyncio.gather(*map(read, links, range(connections))))
    taken_s = time.process_time() - begun_s
    for link in links:
        await link.close()
    return taken_s, total


async def opcua(port: int, count: int, period_ms: int, seconds: int) -> tuple[float, float]:
    """Read once a period, as the daemon does, after a first few; count each value that is new."""
    link, clock = opcua_link(port, count, period_ms), SystemClock()
    due_ns = clock.monotonic_ns()
    last, values, begun_s = np.full(count, np.nan, np.float32), 0, 0.0
    settled_ns = None
    while True:
        frame = await link.read()
        for row in frame.values:
            values += int(np.count_nonzero(row != last))
            last = row
        now_ns = clock.monotonic_ns()
        if settled_ns is None and not np.isnan(last).any():
            settled_ns = now_ns + int(SETTLE_S * 1e9)
        if settled_ns is not None and now_ns >= settled_ns:
            if not begun_s:
                begun_s, values, settled_ns = time.process_time(), 0, now_ns + int(seconds * 1e9)
            else:
                break
        due_ns = max(due_ns + period_ms * 1_000_000, now_ns)
        await clock.sleep_until(due_ns)
    taken_s = time.process_time() - begun_s
    await link.close()
    return taken_s, values


if __name__ == "__main__":
    taken, came = uvloop.run({"modbus": modbus, "opcua": opcua}[sys.argv[1]](*map(int, sys.argv[2:])))
    print(f"{taken:.6f} {came:.1f}")
