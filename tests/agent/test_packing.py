"""What is packed comes back to the bit, whatever it was; and it is small where readings are as converters give them."""

from __future__ import annotations

import numpy as np
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from agent.store import packing
from agent.store.blocks import Step, blocks, pack_opening, pack_steps
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, Float32s, Frame, UInt32s
from tests.agent.samples import SECOND_NS, START_NS

STATUSES = st.sampled_from([0, 0, 0, 0x40940000, BAD_TIMEOUT, BAD_NO_DATA, 0x80AB0400, 0xFFFFFFFF])


def there_and_back(values: Float32s, status: UInt32s) -> bytes:
    values = np.where(status >= 0x80000000, np.float32(np.nan), values)
    packed = packing.cells(values, status)
    reader = packing.Reader(packed)
    again, codes = packing.read_cells(reader, *values.shape)
    assert reader.take(1) == b"", "all of it was read"
    assert again.dtype == np.float32
    assert np.array_equal(codes, status)
    assert np.array_equal(np.isnan(again), np.isnan(values))
    held = ~np.isnan(values)
    assert np.array_equal(again[held].view(np.uint32), values[held].view(np.uint32))
    return packed


@st.composite
def tables(draw: st.DrawFn) -> tuple[Float32s, UInt32s]:
    shape = draw(st.tuples(st.integers(0, 12), st.integers(1, 6)))
    anything = st.floats(width=32, allow_nan=True, allow_infinity=True, allow_subnormal=True)
    decimal = st.builds(
        lambda number, places: np.float32(number / 10**places), st.integers(-(10**7), 10**7), st.integers(0, 6)
    )
    step = st.builds(lambda number, by: np.float32(number * by), st.integers(-50, 50), st.sampled_from([10, 0.05, 0.5]))
    values = draw(hnp.arrays(np.float32, shape, elements=draw(st.sampled_from([anything, decimal, step]))))
    return values, draw(hnp.arrays(np.uint32, shape, elements=STATUSES))


@settings(max_examples=300, deadline=None)
@given(tables())
def test_cells_come_back_to_the_bit(table: tuple[Float32s, UInt32s]) -> None:
    there_and_back(*table)


@settings(max_examples=200, deadline=None)
@given(hnp.arrays(np.int64, st.integers(0, 20), elements=st.integers(-(2**63), 2**63 - 1)))
def test_whole_numbers_come_back(numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
    assert packing.Reader(packing.ints(numbers)).ints(len(numbers)).tolist() == numbers.tolist()


def test_edges_of_the_number_formats_come_back() -> None:
    edges = np.array(
        [0.0, -0.0, 1e-45, -1e-45, 3.4028235e38, np.inf, -np.inf, 2.0**31, -(2.0**31), 2.0**24 + 2, 0.1], np.float32
    )
    good = np.zeros((len(edges), 1), np.uint32)
    there_and_back(edges[:, None], good)
    for one in edges:
        there_and_back(np.array([[one], [one]], np.float32), good[:2])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["pump", "press"]), st.integers(0, 3), st.integers(-(10**9), 10**9)), min_size=1)
)
def test_steps_come_back_whatever_their_order_rows_and_clocks(said: list[tuple[str, int, int]]) -> None:
    layout = {"pump": (("a", "bar"), ("b", "")), "press": (("c", "kN"),)}
    steps = []
    for number, (asset, rows, jump_ns) in enumerate(said):
        now_ns, columns = START_NS + number * SECOND_NS + jump_ns, len(layout[asset])
        values = np.full((rows, columns), number / 10, np.float32)
        frame = Frame(now_ns - np.arange(rows, dtype=np.int64), values, np.zeros((rows, columns), np.uint32))
        steps.append(Step(asset, now_ns, frame))
    packed = pack_opening(layout) + pack_steps(steps, layout)
    (block,) = blocks(packed)
    assert not isinstance(block, int)
    found = list(block.steps(layout))
    assert [(one.asset, one.now_ns) for one in found] == [(one.asset, one.now_ns) for one in steps]
    for one, other in zip(found, steps, strict=True):
        assert np.array_equal(one.frame.source_time_ns, other.frame.source_time_ns)
        assert np.array_equal(one.frame.values, other.frame.values)
    times = [t for one in steps for t in (one.now_ns, *one.frame.source_time_ns.tolist())]
    assert (block.first_ns, block.last_ns) == (min(times), max(times))


@pytest.mark.parametrize(
    ("step", "bytes_max"), [(0.1, 0.9), (0.05, 0.9), (0.25, 1.1), (1.0, 0.9), (5.0, 0.9)], ids=str
)
def test_a_noisy_reading_takes_about_a_byte(step: float, bytes_max: float) -> None:
    random = np.random.default_rng(4)
    noise = np.round(random.normal(0, 10, (50, 200))) + random.integers(100, 2000, 200)
    values = (noise * step).astype(np.float32)
    packed = there_and_back(values, np.zeros(values.shape, np.uint32))
    assert len(zstd.compress(packed, 1)) / values.size <= bytes_max


def test_what_one_connection_leaves_open_costs_next_to_nothing() -> None:
    """An asset of two connections: each frame holds the columns of one of them."""
    random = np.random.default_rng(4)
    values = np.round(random.normal(50, 1, (100, 40)), 1).astype(np.float32)
    halves = np.where((np.arange(100)[:, None] % 2) == (np.arange(40) < 20), np.uint32(BAD_NO_DATA), np.uint32(0))
    whole = len(zstd.compress(there_and_back(values, np.zeros_like(halves)), 1))
    assert len(zstd.compress(there_and_back(values, halves), 1)) < 0.6 * whole
