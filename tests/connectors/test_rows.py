"""Changes to rows: grouped by source time, each carrying what every tag is then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from connectors.frame import BAD_OUT_OF_RANGE, BAD_TIMEOUT, BAD_WAITING_FOR_INITIAL_DATA, GOOD, Frame, Tag
from connectors.opcua.changes import Changes
from connectors.opcua.rows import ROWS_MAX, CurrentValues

S = 1_000_000_000
NOW = 5_000 * S


class Change(NamedTuple):
    column: int
    time_ns: int | None
    raw: float
    status: int


class Two:
    """The values of two tags, told of changes one by one."""

    def __init__(self, **more: float) -> None:
        self._values = CurrentValues([Tag("a", ""), Tag("b", "", low=0.0, high=10.0)], **more)

    def rows(self, changes: Sequence[Change], *times: int) -> Frame:
        return self._values.rows(arrays(changes), *times)

    def poll(self, changes: Sequence[Change], *times: int) -> Frame:
        return self._values.poll(arrays(changes), *times)


def arrays(changes: Sequence[Change]) -> Changes:
    return Changes(
        np.array([change.column for change in changes], np.intp),
        np.array([change.time_ns or 0 for change in changes], np.int64),
        np.array([change.raw for change in changes], np.float64),
        np.array([change.status for change in changes], np.uint32),
    )


def two(**more: float) -> Two:
    return Two(**more)


def good(column: int, time_s: float, value: float) -> Change:
    return Change(column, round(time_s * S), value, GOOD)


def test_before_anything_was_reported_all_is_waiting_at_our_time() -> None:
    frame = two().rows([], NOW, 0, 0)
    assert frame.source_time_ns.tolist() == [NOW]
    assert (frame.status == BAD_WAITING_FOR_INITIAL_DATA).all()


def test_the_first_changes_are_one_row_whatever_their_age() -> None:
    frame = two().rows([good(0, 100, 1.0), good(1, 4000, 2.0)], NOW, 0, 0)
    assert frame.source_time_ns.tolist() == [4000 * S]
    assert frame.values.tolist() == [[1.0, 2.0]]


def test_a_row_stays_as_it_was_when_the_next_one_is_bad() -> None:
    current = two()
    earlier = current.poll([good(0, 1, 1.0), good(1, 1, 2.0)], NOW, 0)
    later = current.poll([Change(0, 2 * S, math.nan, BAD_TIMEOUT), good(1, 2, 3.0)], NOW, S)
    assert later.status.tolist() == [[BAD_TIMEOUT, GOOD]]
    assert earlier.status.tolist() == [[GOOD, GOOD]]
    assert earlier.values.tolist() == [[1.0, 2.0]]


def test_one_row_for_each_source_time_in_its_order_with_all_tags_current() -> None:
    current = two()
    current.rows([good(0, 1, 1.0), good(1, 1, 2.0)], NOW, 0, 0)
    frame = current.rows(
        [good(1, 4, 5.0), good(0, 2, 3.0), good(0, 3, 4.0), good(1, 3, 6.0)], NOW, 3 * S, 3 * S
    )
    assert (frame.source_time_ns // S).tolist() == [2, 3, 4]
    assert frame.values.tolist() == [[3.0, 2.0], [4.0, 6.0], [4.0, 5.0]]


def test_near_source_times_are_one_row() -> None:
    current = two(group_ms=5.0)
    current.rows([good(0, 1, 1.0), good(1, 1, 2.0)], NOW, 0, 0)
    frame = current.rows([good(0, 2.0, 3.0), good(1, 2.004, 4.0), good(0, 2.006, 5.0)], NOW, S, S)
    assert frame.values.tolist() == [[3.0, 4.0], [5.0, 4.0]]
    assert frame.source_time_ns.tolist() == [2_004_000_000, 2_006_000_000]


def test_what_is_not_reported_is_still_current_as_time_goes_by() -> None:
    current = two()
    current.rows([good(0, 1, 1.0), good(1, 1, 2.0)], NOW, 5 * S, 4 * S)
    for settled_ns in (4 * S, 5 * S):
        assert current.rows([], NOW, 5 * S, settled_ns).rows == 0, "a change may still be on its way"
    frame = current.rows([], NOW, 5 * S, 7 * S)
    assert frame.source_time_ns.tolist() == [3 * S]
    assert frame.values.tolist() == [[1.0, 2.0]]


def test_a_bad_value_takes_the_place_of_a_good_one() -> None:
    current = two()
    current.rows([good(0, 1, 1.0), good(1, 1, 2.0)], NOW, 0, 0)
    frame = current.rows([Change(0, 2 * S, math.nan, BAD_TIMEOUT), good(1, 2, 11.0)], NOW, 0, 0)
    assert frame.status.tolist() == [[BAD_TIMEOUT, BAD_OUT_OF_RANGE]]
    assert np.isnan(frame.values).all()


def test_a_change_without_a_time_joins_the_newest() -> None:
    frame = two().rows([good(0, 7, 1.0), Change(1, None, 2.0, GOOD)], NOW, 0, 0)
    assert frame.source_time_ns.tolist() == [7 * S]
    assert two().rows([Change(1, None, 2.0, GOOD)], NOW, 0, 0).source_time_ns.tolist() == [NOW]


def test_a_server_clock_set_back_is_followed() -> None:
    current = two()
    current.rows([good(0, 5000, 1.0), good(1, 5000, 2.0)], NOW, 0, 0)
    assert current.rows([good(0, 1400, 3.0)], NOW, S, S).source_time_ns.tolist() == [1400 * S]
    assert current.rows([], NOW, 2 * S, 2 * S).source_time_ns.tolist() == [1401 * S]


def test_a_flood_keeps_the_newest_rows_and_the_state_of_all() -> None:
    current = two()
    current.rows([good(0, 0.5, 0.0), good(1, 0.5, 7.0)], NOW, 0, 0)
    frame = current.rows([good(0, 1 + t, t) for t in range(3 * ROWS_MAX)], NOW, S, S)
    assert frame.rows == ROWS_MAX
    assert frame.values[-1].tolist() == [3 * ROWS_MAX - 1, 7.0]
    assert frame.values[0].tolist() == [2 * ROWS_MAX, 7.0]


def test_a_poll_is_one_row_at_its_newest_source_time() -> None:
    current = two()
    frame = current.poll([good(0, 3, 1.0), good(1, 4, 2.0)], NOW, 0)
    assert frame.source_time_ns.tolist() == [4 * S]
    assert current.poll([good(0, 3, 1.0), good(1, 4, 2.0)], NOW, S).source_time_ns.tolist() == [5 * S]
    assert current.poll([good(0, 6, 1.0), good(1, 4, 2.0)], NOW, 2 * S).source_time_ns.tolist() == [6 * S]
    bad = [Change(column, None, math.nan, BAD_TIMEOUT) for column in (0, 1)]
    assert two().poll(bad, NOW, 0).source_time_ns.tolist() == [NOW]


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(1, 50), st.integers(0, 10)), min_size=1, max_size=60)
)
def test_rows_are_what_a_naive_replay_gives(changes: list[tuple[int, int, int]]) -> None:
    current = two()
    current.rows([good(0, 0.5, 0.0), good(1, 0.5, 0.0)], NOW, 0, 0)
    frame = current.rows([good(column, t, value) for column, t, value in changes], NOW, S, S)
    state, expected = [0.0, 0.0], {}
    for column, t, value in sorted(changes, key=lambda change: change[1]):
        state[column] = float(value)
        expected[t * S] = list(state)
    assert dict(zip(frame.source_time_ns.tolist(), frame.values.tolist(), strict=True)) == expected
