"""Spans of time against sets of whole numbers, which need no cleverness."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.line.spans import Span, common, covers, holds, joined, length_ns, union, without

SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def times(spans: Iterable[Span]) -> set[int]:
    return {time for begin, end in spans for time in range(begin, end)}


@given(SPANS, SPANS)
def test_they_are_sets_of_times(some: list[Span], others: list[Span]) -> None:
    a, b = union(some), union(others)
    for found, wanted in (
        (a, times(some)), (common(a, b), times(some) & times(others)), (without(a, b), times(some) - times(others)),
    ):
        assert times(found) == wanted
        assert length_ns(found) == len(wanted)
        assert found == union(found), "in order, and none touches another"
        assert covers(found, np.arange(42)).tolist() == [time in wanted for time in range(42)]
        assert [holds(found, time) for time in range(42)] == [time in wanted for time in range(42)]


@given(SPANS, st.integers(0, 5))
def test_short_gaps_are_closed_and_long_ones_stay(some: list[Span], gap: int) -> None:
    whole, found = union(some), joined(union(some), gap)
    gaps = [(end, begin) for (_, end), (begin, _) in pairwise(whole)]
    assert times(found) == times(whole) | times([one for one in gaps if one[1] - one[0] <= gap])
