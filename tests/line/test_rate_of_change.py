"""A value that moved faster than its quantity can is refused, and nothing is refused for ever."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.line.line import Line, LineSettings
from agent.line.quality import OUT_OF_RANGE, TOO_FAST, trust
from agent.line.rate_of_change import STEP_SAMPLES, RateOfChange
from connectors.frame import BAD_NO_DATA, BAD_OUT_OF_RANGE, BAD_TIMEOUT, GOOD, Frame
from tests.line.scripted import SECOND_NS, START_NS, ScriptedDetector

MAX_RATE = 5.0
NAN = float("nan")


def frame(samples: Sequence[tuple[float, float]]) -> Frame:
    """Samples of one tag as (seconds, value); NaN is a time-out."""
    time_ns = np.array([START_NS + round(at * SECOND_NS) for at, _ in samples], np.int64)
    values = np.array([[value] for _, value in samples], np.float32).reshape(-1, 1)
    return Frame.clean(time_ns, values, np.where(np.isnan(values), BAD_TIMEOUT, GOOD).astype(np.uint32))


def screened(samples: Sequence[tuple[float, float]]) -> list[bool]:
    """Which samples are good; each comes in a frame of its own."""
    limit, good = RateOfChange([MAX_RATE], [SECOND_NS]), []
    for sample in samples:
        shown, too_fast = limit.screen(frame([sample]))
        assert (too_fast is not None) == (shown.status[0, 0] == BAD_OUT_OF_RANGE)
        good.append(bool(shown.status[0, 0] == GOOD))
    return good


def each_second(*values: float) -> list[tuple[float, float]]:
    return [(float(second), value) for second, value in enumerate(values)]


def test_a_spike_is_refused_and_what_comes_after_it_is_good() -> None:
    assert screened(each_second(20, 21, 500, 22, 23, -90, 24)) == [True, True, False, True, True, False, True]


def test_as_fast_as_it_can_is_not_too_fast() -> None:
    ramp = each_second(*(1000.1 + MAX_RATE * second for second in range(50)))
    assert all(screened(ramp))
    assert screened(each_second(0, 5.001)) == [True, False]


def test_a_step_that_persists_is_believed_after_some_samples() -> None:
    good = screened(each_second(20, 20, 50, 50.5, 51, 51, 52))
    assert good == [True, True] + [False] * (STEP_SAMPLES - 1) + [True, True, True]


def test_a_spike_at_the_very_beginning_costs_no_more() -> None:
    assert screened(each_second(9000, 20, 20, 20, 21)) == [True, False, False, True, True]


def test_spikes_to_different_places_are_no_step() -> None:
    assert screened(each_second(20, 500, -300, 800, 20)) == [True, False, False, False, True]


def test_after_a_gap_a_value_may_be_further_away() -> None:
    assert screened([(0, 20.0), (1, NAN), (2, NAN), (10, 69.0)]) == [True, False, False, True]
    assert screened([(0, 20.0), (10, 71.0)]) == [True, False]


def test_the_reach_is_that_of_the_time_since_the_last_good_value_and_not_since_the_spike() -> None:
    assert screened([(0, 0.0), (1, 80.0), (2, 9.0)]) == [True, False, True]


def test_two_samples_at_one_time_are_a_period_apart() -> None:
    assert screened([(0, 20.0), (0, 24.9), (0, 30.0)]) == [True, True, False]


def test_rows_that_repeat_a_value_do_not_make_the_next_one_too_fast() -> None:
    assert all(screened([(0, 20.0), (0.4, 20.0), (0.9, 20.0), (1, 25.0), (1.9, 25.0), (2, 30.0)]))


def test_a_row_that_repeats_a_spike_does_not_confirm_it() -> None:
    """As rows of OPC UA do while other tags change."""
    rows = [(0, 20.0), (1, 500.0), (1.1, 500.0), (1.2, 500.0), (1.3, 500.0), (2, 20.5)]
    assert screened(rows) == [True, False, False, False, False, True]


def test_a_clock_that_is_set_back_refuses_nothing_for_long() -> None:
    assert screened([(5000, 20.0), (100, 21.0), (101, 22.0)]) == [True, True, True]
    assert screened([(5000, 20.0), (100, 50.0), (101, 50.0), (102, 50.0)]) == [True, False, False, True]


def test_only_the_tags_with_a_limit_are_looked_at() -> None:
    limit = RateOfChange([math.inf, MAX_RATE, math.inf], [SECOND_NS] * 3)
    limit.screen(Frame.of(START_NS, [0.0, 0.0, 0.0], [GOOD] * 3))
    shown, too_fast = limit.screen(Frame.of(START_NS + SECOND_NS, [99.0, 99.0, NAN], [GOOD, GOOD, BAD_NO_DATA]))
    assert shown.status.tolist() == [[GOOD, BAD_OUT_OF_RANGE, BAD_NO_DATA]]
    assert too_fast is not None
    assert too_fast.tolist() == [[False, True, False]]


def test_without_a_limit_the_frame_is_the_same_object() -> None:
    given_frame = frame(each_second(1, 2))
    assert RateOfChange([math.inf], [SECOND_NS]).screen(given_frame)[0] is given_frame


samples = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.4, 1.0, 1.0, 1.0, 3.0, 60.0]),
              st.one_of(st.floats(-100, 100, width=32), st.just(NAN), st.just(500.0))),
    min_size=1, max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(steps=samples, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_no_good_value_is_out_of_reach_and_the_frames_do_not_matter(
    steps: list[tuple[float, float]], cuts: list[int]
) -> None:
    rows, at = [], 0.0
    for step, value in steps:
        at += step
        rows.append((at, value))
    one_by_one = screened(rows)
    limit, together = RateOfChange([MAX_RATE], [SECOND_NS]), []
    edges = sorted({0, len(rows), *(cut % len(rows) for cut in cuts)})
    for a, b in pairwise(edges):
        together += (limit.screen(frame(rows[a:b]))[0].status[:, 0] == GOOD).tolist()
    assert together == one_by_one
    come = [(row, good) for row, good in zip(rows, one_by_one, strict=True) if not np.isnan(row[1])]
    last: tuple[float, float] | None = None
    refused: list[float] = []
    for (at, value), good in come:
        near = last is None or abs(value - last[1]) <= MAX_RATE * max(at - last[0], 1.0) + 1e-4
        assert good or not near, "what is within reach is good"
        if good and not near:
            assert len(refused) >= STEP_SAMPLES - 1, "a step was seen before"
            assert at - refused[0] >= 0.5 * (STEP_SAMPLES - 1) - 1e-6, "for longer than one sample is repeated"
        refused = [] if good else [*refused, at]
        last = (at, value) if good else last


@settings(max_examples=100, deadline=None)
@given(before=st.lists(st.floats(-1e6, 1e6, width=32), max_size=10), level=st.floats(-1e6, 1e6, width=32))
def test_whatever_came_before_a_steady_value_is_good_in_the_end(before: list[float], level: float) -> None:
    assert screened(each_second(*before, *[level] * STEP_SAMPLES))[-1]


@pytest.mark.parametrize("chunk", [1, 7])
def test_a_line_tells_what_moved_too_fast_and_judges_the_rest(chunk: int) -> None:
    values = [0.5] * 100
    values[40] = values[70] = 30.0  # what a row of is evidence of a fault
    line = Line("pump", ScriptedDetector(), LineSettings(1e-6, 0, 0, max_rates=(MAX_RATE,)))
    alerts = []
    for row in range(0, 100, chunk):
        part = frame([(float(second), values[second]) for second in range(row, min(row + chunk, 100))])
        alerts += line.step(part, int(part.source_time_ns[-1]))
    line.publish()
    assert not alerts
    quality = line.snapshot.quality
    assert (quality.hour[TOO_FAST, 0], quality.hour[OUT_OF_RANGE, 0]) == (2, 0)
    told = trust(quality, 0, SECOND_NS, line.snapshot.time_ns)
    assert told.reasons == ("2 values that moved faster than max_rate in the last hour",)
    assert told.score == round(100 * 0.98 * 0.99 - 4)
