"""Modbus TCP when things go wrong: hostile replies, partitions, restarts, nobody there."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from connectors import ConnectorError
from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_NO_COMMUNICATION,
    BAD_TIMEOUT,
    GOOD,
    Frame,
)
from connectors.link import LinkSettings, LinkState, LoadGuard
from connectors.modbus.connector import ModbusConnector, supervise
from connectors.modbus.endpoint import ModbusEndpoint
from tests.connectors.modbus_side import HOLDING, connector, endpoint, plc_of, tag
from tests.connectors.servers import (
    ManualClock,
    Script,
    answer,
    modbus_server,
    run,
    scripted_server,
)
from tests.wire import ModbusRecorder, RecordingProxy

VALUE = bytes([3, 8]) + bytes(range(8))


async def drip(request: bytes) -> bytes:
    await asyncio.sleep(10)
    return answer(request, VALUE)


HOSTILE: dict[str, Script] = {
    "silence": lambda request: None,
    "hang up": lambda request: b"",
    "another transaction": lambda r: answer(r, VALUE, transaction=int.from_bytes(r[:2], "big") ^ 0x55),
    "transaction 0": lambda r: answer(r, VALUE, transaction=0),
    "another unit": lambda r: answer(r, VALUE, unit_id=7),
    "another function": lambda r: answer(r, b"\x04" + VALUE[1:]),
    "a write's reply": lambda r: answer(r, bytes([6, 0, 0, 0, 1])),
    "an exception of another function": lambda r: answer(r, bytes([0x84, 2])),
    "fewer registers": lambda r: answer(r, bytes([3, 4]) + bytes(4)),
    "more registers": lambda r: answer(r, bytes([3, 20]) + bytes(20)),
    "a count that lies": lambda r: answer(r, bytes([3, 8]) + bytes(4)),
    "an odd count": lambda r: answer(r, bytes([3, 7]) + bytes(7)),
    "bytes after the data": lambda r: answer(r, VALUE + bytes(3)),
    "an empty reply": lambda r: answer(r, b""),
    "an exception without a code": lambda r: answer(r, b"\x83"),
    "an unknown function": lambda r: answer(r, bytes([99, 1, 2])),
    "a length of 65535": lambda r: r[:2] + b"\0\0\xff\xff\x01\x03\x08" + bytes(8),
    "another protocol": lambda r: r[:2] + b"\0\x07" + answer(r, VALUE)[4:],
    "too late": drip,
    "a flood": lambda r: bytes(2_000_000),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_reply_that_is_not_ours_is_never_a_value(name: str) -> None:
    async def main() -> None:
        tags = [tag(HOLDING, i) for i in range(4)]
        async with scripted_server(HOSTILE[name]) as port:
            link = supervise(endpoint(port, timeout_ms=50), tags, ManualClock())
            frame = await link.read()
            assert np.isnan(frame.values).all()
            assert (frame.status & 0x80000000).all()
            await link.close()

    run(main)


def test_a_reply_of_another_length_is_a_decoding_error_of_its_block_alone() -> None:
    def script(request: bytes) -> bytes:
        return answer(request, bytes([3, 2, 0, 7]) if request[6] == 2 else bytes([3, 4, 0, 7, 0, 8]))

    async def main() -> None:
        async with scripted_server(script) as port:
            tags = [tag(HOLDING, 0, unit_id=1), tag(HOLDING, 0, unit_id=2)]
            link = supervise(endpoint(port), tags, ManualClock())
            assert (await link.read()).status.tolist() == [[BAD_DECODING_ERROR, GOOD]]
            await link.close()

    run(main)


def test_mutated_replies_end_in_statuses_and_never_in_an_error() -> None:
    chance = random.Random(5)

    def mutate(request: bytes) -> bytes:
        reply = bytearray(answer(request, VALUE))
        for _ in range(chance.randint(1, 5)):
            reply[chance.randrange(len(reply))] = chance.randrange(256)
        return bytes(reply[: chance.randint(1, len(reply))])

    async def main() -> None:
        clock = ManualClock()
        async with scripted_server(mutate) as port:
            link = supervise(endpoint(port, timeout_ms=10), [tag(HOLDING, i) for i in range(4)], clock)
            for _ in range(150):
                frame = await link.read()
                assert frame.rows == 1
                clock.advance_s(61)
            await link.close()

    run(main)


def test_a_device_that_hangs_up_is_noticed_at_once() -> None:
    async def main() -> None:
        async with scripted_server(lambda request: b"") as port:
            road = connector(port, [tag(HOLDING, 0)], ManualClock(), timeout_ms=3_600_000)
            await road.open()
            with pytest.raises(ConnectorError, match="dropped the connection"):
                await road.read()
            await road.close()

    run(main)


def test_nobody_listening_is_said_with_the_address() -> None:
    async def main() -> None:
        async with scripted_server(lambda request: None) as port:
            pass
        link = supervise(endpoint(port), [tag(HOLDING, 0)], ManualClock())
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
        assert f"127.0.0.1:{port}" in link.health.error
        assert "refused" in link.health.error.lower()
        await link.close()
        nowhere = ModbusConnector(
            ModbusEndpoint("a" * 70 + ".invalid"), [tag(HOLDING, 0)], ManualClock(), LoadGuard(ManualClock())
        )
        with pytest.raises(ConnectorError, match="cannot connect"):
            await nowhere.open()
        await nowhere.close()

    run(main)


async def until_good(link: object, clock: ManualClock) -> Frame:
    """Read once a (manual) second until a read is good; the test's own time-out is the limit."""
    while True:
        frame: Frame = await link.read()  # type: ignore[attr-defined]
        if not frame.status.any():
            return frame
        clock.advance_s(1)


