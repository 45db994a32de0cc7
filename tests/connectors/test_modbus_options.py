"""What a device may need: retries, pauses, limits, a connection that is let go, another address, poll groups."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, GOOD, ModbusAddress, Tag
from connectors.link import Link
from connectors.modbus.addresses import BACK_AFTER_NS
from connectors.modbus.connector import supervise
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.groups import Groups
from tests.connectors.modbus_side import HOLDING, connector, endpoint, plc_of, tag
from tests.connectors.servers import ManualClock, answer, eventually, modbus_server, run, scripted_server
from tests.wire import ModbusRecorder, RecordingProxy

VALUE = bytes([3, 2, 0, 7])


def every(period_ms: int, register: int, unit_id: int = 1) -> Tag:
    address = ModbusAddress(unit_id, HOLDING, register)
    return replace(tag(HOLDING, register), name=f"{unit_id}.{register}", address=address, period_ms=period_ms)


def dropping(which: Callable[[int], bool]) -> tuple[Callable[[bytes], bytes | None], list[int]]:
    """Return a device that leaves the requests of these numbers without a reply, and the units it was asked for."""
    asked: list[int] = []

    def script(request: bytes) -> bytes | None:
        asked.append(request[6])
        return None if which(len(asked)) else answer(request, VALUE)

    return script, asked


@pytest.mark.parametrize(
    ("retries", "lost", "status"), [(0, 1, BAD_TIMEOUT), (1, 1, GOOD), (2, 2, GOOD), (1, 2, BAD_TIMEOUT)])
def test_a_request_is_repeated_as_often_as_allowed(retries: int, lost: int, status: int) -> None:
    async def main() -> None:
        script, asked = dropping(lambda number: 1 < number <= 1 + lost)
        async with scripted_server(script) as port:
            tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in (1, 2)]
            link = supervise(endpoint(port, timeout_ms=500, retries=retries), tags, ManualClock())
            assert (await link.read()).status.tolist() == [[GOOD, status]]
            assert len(asked) == 2 + min(retries, lost)
            await link.close()

    run(main)


def test_a_silent_unit_is_not_asked_again_and_again() -> None:
    async def main() -> None:
        asked: list[int] = []

        def script(request: bytes) -> bytes | None:
            asked.append(request[6])
            return None if request[6] == 2 else answer(request, VALUE)

        async with scripted_server(script) as port:
            clock = ManualClock()
            tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in (1, 2)]
            link = supervise(endpoint(port, timeout_ms=300, retries=3), tags, clock)
            await link.read()
            assert asked.count(2) == 4
            clock.advance_s(2)
            await link.read()
            assert asked.count(2) == 5, "retries are for units that answered before"
            assert link.health.notes == ("unit 2 does not answer; it is asked ever more rarely, up to 16 s apart",)
            await link.close()

    run(main)


def test_the_pauses_are_kept_by_the_clock() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with modbus_server({1: plc_of(20)}) as port:
            where = endpoint(port, min_gap_ms=40, pause_after_connect_ms=500, one_request_per_tag=True)
            link = supervise(where, [tag(HOLDING, register) for register in range(3)], clock)
            reading = asyncio.create_task(link.read())

            def moved() -> bool:
                clock.advance_s(0.001)
                return reading.done()

            await eventually(moved)
            assert (await reading).status.tolist() == [[GOOD] * 3]
            assert clock.monotonic_ns() >= (500 + 2 * 40) * 1_000_000
            await link.close()

    run(main)


def test_limits_of_the_device_are_kept_on_the_wire() -> None:
    async def main() -> None:
        counts: list[int] = []

        def script(request: bytes) -> bytes:
            count = int.from_bytes(request[10:12], "big")
            counts.append(count)
            return answer(request, bytes([3, 2 * count]) + bytes(2 * count))

        async with scripted_server(script) as port:
            tags = [tag(HOLDING, register) for register in range(100)]
            for options, expected in (
                ({"max_registers": 40}, [40, 40, 20]),
                ({"one_request_per_tag": True}, [1] * 100),
            ):
                counts.clear()
                road = connector(port, tags, ManualClock(), **options)
                await road.open()
                assert (await road.read()).status.tolist() == [[GOOD] * 100]
                await road.close()
                assert counts == expected

    run(main)


def test_a_connection_that_is_let_go_leaves_the_device_to_others() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with modbus_server({1: plc_of(4)}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port, close_after_poll=True), [tag(HOLDING, 0)], clock)
            for i in range(1, 4):
                assert (await link.read()).values.tolist() == [[100]]
                assert proxy.connections == i
                await eventually(lambda: not proxy.open)
                clock.advance_s(1)
            assert link.health.attempts == 1, "to let go is no fault"
            await proxy.refuse()
            assert (await link.read()).status.all()
            assert "refused" in link.health.error
            await link.close()

    run(main)


async def good_value(link: Link, clock: ManualClock) -> float:
    while True:
        frame = await link.read()
        if frame.status[0, 0] == GOOD:
            return float(frame.values[0, 0])
        clock.advance_s(1)


def test_the_backup_is_used_while_the_first_address_fails() -> None:
    async def main() -> None:
        clock = ManualClock()
        first_plc, second_plc = plc_of(2), plc_of(2)
        second_plc.put(HOLDING, 0, [200])
        async with (
            modbus_server({1: first_plc}) as one, RecordingProxy(ModbusRecorder, one) as first,
            modbus_server({1: second_plc}) as two,
        ):
            where = replace(endpoint(first.port), backup=("127.0.0.1", two))
            link = supervise(where, [tag(HOLDING, 0)], clock)
            assert (await link.read()).values.tolist() == [[100]]
            first.hang_up()
            assert await good_value(link, clock) == 100, "to hang up is not yet to fail"
            assert link.health.notes == ()
            await first.refuse()
            first.hang_up()
            assert await good_value(link, clock) == 200
            assert link.health.notes == (
                f"uses the backup 127.0.0.1:{two}, because 127.0.0.1:{first.port} failed",)
            clock.advance_s(BACK_AFTER_NS / 1e9)
            assert (await link.read()).values.tolist() == [[200]], "the first is tried in vain, without a gap"
            await first.accept()
            clock.advance_s(BACK_AFTER_NS / 1e9)
            assert (await link.read()).values.tolist() == [[100]]
            assert link.health.notes == ()
            await link.close()

    run(main)


def test_the_backup_is_used_while_the_first_address_connects_and_does_not_answer() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with scripted_server(lambda request: None) as mute, modbus_server({1: plc_of(2)}) as port:
            where: ModbusEndpoint = replace(endpoint(mute, timeout_ms=500), backup=("127.0.0.1", port))
            link = supervise(where, [tag(HOLDING, 0)], clock)
            assert await good_value(link, clock) == 100
            await link.close()

    run(main)


def test_tags_are_asked_in_their_own_periods() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with modbus_server({1: plc_of(30)}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            tags = [every(1000, 0), every(100, 1), every(100, 2), every(1000, 3)]
            link = supervise(endpoint(proxy.port), tags, clock)
            rows = []
            for _ in range(21):
                rows.append((await link.read()).status[0].tolist())
                clock.advance_s(0.1)
            both, fast = [GOOD] * 4, [BAD_NO_DATA, GOOD, GOOD, BAD_NO_DATA]
            assert rows == [both, *[fast] * 9, both, *[fast] * 9, both]
            assert len(proxy.requests) == 21 + 3
            await link.close()

    run(main)


def test_a_dead_unit_of_the_fast_group_does_not_cost_the_connection() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with scripted_server(lambda request: None if request[6] == 1 else answer(request, VALUE)) as port:
            tags = [every(100, 0, unit_id=1), every(1000, 0, unit_id=2)]
            link = supervise(endpoint(port, timeout_ms=200), tags, clock)
            slow = []
            for _ in range(40):
                slow.append((await link.read()).status[0].tolist())
                clock.advance_s(0.1)
            assert {row[0] for row in slow} == {BAD_TIMEOUT}
            assert [i for i, row in enumerate(slow) if row[1] == GOOD] == [0, 10, 20, 30]
            assert link.health.attempts == 1
            await link.close()

    run(main)


@given(st.lists(st.sampled_from([100, 250, 1000, 3000]), min_size=1, max_size=6), st.lists(
    st.integers(50, 400), min_size=1, max_size=200))
def test_no_group_is_asked_more_often_than_its_period_or_left_out(periods: list[int], steps_ms: list[int]) -> None:
    groups = Groups([every(period_ms, 0) for period_ms in periods])
    fastest = min(periods)
    now_ms, asked = 0, {period_ms: [0] for period_ms in periods}
    groups.asked(groups.due(0), 0)
    for step_ms in steps_ms:
        now_ms += step_ms
        due = groups.due(now_ms * 1_000_000)
        groups.asked(due, now_ms * 1_000_000)
        assert fastest in due
        for period_ms in due:
            asked[period_ms].append(now_ms)
    for period_ms, times in asked.items():
        if period_ms != fastest:
            assert len(times) <= now_ms // period_ms + 2
            gaps = [later - earlier for earlier, later in zip(times, [*times[1:], now_ms], strict=True)]
            assert max(gaps) <= 2 * period_ms + max(steps_ms) + fastest
