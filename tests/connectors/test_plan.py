"""The reading plan: what holds for any tags, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import ConnectorError
from connectors.frame import BAD_NODE_ID_UNKNOWN, Dtype, ModbusAddress, NodeAddress, Table, Tag
from connectors.modbus.adapt import RETRY_FIRST_NS, AdaptivePlan
from connectors.modbus.orders import registers_of
from connectors.modbus.plan import BIT_TABLES, Block, PlanLimits, check, halve, plan

LIMITS = PlanLimits()
ALONE = PlanLimits(one_request_per_tag=True)


def holding(register: int, dtype: Dtype = Dtype.INT16, unit_id: int = 1) -> Tag:
    return Tag(f"r{register}", "", ModbusAddress(unit_id, Table.HOLDING_REGISTER, register), dtype)


@st.composite
def any_tag(draw: st.DrawFn) -> Tag:
    table = draw(st.sampled_from(sorted(Table)))
    bits = table in BIT_TABLES
    dtype = Dtype.BIT if bits else draw(st.sampled_from(sorted(Dtype)))
    bit = draw(st.integers(0, 15)) if dtype is Dtype.BIT and not bits else None
    length = draw(st.integers(1, 3)) if dtype is Dtype.STRING else 0
    register = draw(st.integers(0, 400))
    address = ModbusAddress(draw(st.integers(1, 2)), table, register, "ABCD", bit, length=length)
    return Tag("t", "", address, dtype)


def span(tag: Tag) -> tuple[int, int]:
    assert isinstance(tag.address, ModbusAddress)
    return tag.address.register, tag.address.register + registers_of(tag)


@given(st.lists(any_tag(), max_size=40), st.data())
def test_every_tag_lies_whole_in_one_block_within_the_limits(tags: list[Tag], data: st.DataObject) -> None:
    check(tags)
    limits = data.draw(st.sampled_from([LIMITS, PlanLimits(10, 20, 3), PlanLimits(4, 1, 0), ALONE]))
    avoid = data.draw(st.sets(st.integers(0, max(0, len(tags) - 1)), max_size=3)) if tags else set()
    blocks = plan(tags, limits, avoid=avoid)
    columns = sorted(column for block in blocks for column in block.columns)
    assert columns == [column for column in range(len(tags)) if column not in avoid]
    for block in blocks:
        assert block.count <= (limits.max_bits if block.table in BIT_TABLES else limits.max_registers)
        covered = 0
        for column in block.columns:
            address = tags[column].address
            assert isinstance(address, ModbusAddress)
            assert (address.unit_id, address.table) == (block.unit_id, block.table)
            start, end = span(tags[column])
            assert block.start <= start
            assert end <= block.start + block.count
            covered += end - start
        if limits.one_request_per_tag:
            assert len(block.columns) == 1
        if limits.max_gap_registers == 0:
            inside = {register for c in block.columns for register in range(*span(tags[c]))}
            assert inside == set(range(block.start, block.start + block.count)), "no register is read in vain"
        assert (block.start, block.start + block.count) == (
            min(span(tags[c])[0] for c in block.columns),
            max(span(tags[c])[1] for c in block.columns),
        )


@given(st.lists(st.integers(0, 200), min_size=2, max_size=30, unique=True), st.data())
def test_no_block_spans_a_register_to_avoid_or_a_cut(registers: list[int], data: st.DataObject) -> None:
    tags = [holding(register) for register in registers]
    avoid = data.draw(st.sets(st.integers(0, len(tags) - 1), max_size=4))
    cut = data.draw(st.integers(1, 200))
    for block in plan(tags, LIMITS, avoid=avoid, cuts={(1, Table.HOLDING_REGISTER, cut)}):
        inside = range(block.start, block.start + block.count)
        assert not {registers[column] for column in avoid} & set(inside)
        assert not (cut in inside and cut - 1 in inside)


def test_a_machine_of_many_tags_takes_few_requests() -> None:
    tags = [holding(2 * i, Dtype.FLOAT32) for i in range(62)]
    assert plan(tags, LIMITS) == (Block(1, Table.HOLDING_REGISTER, 0, 124, tuple(range(62))),)
    gaps = [holding(register) for register in (0, 5, 13, 40)]
    assert [(b.start, b.count) for b in plan(gaps, LIMITS)] == [(0, 14), (40, 1)]


def test_a_value_is_never_divided_between_two_requests() -> None:
    tags = [holding(4 * i, Dtype.FLOAT64) for i in range(32)]
    assert [(b.start, b.count) for b in plan(tags, LIMITS)] == [(0, 124), (124, 4)]


@given(st.lists(any_tag(), min_size=1, max_size=30))
def test_halving_ends_with_single_values_and_loses_none(tags: list[Tag]) -> None:
    blocks = list(plan(tags, LIMITS))
    seen: list[int] = []
    while blocks:
        block = blocks.pop()
        halves = halve(block, tags)
        if halves is None:
            seen += block.columns
            continue
        assert halves[0].start + halves[0].count <= halves[1].start
        assert sorted(halves[0].columns + halves[1].columns) == sorted(block.columns)
        blocks += halves
    assert sorted(seen) == list(range(len(tags)))


@pytest.mark.parametrize(
    ("tag", "why"),
    [
        (Tag("x", "", None), "has no Modbus address"),
        (Tag("x", "", NodeAddress("urn:a", "s=b")), "has no Modbus address"),
        (Tag("x", "", ModbusAddress(256, Table.COIL, 0), Dtype.BIT), "unit id 256"),
        (Tag("x", "", ModbusAddress(1, Table.HOLDING_REGISTER, 0, "ACBD")), "order 'ACBD'"),
        (Tag("x", "", ModbusAddress(1, Table.HOLDING_REGISTER, 65535)), "register 65535"),
        (Tag("x", "", ModbusAddress(1, Table.HOLDING_REGISTER, -1)), "register -1"),
        (Tag("x", "", ModbusAddress(1, Table.COIL, 3)), "a coil holds a bit"),
        (Tag("x", "", ModbusAddress(1, Table.COIL, 3, bit=1), Dtype.BIT), "a coil holds a bit"),
        (
            Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3), Dtype.BIT),
            "needs dtype 'bit' and a bit number",
        ),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3, bit=4), Dtype.INT16), "needs dtype 'bit'"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3, bit=16), Dtype.BIT), "bit 16"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3, bit=12, bits=5), Dtype.BIT), "bit 12 and the 5"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3), Dtype.STRING), "1 to 125 registers"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3, length=126), Dtype.STRING), "1 to 125 registers"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 65535, length=2), Dtype.STRING), "register 65535"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3, "CDAB", length=2), Dtype.STRING), "order 'CDAB'"),
        (Tag("x", "", ModbusAddress(1, Table.INPUT_REGISTER, 3, "GHEFCDAB")), "order 'GHEFCDAB'"),
    ],
)
def test_an_impossible_address_is_refused_with_its_reason(tag: Tag, why: str) -> None:
    with pytest.raises(ConnectorError, match=why) as caught:
        check([holding(1), tag, tag])
    assert not caught.value.retryable
    assert str(caught.value).count("tag 'x'") == 2, "all are named, not the first"


def test_what_a_device_refuses_is_left_out_and_asked_for_ever_more_rarely() -> None:
    adaptive = AdaptivePlan([holding(r) for r in range(5)], LIMITS)
    adaptive.refuse([2], BAD_NODE_ID_UNKNOWN, now_ns=0)
    adaptive.settle()
    assert [(b.start, b.count) for b in adaptive.blocks] == [(0, 2), (3, 2)]
    assert adaptive.status[2] == BAD_NODE_ID_UNKNOWN
    now_ns = 0
    for minutes in (1, 2, 4, 8, 16, 32, 60, 60):
        due_ns = now_ns + minutes * RETRY_FIRST_NS
        assert adaptive.due(due_ns - 1) == ()
        assert [block.columns for block in adaptive.due(due_ns)] == [(2,)]
        adaptive.refuse([2], BAD_NODE_ID_UNKNOWN, due_ns)
        now_ns = due_ns
    adaptive.accept([2])
    adaptive.settle()
    assert [(b.start, b.count) for b in adaptive.blocks] == [(0, 5)]


def test_tags_postponed_together_are_asked_for_at_once() -> None:
    adaptive = AdaptivePlan([holding(r) for r in range(4)], LIMITS)
    adaptive.postpone([0, 1], BAD_NODE_ID_UNKNOWN)
    adaptive.settle()
    assert [b.columns for b in adaptive.blocks] == [(2, 3)]
    assert [b.columns for b in adaptive.due(0)] == [(0, 1)]
