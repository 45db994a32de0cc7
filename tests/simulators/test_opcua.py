"""The OPC UA PLC, read back over the real wire by asyncua's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua import Client, ua

from connectors.frame import BAD_NO_DATA, BAD_OUT_OF_SERVICE, Dtype, NodeAddress, Tag
from simulators.machine import EPOCH_NS, NAMESPACE_URI
from simulators.opcua import OpcuaPlc
from simulators.plant import Plant
from simulators.wire import Symptom

PLANT = Plant("pump", 1)
ROWS = PLANT.rows(0, 3)
FLOW = next(tag for tag in PLANT.opcua_tags if tag.name == "flow")
FLOW_AT = PLANT.opcua_tags.index(FLOW)
EPOCH = datetime(2026, 1, 5, 6, 0, tzinfo=UTC)
SECOND = 1_000_000_000


@asynccontextmanager
async def client_of(plc: OpcuaPlc, timeout_s: float = 10.0) -> AsyncIterator[Client]:
    async with Client(plc.address, timeout=timeout_s) as client:
        yield client


def run(scenario: Callable[[OpcuaPlc], Awaitable[None]]) -> None:
    """Run a scenario against a pump that shows its first row."""

    async def play() -> None:
        plc = OpcuaPlc(PLANT.opcua_tags, name="pump")
        try:
            await plc.start()
            await plc.show(ROWS[0], EPOCH_NS)
            await scenario(plc)
        finally:
            await plc.stop()

    asyncio.run(play())


async def read(client: Client, tag: Tag) -> ua.DataValue:
    assert isinstance(tag.address, NodeAddress)
    index = await client.get_namespace_index(tag.address.namespace_uri)
    node = client.get_node(f"ns={index};{tag.address.identifier}")
    return await node.read_data_value(raise_on_bad_status=False)


def test_every_tag_reads_back_with_simulated_time_and_cannot_be_written() -> None:
    async def scenario(plc: OpcuaPlc) -> None:
        async with client_of(plc) as client:
            await plc.show(ROWS[2], EPOCH_NS + 2 * SECOND)
            for tag, value in zip(PLANT.opcua_tags, ROWS[2], strict=True):
                data = await read(client, tag)
                assert data.StatusCode is not None
                assert data.StatusCode.is_good()
                assert data.Value is not None
                assert data.Value.Value == (value > 0.5 if tag.dtype is Dtype.BIT else float(value))
                bit = tag.dtype is Dtype.BIT
                assert data.Value.VariantType == (ua.VariantType.Boolean if bit else ua.VariantType.Float)
                assert data.SourceTimestamp == EPOCH + timedelta(seconds=2) == data.ServerTimestamp
            index = await client.get_namespace_index(NAMESPACE_URI)
            node = client.get_node(f"ns={index};s=pump.flow")
            access = await node.read_attribute(ua.AttributeIds.AccessLevel)
            assert access.Value is not None
            assert access.Value.Value & ua.AccessLevel.CurrentWrite.mask == 0
            folder = await client.nodes.objects.get_child([f"{index}:pump"])
            assert len(await folder.get_children()) == len(PLANT.opcua_tags)

    run(scenario)


def test_symptoms_that_are_values() -> None:
    async def scenario(plc: OpcuaPlc) -> None:
        async with client_of(plc) as client:
            await plc.inject(Symptom.EXCEPTION, 6)
            data = await read(client, FLOW)
            assert data.StatusCode is not None
            assert data.StatusCode.value == BAD_OUT_OF_SERVICE
            await plc.inject(Symptom.ZEROS)
            assert (await read(client, FLOW)).Value.Value == 0.0
            for nothing_on_opcua in (Symptom.SWAPPED_WORDS, Symptom.WRONG_UNIT, None):
                await plc.inject(nothing_on_opcua)
                assert (await read(client, FLOW)).Value.Value == ROWS[0, FLOW_AT]
            await plc.inject(Symptom.STALE)
            await plc.show(ROWS[1], EPOCH_NS + SECOND)
            data = await read(client, FLOW)
            assert data.Value.Value == ROWS[0, FLOW_AT] != ROWS[1, FLOW_AT]
            assert data.SourceTimestamp == EPOCH + timedelta(seconds=1)
            await plc.inject(Symptom.CLOCK_STEP, -3600)
            data = await read(client, FLOW)
            assert data.Value.Value == ROWS[1, FLOW_AT]
            assert data.SourceTimestamp == EPOCH + timedelta(seconds=1 - 3600) == data.ServerTimestamp
            row = ROWS[2].copy()
            row[FLOW_AT] = np.nan
            await plc.inject(None)
            await plc.show(row, EPOCH_NS)
            assert (await read(client, FLOW)).StatusCode.value == BAD_NO_DATA
            await plc.show(ROWS[2], EPOCH_NS)
            assert (await read(client, FLOW)).Value.Value == ROWS[2, FLOW_AT]

    run(scenario)


def test_a_subscription_sees_every_row() -> None:
    class Seen:
        def __init__(self) -> None:
            self.values: asyncio.Queue[float] = asyncio.Queue(10)

        def datachange_notification(self, node: object, value: float, data: object) -> None:
            self.values.put_nowait(value)

    async def scenario(plc: OpcuaPlc) -> None:
        async with client_of(plc) as client:
            seen = Seen()
            subscription = await client.create_subscription(20, seen)
            index = await client.get_namespace_index(NAMESPACE_URI)
            await subscription.subscribe_data_change(client.get_node(f"ns={index};s=pump.flow"), queuesize=10)
            assert await seen.values.get() == ROWS[0, FLOW_AT]
            await plc.show(ROWS[1], EPOCH_NS + SECOND)
            await plc.show(ROWS[2], EPOCH_NS + 2 * SECOND)
            assert [await seen.values.get() for _ in range(2)] == [ROWS[1, FLOW_AT], ROWS[2, FLOW_AT]]
            await subscription.delete()

    run(scenario)


@pytest.mark.parametrize("symptom", [Symptom.TIMEOUT, Symptom.PARTITION])
def test_silence_delivers_late(symptom: Symptom) -> None:
    async def scenario(plc: OpcuaPlc) -> None:
        async with client_of(plc) as client:
            await read(client, FLOW)
            await plc.inject(symptom)
            late = asyncio.create_task(read(client, FLOW))
            done, _ = await asyncio.wait([late], timeout=0.3)
            assert not done
            await plc.inject(None)
            assert (await late).Value.Value == ROWS[0, FLOW_AT]

    run(scenario)


def test_a_reboot_drops_refuses_and_comes_back() -> None:
    async def scenario(plc: OpcuaPlc) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", plc.port)
        port = plc.port
        await plc.inject(Symptom.REFUSED)
        try:
            assert await reader.read(1) == b""
        except ConnectionResetError:
            pass
        finally:
            writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        await plc.inject(None)
        async with client_of(plc) as client:
            assert (await read(client, FLOW)).Value.Value == ROWS[0, FLOW_AT]

    run(scenario)
