"""Complaints about Modbus devices and buses, played with devices that follow a script."""

from __future__ import annotations

import asyncio
import gc
from itertools import pairwise

import numpy as np

from agent.clock import SystemClock
from agent.remedy import remedy_for
from connectors.frame import BAD_TIMEOUT, GOOD, is_bad
from connectors.link import LinkState
from connectors.modbus.connector import supervise
from tests.connectors.modbus_side import HOLDING, endpoint, plc_of, tag
from tests.connectors.servers import ManualClock, answer, modbus_server, run, scripted_server
from tests.scenarios.stage import all_good, open_files, read_until
from tests.wire import ModbusRecorder, RecordingProxy


def registers(request: bytes) -> bytes:
    """Answer with registers that hold their own numbers."""
    start, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
    words = b"".join((start + i).to_bytes(2, "big") for i in range(count))
    return answer(request, bytes([3, 2 * count]) + words)


def test_a_late_reply_never_shifts_the_answers_that_follow() -> None:
    """19: after one time-out every reply is taken for the answer to the question before (grid-x/modbus#78, NModbus#88).

    Elsewhere: transaction ids stay out of step until a restart; a cancelled wait leaves its reply in the socket
    (marstek_venus_modbus#299, 41 a day).
    Here: transaction and unit of every reply are checked, a late one is nobody's answer: each value that is shown
    belongs to its register.
    """

    async def main() -> None:
        clock, asked = ManualClock(), 0

        async def now_and_then_late(request: bytes) -> bytes:
            nonlocal asked
            asked += 1
            if asked % 3 == 0:
                await asyncio.sleep(0.3)
            return registers(request)

        tags = [tag(HOLDING, register) for register in (7, 300, 600)]
        good = 0
        async with scripted_server(now_and_then_late) as port:
            link = supervise(endpoint(port, timeout_ms=200), tags, clock)
            for _ in range(25):
                frame = await link.read()
                shown = ~is_bad(frame.status[0])
                assert (frame.values[0, shown] == np.array([7, 300, 600])[shown]).all()
                good += int(shown.sum())
                clock.advance_s(20)
            await link.close()
        assert good > 15

    run(main)


def test_a_plc_that_was_gone_for_two_hours_is_read_again_within_a_minute() -> None:
    """20, 30: the client does not come back after a long outage (pymodbus#1635, #2619, node-red-contrib-modbus#69).

    Elsewhere: reconnection gives up, or sticks after 10 minutes, until somebody restarts the service.
    Here: attempts go on for ever, at most a minute apart, each with a new client.
    """

    async def main() -> None:
        clock, tags = ManualClock(), [tag(HOLDING, i) for i in range(4)]
        async with modbus_server({1: plc_of(4)}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port), tags, clock)
            assert all_good(await link.read())
            await proxy.refuse()
            proxy.hang_up()
            for _ in range(720):
                assert is_bad((await link.read()).status).all()
                clock.advance_s(10)
            await proxy.accept()
            assert await read_until(link, clock, all_good) <= 61
            await link.close()

    run(main)


def test_a_restarted_server_is_found_again_on_the_same_port() -> None:
    """20: pymodbus does not reconnect to a server that restarted (pymodbus#1635, #1654).

    Elsewhere: the library believes it is connected, or its own reconnection waits up to 300 s.
    Here: its reconnection is off; the link builds a new client within seconds.
    """

    async def main() -> None:
        clock, tags = ManualClock(), [tag(HOLDING, i) for i in range(4)]
        async with modbus_server({1: plc_of(4)}) as port:
            link = supervise(endpoint(port), tags, clock)
            assert all_good(await link.read())
        assert is_bad((await link.read()).status).all()
        async with modbus_server({1: plc_of(4)}, port):
            assert await read_until(link, clock, all_good) <= 10
            await link.close()

    run(main)


def test_one_dead_unit_behind_a_gateway_leaves_the_others_their_pace() -> None:
    """22: one unit that does not answer freezes the whole bus (home-assistant/core#51326, neuron#1602).

    Elsewhere: each poll waits for the dead unit's time-out, or the connection of all is reset for it.
    Here: it is asked ever more rarely, one silent unit a read; its tags are BadTimeout, the others stay good.
    """

    async def main() -> None:
        clock, asked = ManualClock(), 0

        def bus(request: bytes) -> bytes | None:
            nonlocal asked
            asked += request[6] == 2
            return None if request[6] == 2 else registers(request)

        tags = [tag(HOLDING, 5, unit_id=unit_id) for unit_id in (1, 2, 3)]
        async with scripted_server(bus) as port:
            link = supervise(endpoint(port, timeout_ms=200), tags, clock)
            for _ in range(600):
                assert (await link.read()).status.tolist() == [[GOOD, BAD_TIMEOUT, GOOD]]
                clock.advance_s(1)
            assert link.health.state is LinkState.DELIVERING
            await link.close()
        assert asked <= 50, "600 reads"

    run(main)


