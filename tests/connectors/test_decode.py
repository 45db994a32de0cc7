"""Decoding against pymodbus's own encoder, an implementation independent of ours."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_TIMEOUT,
    GOOD,
    Dtype,
    ModbusAddress,
    Table,
    Tag,
)
from connectors.modbus.decode import Decoder, exception_status
from connectors.modbus.plan import ORDERS, REGISTERS, Block, PlanLimits, plan
from connectors.scaling import Scaling
from tests.connectors.servers import pack

TYPES = AsyncModbusTcpClient.DATATYPE
NUMBERS = {
    Dtype.INT16: (TYPES.INT16, st.integers(-(2**15), 2**15 - 1)),
    Dtype.UINT16: (TYPES.UINT16, st.integers(0, 2**16 - 1)),
    Dtype.INT32: (TYPES.INT32, st.integers(-(2**31), 2**31 - 1)),
    Dtype.UINT32: (TYPES.UINT32, st.integers(0, 2**32 - 1)),
    Dtype.INT64: (TYPES.INT64, st.integers(-(2**63), 2**63 - 1)),
    Dtype.UINT64: (TYPES.UINT64, st.integers(0, 2**64 - 1)),
    Dtype.FLOAT32: (
        TYPES.FLOAT32,
        st.floats(width=32, allow_nan=False, allow_infinity=False, allow_subnormal=False),
    ),
    Dtype.FLOAT64: (
        TYPES.FLOAT64,
        st.floats(-3e38, 3e38, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 2e-38),
    ),
}


def tag(address: ModbusAddress, dtype: Dtype = Dtype.FLOAT32, **more: float) -> Tag:
    return Tag("t", "", address, dtype, **more)


def decode(
    tags: list[Tag], memory: dict[Table, dict[int, int]], status: int = GOOD
) -> tuple[np.ndarray, np.ndarray]:
    """Answer the plan's blocks from a memory of registers (bits are registers of one bit) and decode them."""
    blocks = plan(tags, PlanLimits())
    data = b""
    for block in blocks:
        words = [
            memory[block.table].get(register, 0) for register in range(block.start, block.start + block.count)
        ]
        if block.table in (Table.COIL, Table.DISCRETE_INPUT):
            data += np.packbits(np.array(words, np.uint8), bitorder="little").tobytes()
        else:
            data += np.array(words, ">u2").tobytes()
    block_status = np.full(len(blocks), status, np.uint32)
    return Decoder(tags, blocks).decode(data, block_status, np.zeros(len(tags), np.uint32))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_type_in_every_order_comes_back_as_pymodbus_sent_it(data: st.DataObject) -> None:
    kinds = data.draw(
        st.lists(
            st.tuples(st.sampled_from(sorted(NUMBERS)), st.sampled_from(ORDERS)), min_size=1, max_size=12
        )
    )
    memory: dict[int, int] = {}
    tags, sent, register = [], [], data.draw(st.integers(0, 40))
    for dtype, order in kinds:
        datatype, values = NUMBERS[dtype]
        value = data.draw(values)
        memory |= {register + i: word for i, word in enumerate(pack(value, datatype, order))}
        tags.append(tag(ModbusAddress(1, Table.HOLDING_REGISTER, register, order), dtype))
        sent.append(value)
        register += REGISTERS[dtype] + data.draw(st.integers(0, 12))
    values, status = decode(tags, {Table.HOLDING_REGISTER: memory})
    assert not status.any()
    np.testing.assert_array_equal(values, np.array(sent, np.float64).astype(np.float32))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bit", range(16))
def test_a_bit_of_a_register_in_every_order(order: str, bit: int) -> None:
    memory = {Table.INPUT_REGISTER: dict(enumerate(pack(1 << bit, TYPES.UINT16, order), 7))}
    tags = [tag(ModbusAddress(1, Table.INPUT_REGISTER, 7, order, b), Dtype.BIT) for b in range(16)]
    values, status = decode(tags, memory)
    assert not status.any()
    assert values.tolist() == [float(b == bit) for b in range(16)]


