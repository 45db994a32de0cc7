"""From samples of any cadence to rows on the grid: nothing is invented, nothing is counted twice."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.backtest.grid import Rows, segments_of
from agent.line.hold import hold_ns
from agent.line.window import FRAMES_BACK_MAX, Grid, Window
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, GOOD, UNCERTAIN, Frame

START_NS = 1_790_000_000_123_456_789
SECOND_NS = 1_000_000_000
GAP_ROWS = 10
NAN = float("nan")


def at(time_s: float) -> int:
    return START_NS + round(time_s * SECOND_NS)


def sample(time_s: float, *values: float | None) -> Frame:
    """One row; NaN is a time-out, None a tag that was not sampled."""
    row = [NAN if value is None else value for value in values]
    status = [BAD_NO_DATA if v is None else BAD_TIMEOUT if np.isnan(v) else GOOD for v in values]
    return Frame.of(at(time_s), row, np.array(status, np.uint32))


def joined(frames: Sequence[Frame]) -> Frame:
    return Frame(
        np.concatenate([frame.source_time_ns for frame in frames]),
        np.concatenate([frame.values for frame in frames]),
        np.concatenate([frame.status for frame in frames]),
    )


def laid(window: Window, frames: Sequence[Frame]) -> Grid:
    """What comes of frames that are read as soon as their newest sample was taken."""
    grids, now_ns = [], 0
    for frame in frames:
        now_ns = max([now_ns, *frame.source_time_ns.tolist()])
        grids.append(window.push(frame, now_ns))
    return joined_grids(grids)


def joined_grids(grids: Sequence[Grid]) -> Grid:
    return Grid(*(np.concatenate([getattr(grid, name) for grid in grids]) for name in Grid.__slots__))


def window(columns: int = 1) -> Window:
    return Window(columns, SECOND_NS, GAP_ROWS)


def seconds(grid: Grid) -> list[float]:
    return [float(time) / SECOND_NS for time in grid.time_ns - START_NS]


def column(grid: Grid, number: int = 0) -> list[float | None]:
    return [float(v) if g else None for v, g in zip(grid.values[:, number], grid.good[:, number], strict=True)]


def test_the_grid_has_the_phase_of_the_first_sample() -> None:
    grid = laid(window(), [sample(0, 1.0), sample(1, 2.0), sample(2, 3.0)])
    assert grid.time_ns.tolist() == [at(0), at(1), at(2)]
    assert column(grid) == [1.0, 2.0, 3.0]


def test_a_jitter_of_nearly_half_a_period_moves_no_sample() -> None:
    jitter = np.random.default_rng(0).uniform(-0.499, 0.499, 200)
    jitter[0] = 0.0
    w = window()
    grid = laid(w, [sample(k + late, float(k)) for k, late in enumerate(jitter)])
    assert seconds(grid) == list(range(200))
    assert column(grid) == list(range(200))
    assert w.late == 0


def test_the_second_sample_of_a_row_is_late() -> None:
    w = window()
    grid = laid(w, [sample(0, 1.0), sample(0.3, 99.0), sample(1, 2.0), sample(0.9, 98.0), sample(2, 3.0)])
    assert column(grid) == [1.0, 2.0, 3.0]
    assert w.late == 2


def test_a_gap_is_rows_without_good_values() -> None:
    grid = laid(window(2), [sample(0, 1.0, 2.0), sample(4, 5.0, 6.0)])
    assert seconds(grid) == [0, 1, 2, 3, 4]
    assert column(grid) == [1.0, None, None, None, 5.0]
    assert np.isnan(grid.values[~grid.good]).all()


@pytest.mark.parametrize("gap_s", [GAP_ROWS, GAP_ROWS + 1, GAP_ROWS + 2, 1000, 10_000_000])
def test_a_long_gap_counts_as_few_rows_next_to_what_follows(gap_s: int) -> None:
    grid = laid(window(), [sample(0, 1.0), sample(gap_s, 2.0), sample(gap_s + 1, 3.0)])
    missing = min(gap_s - 1, GAP_ROWS)
    assert column(grid) == [1.0] + [None] * missing + [2.0, 3.0]
    assert seconds(grid) == [0, *range(gap_s - missing, gap_s + 2)]


@pytest.mark.parametrize("value", [NAN, np.inf])
def test_what_is_bad_is_not_good(value: float) -> None:
    frame = Frame.clean(
        np.array([at(0)], np.int64), np.array([[value, 1.0, 1.0]], np.float32),
        np.array([[GOOD, UNCERTAIN, BAD_TIMEOUT]], np.uint32),
    )
    grid = laid(window(3), [frame])
    assert grid.good.tolist() == [[False, True, False]]
    assert np.isnan(grid.values[0, [0, 2]]).all()


def test_an_empty_frame_closes_nothing() -> None:
    w = window(2)
    assert w.push(Frame.empty(2), at(0)).rows == 0
    assert laid(w, [sample(0, 1.0, 2.0), Frame.empty(2), sample(1, 3.0, 4.0)]).rows == 2


def test_a_late_sample_is_counted_and_left_out() -> None:
    w = window()
    grid = laid(w, [sample(0, 1.0), sample(1, 2.0), sample(2, 3.0), sample(0.6, 99.0), sample(3, 4.0)])
    assert column(grid) == [1.0, 2.0, 3.0, 4.0]
    assert (w.late, w.clock_steps) == (1, 0)


def test_a_burst_of_old_samples_is_no_clock_that_was_set_back() -> None:
    w = window()
    burst = joined([sample(t, 99.0) for t in range(50)])
    grid = laid(w, [*(sample(t, 1.0) for t in range(100)), burst, *(sample(t, 1.0) for t in range(100, 110))])
    assert column(grid) == [1.0] * 110
    assert (w.late, w.clock_steps) == (50, 0)


def test_now_and_then_a_late_sample_is_no_clock_that_was_set_back() -> None:
    """Each frame brings new rows and ends with an old one."""
    w = window()
    frames = [joined([sample(2 * t, 1.0), sample(2 * t + 1, 1.0), sample(2 * t - 2.9, 99.0)]) for t in range(2, 20)]
    assert column(laid(w, frames)) == [1.0] * 36
    assert (w.late, w.clock_steps) == (18, 0)


def test_a_clock_that_was_set_back_starts_the_grid_anew() -> None:
    w = window()
    before = laid(w, [sample(t, 1.0) for t in range(100)])
    after = laid(w, [sample(t + 0.2, 2.0) for t in range(40, 60)])
    assert column(before) == [1.0] * 100
    assert seconds(after) == [40.2 + t for t in range(FRAMES_BACK_MAX - 1, 20)]
    assert (w.late, w.clock_steps) == (FRAMES_BACK_MAX - 1, 1)


def test_one_sample_from_the_future_does_not_stop_the_grid() -> None:
    w = window()
    frames = [*((t, sample(t, 1.0)) for t in range(10)), (10, sample(1e7, 9.0)),
              *((t + 1, sample(t, 2.0)) for t in range(10, 30))]
    grid = joined_grids([w.push(frame, at(now_s)) for now_s, frame in frames])
    assert column(grid) == [1.0] * 10 + [9.0] + [2.0] * 18
    assert seconds(grid)[-18:] == list(range(12, 30))
    assert w.clock_steps == 2, "there and back"


AHEAD_S = 3600


def ahead(begin: int, end: int, by_s: float = AHEAD_S) -> list[tuple[float, Frame]]:
    """Frames by a clock that was set ahead, each with the gateway's time."""
    return [(t, sample(t + by_s, float(t))) for t in range(begin, end)]


