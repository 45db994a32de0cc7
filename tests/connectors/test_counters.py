"""Counters to rates: roll-over, reset and back-step told apart, gaps bridged, no count lost and none invented."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.counters import Counter, Counters, counted
from connectors.frame import (
    BAD_DATA_LOST,
    BAD_DECODING_ERROR,
    BAD_OUT_OF_RANGE,
    BAD_SENSOR_FAILURE,
    BAD_TIMEOUT,
    BAD_WAITING_FOR_INITIAL_DATA,
    GOOD,
    Dtype,
    Frame,
    ModbusAddress,
    NodeAddress,
    Table,
    Tag,
)
from connectors.modbus.connector import ModbusConnector, supervise
from connectors.opcua.endpoint import OpcuaMode
from connectors.opcua.rows import CurrentValues
from connectors.scaling import Scaling
from simulators.modbus import encode
from tests.connectors import modbus_side
from tests.connectors.modbus_side import HOLDING
from tests.connectors.opcua_side import MODES, linked, until
from tests.connectors.servers import NAMESPACE, START_NS, ManualClock, ModbusPlc, OpcuaPlc, modbus_server, run
from tests.connectors.test_rows import arrays, good
from tests.wire import ModbusRecorder, RecordingProxy

S = 1_000_000_000
WAITING = BAD_WAITING_FOR_INITIAL_DATA
NAN = math.nan
MODBUS = ModbusAddress(1, Table.HOLDING_REGISTER, 0)
U16 = Tag("parts", "1/s", MODBUS, Dtype.UINT16, counter=True)
U32 = replace(U16, dtype=Dtype.UINT32)


def played(tag: Tag, samples: Sequence[tuple[float, float]]) -> list[tuple[float, int]]:
    """Rate and status of counts at so many seconds."""
    counter = Counter(tag)
    return [rate_at(counter, count, at) for at, count in samples]


def rate_at(counter: Counter, count: float, at_s: float) -> tuple[float, int]:
    time_ns = START_NS + round(at_s * S)
    return counter.rate(count, time_ns, time_ns)


def each_second(*counts: float) -> list[tuple[float, float]]:
    return [(float(second), count) for second, count in enumerate(counts)]


def test_the_first_count_gives_no_rate_and_the_next_ones_do() -> None:
    first, *others = played(U32, each_second(7, 17, 17, 42))
    assert (math.isnan(first[0]), first[1]) == (True, WAITING)
    assert others == [(10.0, GOOD), (0.0, GOOD), (25.0, GOOD)]


@pytest.mark.parametrize(("dtype", "before", "after"), [
    (Dtype.UINT16, 65_530, 4), (Dtype.INT16, 32_760, -32_766), (Dtype.UINT32, 2**32 - 6, 4),
    (Dtype.INT32, 2**31 - 6, 4 - 2**31), (Dtype.BCD16, 9_995, 5), (Dtype.BCD32, 10**8 - 1, 9),
    (Dtype.UINT8_LOW, 255, 9),
])
def test_each_type_rolls_over_at_its_own_end(dtype: Dtype, before: int, after: int) -> None:
    told = played(replace(U16, dtype=dtype), each_second(before - 20, before - 10, before, after, after + 10))
    assert told[1:] == [(10.0, GOOD)] * 4


def test_a_field_of_bits_rolls_over_at_its_own_end() -> None:
    nibble = replace(U16, dtype=Dtype.BIT, address=replace(MODBUS, bit=4, bits=4))
    assert played(nibble, each_second(13, 14, 15, 0, 1))[1:] == [(1.0, GOOD)] * 4


def test_a_configured_end_goes_before_that_of_the_type() -> None:
    meter = replace(U32, rollover=999_999)
    assert played(meter, each_second(999_980, 999_990, 0, 10))[1:] == [(10.0, GOOD)] * 3


@pytest.mark.parametrize("width", [8, 16, 32])
def test_an_opcua_counter_rolls_over_at_any_width(width: int) -> None:
    tag = Tag("parts", "1/s", NodeAddress(NAMESPACE, "s=parts"), counter=True)
    assert played(tag, each_second(2**width - 20, 2**width - 10, 0, 10))[1:] == [(10.0, GOOD)] * 3
    half = 2 ** (width - 1)
    assert played(tag, each_second(half - 20, half - 10, -half, 10 - half))[1:] == [(10.0, GOOD)] * 3


@pytest.mark.parametrize("before", [40_000, 65_000, 3_000, 100])
def test_a_restart_is_no_roll_over(before: int) -> None:
    told = played(U16, each_second(before - 20, before - 10, before, 3, 13, 23))
    assert [status for _, status in told] == [WAITING, GOOD, GOOD, BAD_DATA_LOST, GOOD, GOOD]
    assert told[4][0] == told[5][0] == 10.0


def test_a_count_that_is_set_back_is_neither() -> None:
    told = played(U32, each_second(5000, 5010, 4890, 4900, 4910))
    assert [status for _, status in told] == [WAITING, GOOD, BAD_OUT_OF_RANGE, GOOD, GOOD]
    assert told[3][0] == told[4][0] == 10.0


@pytest.mark.parametrize(("wrong", "status"), [(0, BAD_DATA_LOST), (4000, BAD_OUT_OF_RANGE)])
def test_one_wrong_read_costs_one_row_and_no_count(wrong: int, status: int) -> None:
    told = played(U32, each_second(5000, 5010, wrong, 5030, 5040))
    assert [code for _, code in told] == [WAITING, GOOD, status, GOOD, GOOD]
    assert told[3][0] == told[4][0] == 10.0


def test_a_count_that_goes_on_faster_than_it_can_is_refused_until_it_goes_on_from_there() -> None:
    limited = replace(U32, scale=0.1, high=5.0)
    told = played(limited, each_second(100, 110, 900_000, 130, 140, 800_000, 800_010, 800_020))
    assert [code for _, code in told] == [WAITING, GOOD, BAD_OUT_OF_RANGE, GOOD, GOOD, BAD_OUT_OF_RANGE, GOOD, GOOD]
    assert {rate for rate, code in told if code == GOOD} == {10.0}


def test_missed_reads_give_the_mean_over_the_gap_also_around_the_end() -> None:
    told = played(U16, [(0, 65_000), (1, 65_010), (61, 65_610 - 65_536), (62, 84)])
    assert told[1:] == [(10.0, GOOD)] * 3


def test_counts_at_one_time_or_nearly_leave_the_rate_as_it_is() -> None:
    told = played(U32, [(0, 0), (1, 10), (1, 10), (1.2, 11), (2, 20), (1.9, 19)])
    assert told[1:] == [(10.0, GOOD)] * 5
    assert [status for _, status in played(U32, [(0, 5), (0, 6), (0.1, 7)])] == [WAITING] * 3


def test_a_clock_that_is_set_back_costs_one_rate() -> None:
    told = played(U32, [(5000, 0), (5001, 10), (100, 20), (101, 30)])
    assert [status for _, status in told] == [WAITING, GOOD, WAITING, GOOD]
    assert told[3][0] == 10.0


def test_a_slow_counter_counts_nothing_between_its_counts_and_all_of_them() -> None:
    told = played(U32, each_second(0, 0, 0, 1, 1, 1, 2))
    assert [rate for rate, _ in told[1:]] == [0, 0, 1, 0, 0, 1]


def test_a_large_count_loses_nothing_to_the_values_32_bits() -> None:
    tags, begin = [U32, replace(U32, dtype=Dtype.UINT64)], (2**32 - 1000, 2**53 - 1000)
    counters, scaling, shown = Counters(tags), Scaling(tags), []
    for second in range(200):
        raw, status = np.array([count + 3 * second for count in begin], np.float64), np.zeros(2, np.uint32)
        counters.rates(raw, status, START_NS + second * S)
        shown.append(scaling.apply(raw, status)[0].tolist())
    assert shown[1:] == [[3.0, 3.0]] * 199


def test_numbers_that_mean_no_value_are_looked_for_among_counts_and_not_among_rates() -> None:
    tags = [replace(U16, invalid=(0xFFFF, 10))]
    counters, scaling, told = Counters(tags), Scaling(tags), []
    for second, count in enumerate([20, 30, 65_535, 50, NAN, 70]):
        raw, status = np.array([count], np.float64), np.zeros(1, np.uint32)
        counters.rates(raw, status, START_NS + second * S)
        values, status = scaling.apply(raw, status)
        told.append((float(values[0]), int(status[0])))
    assert [code for _, code in told] == [WAITING, GOOD, BAD_SENSOR_FAILURE, GOOD, BAD_DECODING_ERROR, GOOD]
    assert [value for value, code in told if code == GOOD] == [10.0] * 3


def test_a_counter_shown_as_on_its_display_has_neither_scale_nor_limits() -> None:
    shown = counted(replace(U32, scale=0.1, low=0.0, high=5.0, rollover=99_999))
    assert shown == Tag("parts", "counts", MODBUS, Dtype.UINT32)
    plain = Tag("speed", "1/min", MODBUS, scale=0.1, high=5.0)
    assert counted(plain) is plain


MODULUS = 65_536


@settings(max_examples=200, deadline=None)
@given(
    start=st.integers(0, MODULUS - 1),
    each=st.lists(st.integers(1, 20), min_size=600, max_size=600),
    gaps=st.lists(st.sampled_from([1, 1, 1, 1, 2, 5, 30, 100]), min_size=2, max_size=60),
)
def test_the_rates_are_what_was_counted_whatever_rolled_over_and_was_missed(
    start: int, each: list[int], gaps: list[int]
) -> None:
    counter, count, at, seen = Counter(U16), start, 0, 0.0
    assert rate_at(counter, count, 0)[1] == WAITING
    for gap in (1, *gaps):  # how fast it counts has to be known before a gap around the end is one
        count += sum(each[(at + i) % 600] for i in range(gap))
        at += gap
        rate, status = rate_at(counter, count % MODULUS, at)
        assert status == GOOD
        seen += rate * gap
        assert seen == pytest.approx(count - start)


@settings(max_examples=200, deadline=None)
@given(per_s=st.integers(1, 50), at_reset=st.integers(2100, 60_000), after=st.floats(0, 1))
def test_a_reset_costs_one_row_wherever_the_counter_was(per_s: int, at_reset: int, after: float) -> None:
    before = [at_reset - per_s * back for back in range(20, -1, -1)]
    first = int(after * per_s)
    told = played(U16, each_second(*before, first, first + per_s, first + 2 * per_s))
    assert [status for _, status in told] == [WAITING, *[GOOD] * 20, BAD_DATA_LOST, GOOD, GOOD]
    assert {rate for rate, status in told if status == GOOD} == {float(per_s)}


@settings(max_examples=300, deadline=None)
@given(
    tag=st.sampled_from(
        [U16, U32, replace(U32, high=100.0), replace(U32, address=None), replace(U32, rollover=999_999)]
    ),
    counts=st.lists(st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 100), st.integers(-(2**31), 0)), max_size=40),
    steps=st.lists(st.sampled_from([0.0, 0.3, 1.0, 1.0, 1.0, 7.0, -1.0, -50.0]), min_size=40, max_size=40),
)
def test_no_counts_make_a_rate_that_is_none_and_none_lasts_for_ever(
    tag: Tag, counts: list[int], steps: list[float]
) -> None:
    counter, at = Counter(tag), 0.0
    for count, step in zip(counts, steps, strict=False):
        at += step
        rate, status = rate_at(counter, count, at)
        assert math.isnan(rate) == (status != GOOD)
        assert status in (GOOD, WAITING, BAD_DATA_LOST, BAD_OUT_OF_RANGE)
        if status == GOOD:
            assert 0 <= rate <= (100.0 if tag.high == 100.0 else math.inf)
    ends = [rate_at(counter, 1000 + 10 * second, at + 100 + second) for second in range(4)]
    assert ends[2:] == [(10.0, GOOD)] * 2


# --- over Modbus


def words(plc: ModbusPlc, tag: Tag, count: int) -> None:
    assert isinstance(tag.address, ModbusAddress)
    plc.put(HOLDING, tag.address.register, encode(count, counted(tag)))


@pytest.mark.parametrize("order", ["ABCD", "CDAB"])
def test_a_modbus_counter_that_rolls_over_misses_reads_and_loses_its_connection(order: str) -> None:
    async def main() -> None:
        tag = replace(U32, address=replace(MODBUS, order=order), scale=0.5)
        clock, plc, shown = ManualClock(), ModbusPlc(), []
        begin = 2**32 - 100

        async def read(seconds: int) -> None:
            clock.advance_s(seconds)
            words(plc, tag, (begin + 10 * round(clock.monotonic_ns() / S)) % 2**32)
            frame = await link.read()
            shown.append((frame.values[0, 0], int(frame.status[0, 0])))

        async with modbus_server({1: plc}) as port, RecordingProxy(ModbusRecorder, port) as proxy:
            link = supervise(modbus_side.endpoint(proxy.port), [tag], clock)
            for seconds in (1, 1, 1, 5, 1, 1):
                await read(seconds)
            proxy.hang_up()
            await read(10)
            await read(1)
            await link.close()
        assert shown[0][1] == WAITING
        assert shown[1:] == [(5.0, GOOD)] * 7

    run(main)


def test_a_modbus_counter_beside_a_register_that_is_not_there_and_tags_of_another_pace() -> None:
    async def main() -> None:
        clock, plc = ManualClock(), ModbusPlc()
        tags = [replace(U16, address=replace(MODBUS, register=register)) for register in (0, 2)]
        tags += [Tag("missing", "", replace(MODBUS, register=1), Dtype.UINT16),
                 replace(U16, address=replace(MODBUS, register=3), period_ms=5000)]
        shown = []
        async with modbus_server({1: plc}) as port:
            link = supervise(modbus_side.endpoint(port), tags, clock)
            for second in range(16):
                for tag, each in zip(tags, (1, 2, 0, 3), strict=True):
                    if each:
                        words(plc, tag, 500 + each * second)
                shown.append(await link.read())
                clock.advance_s(1)
            await link.close()
        values = np.concatenate([frame.values for frame in shown])
        np.testing.assert_array_equal(values[1:, :2], [[1.0, 2.0]] * 15)
        np.testing.assert_array_equal(values[[5, 10, 15], 3], [3.0] * 3)
        assert np.isfinite(values[:, 3]).sum() == 3

    run(main)


def test_the_prover_finds_nothing_odd_in_a_counter_whose_limits_are_those_of_its_rate() -> None:
    async def main() -> None:
        clock, plc = ManualClock(), ModbusPlc()
        tag = replace(U32, scale=0.001, low=0.0, high=10.0)
        async with modbus_server({1: plc}) as port:
            connector: ModbusConnector = modbus_side.connector(port, [tag], clock)
            await connector.open()
            for second in range(200):
                words(plc, tag, 3_000_000_000 + 7 * second)
                frame = await connector.read()
                clock.advance_s(1)
            await connector.close()
        assert frame.values[0, 0] == np.float32(0.007)
        assert connector.doubts == {}

    run(main)


# --- over OPC UA


PARTS = Tag("parts", "1/s", NodeAddress(NAMESPACE, "s=parts"), counter=True)


@pytest.mark.parametrize("mode", MODES)
def test_an_opcua_counter_that_rolls_over_and_loses_its_connection(opcua_plc: OpcuaPlc, mode: OpcuaMode) -> None:
    async def main() -> None:
        clock, shown, begin = ManualClock(), [], 2**32 - 100
        tags = [PARTS, Tag("other", "", NodeAddress(NAMESPACE, "s=other"))]
        async with opcua_plc.serving(["parts", "other"]) as plc, linked(plc.port, mode, tags, clock) as (link, proxy):
            for number, seconds in enumerate((1, 1, 1, 5, 1, 1, 10, 1)):
                clock.advance_s(seconds)
                second = round(clock.monotonic_ns() / S)
                count = float((begin + 10 * second) % 2**32)
                await plc.show({"parts": count, "other": float(number)}, START_NS + second * S)
                if number == 6:
                    proxy.hang_up()
                frame = await until(link, clock, lambda f, n=number: bool(f.values[-1, 1] == n), step_s=0.0)
                shown.append((float(frame.values[-1, 0]), int(frame.status[-1, 0])))
        assert shown[0][1] == WAITING
        assert shown[1:] == [(10.0, GOOD)] * 7

    run(main)


def current() -> CurrentValues:
    tags = [PARTS, Tag("other", "")]
    return CurrentValues(tags, counters=Counters.of(tags))


def rates(frames: Sequence[Frame]) -> list[float]:
    return np.concatenate([frame.values[:, 0] for frame in frames]).tolist()


def test_rows_that_other_tags_make_leave_the_rate_as_it_is() -> None:
    values, frames = current(), []
    for second in range(1, 6):
        changes = [good(0, second, 10.0 * second), *(good(1, second + part / 10, part) for part in range(0, 10, 3))]
        frames.append(values.rows(arrays(changes), START_NS, second * S, second * S))
    assert math.isnan(rates(frames)[0])
    assert set(rates(frames)[1:]) == {10.0}


@pytest.mark.parametrize("other_changes", [True, False])
def test_a_counter_that_is_not_reported_any_more_stands_still_after_its_period_and_a_half(other_changes: bool) -> None:
    values, frames = current(), []
    for second in range(1, 8):
        changes = [good(0, second, 10.0 * min(second, 3))] if second <= 3 else []
        changes += [good(1, second, second)] if other_changes or second == 1 else []
        frames.append(values.rows(arrays(changes), START_NS, second * S, second * S))
    assert rates(frames)[1:] == [10.0, 10.0, 10.0, 0.0, 0.0, 0.0]


def test_a_counter_that_gave_nothing_for_a_while_has_the_mean_rate_since() -> None:
    values = current()
    frames = [values.rows(arrays([good(0, t, 10.0 * t)]), START_NS, t * S, t * S) for t in (1, 2)]
    bad = good(0, 3, NAN)._replace(status=BAD_TIMEOUT)
    frames.append(values.rows(arrays([bad]), START_NS, 3 * S, 3 * S))
    frames.append(values.rows(arrays([good(0, 9, 20.0 + 7 * 5)]), START_NS, 9 * S, 9 * S))
    np.testing.assert_array_equal(rates(frames), [NAN, 10.0, NAN, 5.0])
