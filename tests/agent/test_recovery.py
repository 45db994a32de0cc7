"""An agent that was off while the server went on recording: afterwards nothing is missing, and nothing was judged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from agent.build import build
from agent.config.file import load
from agent.daemon import Agent
from agent.notify import Notifier
from agent.replay import TELEMETRY
from agent.store import seal, segments
from connectors.frame import NodeAddress, Tag
from connectors.link import About
from connectors.opcua.gaps import Recovery
from models.bundle import Bundle
from models.learn import learn
from simulators import config
from simulators.opcua import OpcuaPlc
from simulators.wire import Symptom
from tests.agent.commands import forewarn
from tests.agent.samples import SECOND_NS, START_NS, quiet_rows
from tests.clock import ManualClock
from tests.connectors.servers import eventually, run

TAGS = [Tag(name, unit, NodeAddress("urn:forewarn:test", f"s={name}"), low=-1e3, high=1e3)
        for name, unit in (("pressure", "bar"), ("temperature", "degC"))]
SLEEPERS = 5
"""The read loop, the one that tells the service manager, the archive, and the two of commissioning."""


def at(second: int) -> int:
    return START_NS // 1000 * 1000 + second * SECOND_NS  # OPC UA's times are no finer


def write(file: Path, plc: OpcuaPlc, bundle: Bundle, order: str, period_ms: int = 1000) -> None:
    bundle.save(file.parent / "bundle")
    said = config.toml(
        "pump", TAGS, plc.address, bundle="bundle", state_dir="state", port=0, period_ms=period_ms, timeout_ms=20_000
    )
    more = ["insecure = true", 'mode = "poll"', f'history = "{order}"', "history_max_h = 48"]
    file.write_text(said.replace("insecure = true", "\n".join([*more, "max_requests_per_s = 100"])))


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
        file = tmp_path / "agent.toml"
        write(file, plc, bundle, "oldest_first")

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


HOURS, MINUTE_NS = 6, 60 * SECOND_NS


def rows_of(tmp_path: Path, name: str) -> list[int]:
    """Return the minutes of which there are values in the record."""
    out = tmp_path / name
    assert forewarn("export", tmp_path / "state", "--asset", "pump", "--out", out).exit_code == 0
    table = pl.read_parquet(out).filter(pl.col("pressure").is_not_null())
    return [(time_ns - at(0)) // MINUTE_NS for time_ns in table["time"].dt.epoch("ns")]


@asynccontextmanager
async def minutes(file: Path, order: str, bundle: Bundle) -> AsyncIterator[OpcuaPlc]:
    """A server that records a row each minute, also while nobody reaches it, and an agent's file."""
    plc = OpcuaPlc(TAGS, history_rows=3000)
    await plc.start()
    write(file, plc, bundle, order, period_ms=60_000)
    try:
        yield plc
    finally:
        await plc.stop()


async def show(plc: OpcuaPlc, minute: int) -> None:
    await plc.show(np.array([10 + minute % 7, 40], np.float32), at(60 * minute))


async def passed(plc: OpcuaPlc, span: range, file: Path) -> About:
    """Let an agent run for some minutes; it need not reach the server."""
    clock = ManualClock(at(60 * span.start))
    await show(plc, span.start)
    async with running(file, clock) as agent:
        for minute in span[1:]:
            await show(plc, minute)
            await clock.advance(MINUTE_NS, SLEEPERS)
        return agent.connections()[0].health.about


def seal_all(tmp_path: Path) -> None:
    for path in segments.segments(tmp_path / "state" / TELEMETRY):
        seal.seal(path)


@pytest.fixture(scope="module")
def slow_bundle() -> Bundle:
    return learn([quiet_rows(800)], [(tag.name, tag.unit) for tag in TAGS], 60_000, name="pump")


@pytest.mark.parametrize("order", list(Recovery))
def test_an_outage_of_hours_with_restarts_in_it_is_filled_once_it_is_over(
    tmp_path: Path, slow_bundle: Bundle, order: Recovery
) -> None:
    file = tmp_path / "agent.toml"

    async def main() -> None:
        async with minutes(file, order, slow_bundle) as plc:
            await passed(plc, range(10), file)
            await plc.inject(Symptom.REFUSED)
            for hour in range(HOURS):
                await passed(plc, range(10 + 60 * hour, 10 + 60 * (hour + 1)), file)
                seal_all(tmp_path)
            assert rows_of(tmp_path, "before.parquet") == list(range(10))
            await plc.inject(None)
            end = 10 + 60 * HOURS
            await passed(plc, range(end, end + 5), file)

    run(main)
    assert rows_of(tmp_path, "after.parquet") == list(range(10 + 60 * HOURS + 5))


@pytest.mark.parametrize("order", list(Recovery))
def test_an_agent_that_stops_half_way_through_filling_goes_on_after_its_next_start(
    tmp_path: Path, slow_bundle: Bundle, order: Recovery
) -> None:
    file, end = tmp_path / "agent.toml", 2500
    done: list[About] = []

    async def main() -> None:
        async with minutes(file, order, slow_bundle) as plc:
            await passed(plc, range(10), file)
            for minute in range(10, end):
                await show(plc, minute)
            done.append(await passed(plc, range(end, end + 1), file))
            seal_all(tmp_path)
            done.append(await passed(plc, range(end + 1, end + 10), file))

    run(main)
    before, after = done
    assert before.rows_recovered
    assert before.missing_s > 0
    assert after.rows_recovered == end - 10 - before.rows_recovered, "nothing is asked for twice"
    assert after.missing_s == after.given_up_s == 0
    assert rows_of(tmp_path, "whole.parquet") == list(range(end + 10))
