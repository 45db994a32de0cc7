"""OPC UA on the real wire, by subscription and by polling: values, times and statuses."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from asyncua import ua

from connectors import ConnectorError
from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TYPE_MISMATCH,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    UNCERTAIN,
    NodeAddress,
    Tag,
)
from connectors.link import LoadGuard
from connectors.opcua.connector import OpcuaConnector, supervise
from connectors.opcua.endpoint import OpcuaMode, Timestamps
from tests.connectors.opcua_side import MODES, S, endpoint, linked, tag, until
from tests.connectors.servers import EPOCH, NAMESPACE, START_NS, ManualClock, OpcuaPlc, eventually, run


@pytest.mark.parametrize("mode", MODES)
def test_values_come_with_their_source_time_and_a_bad_node_never_stops_the_rest(
    opcua_plc: OpcuaPlc, mode: OpcuaMode
) -> None:
    async def main() -> None:
        clock = ManualClock()
        tags = [tag("a"), tag("nowhere"), tag("b", scale=2.0, offset=1.0), tag("c", "urn:no:such:namespace")]
        async with opcua_plc.serving(["a", "b"]) as plc, linked(plc.port, mode, tags, clock) as (link, _):
            frame = await link.read()
            unknown = BAD_NODE_ID_UNKNOWN
            assert frame.status.tolist() == [[GOOD, unknown, GOOD, unknown]]
            assert frame.source_time_ns.tolist() == [START_NS]
            await plc.show({"a": 5.5, "b": 7.0}, START_NS + 3 * S)
            frame = await until(link, clock, lambda f: f.values[-1, 2] == 15.0)
            assert frame.source_time_ns[-1] == START_NS + 3 * S
            assert frame.values[-1, 0] == 5.5
            # What is not there today may be there tomorrow.
            await plc.add("nowhere", 8.0)
            clock.advance_s(61)
            frame = await until(link, clock, lambda f: not f.status[-1, 1])
            assert frame.values[-1, 1] == 8.0
            assert frame.status[-1].tolist() == [GOOD, GOOD, GOOD, unknown]

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_every_kind_of_value_and_status_is_mapped(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    kinds = ua.VariantType
    cases: list[tuple[object, ua.VariantType, int, int]] = [
        (True, kinds.Boolean, 0, GOOD),
        (-5, kinds.Int16, 0, GOOD),
        (2**63 + 5, kinds.UInt64, 0, GOOD),
        (1.5, kinds.Float, 0, GOOD),
        (2.5, kinds.Double, 0x40000000, UNCERTAIN),
        (3.5, kinds.Double, 0x00960000, 0x00960000),
        (3.5, kinds.Double, 0x480, GOOD),
        ("text", kinds.String, 0, BAD_TYPE_MISMATCH),
        ([1.0, 2.0], kinds.Double, 0, BAD_TYPE_MISMATCH),
        (math.nan, kinds.Double, 0, BAD_DECODING_ERROR),
        (math.inf, kinds.Double, 0, BAD_DECODING_ERROR),
        (1e300, kinds.Double, 0, BAD_OUT_OF_RANGE),
        (1e-310, kinds.Double, 0, BAD_OUT_OF_RANGE),
        (4.0, kinds.Double, BAD_SENSOR_FAILURE, BAD_SENSOR_FAILURE),
        (4.0, kinds.Double, 0xC0000000, 0xC0000000),
        (None, kinds.Null, 0, BAD_WAITING_FOR_INITIAL_DATA),
    ]
    names = [f"v{i}" for i in range(len(cases))]

    async def main() -> None:
        clock = ManualClock()
        tags = [tag(name) for name in names]
        async with opcua_plc.serving() as plc:
            for name, (value, kind, status, _) in zip(names, cases, strict=True):
                await plc.add(name, value, kind)
                await plc.show({name: value}, status=status, kind=kind)
            async with linked(plc.port, mode, tags, clock) as (link, _):
                frame = await link.read()
                assert frame.status[0].tolist() == [expected for *_, expected in cases]
                bad = [bool(expected & 0x80000000) for *_, expected in cases]
                assert np.isnan(frame.values[0]).tolist() == bad
                assert frame.values[0, :6].tolist() == [1.0, -5.0, 2.0**63, 1.5, 2.5, 3.5]

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_times_that_say_nothing_are_not_taken(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        server_ns = START_NS - 7 * S
        server_time = EPOCH + timedelta(microseconds=server_ns // 1000)
        stamps = (
            (None, None, START_NS),
            (None, server_time, server_ns),
            (-(2**62), server_time, server_ns),
            (8_000 * 365 * 86_400 * S, None, START_NS),
            (2**63 - 1000, None, START_NS),
        )  # missing; only the server's; 1601; 9999; the last microsecond that 64 bits hold: time would not pass
        async with opcua_plc.serving(["a"]) as plc:
            for source_ns, server, expected_ns in stamps:
                clock = ManualClock()
                await plc.show({"a": 1.0}, source_ns, server_time=server)
                async with linked(plc.port, mode, [tag("a")], clock) as (link, _):
                    assert (await link.read()).source_time_ns.tolist() == [expected_ns]
                    clock.advance_s(1)
                    assert (await link.read()).columns == 1

    run(main)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("whose", "server_ns", "expected_ns"), [
    (Timestamps.SOURCE, START_NS - 7 * S, START_NS - 30 * S),
    (Timestamps.SERVER, START_NS - 7 * S, START_NS - 7 * S),
    (Timestamps.SERVER, None, START_NS),
    (Timestamps.GATEWAY, START_NS - 7 * S, START_NS),
])
def test_values_are_stamped_by_the_clock_that_is_believed(
    opcua_plc: OpcuaPlc, mode: OpcuaMode, whose: Timestamps, server_ns: int | None, expected_ns: int
) -> None:
    async def main() -> None:
        clock = ManualClock()
        server_time = None if server_ns is None else EPOCH + timedelta(microseconds=server_ns // 1000)
        async with opcua_plc.serving(["a"]) as plc:
            await plc.show({"a": 1.0}, START_NS - 30 * S, server_time=server_time)
            async with linked(plc.port, mode, [tag("a")], clock, timestamps=whose) as (link, _):
                assert (await link.read()).source_time_ns.tolist() == [expected_ns]

    run(main)


def test_a_subscription_gives_each_change_once_and_the_present_in_between(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            opcua_plc.serving(["a", "b"]) as plc,
            linked(plc.port, OpcuaMode.SUBSCRIBE, [tag("a"), tag("b")], clock) as (link, proxy),
        ):
            await link.read()
            assert (await link.read()).rows == 0, "nothing new, and no time has passed"
            clock.advance_s(2)
            frame = await until(link, clock, lambda _: True, step_s=0)
            assert frame.source_time_ns.tolist() == [START_NS + 2 * S]
            assert frame.values.tolist() == [[0.0, 0.0]]
            for i in range(1, 6):  # faster than it is read: queued in the server or here, none lost
                await plc.show({"a": float(i)}, START_NS + (2 + i) * S)
            rows: list[tuple[int, float]] = []
            while not rows or rows[-1][1] != 5.0:
                frame = await until(link, clock, lambda _: True, step_s=0)
                rows += zip((frame.source_time_ns - START_NS) // S, frame.values[:, 0], strict=True)
            assert rows == [(2 + i, float(i)) for i in range(1, 6)]
            assert 631 in proxy.codes(), "the namespaces are read"
            assert proxy.codes().count(631) == 1, "and no value is"

    run(main)


def test_an_old_value_with_a_new_time_is_news(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            opcua_plc.serving(["a"]) as plc,
            linked(plc.port, OpcuaMode.SUBSCRIBE, [tag("a")], clock) as (link, _),
        ):
            await link.read()
            await plc.show({"a": 0.0}, START_NS + 9 * S)
            frame = await until(link, clock, lambda _: True, step_s=0)
            assert frame.source_time_ns.tolist() == [START_NS + 9 * S]

    run(main)


def test_the_session_and_the_subscription_are_ended_with_the_link(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc:
            async with linked(plc.port, OpcuaMode.SUBSCRIBE, [tag("a")], clock) as (link, proxy):
                await link.read()
                assert len(plc.server.iserver.subscription_service.subscriptions) == 1
            assert not plc.server.iserver.subscription_service.subscriptions
            assert 473 in proxy.codes(), "CloseSession"

    run(main)


def test_more_values_than_the_buffer_holds_are_counted(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc:
            road = OpcuaConnector(
                endpoint(plc.port, OpcuaMode.SUBSCRIBE, buffer_changes=3, queue_size=100),
                [tag("a")],
                clock,
                LoadGuard(clock, 1000, 0),
            )
            await road.open()
            await road.read()
            for i in range(20):
                await plc.show({"a": float(i)}, START_NS + i * S)
            await eventually(lambda: road.drops >= 16)
            frame = await road.read()
            assert frame.values[-1, 0] == 19.0
            assert frame.rows <= 3
            await road.close()

    run(main)


def test_a_link_tells_of_lost_values_also_after_it_was_closed(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc:
            where = endpoint(plc.port, OpcuaMode.SUBSCRIBE, buffer_changes=3, queue_size=100)
            link = supervise(where, [tag("a")], clock)
            await link.read()
            assert link.health.values_dropped == 0
            for i in range(20):
                await plc.show({"a": float(i)}, START_NS + i * S)
            await eventually(lambda: link.health.values_dropped >= 16)
            await link.close()
            assert link.health.values_dropped >= 16

    run(main)


def test_many_nodes_are_asked_for_in_batches_the_server_can_bear(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        names = [f"n{i}" for i in range(25)]
        async with opcua_plc.serving(names) as plc:
            for mode in MODES:
                async with linked(
                    plc.port, mode, [tag(n) for n in names], clock, max_nodes_per_request=10
                ) as (link, proxy):
                    assert not (await link.read()).status.any()
                    code = 751 if mode is OpcuaMode.SUBSCRIBE else 631
                    assert proxy.codes().count(code) == (3 if mode is OpcuaMode.SUBSCRIBE else 4)

    run(main)


def test_an_impossible_node_is_refused_before_connecting() -> None:
    clock = ManualClock()
    for address in (None, NodeAddress(NAMESPACE, "pump.speed"), NodeAddress(NAMESPACE, "i=x")):
        with pytest.raises(ConnectorError, match="tag 'x'") as caught:
            OpcuaConnector(
                endpoint(1, OpcuaMode.POLL), [tag("a"), Tag("x", "", address)], clock, LoadGuard(clock)
            )
        assert not caught.value.retryable


@pytest.mark.parametrize("mode", MODES)
def test_texts_stand_for_the_numbers_that_were_given_for_them(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["beside"]) as plc:
            await plc.add("state", "STOP", ua.VariantType.String)
            said = replace(tag("state"), texts=(("RUN", 1.0), ("STOP", 0.0)), scale=10.0)
            async with linked(plc.port, mode, [said, tag("beside")], clock) as (link, _):
                frame = await until(link, clock, lambda frame: (frame.status == GOOD).all())
                assert frame.values[-1, 0] == 0.0
                await plc.show({"state": "RUN"}, START_NS + S, kind=ua.VariantType.String)
                await until(link, clock, lambda frame: frame.values[-1, 0] == 10.0, step_s=0.1)
                await plc.show({"state": "BROKEN"}, START_NS + 2 * S, kind=ua.VariantType.String)
                await until(link, clock, lambda frame: frame.status[-1, 0] == BAD_TYPE_MISMATCH, step_s=0.1)

    run(main)
