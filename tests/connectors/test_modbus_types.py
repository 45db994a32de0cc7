"""Every type in every order over the real wire: the simulators' PLC encodes, our connector decodes."""

from __future__ import annotations

import numpy as np
import pytest

from connectors.frame import BAD_SENSOR_FAILURE, BAD_TYPE_MISMATCH, GOOD, Dtype, ModbusAddress, Table, Tag
from connectors.link import LoadGuard
from connectors.modbus.connector import ModbusConnector
from connectors.modbus.endpoint import ModbusEndpoint
from connectors.modbus.orders import names, registers_of
from simulators.modbus import ModbusPlc
from tests.connectors.servers import ManualClock, run

TEXTS = (("RUN", 1.0), ("STOP", 0.0))
VALUES = {
    Dtype.INT8_HIGH: -7.0, Dtype.INT8_LOW: 100.0, Dtype.UINT8_HIGH: 200.0, Dtype.UINT8_LOW: 3.0, Dtype.INT16: -1234.0,
    Dtype.UINT16: 54_321.0, Dtype.INT32: -7_654_321.0, Dtype.UINT32: 3_000_000_000.0, Dtype.INT64: -2.0**45,
    Dtype.UINT64: 2.0**60, Dtype.FLOAT16: 0.5, Dtype.FLOAT32: 21.7, Dtype.FLOAT64: -1.3e7, Dtype.BCD16: 9876.0,
    Dtype.BCD32: 12_345_678.0, Dtype.STRING: 1.0,
}


def every_tag(table: Table) -> list[Tag]:
    tags: list[Tag] = []
    register = 3
    for dtype in VALUES:
        for order in names(dtype):
            address = ModbusAddress(1, table, register, order, length=4 if dtype is Dtype.STRING else 0)
            texts = TEXTS if dtype is Dtype.STRING else ()
            tags.append(Tag(f"{dtype}_{order}", "1", address, dtype, texts=texts))
            register += registers_of(tags[-1]) + (1 if len(tags) % 3 == 0 else 0)
    return tags


async def read(tags: list[Tag], rows: list[list[float]]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Show rows one after another; return the values and the status that the connector reads of each."""
    plc, clock = ModbusPlc(tags), ManualClock()
    await plc.start()
    endpoint = ModbusEndpoint("127.0.0.1", plc.port, max_requests_per_s=1e9, min_gap_ms=0.0)
    connector = ModbusConnector(endpoint, tags, clock, LoadGuard(clock, 1e9, 0.0))
    values, status = [], []
    try:
        await connector.open()
        for row in rows:
            await plc.show(np.array(row, np.float32), 0)
            frame = await connector.read()
            values.append(frame.values[0])
            status.append(frame.status[0])
    finally:
        await connector.close()
        await plc.stop()
    return values, status


@pytest.mark.parametrize("table", [Table.HOLDING_REGISTER, Table.INPUT_REGISTER])
def test_every_type_in_every_order(table: Table) -> None:
    async def main() -> None:
        tags = every_tag(table)
        sent = [VALUES[tag.dtype] for tag in tags]
        (values,), (status,) = await read(tags, [sent])
        assert not status.any()
        np.testing.assert_array_equal(values, np.array(sent, np.float32))

    run(main)


def test_parts_of_one_register_and_the_bits_of_both_tables() -> None:
    word = Table.HOLDING_REGISTER
    tags = [
        Tag("mode", "1", ModbusAddress(1, word, 0, "AB", 0, 3), Dtype.BIT),
        Tag("run", "1", ModbusAddress(1, word, 0, "AB", 3), Dtype.BIT),
        Tag("step", "1", ModbusAddress(1, word, 0), Dtype.UINT8_HIGH),
        Tag("pump", "1", ModbusAddress(1, Table.COIL, 9), Dtype.BIT),
        Tag("door", "1", ModbusAddress(1, Table.DISCRETE_INPUT, 20), Dtype.BIT),
    ]
    rows = [[5.0, 1.0, 200.0, 0.0, 1.0], [2.0, 0.0, 7.0, 1.0, 0.0]]

    async def main() -> None:
        values, status = await read(tags, rows)
        assert [row.tolist() for row in values] == rows
        assert not np.concatenate(status).any()

    run(main)


def test_no_value_and_no_known_text_are_statuses() -> None:
    tags = [
        Tag("level", "m", ModbusAddress(1, Table.HOLDING_REGISTER, 0), Dtype.INT16, invalid=(0x8000,)),
        Tag("state", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 1, length=2), Dtype.STRING, texts=TEXTS),
    ]

    async def main() -> None:
        _, status = await read(tags, [[5.0, 1.0], [-32_768.0, 3.0]])
        assert [row.tolist() for row in status] == [[GOOD, GOOD], [BAD_SENSOR_FAILURE, BAD_TYPE_MISMATCH]]

    run(main)