@given(st.sets(st.integers(0, 300)), st.sets(st.integers(0, 300), min_size=1, max_size=40))
def test_coils_and_discrete_inputs(on: set[int], wanted: set[int]) -> None:
    for table in (Table.COIL, Table.DISCRETE_INPUT):
        tags = [tag(ModbusAddress(3, table, register), Dtype.BIT) for register in sorted(wanted)]
        values, status = decode(tags, {table: dict.fromkeys(on, 1)})
        assert not status.any()
        assert values.tolist() == [float(register in on) for register in sorted(wanted)]


def test_scale_and_offset_turn_raw_numbers_into_units() -> None:
    address = ModbusAddress(1, Table.HOLDING_REGISTER, 0)
    values, _ = decode(
        [tag(address, Dtype.INT16, scale=0.1, offset=-40.0)], {Table.HOLDING_REGISTER: {0: 250}}
    )
    assert values[0] == np.float32(-15.0)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (0.0, GOOD),
        (25.0, GOOD),
        (25.001, BAD_OUT_OF_RANGE),
        (-0.001, BAD_OUT_OF_RANGE),
        (math.nan, BAD_DECODING_ERROR),
        (math.inf, BAD_DECODING_ERROR),
        (-math.inf, BAD_DECODING_ERROR),
        (1e-40, BAD_OUT_OF_RANGE),
    ],
)
def test_what_cannot_be_is_a_status_and_never_a_value(value: float, status: int) -> None:
    memory = {Table.HOLDING_REGISTER: dict(enumerate(pack(value, TYPES.FLOAT32)))}
    values, statuses = decode([tag(ModbusAddress(1, Table.HOLDING_REGISTER, 0), low=0.0, high=25.0)], memory)
    assert statuses.tolist() == [status]
    assert np.isnan(values[0]) == (status != GOOD)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT64])
@pytest.mark.parametrize("value", [1.0, 6.25, 20.5, 100.0, 1500.0, -3.0])
def test_swapped_words_of_an_everyday_value_are_seen_without_any_limits(dtype: Dtype, value: float) -> None:
    datatype, _ = NUMBERS[dtype]
    memory = {Table.HOLDING_REGISTER: dict(enumerate(pack(value, datatype, "CDAB")))}
    values, status = decode([tag(ModbusAddress(1, Table.HOLDING_REGISTER, 0, "ABCD"), dtype)], memory)
    assert status.tolist() == [BAD_OUT_OF_RANGE]
    assert np.isnan(values).all()


def test_a_double_too_large_for_the_frame_is_out_of_range() -> None:
    memory = {Table.HOLDING_REGISTER: dict(enumerate(pack(1e200, TYPES.FLOAT64)))}
    _, status = decode([tag(ModbusAddress(1, Table.HOLDING_REGISTER, 0), Dtype.FLOAT64)], memory)
    assert status.tolist() == [BAD_OUT_OF_RANGE]


def test_a_failed_block_fails_its_own_tags_and_a_tag_in_no_block_keeps_its_status() -> None:
    tags = [tag(ModbusAddress(1, Table.HOLDING_REGISTER, r), Dtype.INT16) for r in (0, 50, 99)]
    blocks = (Block(1, Table.HOLDING_REGISTER, 0, 1, (0,)), Block(1, Table.HOLDING_REGISTER, 50, 1, (1,)))
    values, status = Decoder(tags, blocks).decode(
        b"\0\x07\xff\xff",
        np.array([GOOD, BAD_TIMEOUT], np.uint32),
        np.full(3, BAD_NODE_ID_UNKNOWN, np.uint32),
    )
    assert status.tolist() == [GOOD, BAD_TIMEOUT, BAD_NODE_ID_UNKNOWN]
    np.testing.assert_array_equal(values, np.array([7, np.nan, np.nan], np.float32))


def test_every_exception_code_has_a_bad_status() -> None:
    for code in range(256):
        assert exception_status(code) & 0x80000000


@given(st.lists(st.floats(), min_size=1, max_size=5))
def test_scaling_leaves_nothing_that_is_neither_finite_nor_bad(raw: list[float]) -> None:
    tags = [Tag("t", "", scale=2.0)] * len(raw)
    values, status = Scaling(tags).apply(np.array(raw), np.zeros(len(raw), np.uint32))
    assert ((status != 0) == np.isnan(values)).all()
    assert np.isfinite(values[status == 0]).all()
