"""Complaints about what values, times and names mean, and about an agent that stops for one of its devices."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from agent.build import build
from agent.commission.address import connection_at
from agent.commission.registermap import MapDefaults, proposal_of
from agent.config.file import load
from agent.notify import Notifier
from agent.remedy import doubt
from connectors.frame import Dtype, Table, is_bad
from connectors.link import LinkState
from connectors.modbus.connector import supervise
from connectors.opcua.endpoint import OpcuaMode
from models import bundle as bundles
from simulators.config import toml
from simulators.modbus import ModbusPlc as SimulatedPlc
from simulators.plant import MACHINES
from tests.connectors import modbus_side
from tests.connectors.modbus_side import HOLDING, plc_of
from tests.connectors.opcua_side import MODES, S, linked, tag
from tests.connectors.servers import EPOCH, START_NS, ManualClock, ModbusPlc, OpcuaPlc, modbus_server, run
from tests.scenarios.stage import all_good, read_until


@pytest.mark.parametrize("mode", MODES)
def test_a_program_download_that_moves_the_namespace_loses_no_tag(
    opcua_plc: OpcuaPlc, downloaded_plc: OpcuaPlc, mode: OpcuaMode
) -> None:
    """3, 14: tags are lost after a program download, because the namespace index moved (telegraf#15074, #13594,
    node-red-contrib-opcua#478).

    Elsewhere: nodes are configured by index; what was ns=4 is ns=6 now, until somebody edits and restarts.
    Here: nodes are configured by namespace URI; the index is looked up with every session.
    """

    async def main() -> None:
        clock, names = ManualClock(), ["a", "b"]
        assert opcua_plc.index != downloaded_plc.index
        async with (
            opcua_plc.serving(names) as before,
            downloaded_plc.serving(names) as after,
            linked(before.port, mode, [tag(name) for name in names], clock) as (link, proxy),
        ):
            await read_until(link, clock, all_good)
            await after.show({"a": 1.5, "b": 2.5}, START_NS + S)
            proxy.target_port = after.port
            proxy.hang_up()
            await read_until(link, clock, lambda f: bool(f.rows) and f.values[-1].tolist() == [1.5, 2.5])

    run(main)


def test_a_row_has_the_time_of_its_source_or_the_next_best(opcua_plc: OpcuaPlc) -> None:
    """15: the gateway's clock instead of the source's, or no time at all (telegraf#9011, thingsboard-gateway#702,
    OIBus#927).

    Elsewhere: one of the three times, fixed in the code; WinCC sends no server time, and the value is dropped.
    Here: the source's time; where there is none, or one that says nothing, the server's; where there is none, our own.
    """

    async def main() -> None:
        clock, server_ns = ManualClock(), START_NS - 7 * S
        server_time = EPOCH + timedelta(microseconds=server_ns // 1000)
        async with opcua_plc.serving(["a"]) as plc:
            for source_ns, server, expected_ns in (
                (START_NS - 3 * S, server_time, START_NS - 3 * S), (START_NS - 3 * S, None, START_NS - 3 * S),
                (None, server_time, server_ns), (None, None, START_NS),
            ):
                await plc.show({"a": 1.0}, source_ns, server_time=server)
                async with linked(plc.port, OpcuaMode.POLL, [tag("a")], clock) as (link, _):
                    assert (await link.read()).source_time_ns.tolist() == [expected_ns]

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_quality_is_kept_beside_its_value(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    """16: a bad value is the last good one, an uncertain one is an error (telegraf#10849, #9144, opcua-asyncio#1102).

    Elsewhere: the last valid value with the status Bad, or null for an uncertain one.
    Here: Uncertain keeps value and status, Bad has no value, and vendors' bits below the severity change neither.
    """

    async def main() -> None:
        statuses = {"good": 0, "vendor": 0x00960000, "uncertain": 0x40940000, "bad": 0x808C0000, "wrapped": 0xC0000000}
        async with opcua_plc.serving(list(statuses)) as plc:
            for name, status in statuses.items():
                await plc.show({name: 4.0}, status=status)
            async with linked(plc.port, mode, [tag(name) for name in statuses], ManualClock()) as (link, _):
                frame = await link.read()
                assert frame.status[-1].tolist() == list(statuses.values())
                np.testing.assert_array_equal(frame.values[-1], [4.0, 4.0, 4.0, np.nan, np.nan])

    run(main)


def test_swapped_words_are_doubted_and_impossible_ones_are_no_value() -> None:
    """26: a wrong word order gives numbers that look right (telegraf#8151, #9279).

    Elsewhere: off by one register and swapped words gave plausible voltages; nobody noticed.
    Here: numbers that no sensor gives are BadOutOfRange, and `forewarn check` doubts those that smell of swapped words.
    """

    async def main() -> None:
        plc = ModbusPlc()
        plc.put(HOLDING, 0, [0x4366, 0x5EB8])  # 230.37 V, high word first
        plc.put(HOLDING, 2, [0x0000, 0x4248])  # 50.0 Hz, low word first
        right = modbus_side.tag(HOLDING, 0, Dtype.FLOAT32, low=0.0, high=500.0)
        wrong = modbus_side.tag(HOLDING, 2, Dtype.FLOAT32, low=0.0, high=500.0)
        shifted = modbus_side.tag(HOLDING, 1, Dtype.FLOAT32, low=0.0, high=500.0)
        async with modbus_server({1: plc}) as port:
            link = supervise(modbus_side.endpoint(port), [right, wrong, shifted], ManualClock())
            frame = await link.read()
            assert frame.values[0, 0] == np.float32(230.37)
            for column, one in ((1, wrong), (2, shifted)):
                value = float(frame.values[0, column])
                assert is_bad(frame.status[0])[column] or "word" in doubt(value, one)
            await link.close()

    run(main)


def test_a_plc_that_is_not_there_stops_nobody(tmp_path: Path) -> None:
    """18: the agent stops, or does not start, because one PLC is away (telegraf#8632).

    Elsewhere: "server not found" ends the service, and every other PLC with it.
    Here: the connection that fails says so; the other one delivers from the first second.
    """

    async def main() -> None:
        async with simulated() as (port, absent):
            first, second = (
                toml(
                    f"pump{i}", MACHINES["pump"].tags, f"127.0.0.1:{each}", bundle=str(bundles.SHIPPED / "pump"),
                    period_ms=5000, state_dir=str(tmp_path / "state"), append=i > 0, timeout_ms=10_000,
                )
                for i, each in enumerate((port, absent))
            )
            path = tmp_path / "agent.toml"
            path.write_text(first + second, encoding="utf-8")
            clock = ManualClock()
            agent = build(load(path), clock, Notifier({}, 1))
            stop = asyncio.Event()
            task = asyncio.create_task(agent.run(stop))
            while not agent.snapshot("pump0").rows:
                clock.advance_s(0.1)
                await asyncio.sleep(0.005)
            states = {info.name: info.health.state for info in agent.connections()}
            assert list(states.values()) == [LinkState.DELIVERING, LinkState.BACKING_OFF]
            stop.set()
            await task

    run(main)


@asynccontextmanager
async def simulated() -> AsyncIterator[tuple[int, int]]:
    """The ports of a simulated pump and of nothing at all."""
    plc = SimulatedPlc(MACHINES["pump"].tags)
    await plc.start()
    nobody = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    absent = nobody.sockets[0].getsockname()[1]
    nobody.close()
    await nobody.wait_closed()
    try:
        yield plc.port, absent
    finally:
        await plc.stop()


def test_a_register_map_is_read_as_the_manual_gives_it() -> None:
    """33: hundreds of registers are typed in by hand (mainflux#1311, FUXA#622, #2140, modbus_exporter#8).

    Elsewhere: a form for each tag, or a file format of the product's own.
    Here: `forewarn discover` reads the sheet, with its headings and 4xxxx numbers, and the tags it proposes are read.
    """

    async def main() -> None:
        sheet = "Name;Address;Type;Unit;Scale\n" + "".join(f"speed {i};4{i + 1:04};INT;rpm;0.1\n" for i in range(100))
        proposal = proposal_of(sheet, connection_at("modbus-tcp://127.0.0.1"), MapDefaults())
        tags = [one.tag for one in proposal.found]
        assert len(tags) == 100
        assert tags[7].address is not None
        assert (tags[7].address.table, tags[7].address.register) == (Table.HOLDING_REGISTER, 7)  # type: ignore[union-attr]
        async with modbus_server({1: plc_of(100)}) as port:
            link = supervise(modbus_side.endpoint(port), tags, ManualClock())
            frame = await link.read()
            np.testing.assert_allclose(frame.values[0], (100 + np.arange(100)) * 0.1, rtol=1e-6)
            await link.close()

    run(main)


def test_a_wire_library_cannot_change_under_us() -> None:
    """21: a minor version of pymodbus renames an argument and breaks everybody (pymodbus#2600,
    Homeassistant-Growatt#75).

    Elsewhere: an unbounded requirement, and calls all over the code.
    Here: both wire libraries are bounded to a minor version, and import contracts keep them to one place.
    """
    root = Path(__file__).resolve().parent.parent.parent
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bounded = {one.name: str(one.specifier) for one in map(Requirement, project["dependencies"])}
    for name in ("pymodbus", "asyncua"):
        low, high = (re.search(sign + r"(\d+)\.(\d+)", bounded[name]) for sign in (">=", "<"))
        assert low is not None
        assert high is not None
        assert (int(low[1]), int(low[2]) + 1) == (int(high[1]), int(high[2]))