def test_a_device_that_gives_40_registers_at_once_is_read_whole() -> None:
    """25: devices give fewer registers than the protocol allows, or one (telegraf#8151, #18871, #12071).

    Elsewhere: every request fails until somebody divides the register map by hand.
    Here: what a device refuses is halved until it is given, and that is remembered.
    """

    async def main() -> None:
        clock, counts = ManualClock(), []

        def modest(request: bytes) -> bytes:
            counts.append(int.from_bytes(request[10:12], "big"))
            return registers(request) if counts[-1] <= 40 else answer(request, b"\x83\x03")

        tags = [tag(HOLDING, i) for i in range(120)]
        async with scripted_server(modest) as port:
            link = supervise(endpoint(port), tags, clock)
            for _ in range(3):
                await read_until(link, clock, all_good)
                clock.advance_s(1)
            counts.clear()
            frame = await link.read()
            assert frame.values[0].tolist() == list(range(120))
            assert max(counts) <= 40
            assert len(counts) <= 4
            await link.close()

    run(main)


def test_a_tag_costs_no_request_of_its_own() -> None:
    """31: a gateway in Python burns a core for six points (thingsboard-gateway#1684, #1333, thingsboard#15122).

    Elsewhere: a request for each point, or for groups of 16.
    Here: 62 floats that lie together are one request; docs/benchmarks.md has the processor time beside C.
    """

    async def main() -> None:
        clock, counts = ManualClock(), []

        def counting(request: bytes) -> bytes:
            counts.append(int.from_bytes(request[10:12], "big"))
            return registers(request)

        async with scripted_server(counting) as port:
            link = supervise(endpoint(port), [tag(HOLDING, i) for i in range(125)], clock)
            assert all_good(await link.read())
            await link.close()
        assert counts == [125]

    run(main)


def test_a_hundred_reconnections_leave_nothing_behind() -> None:
    """32: memory and sockets leak with every reconnection (home-assistant/core#127275, node-modbus#350).

    Elsewhere: the process grows until it is killed.
    Here: as many open files, tasks and client objects after a hundred reconnections as after ten.
    """

    async def main() -> None:
        clock = ManualClock()

        async def lose(times: int, proxy: RecordingProxy) -> tuple[int, int, int]:
            for _ in range(times):
                proxy.hang_up()
                await read_until(link, clock, all_good, step_s=5)
            await asyncio.sleep(0.05)
            gc.collect()
            clients = sum(type(each).__name__ == "Wire" for each in gc.get_objects())
            return open_files(), len(asyncio.all_tasks()), clients

        async with modbus_server({1: plc_of(4)}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port), [tag(HOLDING, i) for i in range(4)], clock)
            await read_until(link, clock, all_good)
            first = await lose(10, proxy)
            last = await lose(100, proxy)
            assert all(after <= before + 1 for before, after in zip(first, last, strict=True)), (first, last)
            await link.close()

    run(main)


def test_a_slow_device_is_given_time_between_requests() -> None:
    """24: old devices lose requests that come too close together (telegraf#9253, #11919).

    Elsewhere: answers time out until a pause is found by trial.
    Here: `min_gap_ms` between the end of one request and the next, 50 by default, also over several connections.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        times: list[tuple[float, float]] = []

        async def slow(request: bytes) -> bytes:
            begun = loop.time()
            await asyncio.sleep(0.01)
            times.append((begun, loop.time()))
            return registers(request)

        tags = [tag(HOLDING, 200 * i) for i in range(8)]
        async with scripted_server(slow) as port:
            link = supervise(endpoint(port, timeout_ms=5000, min_gap_ms=40.0), tags, SystemClock())
            assert all_good(await link.read())
            await link.close()
        assert len(times) == 8
        assert all(begin - end >= 0.035 for (_, end), (begin, _) in pairwise(times))

    run(main)


def test_what_went_wrong_is_said_in_words() -> None:
    """34: exception frames are not shown, nobody can see what went wrong (neuron#1366, #2148).

    Elsewhere: a tag is empty, the log is silent.
    Here: each exception code of the standard is a status of its tag, with what to do; a lost connection says why.
    """

    async def main() -> None:
        seen = set()
        for code in (1, 2, 3, 4, 5, 6, 8, 10, 11):
            async with scripted_server(lambda r, code=code: answer(r, bytes([0x83, code]))) as port:  # type: ignore[misc]
                one = tag(HOLDING, 7)
                link = supervise(endpoint(port), [one], ManualClock())
                status = int((await link.read()).status[0, 0])
                assert is_bad(np.array([status], np.uint32)).all()
                assert remedy_for(status, one)
                seen.add(status)
                await link.close()
        assert len(seen) >= 5
        link = supervise(endpoint(port), [one], ManualClock())  # the last device is gone
        await link.read()
        assert f"127.0.0.1:{port}" in link.health.error
        assert "refused" in link.health.error.lower()

    run(main)
