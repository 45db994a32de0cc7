"""What the line makes of values and clocks that are wrong, read from real servers."""

from __future__ import annotations

import pytest

from agent.line.line import Line, LineSettings
from agent.line.quality import TOO_FAST
from agent.line.verdict import Condition
from connectors.frame import BAD_OUT_OF_RANGE, Dtype
from connectors.modbus.connector import supervise
from connectors.opcua.endpoint import OpcuaMode
from tests.connectors import modbus_side
from tests.connectors.modbus_side import HOLDING
from tests.connectors.opcua_side import MODES, S, linked, tag, until
from tests.connectors.servers import START_NS, ManualClock, ModbusPlc, OpcuaPlc, modbus_server, run
from tests.line.scripted import ScriptedDetector

AHEAD_S = 3600


def line(max_rate: float = float("inf")) -> Line:
    return Line("pump", ScriptedDetector(), LineSettings(1e-6, 0, 0, max_rates=(max_rate,)))


@pytest.mark.parametrize("mode", MODES)
def test_a_server_whose_clock_is_set_ahead_does_not_blind_the_agent(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock, watched, blind = ManualClock(), line(), 0
        async with opcua_plc.serving(["a"]) as plc, linked(plc.port, mode, [tag("a")], clock) as (link, _):
            for second in range(1, 61):
                value = 0.25 + 0.25 * (second % 2)
                clock.advance_s(1)
                await plc.show({"a": value}, START_NS + (second + (AHEAD_S if second > 30 else 0)) * S)
                frame = await until(link, clock, lambda f, value=value: bool(f.values[-1, 0] == value), step_s=0)
                watched.step(frame, clock.time_ns())
                watched.publish()
                verdict = watched.snapshot.verdict
                blind += verdict is not None and verdict.condition is Condition.BLIND
        assert (watched.snapshot.clock_steps, watched.snapshot.rows, blind) == (1, 60, 0)
        assert watched.snapshot.newest.time_ns[0] == START_NS + (60 + AHEAD_S) * S

    run(main)


def test_a_register_that_jumps_for_one_read_is_no_value_of_that_read() -> None:
    async def main() -> None:
        clock, plc, watched, seen = ManualClock(), ModbusPlc(), line(max_rate=0.5), []
        async with modbus_server({1: plc}) as port:
            link = supervise(modbus_side.endpoint(port), [modbus_side.tag(HOLDING, 0, Dtype.INT16, scale=0.1)], clock)
            for raw in (3, 4, 900, 4, 3):
                plc.put(HOLDING, 0, [raw])
                watched.step(await link.read(), clock.time_ns())
                watched.publish()
                seen.append(int(watched.snapshot.newest.status[0]))
                clock.advance_s(1)
            await link.close()
        assert seen == [0, 0, BAD_OUT_OF_RANGE, 0, 0]
        assert watched.snapshot.quality.hour[TOO_FAST, 0] == 1
        assert watched.snapshot.alert is None

    run(main)
