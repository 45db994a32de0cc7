"""Modbus TCP on the real wire: values, statuses, and how few requests they take."""

from __future__ import annotations

import asyncio
import struct

import numpy as np
import pytest
from pymodbus.constants import ExcCodes

from connectors.frame import (
    BAD_CONFIGURATION_ERROR,
    BAD_DEVICE_FAILURE,
    BAD_NO_COMMUNICATION,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_OUT_OF_SERVICE,
    BAD_TIMEOUT,
    GOOD,
    Dtype,
)
from connectors.modbus.connector import supervise
from tests.connectors.modbus_side import (
    COIL,
    DISCRETE,
    HOLDING,
    INPUT,
    TYPES,
    connector,
    endpoint,
    plc_of,
    tag,
)
from tests.connectors.servers import (
    START_NS,
    ManualClock,
    ModbusPlc,
    Script,
    answer,
    eventually,
    modbus_server,
    pack,
    run,
    scripted_server,
)
from tests.wire import ModbusRecorder, RecordingProxy


def test_all_four_tables_are_read_with_few_requests() -> None:
    async def main() -> None:
        plc = ModbusPlc()
        plc.put(HOLDING, 10, pack(-1234.5, TYPES.FLOAT32, "CDAB"))
        plc.put(HOLDING, 12, pack(77, TYPES.UINT32))
        plc.put(INPUT, 0, pack(-2, TYPES.INT16))
        plc.put(COIL, 3, [1])
        plc.put(DISCRETE, 40, [1, 0])
        tags = [
            tag(HOLDING, 10, Dtype.FLOAT32, order="CDAB"),
            tag(HOLDING, 12, Dtype.UINT32),
            tag(INPUT, 0),
            tag(COIL, 3, Dtype.BIT),
            tag(DISCRETE, 40, Dtype.BIT),
            tag(DISCRETE, 41, Dtype.BIT),
        ]
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port), tags, ManualClock())
            frame = await link.read()
            await link.close()
            assert frame.values.tolist() == [[-1234.5, 77.0, -2.0, 1.0, 1.0, 0.0]]
            assert not frame.status.any()
            assert frame.source_time_ns.tolist() == [START_NS]
            assert sorted(proxy.codes()) == [1, 2, 3, 4]
            assert link.health.requests == 5, "the connection is one of those the guard spaces out"
            proxy.assert_read_only()

    run(main)


@pytest.mark.parametrize("missing", [[0], [17], [61], [3, 4, 40]])
def test_one_bad_tag_never_stops_the_rest(missing: list[int]) -> None:
    async def main() -> None:
        clock = ManualClock()
        tags = [tag(HOLDING, i) for i in range(62)]
        plc = plc_of(62, missing)
        expected = [BAD_NODE_ID_UNKNOWN if i in missing else GOOD for i in range(62)]
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port), tags, clock)
            for _ in range(4):  # with several bad tags one read may not suffice to find them all
                first = await link.read()
            assert first.status[0].tolist() == expected
            assert first.values[0, 1 if missing == [0] else 0] == (101.0 if missing == [0] else 100.0)
            before = len(proxy.requests)
            frame = await link.read()
            assert frame.status[0].tolist() == expected
            assert len(proxy.requests) - before <= len(missing) + 1, "the rest is asked without the bad tag"
            plc.put(HOLDING, 0, [200 + i for i in range(62)])
            clock.advance_s(61)
            await link.read()
            frame = await link.read()
            assert frame.values[0].tolist() == [200.0 + i for i in range(62)], (
                "a tag that appears is taken back"
            )
            before = len(proxy.requests)
            await link.read()
            assert len(proxy.requests) - before == 1
            await link.close()

    run(main)


def test_one_bad_tag_is_found_within_the_first_read() -> None:
    async def main() -> None:
        tags = [tag(HOLDING, i) for i in range(100)]
        async with modbus_server({1: plc_of(100, [37])}) as port:
            link = supervise(endpoint(port), tags, ManualClock())
            frame = await link.read()
            assert np.flatnonzero(frame.status[0]).tolist() == [37]
            await link.close()

    run(main)


def test_a_hole_between_two_good_tags_is_learnt_once() -> None:
    async def main() -> None:
        plc = ModbusPlc()
        plc.put(HOLDING, 0, [7])
        plc.put(HOLDING, 5, [9])
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port), [tag(HOLDING, 0), tag(HOLDING, 5)], ManualClock())
            for _ in range(3):
                assert (await link.read()).values.tolist() == [[7.0, 9.0]]
            assert len(proxy.requests) == 3 + 2 + 2
            await link.close()

    run(main)


