"""An agent that was off while the server went on recording: afterwards nothing is missing, and nothing was judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import polars as pl

from agent.build import build
from agent.config.file import load
from agent.daemon import Agent
from agent.notify import Notifier
from connectors.frame import NodeAddress, Tag
from models.bundle import Bundle
from simulators import config
from simulators.opcua import OpcuaPlc
from tests.agent.commands import forewarn
from tests.agent.samples import SECOND_NS, START_NS, quiet_rows
from tests.clock import ManualClock
from tests.connectors.servers import eventually, run

TAGS = [Tag(name, unit, NodeAddress("urn:forewarn:test", f"s={name}"), low=-1e3, high=1e3)
        for name, unit in (("pressure", "bar"), ("temperature", "degC"))]
SLEEPERS = 3
"""The read loop, the one that tells the service manager, and the archive."""


def at(second: int) -> int:
    return START_NS // 1000 * 1000 + second * SECOND_NS  # OPC UA's times are no finer


@asynccontextmanager
async def running(file: Path, clock: ManualClock) -> AsyncIterator[Agent]:
    agent = build(load(file), clock, Notifier({}, 1))
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    while not agent.readiness().ready:  # pauses between requests
        await clock.advance(SECOND_NS // 20)
        await asyncio.sleep(0.001)
    await clock.until_sleeping(SLEEPERS)
    try:
        yield agent
    finally:
        stop.set()
        await task


def test_what_was_missed_while_the_agent_was_off_is_filled_and_not_judged(tmp_path: Path, bundle: Bundle) -> None:
    values = quiet_rows(300)

    async def main() -> None:
        plc = OpcuaPlc(TAGS, history_rows=1000)
        await plc.start()
        bundle.save(tmp_path / "bundle")
        file = tmp_path / "agent.toml"
        said = config.toml("pump", TAGS, plc.address, bundle="bundle", state_dir="state", port=0, timeout_ms=20_000)
        more = ["insecure = true", 'mode = "poll"', 'history = "oldest_first"', "max_requests_per_s = 100"]
        file.write_text(said.replace("insecure = true", "\n".join(more)))

        async def play(seconds: range, agent: Agent | None = None) -> None:
            for second in seconds:
                await plc.show(values[second], at(second))
                if agent is not None:
                    await clock.advance(SECOND_NS, SLEEPERS)

        clock = ManualClock(at(0))
        await plc.show(values[0], at(0))
        async with running(file, clock) as agent:
            await play(range(1, 100), agent)
        await play(range(100, 200))
        clock = ManualClock(at(200))
        await plc.show(values[200], at(200))
        async with running(file, clock) as agent:
            await play(range(201, 210), agent)
            about = agent.connections()[0].health.about
            assert (about.rows_recovered, about.missing_s) == (100, 0)
            await eventually(lambda: agent.snapshot("pump").rows >= 9)
            assert agent.snapshot("pump").rows_late == 0
        await plc.stop()

    run(main)
    out = tmp_path / "whole.parquet"
    assert forewarn("export", tmp_path / "state", "--asset", "pump", "--out", out).exit_code == 0
    table = pl.read_parquet(out).unique("time", maintain_order=True)
    assert table["time"].dt.epoch("ns").to_list() == [at(second) for second in range(210)]
    np.testing.assert_array_equal(table.select("pressure", "temperature").to_numpy(), values[:210])
    assert forewarn("replay", tmp_path / "state", tmp_path / "agent.toml").exit_code == 0
