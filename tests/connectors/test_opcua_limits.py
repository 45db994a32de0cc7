"""Requests that a server can bear: its operation limits, what it refuses, no room for subscriptions, deadbands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.common.utils import ServiceError
from hypothesis import given
from hypothesis import strategies as st

from connectors.frame import BAD_NODE_ID_UNKNOWN, GOOD, PathAddress, Tag
from connectors.link import Link, LoadGuard
from connectors.opcua.browse import inspect
from connectors.opcua.endpoint import OpcuaMode
from connectors.opcua.limits import Limits, Service
from tests.connectors.opcua_side import MODES, S, endpoint, linked, tag, until
from tests.connectors.servers import START_NS, ManualClock, OpcuaPlc, run
from tests.wire import OpcuaRecorder, RecordingProxy

NAMES = [f"limited{i}" for i in range(7)]
TRANSLATE, READ, CREATE_ITEMS = 554, 631, 751


async def say(plc: OpcuaPlc, service: Service, number: int) -> None:
    node = getattr(ua.ObjectIds, f"Server_ServerCapabilities_OperationLimits_{service.value}")
    await plc.call(plc.server.get_node(ua.NodeId(node)).write_value(ua.Variant(number, ua.VariantType.UInt32)))


@asynccontextmanager
async def says(plc: OpcuaPlc, service: Service, number: int) -> AsyncIterator[None]:
    await say(plc, service, number)
    try:
        yield
    finally:
        await say(plc, service, 10_000)


@pytest.mark.parametrize("mode", MODES)
def test_requests_stay_within_what_the_server_says(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        service = Service.READ if mode is OpcuaMode.POLL else Service.MONITOR
        async with (
            opcua_plc.serving(NAMES) as plc,
            says(plc, service, 3),
            linked(plc.port, mode, [tag(name) for name in NAMES], clock) as (link, proxy),
        ):
            frame = await until(link, clock, lambda frame: (frame.status == GOOD).all())
            assert frame.columns == 7
            if mode is OpcuaMode.SUBSCRIBE:
                assert proxy.codes().count(CREATE_ITEMS) == 3
            else:
                before = proxy.codes().count(READ)
                await link.read()
                assert proxy.codes().count(READ) - before == 3
            assert not [note for note in link.health.notes if "refuses more" in note]

    run(main)


def test_inspection_finds_browse_paths_within_what_the_server_says(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            opcua_plc.serving(NAMES) as plc,
            says(plc, Service.TRANSLATE, 3),
            RecordingProxy(OpcuaRecorder, plc.port) as proxy,
        ):
            paths = [PathAddress(f"Objects/{name}") for name in NAMES]
            found = await inspect(endpoint(proxy.port, OpcuaMode.POLL), paths, clock, LoadGuard(clock, 1e9, 0.0))
            assert found.kinds == ("Double",) * 7
            assert proxy.codes().count(TRANSLATE) == 3

    run(main)


def test_a_request_that_is_refused_as_too_large_is_halved_and_that_is_remembered(opcua_plc: OpcuaPlc) -> None:
    refused = 0

    async def too_many(event: object, _: object) -> None:
        nonlocal refused
        wanted = event.request_params.NodesToRead  # type: ignore[attr-defined]
        if event.is_external and len(wanted) > 2 and wanted[0].NodeId.NamespaceIndex:  # type: ignore[attr-defined]
            refused += 1
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(NAMES) as plc:
            plc.server.subscribe_server_callback(CallbackType.PreRead, too_many)
            try:
                async with linked(plc.port, OpcuaMode.POLL, [tag(name) for name in NAMES], clock) as (link, proxy):
                    assert (await link.read()).status.tolist() == [[GOOD] * 7]
                    assert refused == 2, "7, then 3, were too many"
                    assert any("refuses more than about 1 nodes" in note for note in link.health.notes)
                    proxy.hang_up()
                    await until(link, clock, lambda frame: (frame.status == GOOD).all())
                    assert link.health.attempts == 2
                    assert refused == 2, "known from before"
            finally:
                plc.server.unsubscribe_server_callback(CallbackType.PreRead, too_many)

    run(main)


def polled(link: Link) -> list[str]:
    return [note for note in link.health.notes if "polling" in note]


def test_a_server_without_room_for_a_subscription_is_asked_for_values_and_followed_once_it_has(
    opcua_plc: OpcuaPlc,
) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(NAMES[:2]) as plc:
            plc.server.iserver.max_subscriptions = 0
            try:
                tags = [tag(name) for name in NAMES[:2]]
                async with linked(plc.port, OpcuaMode.SUBSCRIBE, tags, clock) as (link, proxy):
                    await plc.show({NAMES[0]: 2.5}, START_NS + S)
                    frame = await until(link, clock, lambda frame: (frame.status == GOOD).all())
                    assert frame.values[-1].tolist() == [2.5, 0.0]
                    assert CREATE_ITEMS not in proxy.codes()
                    (note,) = polled(link)
                    assert note.startswith("2 of 2 tags are read by polling")
                    assert "BadTooManySubscriptions" in note
                    plc.server.iserver.max_subscriptions = 1000
                    while polled(link):
                        clock.advance_s(20)  # in steps that do not look like silence
                        await link.read()
                    reads = proxy.codes().count(READ)
                    await plc.show({NAMES[0]: 7.5}, START_NS + 9 * S)
                    await until(link, clock, lambda frame: frame.values[-1, 0] == 7.5, step_s=0.001)
                    assert proxy.codes().count(READ) == reads, "changes come unasked"
                    assert link.health.attempts == 1
            finally:
                plc.server.iserver.max_subscriptions = 1000

    run(main)


def test_a_node_that_goes_while_it_is_read_by_polling_costs_no_connection(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(NAMES[:2]) as plc:
            plc.server.iserver.max_subscriptions = 0
            try:
                tags = [Tag(name, "", PathAddress(f"Objects/{name}"), period_ms=50) for name in NAMES[:2]]
                async with linked(plc.port, OpcuaMode.SUBSCRIBE, tags, clock) as (link, _):
                    await until(link, clock, lambda frame: (frame.status == GOOD).all())
                    node = plc.node(NAMES[0])
                    await plc.call(plc.server.nodes.objects.delete_reference(node, ua.ObjectIds.HasComponent))
                    gone = ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(BAD_NODE_ID_UNKNOWN)))
                    await plc.call(plc.server.write_attribute_value(node, gone))
                    frame = await until(link, clock, lambda frame: frame.status[-1, 0] == BAD_NODE_ID_UNKNOWN)
                    for _ in range(10):
                        clock.advance_s(2)
                        before, frame = frame, await link.read()
                        assert frame.status[-1, 1] == GOOD
                        assert frame.source_time_ns[-1] > before.source_time_ns[-1], "a value that stands still is read"
                    assert frame.status[-1, 0] == BAD_NODE_ID_UNKNOWN
                    assert link.health.attempts == 1
            finally:
                plc.server.iserver.max_subscriptions = 1000

    run(main)


def test_a_change_within_the_deadband_is_not_reported(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(NAMES[:2]) as plc:
            wide = replace(tag(NAMES[0]), scale=0.1, deadband=0.5)  # 5 of the server's numbers
            async with linked(plc.port, OpcuaMode.SUBSCRIBE, [wide, tag(NAMES[1])], clock) as (link, _):
                await until(link, clock, lambda frame: (frame.status == GOOD).all())
                for i, (value, shown) in enumerate([(3.0, 0.0), (20.0, 2.0), (22.0, 2.0)], 1):
                    await plc.show({NAMES[0]: value, NAMES[1]: float(i)}, START_NS + i * S)
                    frame = await until(link, clock, lambda frame, i=i: frame.values[-1, 1] == i, step_s=0.01)
                    assert frame.values[-1, 0] == pytest.approx(shown)

    run(main)


def test_a_server_that_knows_no_percent_deadband_reports_every_change(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(NAMES[:1]) as plc:
            tags = [replace(tag(NAMES[0]), deadband_percent=10.0)]
            async with linked(plc.port, OpcuaMode.SUBSCRIBE, tags, clock) as (link, _):
                await plc.show({NAMES[0]: 0.25}, START_NS + S)
                frame = await until(link, clock, lambda frame: frame.values[-1, 0] == 0.25, step_s=0.01)
                assert frame.status.tolist()[-1] == [GOOD]

    run(main)


@given(st.integers(1, 500), st.integers(0, 600), st.lists(st.integers(1, 500), max_size=12))
def test_limits_only_shrink_and_never_below_one(most: int, said: int, refusals: list[int]) -> None:
    limits, before = Limits(most), most
    limits.say({Service.READ: said})
    for operations in refusals:
        asked = min(operations, limits.of(Service.READ))
        less = limits.refused(Service.READ, asked)
        assert less == (asked > 1)
        now = limits.of(Service.READ)
        assert 1 <= now <= before
        assert not less or now <= asked // 2
        before = now
    assert limits.of(Service.MONITOR) == most
