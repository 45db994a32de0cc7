"""Nothing but reads reaches an OPC UA server, whatever is tried."""

from __future__ import annotations

import struct

import pytest
from asyncua import Client, ua
from asyncua.crypto import security_policies

from connectors.link import LoadGuard
from connectors.opcua.channel import _ReadOnlyConnection
from connectors.opcua.connector import OpcuaConnector
from connectors.opcua.endpoint import OpcuaMode
from connectors.readonly import WriteRefusedError
from tests.connectors.opcua_side import endpoint, tag
from tests.connectors.servers import ManualClock, OpcuaPlc, run
from tests.wire import OpcuaRecorder, RecordingProxy


def test_a_planted_write_is_stopped_before_the_socket(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        clock = ManualClock()
        async with opcua_plc.serving(["a"]) as plc, RecordingProxy(OpcuaRecorder, plc.port) as proxy:
            await plc.call(plc.server.get_node(plc.node("a")).set_writable())
            road = OpcuaConnector(
                endpoint(proxy.port, OpcuaMode.POLL), [tag("a")], clock, LoadGuard(clock, 1000, 0)
            )
            await road.open()
            assert road._wire is not None
            client = road._wire.client
            node = client.get_node(plc.node("a"))
            for write in (
                lambda: node.write_value(9.0),
                lambda: client.write_values([node], [9.0]),
                lambda: client.nodes.objects.call_method(ua.NodeId(1, 1)),
                lambda: client.uaclient.delete_nodes(ua.DeleteNodesParameters()),
                lambda: client.register_nodes([node]),
            ):
                with pytest.raises(WriteRefusedError, match="only reads"):
                    await write()
            protocol = client.uaclient.protocol
            assert protocol is not None
            assert protocol.transport is not None
            write_request = b"MSGF" + struct.pack("<IIIII", 30, 1, 13, 9, 9) + b"\x01\x00\xa1\x02"
            hello = b"HELF" + struct.pack("<I", 8)
            for planted in (write_request, hello + write_request, hello):
                with pytest.raises(WriteRefusedError, match="went round"):
                    protocol.transport.write(planted)
            assert (await road.read()).values.tolist() == [[0.0]], "reading goes on"
            await road.close()
            proxy.assert_read_only()

    run(main)


def test_one_hello_begins_a_connection_and_carries_nothing_else() -> None:
    hello = b"HELF" + struct.pack("<I", 12) + bytes(4)
    connection = _ReadOnlyConnection(security_policies.SecurityPolicyNone())
    for longer in (hello + b"MSGF", hello[:-1], b"HELF"):
        with pytest.raises(WriteRefusedError, match="went round"):
            connection.check_sent(longer)
    connection.check_sent(hello)
    with pytest.raises(WriteRefusedError, match="went round"):
        connection.check_sent(hello)


def test_a_write_that_got_through_would_be_seen_by_the_proxy(opcua_plc: OpcuaPlc) -> None:
    async def main() -> None:
        async with (
            opcua_plc.serving(["a"]) as plc,
            RecordingProxy(OpcuaRecorder, plc.port, expects_writes=True) as proxy,
        ):
            await plc.call(plc.server.get_node(plc.node("a")).set_writable())
            async with Client(f"opc.tcp://127.0.0.1:{proxy.port}") as unfiltered:
                node = unfiltered.get_node(plc.node("a"))
                await node.read_value()
                proxy.assert_read_only()
                await node.write_value(9.0)
                assert await node.read_value() == 9.0
            with pytest.raises(AssertionError, match="no reads"):
                proxy.assert_read_only()
            assert [request.code for request in proxy.writes] == [673]

    run(main)