def test_a_partition_is_noticed_and_its_late_replies_are_taken_by_nobody() -> None:
    async def main() -> None:
        clock = ManualClock()
        plc = plc_of(4)
        tags = [tag(HOLDING, i) for i in range(4)]
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port, timeout_ms=500), tags, clock)
            assert (await link.read()).values[0, 0] == 100
            proxy.partition()
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 4]
            assert link.health.state is LinkState.BACKING_OFF
            plc.put(HOLDING, 0, [900])
            proxy.heal()
            assert (await until_good(link, clock)).values[0].tolist() == [900, 101, 102, 103]
            assert proxy.connections >= 2
            await link.close()
            proxy.assert_read_only()

    run(main)


def test_a_plc_that_restarts_is_found_again_by_one_connection_at_a_time() -> None:
    async def main() -> None:
        clock = ManualClock()
        plc = plc_of(4)
        tags = [tag(HOLDING, i) for i in range(4)]
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port), tags, clock)
            for _ in range(3):
                await until_good(link, clock)
                await proxy.refuse()
                proxy.hang_up()
                assert (await link.read()).status.all()
                clock.advance_s(2)
                assert (await link.read()).status.all(), "refused"
                await proxy.accept()
            await until_good(link, clock)
            await link.close()
            assert proxy.connections_at_once_max == 1
            assert proxy.connections == 4

    run(main)


def test_a_late_reply_to_a_question_we_gave_up_is_not_the_answer_to_the_next() -> None:
    async def late(request: bytes) -> bytes:
        if request[6] == 1:  # the slow unit: its answer comes while the other is being asked
            return await asyncio.sleep(0.08, answer(request, bytes([3, 2, 0, 66])))
        return answer(request, bytes([3, 2, 0, 7]))

    async def main() -> None:
        clock = ManualClock()
        tags = [tag(HOLDING, 0, unit_id=1), tag(HOLDING, 0, unit_id=2)]
        async with scripted_server(late) as port:
            link = supervise(endpoint(port, timeout_ms=50), tags, clock)
            for _ in range(5):
                frame = await link.read()
                assert frame.values[0, 1] == 7.0 or np.isnan(frame.values[0, 1])
                clock.advance_s(30)
            await link.close()

    run(main)


def silent_but(good: int, asked: list[int] | None = None) -> Script:
    def script(request: bytes) -> bytes | None:
        if asked is not None:
            asked.append(request[6])
        return answer(request, bytes([3, 2, 0, 7])) if request[6] == good else None

    return script


def test_a_link_is_more_patient_than_the_requests_of_one_read_together() -> None:
    tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in range(1, 17)]
    for timeout_ms in (1000, 5000, 60_000):
        settings = supervise(ModbusEndpoint("h", timeout_ms=timeout_ms), tags, ManualClock())._settings
        assert settings.connect_timeout_ms > timeout_ms
        assert settings.read_timeout_ms > min(16 * timeout_ms, 120_000)
    slow = supervise(ModbusEndpoint("h", max_requests_per_s=0.1), tags, ManualClock())._settings
    assert slow.read_timeout_ms > 16 * 10_000, "the load guard's waits are no fault of the device"


