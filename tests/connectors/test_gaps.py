"""Gaps between sessions, the pieces in which they are filled, and the rows that fill them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.frame import BAD_NO_DATA, GOOD
from connectors.link import LoadGuard
from connectors.opcua.changes import Changes
from connectors.opcua.gaps import Gaps, Recorded, Recovery, Span
from connectors.opcua.recovery import Laid
from connectors.scaling import Scaling
from tests.connectors.opcua_side import tag
from tests.connectors.servers import START_NS, ManualClock, run

ORDERS = list(Recovery)


def test_the_guard_has_less_to_spare_the_more_was_asked() -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, 4, 0)
        for spare in (True, True, False):
            assert guard.spare is spare
            async with guard:
                clock.advance_s(0.1)
        clock.advance_s(0.85)
        assert guard.spare

    run(main)


@pytest.mark.parametrize("rate", [0.5, 1, 2])
def test_one_request_in_ten_is_for_the_past_where_the_present_takes_the_rest(rate: float) -> None:
    async def main() -> None:
        clock = ManualClock()
        guard = LoadGuard(clock, rate, 0)
        asked: list[bool] = []
        for _ in range(45):
            asked.append(False)
            async with guard:
                pass
            spare = guard.spare
            clock.advance_s(1 / rate)
            if spare:
                asked.append(True)
                async with guard:
                    guard.bulk()
                clock.advance_s(1 / rate)
        assert asked.count(True) == 5
        assert all(not any(asked[i : i + 9]) for i in range(0, len(asked), 10))

    run(main)


@settings(max_examples=200)
@given(
    st.sampled_from(ORDERS), st.integers(2, 10), st.integers(1, 30),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 200)), max_size=8), st.data(),
)
def test_the_pieces_of_all_gaps_are_what_is_missing(
    order: Recovery, period_ns: int, periods: int, sessions: list[tuple[int, int]], data: st.DataObject
) -> None:
    """A gap is what lies between two sessions; at any time some pieces may have been asked for."""
    gaps = Gaps(order, period_ns, periods * period_ns, 10**9)
    missing: set[int] = set()
    told: list[int] = []
    now_ns, delivered_ns = 1000, None
    for outage_ns, alive_ns in sessions:
        now_ns += outage_ns
        gaps.resumed(now_ns)
        if delivered_ns is not None and now_ns - delivered_ns > 2 * period_ns:
            missing |= set(range(delivered_ns + 1, now_ns))
        now_ns += alive_ns
        delivered_ns = now_ns
        gaps.delivered(now_ns)
        for _ in range(data.draw(st.integers(0, 3))):
            told += _ask(gaps)
    while gaps.piece() is not None:
        told += _ask(gaps)
    assert sorted(told) == sorted(missing)
    assert gaps.left_ns == gaps.given_up_ns == 0


def _ask(gaps: Gaps) -> list[int]:
    piece = gaps.piece()
    if piece is None:
        return []
    gaps.done(piece)
    return list(range(piece.since_ns + 1, piece.until_ns))


@pytest.mark.parametrize("order", ORDERS)
def test_a_clock_that_was_far_ahead_for_a_moment_stops_no_filling_later(order: Recovery) -> None:
    gaps = Gaps(order, 2, 100, 10**9)
    gaps.resumed(10)
    for time_ns in (10**6, 11):
        gaps.delivered(time_ns)
    gaps.resumed(31)
    assert gaps.piece() == Span(11, 31)
    gaps.done(Span(11, 31))
    gaps.delivered(10**6)
    gaps.resumed(40)  # how much was missed is not known
    assert gaps.piece() is None
    gaps.resumed(60)
    assert gaps.piece() == Span(40, 60)
    assert gaps.given_up_ns == 0


def test_a_hundred_gaps_wait_and_of_more_the_shortest_are_given_up_and_counted() -> None:
    long = Span(-1000, 0)
    gaps = Gaps(Recovery.OLDEST_FIRST, 2, 2, 10**9, Recorded(0, (long,)))
    for i in range(1, 151):
        gaps.resumed(10 * i)
    assert gaps.given_up_ns == 510
    assert gaps.left_ns == long.length_ns + 990
    assert gaps.piece() == Span(-1000, -998)
    gaps.give_up()
    assert (gaps.left_ns, gaps.given_up_ns) == (0, 2500)


@given(st.lists(st.tuples(st.integers(-50, 1050), st.integers(0, 2), st.integers(0, 99)), max_size=60),
       st.integers(1, 200))
def test_of_several_values_in_a_period_the_last_stands_in_whatever_order_they_come(
    sent: list[tuple[int, int, int]], period_ns: int
) -> None:
    since_ns = START_NS
    piece = Span(since_ns, since_ns + 1000)
    laid = Laid(piece, period_ns, 3)
    expected: dict[tuple[int, int], tuple[int, int]] = {}
    for offset, column, number in sent:
        laid.put(column, Changes(np.array([column]), np.array([since_ns + offset]), np.array([float(number)]),
                                 np.array([GOOD], np.uint32)))
        if 0 < offset < 1000:
            cell = offset // period_ns, column
            expected[cell] = max(expected.get(cell, (0, 0)), (offset, number),
                                 key=lambda found: (found[0], found is not expected.get(cell)))
    frame = laid.rows(Scaling([tag(name) for name in "abc"]))
    rows = sorted({place for place, _ in expected})
    assert frame.rows == len(rows)
    for t, place in enumerate(rows):
        assert frame.source_time_ns[t] == since_ns + max(expected[place, c][0] for c in range(3)
                                                         if (place, c) in expected)
        for column in range(3):
            if (place, column) in expected:
                assert frame.values[t, column] == expected[place, column][1]
            else:
                assert frame.status[t, column] == BAD_NO_DATA