def read_at(w: Window, frames: Sequence[tuple[float, Frame]]) -> Grid:
    return joined_grids([w.push(frame, at(now_s)) for now_s, frame in frames])


def test_a_clock_that_is_set_ahead_leaves_no_gap() -> None:
    w = window()
    grid = read_at(w, [*ahead(0, 100, 0), *ahead(100, 200)])
    assert column(grid) == list(range(200))
    assert seconds(grid) == [*range(100), *range(100 + AHEAD_S, 200 + AHEAD_S)]
    assert (w.clock_steps, w.late) == (1, 0)


def test_a_clock_that_is_set_within_a_frame_leaves_no_gap_and_names_each_row_by_its_own_time() -> None:
    w = window()
    rows = [sample(0, 0.0), *(sample(t, float(t)) for t in range(1, 5)), *(frame for _, frame in ahead(5, 9))]
    grid = read_at(w, [(0, rows[0]), (8, joined(rows[1:]))])
    assert column(grid) == list(range(9))
    assert seconds(grid) == [*range(5), *range(5 + AHEAD_S, 9 + AHEAD_S)]
    assert w.clock_steps == 1


def test_a_clock_that_is_set_ahead_during_an_outage_leaves_the_gap_of_the_outage() -> None:
    w = window()
    grid = read_at(w, [*ahead(0, 10, 0), *ahead(16, 20)])
    assert column(grid) == [*range(10), *[None] * 6, *range(16, 20)]
    assert w.clock_steps == 1


