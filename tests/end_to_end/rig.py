"""A real agent on two real PLCs that show the same rows, one over Modbus TCP and one over OPC UA, in lock-step.

Time is a manual clock: a row is shown on both wires, then time moves by one period, the agent polls both and judges.
"""

from __future__ import annotations

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agent.api.app import create_app
from agent.build import build
from agent.config.file import load
from agent.daemon import Agent
from agent.notify import Notifier
from agent.server import ApiServer, listen
from connectors.frame import Tag
from simulators import config
from simulators.modbus import ModbusPlc
from simulators.opcua import OpcuaPlc
from tests.clock import PATIENCE_S, SPEED, ManualClock
from tests.wire import ModbusRecorder, OpcuaRecorder, RecordingProxy

MODBUS, OPCUA = "over_modbus", "over_opcua"
ASSETS = (MODBUS, OPCUA)
TIMEOUT_MS = 60_000
"""Wall time goes on where the machine is busy, while the manual clock stands still."""
LINKS = 4
SLEEPERS = 5
"""Two read loops, the two of commissioning, and the one that tells the service manager, once both were tried."""


class Rig:
    """The agent, its two PLCs and its REST API; `proxies` saw every request on the wire."""

    def __init__(
        self,
        agent: Agent,
        clock: ManualClock,
        plcs: Sequence[ModbusPlc | OpcuaPlc],
        url: str,
        proxies: Sequence[RecordingProxy],
        period_ns: int,
        start_ns: int,
    ) -> None:
        self.agent, self.clock, self.plcs, self.url, self.proxies = agent, clock, plcs, url, proxies
        self._period_ns, self._start_ns = period_ns, start_ns
        self._rows = 0
        self._paused_ns = 0

    async def play(self, rows: np.ndarray) -> None:
        """Show rows f32[T, C] one by one, each judged before the next."""
        for row in rows:
            for plc in self.plcs:
                await plc.show(row, self._start_ns + self._rows * self._period_ns)
            if self._rows:
                await self.clock.advance(self._period_ns - self._paused_ns, SLEEPERS)
            else:
                await self.clock.until_sleeping(LINKS)
            self._rows += 1
            self._paused_ns = await self._until_judged()

    async def _until_judged(self) -> int:
        """Wait until both assets have judged all rows; return how much time has passed in pauses between requests.

        A pause lasts until time moves. Whoever sleeps until the period is over has done its part.
        """
        paused_ns = 0
        async with asyncio.timeout(PATIENCE_S):
            while any(self.agent.snapshot(asset).rows < self._rows for asset in ASSETS):
                pause_ns = self.clock.next_in_ns
                if paused_ns + pause_ns < self._period_ns:
                    paused_ns += pause_ns
                    await self.clock.advance(pause_ns)
                await asyncio.sleep(0.001)
        return paused_ns

    async def get(self, path: str, **query: str) -> Any:
        """Ask the REST API, over a socket."""
        address = f"{self.url}/api/v1{path}?{urllib.parse.urlencode(query)}"

        def ask() -> Any:
            with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
                return json.load(answer)

        return await asyncio.get_running_loop().run_in_executor(None, ask)


@asynccontextmanager
async def rig(
    folder: Path,
    bundle: Path,
    tags: tuple[Sequence[Tag], Sequence[Tag]],
    period_ms: int,
    first_row: np.ndarray,
    start_ns: int,
) -> AsyncIterator[Rig]:
    """Start both PLCs with a first row, then the agent; `tags` on Modbus and on OPC UA."""
    plcs = ModbusPlc(tags[0]), OpcuaPlc(tags[1])
    for plc in plcs:
        await plc.start()
        await plc.show(first_row, start_ns)
    clock = ManualClock(start_ns)
    try:
        async with (
            RecordingProxy(ModbusRecorder, plcs[0].port) as first,
            RecordingProxy(OpcuaRecorder, plcs[1].port) as second,
        ):
            path = folder / "agent.toml"
            path.write_text(_configuration(folder, bundle, tags, period_ms, first.port, second.port))
            with listen("127.0.0.1", 0) as listener:
                agent = build(load(path), clock, Notifier({}, 1), speed=SPEED)
                server = ApiServer(create_app(agent), listener)
                stop = asyncio.Event()
                running = asyncio.create_task(agent.run(stop, server))
                try:
                    yield Rig(agent, clock, plcs, server.url, (first, second), period_ms * 1_000_000, start_ns)
                finally:
                    stop.set()
                    await running
    finally:
        for plc in plcs:
            await plc.stop()


def _configuration(
    folder: Path, bundle: Path, tags: tuple[Sequence[Tag], Sequence[Tag]], period_ms: int, *ports: int
) -> str:
    where = f"127.0.0.1:{ports[0]}", f"opc.tcp://127.0.0.1:{ports[1]}"
    one, other = (
        config.toml(asset, tags[i], where[i], bundle=str(bundle), period_ms=period_ms, state_dir=str(folder / "state"),
                    timeout_ms=TIMEOUT_MS)
        for i, asset in enumerate(ASSETS)
    )
    polled = other[other.index("[connections.") :].replace("insecure = true", 'insecure = true\nmode = "poll"')
    return one + polled
