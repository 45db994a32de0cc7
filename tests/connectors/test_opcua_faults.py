"""OPC UA when things go wrong: hostile servers, partitions, restarts, nobody there."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable

import pytest

from connectors.frame import (
    BAD_NO_COMMUNICATION,
)
from connectors.link import LinkState
from connectors.opcua.connector import supervise
from connectors.opcua.endpoint import OpcuaMode
from tests.connectors.opcua_side import MODES, S, endpoint, linked, tag, until
from tests.connectors.servers import START_NS, ManualClock, OpcuaPlc, run


def test_a_namespace_that_has_moved_is_found_at_the_next_connect(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        other = OpcuaPlc(spare_namespaces=5)
        try:
            assert other.index != opcua_plc.index
            async with (
                opcua_plc.serving(["a"]) as plc,
                other.serving(["a"]) as moved,
                linked(plc.port, OpcuaMode.POLL, [tag("a")], clock) as (link, proxy),
            ):
                await moved.show({"a": 2.0}, START_NS + S)
                assert (await link.read()).values.tolist() == [[0.0]]
                proxy.target_port = moved.port
                proxy.hang_up()
                assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
                frame = await until(link, clock, lambda f: not f.status.any())
                assert frame.values.tolist() == [[2.0]]
        finally:
            other.stop()

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_partition_is_noticed_and_mended_by_a_new_session(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        patience = {"timeout_ms": 1000, "keepalive_count": 2}
        async with (
            opcua_plc.serving(["a", "b"]) as plc,
            linked(plc.port, mode, [tag("a"), tag("b")], clock, **patience) as (link, proxy),
        ):
            assert not (await link.read()).status.any()
            proxy.partition()
            await until(link, clock, lambda f: bool(f.status.all()))
            assert link.health.state is LinkState.BACKING_OFF
            assert "no answer" in link.health.error
            await plc.show({"a": 6.0, "b": 7.0}, START_NS + 100 * S)
            assert (await link.read()).status.all(), "the old value is never shown as the present one"
            proxy.heal()
            frame = await until(link, clock, lambda f: not f.status.any())
            assert frame.values[-1].tolist() == [6.0, 7.0]
            assert proxy.connections >= 2

    run(main)


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_hangs_up_and_refuses_is_found_again(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with (
            opcua_plc.serving(["a"]) as plc,
            linked(plc.port, mode, [tag("a")], clock) as (link, proxy),
        ):
            assert not (await link.read()).status.any()
            await proxy.refuse()
            proxy.hang_up()
            await until(link, clock, lambda f: bool(f.status.all()))
            first = link.health.attempts
            while link.health.attempts == first:
                clock.advance_s(1)
                assert (await link.read()).status.all()
            assert "127.0.0.1" in link.health.error
            await proxy.accept()
            await until(link, clock, lambda f: not f.status.any())
            assert proxy.connections_at_once_max == 1

    run(main)


ACKNOWLEDGE = b"ACKF" + struct.pack("<I", 28) + struct.pack("<IIIII", 0, 65535, 65535, 0, 0)


async def _keep_quiet(_: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(random.Random(4096).randbytes(4096))


async def _drip(writer: asyncio.StreamWriter) -> None:
    for octet in ACKNOWLEDGE:
        writer.write(bytes([octet]))
        await asyncio.sleep(0.2)


async def _nothing_long(writer: asyncio.StreamWriter) -> None:
    writer.write(b"ACKF" + struct.pack("<I", 0))


async def _two_gigabytes(writer: asyncio.StreamWriter) -> None:
    writer.write(b"ACKF" + struct.pack("<I", 0x7FFFFFFF) + bytes(2**20))


async def _endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(ACKNOWLEDGE)
    for i in range(2000):
        body = struct.pack("<IIII", 1, 1, i + 1, 1) + bytes(65_000)
        writer.write(b"MSGC" + struct.pack("<I", len(body) + 8) + body)
        await writer.drain()


@pytest.mark.parametrize(
    "behaviour", [_keep_quiet, _garbage, _drip, _nothing_long, _two_gigabytes, _endless_chunks]
)
def test_a_hostile_server_costs_no_more_than_the_time_out(
    behaviour: Callable[[asyncio.StreamWriter], object],
) -> None:
    async def main() -> None:
        tasks: set[asyncio.Task[object]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tasks.add(asyncio.current_task())  # type: ignore[arg-type]
            try:
                await reader.read(300)
                await behaviour(writer)  # type: ignore[misc]
                await asyncio.sleep(30)
            except (OSError, asyncio.CancelledError):
                pass
            finally:
                writer.transport.abort()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        link = supervise(endpoint(port, OpcuaMode.POLL, timeout_ms=200), [tag("a")], ManualClock())
        async with asyncio.timeout(10):
            assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
        assert f"127.0.0.1:{port}" in link.health.error
        await link.close()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main)


def test_nobody_listening_is_said_with_the_address() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        link = supervise(endpoint(port, OpcuaMode.SUBSCRIBE), [tag("a")], ManualClock())
        assert (await link.read()).status.tolist() == [[BAD_NO_COMMUNICATION]]
        assert f"opc.tcp://127.0.0.1:{port}" in link.health.error
        await link.close()

    run(main)