def test_silent_units_do_not_keep_the_good_ones_away_when_a_read_is_broken_off() -> None:
    async def main() -> None:
        tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in (1, 2, 3, 4, 9)]
        clock = ManualClock()
        async with scripted_server(silent_but(9)) as port:
            hasty = LinkSettings(read_timeout_ms=1000)  # less than the four time-outs of one read
            link = supervise(endpoint(port, timeout_ms=400), tags, clock, settings=hasty)
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 5]
            for _ in range(4):
                clock.advance_s(10)
                frame = await link.read()
            assert frame.status.tolist() == [[BAD_TIMEOUT] * 4 + [GOOD]]
            await link.close()

    run(main)


def test_one_silent_unit_is_asked_again_in_a_read_and_each_gets_its_turn() -> None:
    async def main() -> None:
        asked: list[int] = []
        tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in (1, 2, 3, 9)]
        clock = ManualClock()
        async with scripted_server(silent_but(9, asked)) as port:
            link = supervise(endpoint(port, timeout_ms=300), tags, clock)
            await link.read()
            assert asked == [1, 2, 3, 9]
            turns = []
            for _ in range(3):
                clock.advance_s(60)
                asked.clear()
                assert (await link.read()).status.tolist() == [[BAD_TIMEOUT] * 3 + [GOOD]]
                turns.append(asked[0])
                assert len(asked) == 2
            assert sorted(turns) == [1, 2, 3]
            await link.close()

    run(main)


def test_what_a_device_refused_is_remembered_over_a_reconnection() -> None:
    async def main() -> None:
        clock = ManualClock()
        tags = [tag(HOLDING, register) for register in range(4)]
        hangs_up = False
        counts: list[int] = []

        def script(request: bytes) -> bytes:
            nonlocal hangs_up
            if hangs_up:
                hangs_up = False
                return b""
            start, count = int.from_bytes(request[8:10], "big"), int.from_bytes(request[10:12], "big")
            counts.append(count)
            refused = start <= 2 < start + count
            return answer(request, b"\x83\x02" if refused else bytes([3, 2 * count]) + bytes(2 * count))

        async with scripted_server(script) as port:
            link = supervise(endpoint(port), tags, clock)
            first = await link.read()
            clock.advance_s(2)
            hangs_up = True
            while (await link.read()).status[0, 0] != GOOD or hangs_up:
                clock.advance_s(2)
            counts.clear()
            clock.advance_s(1)
            again = await link.read()
            assert again.status.tolist() == first.status.tolist()
            assert sum(counts) == 3, "the refused register is not asked for again"
            await link.close()

    run(main)


def test_after_a_partition_of_hours_fresh_values_come_within_ten_seconds() -> None:
    async def main() -> None:
        clock = ManualClock()
        async with modbus_server({1: plc_of(4)}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port, timeout_ms=300), [tag(HOLDING, i) for i in range(4)], clock)
            assert (await link.read()).status.tolist() == [[GOOD] * 4]
            proxy.partition()
            for _ in range(60):  # until it is tried as rarely as it will ever be
                clock.advance_s(1)
                assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 4]
            assert proxy.connections <= 2 + 60 / 5, "and no more often than every 5 s"
            proxy.heal()
            waited_s = 0
            while (await link.read()).status.tolist() != [[GOOD] * 4]:
                clock.advance_s(1)
                waited_s += 1
            assert waited_s <= 8
            await link.close()

    run(main)


def test_a_half_open_connection_to_many_units_is_found_by_the_first_two() -> None:
    async def main() -> None:
        asked: list[int] = []
        tags = [tag(HOLDING, 0, unit_id=unit_id) for unit_id in range(1, 9)]
        clock = ManualClock()
        dead = asyncio.Event()

        def script(request: bytes) -> bytes | None:
            asked.append(request[6])
            return None if dead.is_set() else answer(request, bytes([3, 2, 0, 7]))

        async with scripted_server(script) as port:
            link = supervise(endpoint(port, timeout_ms=500), tags, clock)
            assert (await link.read()).status.tolist() == [[GOOD] * 8]
            dead.set()
            asked.clear()
            clock.advance_s(0.5)
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION] * 8]
            assert asked == [1, 2]
            assert link.health.state is LinkState.BACKING_OFF
            await link.close()

    run(main)
