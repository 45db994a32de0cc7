"""The Modbus PLC, read back over the real wire by pymodbus's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from connectors.frame import Dtype, ModbusAddress, Table, Tag
from simulators.machine import EPOCH_NS
from simulators.modbus import ModbusPlc, encode
from simulators.plant import MACHINES, Plant
from simulators.wire import Symptom

TYPES = AsyncModbusTcpClient.DATATYPE
FLOW = next(tag for tag in MACHINES["pump"].tags if tag.name == "flow")
ROWS = Plant("pump", 1).rows(0, 3)
FLOW_AT = [tag.name for tag in MACHINES["pump"].tags].index("flow")


@asynccontextmanager
async def client_of(plc: ModbusPlc, timeout_s: float = 5.0) -> AsyncIterator[AsyncModbusTcpClient]:
    client = AsyncModbusTcpClient("127.0.0.1", port=plc.port, timeout=timeout_s, retries=0, reconnect_delay=0)
    try:
        assert await client.connect()
        yield client
    finally:
        client.close()
        await asyncio.sleep(0)


def run(scenario: Callable[[ModbusPlc], Awaitable[None]]) -> None:
    """Run a scenario against a pump that shows its first row."""

    async def play() -> None:
        plc = ModbusPlc(MACHINES["pump"].tags)
        try:
            await plc.start()
            await plc.show(ROWS[0], EPOCH_NS)
            await scenario(plc)
        finally:
            await plc.stop()

    asyncio.run(play())


async def read(client: AsyncModbusTcpClient, tag: Tag, unit_id: int = 1) -> ModbusPDU:
    assert isinstance(tag.address, ModbusAddress)
    call = {
        Table.COIL: client.read_coils,
        Table.DISCRETE_INPUT: client.read_discrete_inputs,
        Table.HOLDING_REGISTER: client.read_holding_registers,
        Table.INPUT_REGISTER: client.read_input_registers,
    }[tag.address.table]
    count = 2 if tag.dtype is Dtype.FLOAT32 else 1
    return await call(tag.address.register, count=count, device_id=unit_id)


def decoded(reply: ModbusPDU, tag: Tag) -> float:
    """Decode with the library's converter."""
    assert not reply.isError(), reply
    assert isinstance(tag.address, ModbusAddress)
    if tag.dtype is Dtype.BIT:
        return float(reply.bits[0])
    raw = AsyncModbusTcpClient.convert_from_registers(
        reply.registers, TYPES[tag.dtype.name], "little" if tag.address.order == "CDAB" else "big"
    )
    return float(np.float32(float(raw) * tag.scale + tag.offset))


async def flow(client: AsyncModbusTcpClient) -> float:
    return decoded(await read(client, FLOW), FLOW)


@pytest.mark.parametrize("machine", tuple(MACHINES))
def test_every_tag_reads_back_what_the_plant_shows(machine: str) -> None:
    async def scenario() -> None:
        plant = Plant(machine, 2)
        plc = ModbusPlc(plant.tags)
        await plc.start()
        try:
            async with client_of(plc) as client:
                for second, row in enumerate(plant.rows(1000, 3)):
                    await plc.show(row, EPOCH_NS + second)
                    for tag, value in zip(plant.tags, row, strict=True):
                        assert decoded(await read(client, tag), tag) == pytest.approx(value, rel=1e-6), (
                            tag.name
                        )
        finally:
            await plc.stop()

    asyncio.run(scenario())


def test_a_block_across_gaps_is_readable_and_what_lies_beyond_is_not() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        async with client_of(plc) as client:
            whole = await client.read_input_registers(0, count=32, device_id=1)
            assert not whole.isError()
            assert whole.registers[4:8] == [0, 0, 0, 0], "a gap"
            for reply in (
                await client.read_input_registers(30, count=3, device_id=1),
                await client.read_input_registers(500, count=1, device_id=1),
                await client.read_holding_registers(5, count=1, device_id=1),
                await client.read_discrete_inputs(0, count=1, device_id=1),
            ):
                assert (reply.isError(), reply.exception_code) == (True, 2)

    run(scenario)


def test_another_unit_is_what_a_gateway_cannot_reach() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        async with client_of(plc) as client:
            for reply in (
                await read(client, FLOW, unit_id=2),
                await client.read_coils(0, count=1, device_id=9),
            ):
                assert (reply.isError(), reply.exception_code) == (True, 0x0B)

    run(scenario)


def test_exceptions_and_their_end() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        async with client_of(plc) as client:
            await plc.inject(Symptom.EXCEPTION, 6)
            reply = await read(client, FLOW)
            assert (reply.isError(), reply.exception_code) == (True, 6)
            await plc.show(ROWS[1], EPOCH_NS)
            await plc.inject(None)
            assert await flow(client) == ROWS[1, FLOW_AT]

    run(scenario)


def test_stale_values_stand_still_until_it_ends() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        async with client_of(plc) as client:
            await plc.inject(Symptom.STALE)
            await plc.show(ROWS[1], EPOCH_NS)
            await plc.inject(Symptom.STALE)
            assert await flow(client) == ROWS[0, FLOW_AT] != ROWS[1, FLOW_AT]
            await plc.inject(None)
            assert await flow(client) == ROWS[1, FLOW_AT]

    run(scenario)


def test_swapped_words_and_zeros() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        async with client_of(plc) as client:
            right = (await read(client, FLOW)).registers
            await plc.inject(Symptom.SWAPPED_WORDS)
            assert (await read(client, FLOW)).registers == right[::-1] != right
            await plc.inject(Symptom.ZEROS)
            for tag in plc.tags:
                assert decoded(await read(client, tag), tag) == 0.0

    run(scenario)


