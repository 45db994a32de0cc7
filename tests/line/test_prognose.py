"""Prognosis: steady growth gives an interval that holds the truth, and everything else gives no estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.line.prognose import (
    CRITICAL,
    TRACE_MAX,
    FailureLevel,
    Prognosis,
    RemainingLife,
)
from connectors.frame import Bools, Int64s

Float64s = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ROWS = 4000
PERIOD_S = 5.0
SEEDS = range(8)


def times_ns(rows: int, period_s: float = PERIOD_S) -> Int64s:
    return 1_700_000_000_000_000_000 + (np.arange(rows) * period_s * 1e9).astype(np.int64)


def follow(
    evidence: Float64s,
    *,
    judged: Bools | None = None,
    failure: FailureLevel = CRITICAL,
    period_s: float = PERIOD_S,
    portions: int = 50,
) -> tuple[Prognosis, list[RemainingLife | None]]:
    """Return what is said after each of the portions in which the rows come."""
    prognosis = Prognosis(failure)
    shown = np.ones(len(evidence), np.bool_) if judged is None else judged
    times = times_ns(len(evidence), period_s)
    parts = np.array_split(np.arange(len(evidence)), portions)
    return prognosis, [prognosis.update(times[part], evidence[part], shown[part]) for part in parts]


def smooth_noise(rows: int, seed: int, memory_rows: int = 100) -> Float64s:
    """Return what a slow average of the score bank makes of healthy rows: it wanders, with unit spread."""
    white = np.random.default_rng(seed).standard_normal(rows + 10 * memory_rows)
    kernel = np.exp(-np.arange(5 * memory_rows) / memory_rows)
    found = np.convolve(white, kernel, "valid")[:rows]
    return np.asarray(found / found.std())


# The trace has at most 64 points, so the last few percent of a course are below its resolution.
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    start=st.floats(-1.0, 0.4),
    end=st.floats(1.4, 1.8),
    noise=st.floats(0.0, 0.05),
    rows=st.integers(1500, 20_000),
    period_s=st.sampled_from([0.1, 1.0, 60.0, 3600.0]),
    seed=st.integers(0, 1000),
)
def test_a_steady_rise_gives_an_interval_that_holds_the_truth(
    start: float, end: float, noise: float, rows: int, period_s: float, seed: int
) -> None:
    course = np.linspace(start, end, rows)
    evidence = np.maximum(course + noise * np.random.default_rng(seed).standard_normal(rows), 0.0)
    _, said = follow(evidence, period_s=period_s)
    assert (life := said[-1]) is not None
    slope = (end - start) / ((rows - 1) * period_s)
    assert life.q05_s < (CRITICAL.evidence - end) / slope < life.q95_s
    assert 0.0 <= life.q05_s <= life.q50_s <= life.q95_s


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rise_that_slows_down_is_held_as_well(seed: int) -> None:
    rows = 20_000
    end_row = 40_000
    course = 2.0 * np.log1p(np.arange(rows) / 4000) / np.log1p(end_row / 4000)
    _, said = follow(np.maximum(course + 0.03 * smooth_noise(rows, seed), 0.0))
    assert (life := said[-1]) is not None
    assert life.q05_s < (end_row - rows) * PERIOD_S < life.q95_s


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("level", [0.2, 0.9, 1.5])
def test_noise_gives_no_estimate(seed: int, level: float) -> None:
    _, said = follow(np.maximum(level + 0.2 * smooth_noise(ROWS, seed), 0.0))
    assert said == [None] * len(said)


def test_a_step_gives_no_estimate() -> None:
    for memory_rows in (1, 30, 100):
        climb = 1.8 * (1.0 - np.exp(-np.arange(ROWS) / memory_rows))
        _, said = follow(np.concatenate([np.full(ROWS, 0.2), np.maximum(climb, 0.2)]))
        assert said == [None] * len(said), memory_rows


@pytest.mark.parametrize(
    "course",
    [
        pytest.param(np.linspace(0.0, 0.95, ROWS), id="still below its limit"),
        pytest.param(np.linspace(0.0, 1.9, 250), id="too short"),
        pytest.param(np.linspace(1.9, 1.1, ROWS), id="falling"),
        pytest.param(1.4 + 0.4 * np.sin(np.arange(ROWS) / 100), id="a cycle"),
        pytest.param(np.concatenate([np.linspace(0.3, 1.6, ROWS), np.full(ROWS, 1.6)]), id="stalled"),
        pytest.param(np.linspace(0.3, 5.0, ROWS), id="beyond the level"),
        pytest.param(np.full(ROWS, np.nan), id="never judged"),
        pytest.param(np.zeros(0), id="no rows"),
    ],
)
def test_what_does_not_grow_steadily_gives_no_estimate(course: Float64s) -> None:
    _, said = follow(course)
    assert said[-1] is None


def test_rows_that_are_not_judged_are_as_if_they_were_not_there() -> None:
    course = np.linspace(0.2, 1.7, ROWS)
    judged = np.arange(ROWS) % 3 > 0
    spoilt = np.where(judged, course, np.where(np.arange(ROWS) % 2, 1000.0, np.nan))
    _, clean = follow(np.where(judged, course, np.nan))
    _, said = follow(spoilt, judged=judged)
    assert said == clean
    assert said[-1] is not None


def test_the_portions_in_which_rows_come_do_not_matter() -> None:
    course = np.maximum(np.linspace(0.1, 1.8, ROWS) + 0.05 * smooth_noise(ROWS, 7), 0.0)
    assert follow(course, portions=1)[1][-1] == follow(course, portions=333)[1][-1] != None  # noqa: E711


def test_a_repair_ends_the_estimate_and_a_later_wear_gives_its_own() -> None:
    wear = np.linspace(0.1, 1.8, ROWS)
    healthy = np.full(2 * ROWS, 0.1)
    _, repaired = follow(np.concatenate([wear, healthy]))
    assert repaired[-1] is None
    _, again = follow(np.concatenate([wear, healthy, wear]), portions=100)
    assert (life := again[-1]) is not None
    assert life.q05_s < 0.2 / 1.7 * ROWS * PERIOD_S < life.q95_s


def test_a_course_that_disproves_its_own_predictions_loses_its_estimate() -> None:
    rng = np.random.default_rng(3)
    pace = np.repeat(rng.permutation([0.02, 0.1, 0.02, 1.0, 0.02, 0.1, 3.0, 0.02, 0.1, 0.02]), 2000)
    course = np.linspace(0.9, 1.05, 2000)
    course = np.concatenate([course, course[-1] + np.cumsum(pace) / pace.sum() * 0.9])
    _, said = follow(course, portions=200, failure=FailureLevel(2.0, (0.9, 1.0, 1.1)))
    assert said[-1] is None


def test_a_course_that_has_been_at_the_level_is_not_told_to_reach_it() -> None:
    """As where one product shows a fault twice as clearly as the others, and the machine makes these again."""
    course = np.linspace(0.2, 1.8, ROWS)
    _, said = follow(course)
    assert said[-1] is not None
    course[-600:-300] += 0.6
    _, said = follow(course)
    assert said[-1] is None


def test_a_clock_that_was_set_back_starts_the_trace_anew() -> None:
    prognosis = Prognosis()
    course, judged = np.linspace(0.2, 1.7, ROWS), np.ones(ROWS, np.bool_)
    assert prognosis.update(times_ns(ROWS), course, judged) is not None
    assert prognosis.update(times_ns(200), course[-200:], judged[:200]) is None


def test_memory_is_bounded_however_long_a_deviation_lasts() -> None:
    prognosis, _ = follow(np.linspace(0.6, 1.9, 100_000), portions=5)
    assert len(prognosis._trace.time_s) < TRACE_MAX


def test_health_is_one_half_at_the_limit_and_falls_with_the_evidence() -> None:
    assert np.isnan(Prognosis().health), "nothing was judged yet"
    healths = [follow(np.full(1000, evidence))[0].health for evidence in (0.0, 0.3, 1.0, 2.0, 50.0)]
    assert healths == sorted(healths, reverse=True)
    assert healths[0] == 1.0
    assert healths[2] == pytest.approx(0.5)
    assert healths[-1] > 0.0
