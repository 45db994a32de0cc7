"""Decoding against pymodbus's own encoder, an implementation independent of ours."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.client import AsyncModbusTcpClient

from connectors.frame import (
    BAD_DECODING_ERROR,
    BAD_NODE_ID_UNKNOWN,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TIMEOUT,
    BAD_TYPE_MISMATCH,
    GOOD,
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED,
    Dtype,
    ModbusAddress,
    Table,
    Tag,
)
from connectors.modbus.decode import Decoder, exception_status
from connectors.modbus.orders import ORDERS, REGISTERS, SHORT, names
from connectors.modbus.plan import Block, PlanLimits, plan
from connectors.scaling import Scaling, quietly
from tests.connectors.servers import arrange, pack

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
EVERY_KIND = [(dtype, order) for dtype in sorted(NUMBERS) for order in names(dtype)]


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
    kinds = data.draw(st.lists(st.sampled_from(EVERY_KIND), min_size=1, max_size=12))
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


@pytest.mark.parametrize("order", ["AB", "BA", *SHORT])
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


def test_the_orders_are_all_that_swap_bytes_words_and_double_words() -> None:
    assert ORDERS[1] == ("AB", "BA")
    assert ORDERS[2] == ("ABCD", "CDAB", "BADC", "DCBA")
    assert set(ORDERS[4]) == {"ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA", "CDABGHEF", "DCBAHGFE", "EFGHABCD",
                              "FEHGBADC"}


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 65_535), st.sampled_from(["AB", "BA", "ABCD", "BADC"]), st.integers(0, 15), st.integers(1, 16))
def test_parts_of_a_register(word: int, order: str, bit: int, bits: int) -> None:
    bits = min(bits, 16 - bit)
    memory = {Table.HOLDING_REGISTER: dict(enumerate(arrange(word.to_bytes(2, "big"), order), 3))}
    address = ModbusAddress(1, Table.HOLDING_REGISTER, 3, order)
    kinds = [Dtype.INT8_HIGH, Dtype.INT8_LOW, Dtype.UINT8_HIGH, Dtype.UINT8_LOW]
    field = ModbusAddress(1, Table.HOLDING_REGISTER, 3, order, bit, bits)
    values, status = decode([*(tag(address, kind) for kind in kinds), tag(field, Dtype.BIT)], memory)
    high, low = struct.unpack("BB", word.to_bytes(2, "big"))
    signed = struct.unpack("bb", word.to_bytes(2, "big"))
    assert not status.any()
    assert values.tolist() == [*signed, high, low, int(f"{word:016b}"[16 - bit - bits:16 - bit], 2)]


@pytest.mark.parametrize("order", ["AB", "BA", *SHORT])
@given(value=st.floats(width=16, allow_nan=False, allow_infinity=False))
def test_half_floats(order: str, value: float) -> None:
    memory = {Table.HOLDING_REGISTER: dict(enumerate(arrange(struct.pack(">e", value), order)))}
    values, status = decode([tag(ModbusAddress(1, Table.HOLDING_REGISTER, 0, order), Dtype.FLOAT16)], memory)
    assert (values[0], status[0]) == (value, GOOD)


@settings(deadline=None)
@given(st.data())
def test_bcd(data: st.DataObject) -> None:
    dtype = data.draw(st.sampled_from([Dtype.BCD16, Dtype.BCD32]))
    order = data.draw(st.sampled_from(names(dtype)))
    digits = data.draw(st.text("0123456789ABCDEF" if data.draw(st.booleans()) else "0123456789",
                               min_size=4 * REGISTERS[dtype], max_size=4 * REGISTERS[dtype]))
    memory = {Table.HOLDING_REGISTER: dict(enumerate(arrange(bytes.fromhex(digits), order)))}
    values, status = decode([tag(ModbusAddress(1, Table.HOLDING_REGISTER, 0, order), dtype)], memory)
    if digits.isdecimal():
        assert (values[0], status[0]) == (np.float32(int(digits)), GOOD)
    else:
        assert status[0] == BAD_DECODING_ERROR


TEXTS = (("RUN", 1.0), ("STOP", 0.0), ("Störung", 2.0))


@pytest.mark.parametrize("order", ["AB", "BA"])
@pytest.mark.parametrize(
    ("text", "value", "status"),
    [("RUN", 1.0, GOOD), ("STOP", 0.0, GOOD), ("Störung", 2.0, GOOD), (" RUN  ", 1.0, GOOD),
     ("RUNN", math.nan, BAD_TYPE_MISMATCH), ("", math.nan, BAD_TYPE_MISMATCH)],
)
def test_texts_beside_floats_of_another_order(order: str, text: str, value: float, status: int) -> None:
    octets = text.encode("latin-1").ljust(10, b"\0")
    words = pack(21.5, TYPES.FLOAT32, "CDAB") + arrange(octets, "ABCD" if order == "AB" else "BADC")
    tags = [
        tag(ModbusAddress(1, Table.HOLDING_REGISTER, 0, "CDAB")),
        Tag("state", "1", ModbusAddress(1, Table.HOLDING_REGISTER, 2, order, length=5), Dtype.STRING, texts=TEXTS),
    ]
    values, statuses = decode(tags, {Table.HOLDING_REGISTER: dict(enumerate(words))})
    assert statuses.tolist() == [GOOD, status]
    np.testing.assert_array_equal(values, np.array([21.5, value], np.float32))
    blocks = plan(tags, PlanLimits())
    data, fine = np.array(words, ">u2").tobytes(), np.zeros(1, np.uint32)
    assert Decoder(tags, blocks).texts(data, fine) == {1: text.strip()}
    assert Decoder(tags, blocks).texts(data, np.full(1, BAD_TIMEOUT, np.uint32)) == {}


@pytest.mark.parametrize(
    ("dtype", "invalid", "octets", "bad"),
    [
        (Dtype.INT16, (0x8000,), "8000", True),
        (Dtype.INT16, (-32768.0,), "8000", True),
        (Dtype.UINT16, (0xFFFF, 0xFFFE), "FFFE", True),
        (Dtype.UINT16, (0xFFFF, 0xFFFE), "FFFD", False),
        (Dtype.INT16, (0x7FFF,), "8001", False),
        (Dtype.FLOAT32, (1e38,), "7E967699", True),
        (Dtype.FLOAT32, (-9999.0,), "C61C3C00", True),
        (Dtype.INT64, (0x7FFFFFFFFFFFFFFF,), "7FFFFFFFFFFFFFFF", True),
        (Dtype.BCD16, (9999,), "9999", True),
    ],
)
def test_a_raw_number_that_means_no_value(dtype: Dtype, invalid: tuple[float, ...], octets: str, bad: bool) -> None:
    memory = {Table.HOLDING_REGISTER: dict(enumerate(arrange(bytes.fromhex(octets), "ABCD")))}
    address = ModbusAddress(1, Table.HOLDING_REGISTER, 0)
    sensor = Tag("t", "", address, dtype, scale=0.1, low=-1e30, high=1e30, invalid=invalid)
    other = Tag("u", "", address, dtype, scale=0.1)
    _, status = decode([sensor, other], memory)
    assert status.tolist() == [BAD_SENSOR_FAILURE if bad else GOOD, GOOD]


@given(st.floats(width=32), st.floats(-1e3, 0), st.floats(0, 1e3))
def test_clamping_gives_the_limit_and_says_so(raw: float, low: float, high: float) -> None:
    sensor = Tag("t", "", low=low, high=high, clamp=True)
    with quietly():
        values, status = Scaling([sensor]).apply(np.array([raw]), np.zeros(1, np.uint32))
    if not math.isfinite(raw):
        assert status[0] == BAD_DECODING_ERROR
    elif 0 < abs(raw) < np.finfo(np.float32).smallest_normal:
        assert status[0] == BAD_OUT_OF_RANGE
    else:
        assert values[0] == np.float32(min(max(raw, low), high))
        assert status[0] == (GOOD if low <= raw <= high else UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)


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
    with quietly():
        values, status = Scaling(tags).apply(np.array(raw), np.zeros(len(raw), np.uint32))
    assert ((status != 0) == np.isnan(values)).all()
    assert np.isfinite(values[status == 0]).all()