def test_replies_of_another_unit() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        await plc.inject(Symptom.WRONG_UNIT)
        reader, writer = await asyncio.open_connection("127.0.0.1", plc.port)
        try:
            writer.write(bytes.fromhex("002a 0000 0006 01 04 0008 0002"))
            reply = await reader.readexactly(13)
            assert reply[:6].hex() == "002a00000007"
            assert reply[6] != 1
            assert reply[7:9].hex() == "0404"
        finally:
            writer.close()
            await writer.wait_closed()

    run(scenario)


def test_a_timeout_answers_nothing_and_nothing_late() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", plc.port)
        try:
            await plc.inject(Symptom.TIMEOUT)
            writer.write(bytes.fromhex("0001 0000 0006 01 04 0008 0002"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)
            await plc.inject(None)
            writer.write(bytes.fromhex("0002 0000 0006 01 04 0008 0002"))
            assert (await reader.readexactly(13))[:2].hex() == "0002", "the first request is lost"
        finally:
            writer.close()
            await writer.wait_closed()

    run(scenario)


def test_a_partition_holds_what_is_sent_and_delivers_it_late() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", plc.port)
        try:
            writer.write(bytes.fromhex("0001 0000 0006 01 04 0008 0002"))
            await reader.readexactly(13)
            await plc.inject(Symptom.PARTITION)
            writer.write(bytes.fromhex("0002 0000 0006 01 04 0008 0002"))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)
            await plc.inject(None)
            assert (await reader.readexactly(13))[:2].hex() == "0002"
        finally:
            writer.close()
            await writer.wait_closed()

    run(scenario)


def test_a_reboot_drops_connections_refuses_new_ones_and_comes_back_on_its_port() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        port = plc.port
        async with client_of(plc, 1.0) as client:
            assert await flow(client) == ROWS[0, FLOW_AT]
            await plc.inject(Symptom.REFUSED)
            with pytest.raises(ModbusException):
                await read(client, FLOW)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await plc.show(ROWS[1], EPOCH_NS)
        await plc.inject(Symptom.ZEROS)
        assert plc.port == port
        async with client_of(plc) as client:
            assert await flow(client) == 0.0
            await plc.inject(None)
            assert await flow(client) == ROWS[1, FLOW_AT]

    run(scenario)


def test_a_taken_port_is_an_oserror_and_stopping_twice_is_none() -> None:
    async def scenario(plc: ModbusPlc) -> None:
        second = ModbusPlc(plc.tags, port=plc.port)
        with pytest.raises(OSError, match="address already in use"):
            await second.start()
        await second.stop()
        await second.stop()

    run(scenario)


NUMBERS = [dtype for dtype in Dtype if dtype.value.rstrip("0123456789") in ("int", "uint", "float")]


@pytest.mark.parametrize("order", ["ABCD", "CDAB", "BADC", "DCBA"])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_the_registers_are_the_standard_s_bytes(dtype: Dtype, order: str) -> None:
    tag = Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 0, order), dtype, scale=0.5, offset=10.0)
    kind = {"float": "f", "uint": "u", "int": "i"}[dtype.value.rstrip("0123456789")]
    size = int(dtype.value.lstrip("abcdefghijklmnopqrstuvwxyz")) // 8
    words = np.array([100.0], f">{kind}{size}").view(">u2")
    if order in ("CDAB", "DCBA"):
        words = words[::-1]
    if order in ("BADC", "DCBA"):
        words = words.byteswap()
    assert encode(60.0, tag) == words.tolist()


@pytest.mark.parametrize(
    ("dtype", "order", "value", "registers"),
    [
        (Dtype.INT8_HIGH, "AB", -2.0, [0xFE00]),
        (Dtype.INT8_LOW, "AB", -2.0, [0x00FE]),
        (Dtype.INT8_LOW, "BA", -2.0, [0xFE00]),
        (Dtype.UINT8_LOW, "ABCD", 300.0, [0x00FF]),
        (Dtype.UINT8_HIGH, "ABCD", 7.0, [0x0700]),
        (Dtype.FLOAT16, "AB", 1.5, [0x3E00]),
        (Dtype.FLOAT16, "BA", 1.5, [0x003E]),
        (Dtype.BCD16, "AB", 1234.0, [0x1234]),
        (Dtype.BCD32, "CDAB", 12_345_678.0, [0x5678, 0x1234]),
        (Dtype.BCD32, "ABCD", 1e12, [0x9999, 0x9999]),
        (Dtype.UINT64, "EFGHABCD", float(0x0001000200030004), [3, 4, 1, 2]),
        (Dtype.UINT64, "CDABGHEF", float(0x0001000200030004), [2, 1, 4, 3]),
    ],
)
def test_registers_of_the_rarer_types(dtype: Dtype, order: str, value: float, registers: list[int]) -> None:
    assert encode(value, Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 0, order), dtype)) == registers


def test_registers_of_bit_fields_and_texts() -> None:
    field = Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 0, "AB", 4, 3), Dtype.BIT)
    assert [encode(value, field) for value in (0.0, 5.0, 9.0)] == [[0], [0x50], [0x70]]
    texts = (("RUN", 1.0), ("STOP", 0.0))
    state = Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 0, "BA", length=3), Dtype.STRING, texts=texts)
    assert encode(1.0, state) == [0x5552, 0x004E, 0]
    assert encode(2.0, state) == [0, 0, 0]


def test_integers_that_do_not_fit_are_clipped_and_nothing_is_zero() -> None:
    tag = replace(FLOW, dtype=Dtype.INT16, scale=0.1)
    assert encode(1e9, tag) == [32767]
    assert encode(-1e9, tag) == [32768]
    assert encode(float("nan"), tag) == [0]
    assert encode(float("nan"), FLOW) == [0x7FC0, 0]
