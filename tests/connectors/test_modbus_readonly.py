"""Nothing but reads reaches a Modbus device, whatever is tried."""

from __future__ import annotations

import pytest
from pymodbus.client import AsyncModbusTcpClient

from connectors.readonly import WriteRefusedError
from tests.connectors.modbus_side import HOLDING, connector, plc_of, tag
from tests.connectors.servers import (
    ManualClock,
    answer,
    modbus_server,
    run,
)
from tests.wire import ModbusRecorder, RecordingProxy, violations


def test_a_planted_write_is_stopped_before_the_socket() -> None:
    async def main() -> None:
        plc = plc_of(4)
        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            road = connector(proxy.port, [tag(HOLDING, 0)], ManualClock())
            await road.open()
            assert road._wire is not None
            client = road._wire.client
            for write in (
                lambda: client.write_register(0, 1, device_id=1),
                lambda: client.write_coils(0, [True], device_id=1),
                lambda: client.mask_write_register(address=0, device_id=1),
                lambda: client.readwrite_registers(read_address=0, read_count=1, values=[5], device_id=1),
                lambda: client.diag_restart_communication(True, device_id=1),
            ):
                with pytest.raises(WriteRefusedError, match="only reads"):
                    await write()
            with pytest.raises(WriteRefusedError):
                client.ctx.transport.write(answer(b"\0\x01\0\0\0\x06\x01", bytes([6, 0, 0, 0, 1])))
            assert (await road.read()).values[0, 0] == 100, "reading goes on"
            client.close()
            await client.connect()
            with pytest.raises(WriteRefusedError):  # also on a connection which the library made by itself
                await client.write_register(0, 1, device_id=1)
            await road.close()
            proxy.assert_read_only()
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