def test_an_outage_and_what_was_kept_of_it_are_no_clock_that_was_set() -> None:
    """The backlog comes within a second, a part in each frame; its source times go faster than ours."""
    w = window()
    backlog = [(610 + t / 1000, sample(t, float(t))) for t in range(200, 611)]
    grid = read_at(w, [*ahead(0, 100, 0), *backlog, *ahead(611, 700, 0)])
    assert w.clock_steps == 0
    assert [v for v in column(grid) if v is not None] == [*range(100), *range(200, 700)]


def test_samples_that_did_not_come_are_missing_where_the_clocks_agree() -> None:
    w = window()
    grid = read_at(w, [*ahead(0, 10, 0), *ahead(15, 20, 0)])
    assert column(grid) == [*range(10), *[None] * 5, *range(15, 20)]
    assert w.clock_steps == 0


@pytest.mark.parametrize("drift", [-0.0005, 0.0005])
def test_a_clock_that_goes_wrong_slowly_is_followed(drift: float) -> None:
    """By seven seconds in four hours; then it is set ahead by five seconds."""
    w, hours_s = window(), 4 * 3600
    for t in range(hours_s):
        w.push(sample(t * (1 + drift), 1.0), at(t))
    assert w.clock_steps == 0
    grid = read_at(w, [(hours_s + t, sample((hours_s + t) * (1 + drift) + 5, float(t))) for t in range(10)])
    assert column(grid) == list(range(10))
    assert w.clock_steps == 1


def test_what_is_held_of_a_slow_tag_is_held_over_a_clock_that_was_set_ahead() -> None:
    w = paced()
    frames = [(t, sample(t, float(t), 7.0 if t % SLOW_S == 0 else None)) for t in range(12)]
    frames += [(t, sample(t + AHEAD_S, float(t), None)) for t in range(12, 20)]
    assert column(read_at(w, frames), 1) == [7.0] * 16 + [None] * 4
    assert w.clock_steps == 1


def test_an_open_row_is_closed_before_the_clock_is_followed() -> None:
    w = window(2)
    grid = read_at(w, [(0, sample(0, 0.0, 0.0)), (1, sample(1, 1.0, None)), (2, sample(2 + AHEAD_S, 2.0, 2.0))])
    assert (column(grid, 0), column(grid, 1)) == ([0.0, 1.0, 2.0], [0.0, None, 2.0])
    assert seconds(grid) == [0, 1, 2 + AHEAD_S]


@settings(max_examples=150, deadline=None)
@given(
    sets=st.lists(st.tuples(st.integers(1, 40), st.sampled_from([5, 60, 3600, 10**7])), max_size=5),
    delays=st.lists(st.floats(0, 0.9), min_size=8, max_size=8),
    batches=st.lists(st.integers(1, 6), min_size=8, max_size=8),
)
def test_however_often_a_clock_is_set_ahead_every_sample_has_its_row_and_no_row_is_missing(
    sets: list[tuple[int, int]], delays: list[float], batches: list[int]
) -> None:
    steps = dict(sets)
    w, ahead_s, frames, rows = window(), 0, [], []
    for t in range(80):
        ahead_s += steps.get(t, 0)
        rows.append(sample(t + ahead_s, float(t)))
        if len(rows) >= batches[t % 8] or t + 1 in steps:
            frames.append((t + delays[t % 8], joined(rows)))
            rows = []
    grid = read_at(w, frames)
    assert column(grid) == list(range(80 - len(rows)))
    assert w.clock_steps == sum(start < 80 - len(rows) for start in steps)
    assert (np.diff(grid.time_ns) > 0).all()


def test_two_sources_make_one_row() -> None:
    w = window(2)
    frames = [f for t in range(5) for f in (sample(t, 1.0 + t, None), sample(t + 0.3, None, 10.0 + t))]
    grid = laid(w, frames)
    assert seconds(grid) == [0, 1, 2, 3, 4]
    assert column(grid, 0) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert column(grid, 1) == [10.0, 11.0, 12.0, 13.0, 14.0]
    assert w.late == 0


