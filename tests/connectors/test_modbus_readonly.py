"""Nothing but reads reaches a Modbus device, whatever is tried."""

from __future__ import annotations

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerAscii, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from connectors.modbus.endpoint import Framing
from connectors.readonly import WriteRefusedError
from tests.connectors.modbus_side import HOLDING, WIRES, connector, plc_of, tag
from tests.connectors.servers import (
    ManualClock,
    modbus_server,
    run,
)
from tests.wire import ModbusRecorder, RecordingProxy, violations

WRITES = {
    "write single coil": bytes([5, 0, 0, 0xFF, 0]),
    "write single register": bytes([6, 0, 0, 0, 1]),
    "restart communications": bytes([8, 0, 1, 0xFF, 0]),
    "write multiple coils": bytes([15, 0, 0, 0, 1, 1, 1]),
    "write multiple registers": bytes([16, 0, 0, 0, 1, 2, 0, 5]),
    "mask write register": bytes([22, 0, 0, 0xFF, 0xFF, 0, 0]),
    "read and write registers": bytes([23, 0, 0, 0, 1, 0, 0, 0, 1, 2, 0, 5]),
    "a read that is too long": bytes([3, 0, 0, 0, 1, 0]),
}
FRAMERS = {Framing.TCP: FramerSocket, Framing.RTU: FramerRTU, Framing.ASCII: FramerAscii}


@pytest.mark.parametrize("framing", WIRES)
def test_a_planted_write_is_stopped_before_the_socket(framing: Framing) -> None:
    async def main() -> None:
        plc = plc_of(4)
        framer, recorder = WIRES[framing]
        async with modbus_server({1: plc}, framer=framer) as port, RecordingProxy(recorder, port) as proxy:
            road = connector(proxy.port, [tag(HOLDING, 0)], ManualClock(), framing=framing)
            encode = FRAMERS[framing](DecodePDU(True)).encode
            read = encode(bytes([3, 0, 0, 0, 1]), 1, 1)
            for _ in range(2):  # also on the next connection
                await road.open()
                assert road._wire is not None
                transport = road._wire._conversation._transport
                assert transport is not None
                for pdu in WRITES.values():
                    with pytest.raises(WriteRefusedError, match="only reads"):
                        transport.write(encode(pdu, 1, 1))
                    with pytest.raises(WriteRefusedError, match="only reads"):
                        transport.writelines([read, encode(pdu, 1, 1)])
                assert (await road.read()).values[0, 0] == 100, "reading goes on"
            await road.close()
            proxy.assert_read_only()
            assert set(proxy.codes()) == {3}
            assert plc.words[HOLDING][0] == 100

    run(main)


def test_a_write_that_got_through_would_be_seen_by_the_proxy() -> None:
    async def main() -> None:
        plc = plc_of(4)
        async with (
            modbus_server({1: plc}) as port,
            RecordingProxy(ModbusRecorder, port, expects_writes=True) as proxy,
        ):
            unfiltered = AsyncModbusTcpClient("127.0.0.1", port=proxy.port)
            await unfiltered.connect()
            await unfiltered.read_holding_registers(0, count=1, device_id=1)
            proxy.assert_read_only()
            await unfiltered.write_register(0, 1, device_id=1)
            unfiltered.close()
            with pytest.raises(AssertionError, match="no reads"):
                proxy.assert_read_only()
            assert proxy.writes[0].code == 6
            assert not violations([proxy])
            proxy.expects_writes = False
            assert violations([proxy])
            proxy.expects_writes = True

    run(main)
