"""Servers that are not what they were: namespaces and nodes that move, clocks that differ, redundant servers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.uaerrors import UaStatusCodeError
from hypothesis import given
from hypothesis import strategies as st

from connectors import ConnectorError
from connectors.frame import BAD_NODE_ID_UNKNOWN, GOOD, PathAddress, Tag
from connectors.link import Link, LoadGuard
from connectors.opcua.channel import faults
from connectors.opcua.connector import OpcuaConnector
from connectors.opcua.endpoint import OpcuaMode, Timestamps
from connectors.opcua.paths import steps
from tests.connectors.opcua_side import MODES, endpoint, linked, tag, until
from tests.connectors.servers import NAMESPACE, ManualClock, OpcuaPlc, run
from tests.wire import OpcuaRecorder, RecordingProxy

START_TIME = ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime)
BUILD_NUMBER = ua.NodeId(ua.ObjectIds.Server_ServerStatus_BuildInfo_BuildNumber)
SERVICE_LEVEL = ua.NodeId(ua.ObjectIds.Server_ServiceLevel)


@pytest.fixture(scope="module")
def other_plc() -> Iterator[OpcuaPlc]:
    plc = OpcuaPlc(spare_namespaces=5)
    yield plc
    plc.stop()


def by_path(name: str, path: str) -> Tag:
    return Tag(name, "", PathAddress(path), period_ms=50)


async def level(plc: OpcuaPlc, value: int) -> None:
    await plc.call(plc.server.get_node(SERVICE_LEVEL).write_value(ua.Variant(value, ua.VariantType.Byte)))


@given(st.lists(st.tuples(st.sampled_from(["", "urn:a", "http://b.example/UA/"]), st.text(min_size=1)), min_size=1))
def test_a_path_is_read_as_it_was_written(names: list[tuple[str, str]]) -> None:
    written = [(f"nsu={uri};" if uri else "nsu=urn:0;") + name.replace("&", "&&").replace("/", "&/")
               for uri, name in names]
    assert steps("/".join(["Objects", *written])) == [("", "Objects"), *((uri or "urn:0", name) for uri, name in names)]


@pytest.mark.parametrize("path", ["", "Objects", "Objects/", "/Objects/a", "Machine/Speed", "Objects//a", "Objects/a/",
                                  "Objects/a&"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"write|leads"):
        steps(path)


@pytest.mark.parametrize("mode", MODES)
def test_nodes_are_found_by_their_browse_path_and_found_again_under_another_id(
    opcua_plc: OpcuaPlc, mode: OpcuaMode
) -> None:
    """A download gives a variable another node id under the same name."""

    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["b"]) as plc:
            objects = plc.server.nodes.objects
            name = ua.QualifiedName("Line 1/Press", plc.index)
            machine = await plc.call(objects.add_object(ua.NodeId("m", plc.index), name))
            speed = await plc.call(machine.add_variable(
                ua.NodeId("before", plc.index), ua.QualifiedName("Speed", plc.index), 7.0))
            root = f"Objects/nsu={NAMESPACE};Line 1&/Press"
            tags = [by_path("speed", f"{root}/nsu={NAMESPACE};Speed"), tag("b"),
                    by_path("none", f"{root}/nsu={NAMESPACE};None"), by_path("strange", "Objects/nsu=urn:x;y")]
            async with linked(plc.port, mode, tags, clock) as (link, proxy):
                frame = await link.read()
                assert frame.status[-1].tolist() == [GOOD, GOOD, BAD_NODE_ID_UNKNOWN, BAD_NODE_ID_UNKNOWN]
                assert frame.values[-1, 0] == 7.0
                # What servers report of a node that is gone; asyncua's own forgets to tell a subscription.
                gone = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNodeIdUnknown))
                await plc.call(plc.server.write_attribute_value(speed.nodeid, gone))
                await plc.call(machine.delete_reference(speed.nodeid, ua.ObjectIds.HasComponent))
                frame = await until(link, clock, lambda f: f.status[-1, 0] == BAD_NODE_ID_UNKNOWN)
                assert frame.status[-1, 1] == GOOD
                after = ua.NodeId("after", plc.index)
                await plc.call(machine.add_variable(after, ua.QualifiedName("Speed", plc.index), 8.0))
                frame = await until(link, clock, lambda f: f.status[-1, 0] == GOOD)
                assert frame.values[-1, 0] == 8.0
                assert proxy.connections == 1, "the session goes on"
            await plc.call(plc.server.delete_nodes([machine, speed, plc.server.get_node(after)]))

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_restart_is_noticed_in_a_session_that_lives_on(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        tags = [tag("a"), tag("b")]
        async with opcua_plc.serving(["a"]) as plc, linked(plc.port, mode, tags, clock) as (link, proxy):
            await link.read()
            assert link.health.attempts == 1
            started = datetime(2023, 1, 1 + MODES.index(mode), tzinfo=UTC)
            await plc.call(plc.server.get_node(START_TIME).write_value(started))
            clock.advance_s(11)
            frame = await link.read()
            assert frame.status[-1, 0] == GOOD, "no row is lost to it"
            assert link.health.attempts == 2
            assert len(plc.server.iserver.subscription_service.subscriptions) <= 1, "the old one was ended"
            (report,) = [one for one in link.health.notes if "has restarted" in one]
            assert f"OPC UA server opc.tcp://127.0.0.1:{proxy.port} has restarted at 2023-11-14 22:13 UTC" in report
            assert "1 tags found again, 1 not: b. Remedy" in report
            assert link.health.about.changes == (), "b was not there before, and a restart changes no program"

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_another_firmware_is_a_change_and_is_told_with_both_versions(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, linked(plc.port, mode, [tag("a")], clock) as (link, _):
            number = plc.server.get_node(BUILD_NUMBER)
            before = await plc.call(number.read_value())
            await link.read()
            assert link.health.about.changes == ()
            try:
                await plc.call(number.write_value(f"{before}9"))
                clock.advance_s(11)
                frame = await link.read()
                assert frame.status[-1, 0] == GOOD, "no row is lost to it"
                (change,) = link.health.about.changes
                assert "the firmware of OPC UA server" in change
                assert f"build {before}9 now) at 2023-11-14 22:13 UTC: 1 tags found again" in change
            finally:
                await plc.call(number.write_value(before))

    run(main)


def test_a_namespace_table_that_moved_is_reported(opcua_plc: OpcuaPlc, other_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            opcua_plc.serving(["a"]) as plc,
            other_plc.serving(["a"]) as moved,
            linked(plc.port, OpcuaMode.POLL, [tag("a")], clock) as (link, proxy),
        ):
            await link.read()
            assert not [one for one in link.health.notes if "namespace" in one]
            proxy.target_port = moved.port
            proxy.hang_up()
            await until(link, clock, lambda f: not f.status.any())
            assert [one for one in link.health.notes if "namespace table" in one and "1 tags found" in one]
            (change,) = link.health.about.changes
            assert "namespace table" in change

    run(main)


@pytest.mark.parametrize(("ahead_s", "whose", "said"), [
    (0, Timestamps.SOURCE, ""), (60, Timestamps.SOURCE, "behind the gateway's"),
    (-60, Timestamps.SERVER, "ahead of the gateway's"), (60, Timestamps.GATEWAY, "")])
def test_a_clock_that_differs_is_measured_and_told_where_it_matters(
    opcua_plc: OpcuaPlc, ahead_s: int, whose: Timestamps, said: str
) -> None:
    async def main() -> None:
        clock = ManualClock(time.time_ns() + ahead_s * 1_000_000_000)
        async with opcua_plc.serving(["a"]) as plc, linked(
            plc.port, OpcuaMode.POLL, [tag("a")], clock, timestamps=whose) as (link, _):
            await link.read()
            about = link.health.about
            assert about.clock_skew_ms == pytest.approx(-1000 * ahead_s, abs=4500)
            assert bool(said) == bool(link.health.notes)
            assert all(said in note and "NTP" in note for note in link.health.notes)

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_the_healthier_of_two_servers_is_used_and_left_when_it_is_not(
    opcua_plc: OpcuaPlc, other_plc: OpcuaPlc, mode: OpcuaMode
) -> None:
    async def main() -> None:
        clock = ManualClock()

        def used(link: Link) -> int:
            return int(link.health.about.device.rpartition(":")[2])

        async with (
            opcua_plc.serving(["a"]) as first,
            other_plc.serving(["a"]) as second,
            RecordingProxy(OpcuaRecorder, second.port) as backup,
            linked(first.port, mode, [tag("a")], clock,
                   backup_url=f"opc.tcp://127.0.0.1:{backup.port}") as (link, primary),
        ):
            try:
                await second.show({"a": 2.0})
                assert (await link.read()).values.tolist() == [[0.0]]
                assert used(link) == primary.port, "of equals the preferred one"
                await level(first, 150)
                clock.advance_s(11)
                frame = await link.read()
                assert frame.values[-1].tolist() == [2.0], "and no row is lost to it"
                assert used(link) == backup.port
                assert len(first.server.iserver.subscription_service.subscriptions) == 0
                await level(first, 255)
                for _ in range(29):
                    clock.advance_s(20)
                    await until(link, clock, lambda f: f.rows > 0, step_s=0)
                    assert used(link) == backup.port, f"not at once: {link.health.error}"
                clock.advance_s(20)
                await until(link, clock, lambda f: f.values[-1, 0] == 0.0)
                assert used(link) == primary.port
                await primary.refuse()
                primary.hang_up()
                await until(link, clock, lambda f: f.values[-1, 0] == 2.0)
                assert used(link) == backup.port
                backup.assert_read_only()
            finally:
                await level(first, 255)

    run(main)


def test_both_servers_down_are_both_named() -> None:
    async def main() -> None:
        clock = ManualClock()
        where = endpoint(1, OpcuaMode.POLL, backup_url="opc.tcp://127.0.0.1:2")
        road = OpcuaConnector(where, [tag("a")], clock, LoadGuard(clock, 1000, 0))
        with pytest.raises(ConnectorError, match=r"127\.0\.0\.1:1: .*127\.0\.0\.1:2: "):
            await road.open()

    run(main)


def test_a_session_outlives_two_reads_of_the_slowest_tag(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        slow = Tag("a", "", tag("a").address, period_ms=200_000)
        async with opcua_plc.serving(["a"]) as plc:
            road = OpcuaConnector(endpoint(plc.port, OpcuaMode.POLL), [slow], clock, LoadGuard(clock, 1000, 0))
            await road.open()
            assert road._wire is not None
            assert road._wire.client.session_timeout > 2 * 200_000
            await road.close()

    run(main)


def test_a_server_without_a_free_session_is_told_with_the_remedy() -> None:
    with (
        pytest.raises(ConnectorError, match="no session free: close another client") as caught,
        faults("connect to", endpoint(1, OpcuaMode.POLL)),
    ):
        raise UaStatusCodeError(ua.StatusCodes.BadTooManySessions)
    assert caught.value.retryable