def test_a_device_that_gives_few_registers_at_once_is_asked_for_few() -> None:
    def few(request: bytes) -> bytes:
        start, count = struct.unpack(">HH", request[8:12])
        if count > 10:
            return answer(request, bytes([0x83, 3]))
        return answer(
            request, bytes([3, 2 * count]) + struct.pack(f">{count}H", *range(start, start + count))
        )

    async def main() -> None:
        async with scripted_server(few) as port:
            link = supervise(endpoint(port), [tag(HOLDING, i) for i in range(40)], ManualClock())
            for _ in range(3):
                frame = await link.read()
            assert frame.values[0].tolist() == list(range(40))
            assert link.health.requests <= 4 + 4 * 3 + 3
            await link.close()

    run(main)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (ExcCodes.ILLEGAL_FUNCTION, BAD_CONFIGURATION_ERROR),
        (ExcCodes.DEVICE_FAILURE, BAD_DEVICE_FAILURE),
        (ExcCodes.DEVICE_BUSY, BAD_OUT_OF_SERVICE),
        (ExcCodes.GATEWAY_NO_RESPONSE, BAD_TIMEOUT),
        (ExcCodes.GATEWAY_PATH_UNAVIABLE, BAD_NO_COMMUNICATION),
        (ExcCodes.ILLEGAL_VALUE, BAD_CONFIGURATION_ERROR),
    ],
)
def test_an_exception_is_the_status_of_its_block_alone(code: ExcCodes, status: int) -> None:
    async def main() -> None:
        broken, whole = plc_of(3), plc_of(3)
        broken.fault = code
        tags = [tag(HOLDING, 0, unit_id=1), tag(HOLDING, 0, unit_id=2)]
        async with modbus_server({1: broken, 2: whole}) as port:
            link = supervise(endpoint(port), tags, ManualClock())
            for _ in range(2):
                assert (await link.read()).status.tolist() == [[status, GOOD]]
            await link.close()

    run(main)


def silent_but_for(unit_id: int) -> Script:
    return lambda request: answer(request, bytes([3, 2, 0, 7])) if request[6] == unit_id else None


def test_a_silent_unit_behind_a_gateway_does_not_stop_the_others() -> None:
    async def main() -> None:
        clock = ManualClock()
        tags = [tag(HOLDING, 0, unit_id=1), tag(HOLDING, 30, unit_id=1), tag(HOLDING, 0, unit_id=2)]
        asked: list[int] = []

        def script(request: bytes) -> bytes | None:
            asked.append(request[6])
            return silent_but_for(2)(request)  # type: ignore[return-value]

        async with scripted_server(script) as port:
            link = supervise(endpoint(port, timeout_ms=300), tags, clock)
            for _ in range(20):
                assert (await link.read()).status.tolist() == [[BAD_TIMEOUT, BAD_TIMEOUT, GOOD]]
                clock.advance_s(1)
            assert asked.count(2) == 20
            assert asked.count(1) <= 6, "a silent unit is asked ever more rarely"
            assert link.health.attempts == 1
            await link.close()

    run(main)


def test_a_unit_id_that_nobody_has_is_named() -> None:
    async def main() -> None:
        async with scripted_server(lambda request: None) as port:
            link = supervise(endpoint(port, timeout_ms=50), [tag(HOLDING, 0, unit_id=9)], ManualClock())
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
            assert "check the unit ids" in link.health.error
            await link.close()

    run(main)


def test_a_wrong_word_order_shows_as_out_of_range() -> None:
    async def main() -> None:
        plc = ModbusPlc()
        plc.put(HOLDING, 0, pack(6.25, TYPES.FLOAT32, "CDAB"))
        plc.put(HOLDING, 2, pack(6.3, TYPES.FLOAT32, "CDAB"))
        tags = [tag(HOLDING, r, Dtype.FLOAT32, order="ABCD", low=0.0, high=25.0) for r in (0, 2)]
        async with modbus_server({1: plc}) as port:
            link = supervise(endpoint(port), tags, ManualClock())
            assert (await link.read()).status.tolist() == [[BAD_OUT_OF_RANGE] * 2]
            await link.close()

    run(main)


def test_a_row_is_stamped_with_the_middle_of_its_requests() -> None:
    async def main() -> None:
        clock = ManualClock()

        def slow(request: bytes) -> bytes:
            clock.advance_s(0.1)
            return answer(request, bytes([request[7], 2, 0, 7]))

        async with scripted_server(slow) as port:
            road = connector(port, [tag(HOLDING, 0), tag(INPUT, 0)], clock)
            await road.open()
            frame = await road.read()
            assert frame.source_time_ns.tolist() == [START_NS + 100_000_000]
            await road.close()

    run(main)


def test_the_rate_cap_holds_on_the_wire() -> None:
    async def main() -> None:
        clock = ManualClock()
        tags = [tag(HOLDING, 200 * i) for i in range(4)]
        plc = ModbusPlc()
        for i in range(4):
            plc.put(HOLDING, 200 * i, [i])
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(endpoint(proxy.port, max_requests_per_s=2.0), tags, clock)
            reading = asyncio.create_task(link.read())
            for second, requests in enumerate((1, 3)):  # the connection is the first of the two in its second
                await eventually(lambda n=requests, s=second: len(proxy.requests) == n and clock.sleeps > s)  # type: ignore[misc]
                assert not reading.done()
                assert len(proxy.requests) == requests
                clock.advance_s(1)
            assert (await reading).values.tolist() == [[0.0, 1.0, 2.0, 3.0]]
            await link.close()

    run(main)