def test_a_row_is_closed_when_the_last_tag_is_there_and_no_sooner() -> None:
    w = window(2)
    assert w.push(sample(0, 1.0, None), at(0)).rows == 0
    assert w.push(sample(0.1, None, 2.0), at(0.1)).rows == 1
    assert w.push(sample(1, None, 2.0), at(1)).rows == 0
    assert w.push(sample(1.1, NAN, None), at(1.1)).rows == 1, "a time-out is an answer"


def test_a_row_that_a_source_missed_is_closed_by_the_next_one() -> None:
    w = window(2)
    grid = laid(w, [sample(0, 1.0, None), sample(1, 2.0, None), sample(1.1, None, 20.0), sample(2, 3.0, None)])
    assert column(grid, 0) == [1.0, 2.0]
    assert column(grid, 1) == [None, 20.0]


def test_a_value_is_never_carried_into_a_row_it_was_not_sampled_in() -> None:
    """One source is sampled every third second."""
    frames = []
    for t in range(9):
        frames.append(sample(t, float(t), None))
        if t % 3 == 0:
            frames.append(sample(t + 0.1, None, float(t)))
    assert column(laid(window(2), frames), 1) == [0.0, None, None, 3.0, None, None, 6.0, None]


def test_in_an_open_row_the_newer_sample_of_a_tag_counts() -> None:
    grid = laid(window(2), [sample(0, 1.0, None), sample(0.2, 2.0, None), sample(0.3, None, 5.0)])
    assert column(grid, 0) == [2.0]


times = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 1, 2, 5, 30]),
        st.floats(-0.45, 0.45),
        st.sampled_from(["both", "both", "first", "second", "time-out", "late"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=80, deadline=None)
@given(steps=times, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_the_grid_does_not_depend_on_how_samples_come_in_frames(
    steps: list[tuple[int, float, str]], cuts: list[int]
) -> None:
    samples, time_s, after_late = [sample(0, 0.0, 0.0)], 0, False
    for number, (step, jitter, kind) in enumerate(steps):
        time_s += step + after_late  # a late sample comes alone: three of them are a clock that was set back
        after_late = kind == "late" and not after_late
        first = None if kind == "second" else NAN if kind == "time-out" else float(number)
        second = None if kind == "first" else float(number)
        samples.append(sample(time_s + jitter - 5 * after_late, first, second))
    one, other = window(2), window(2)
    by_row = laid(one, samples)
    edges = sorted({0, len(samples), *(cut % len(samples) for cut in cuts)})
    in_frames = laid(other, [joined(samples[a:b]) for a, b in pairwise(edges)])
    for name in ("time_ns", "values", "good"):
        np.testing.assert_array_equal(getattr(by_row, name), getattr(in_frames, name))
    assert (one.late, one.clock_steps) == (other.late, other.clock_steps)
    assert (np.diff(by_row.time_ns) > 0).all()
    assert not ((by_row.time_ns - START_NS) % SECOND_NS).any()
    assert np.array_equal(by_row.good, ~np.isnan(by_row.values))


SLOW_S = 5


def paced() -> Window:
    """A tag of each second and one of each fifth."""
    return Window(2, SECOND_NS, GAP_ROWS, [SECOND_NS, SLOW_S * SECOND_NS])


def test_a_slow_tag_is_current_until_its_next_sample_and_rows_do_not_wait_for_it() -> None:
    w = paced()
    for t in range(20):
        grid = w.push(sample(t, float(t), 100.0 + t if t % SLOW_S == 0 else None), at(t))
        assert (column(grid, 0), column(grid, 1)) == ([float(t)], [100.0 + t - t % SLOW_S]), t
    assert w.late == 0


def test_a_slow_tag_that_is_not_sampled_any_more_is_held_for_its_own_period_and_no_longer() -> None:
    grid = laid(paced(), [sample(0, 0.0, 7.0), *(sample(t, float(t), None) for t in range(1, 10))])
    assert column(grid, 1) == [7.0] * (SLOW_S + 1) + [None] * 4


def test_a_failed_read_of_a_slow_tag_ends_what_was_held() -> None:
    grid = laid(paced(), [sample(0, 0.0, 7.0), sample(1, 1.0, NAN), sample(2, 2.0, None), sample(3, 3.0, 8.0)])
    assert column(grid, 1) == [7.0, None, None, 8.0]


def test_a_slow_sample_that_comes_after_its_row_counts_from_the_next_on() -> None:
    w = paced()
    grid = laid(w, [sample(0, 0.0, None), sample(0.2, None, 7.0), sample(1, 1.0, None), sample(2, 2.0, None)])
    assert column(grid, 1) == [None, 7.0, 7.0]
    assert w.late == 0


def test_an_older_sample_of_a_slow_tag_does_not_replace_a_newer_one() -> None:
    w = paced()
    grid = laid(w, [sample(3, 0.0, 7.0), sample(1, None, 6.0), sample(4, 1.0, None)])
    assert column(grid, 1) == [7.0, 7.0]
    assert w.late == 1


def test_what_is_held_is_held_in_missing_rows_too() -> None:
    grid = laid(paced(), [sample(0, 0.0, 7.0), sample(8, 8.0, None)])
    assert column(grid, 1) == [7.0] * (SLOW_S + 1) + [None] * 3
    assert column(grid, 0) == [0.0] + [None] * 7 + [8.0]


def test_an_asset_of_slow_tags_alone_has_a_row_for_each_sample_and_holds_between_them() -> None:
    w = Window(1, SECOND_NS, GAP_ROWS, [3 * SECOND_NS])
    grid = laid(w, [sample(t, float(t)) for t in (0, 3, 6)])
    assert column(grid) == [0.0, 0.0, 0.0, 3.0, 3.0, 3.0, 6.0]


def test_a_sample_with_the_time_of_the_one_before_is_a_duplicate() -> None:
    w = window()
    grid = laid(w, [sample(0, 1.0), sample(0, 99.0), sample(1, 2.0), sample(1, 99.0)])
    assert column(grid) == [1.0, 2.0]
    assert (w.duplicates, w.late) == (2, 0)


def test_nothing_is_held_over_a_clock_that_was_set_back() -> None:
    w = paced()
    laid(w, [sample(t, float(t), 7.0 if t % SLOW_S == 0 else None) for t in range(100)])
    after = laid(w, [sample(t, float(t), None) for t in range(40, 44)])
    assert column(after, 1) == [None] * 2
    assert w.clock_steps == 1


slow_steps = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 1, 1, 2, 7, 30]),
        st.floats(-0.45, 0.45),
        st.sampled_from(["both", "fast", "fast", "fast", "slow", "slow failed"]),
    ),
    min_size=1,
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(steps=slow_steps, cuts=st.lists(st.integers(0, 60), max_size=8))
def test_no_row_shows_a_slow_value_that_is_not_the_newest_or_too_old(
    steps: list[tuple[int, float, str]], cuts: list[int]
) -> None:
    samples, taken, time_s = [sample(0, 0.0, 0.0)], [(0.0, 0.0)], 0
    for number, (step, jitter, kind) in enumerate(steps, 1):
        time_s += step
        value = None if kind == "fast" else NAN if kind == "slow failed" else float(number)
        samples.append(sample(time_s + jitter, None if kind.startswith("slow") else float(number), value))
        if value is not None:
            taken.append((time_s + jitter, value))
    by_row = laid(one := paced(), samples)
    edges = sorted({0, len(samples), *(cut % len(samples) for cut in cuts)})
    in_frames = laid(other := paced(), [joined(samples[a:b]) for a, b in pairwise(edges)])
    for name in ("time_ns", "values", "good"):
        np.testing.assert_array_equal(getattr(by_row, name), getattr(in_frames, name))
    assert (one.late, one.duplicates) == (other.late, other.duplicates)
    for at_s, value in zip(seconds(by_row), column(by_row, 1), strict=True):
        if value is not None:
            assert any(v == value and at_s - t <= SLOW_S + 0.5 + 1e-6 and t < at_s + 0.5 for t, v in taken)


def test_a_history_is_held_as_the_rows_of_a_running_agent_are() -> None:
    rng = np.random.default_rng(3)
    times_s = np.arange(300) + rng.uniform(-0.3, 0.3, 300)
    times_s[0] = 0
    values = rng.normal(0, 1, (300, 2)).astype(np.float32)
    values[np.arange(300) % SLOW_S != 0, 1] = np.nan
    values[100:115, 1] = np.nan  # three samples in a row that did not come
    live = laid(paced(), [
        sample(t, float(a), None if np.isnan(b) else float(b)) for t, (a, b) in zip(times_s, values, strict=True)
    ])
    rows = Rows("a", np.array([at(t) for t in times_s], np.int64), values, np.zeros(300, np.int8))
    (segment,) = segments_of(rows, SECOND_NS, {1: hold_ns(SLOW_S * SECOND_NS, SECOND_NS)})
    np.testing.assert_array_equal(segment.times_ns, live.time_ns)
    np.testing.assert_array_equal(segment.values, live.values)
