"""The score bank against a loop that anyone can check, and what its memories are for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scores import (
    CAP,
    MEMORIES,
    PRESENT,
    SPREAD_FLOOR,
    SPREAD_RATE,
    STATISTICS,
    Reference,
    ReferenceLearner,
    ScoreBank,
)
from tests.models.plants import Bools, Float64s, autoregressive

CHANNELS = 3
NAMES = [statistic.name for statistic in STATISTICS]
UNLIMITED = np.full(len(STATISTICS), np.inf)


def reference() -> Reference:
    """Averages that are correlated, wider than those of white noise, and a spread that is not quite 1."""
    mixing = np.random.default_rng(7).normal(0.0, 0.3, (len(MEMORIES), CHANNELS, CHANNELS))
    return Reference(mixing @ mixing.transpose(0, 2, 1) + 0.1 * np.eye(CHANNELS), np.array([-0.2, 0.0, 0.1]))


LIMITS = np.array([3.0, 2.5, 2.0, 5.0, 1.2, 9.0, 8.0, 7.0, 6.0, 0.5])


def white(rows: int, seed: int = 0) -> Float64s:
    return np.random.default_rng(seed).standard_normal((rows, CHANNELS))


def distance(rows: Float64s) -> Float64s:
    return np.asarray((rows**2).mean(1))


def bank_of(rows: Float64s, distances: Float64s, limits: Float64s = LIMITS, cuts: tuple[int, ...] = ()) -> Float64s:
    bank = ScoreBank(reference(), limits)
    edges = sorted(cut % (len(rows) + 1) for cut in cuts)
    parts = zip(np.split(rows, edges), np.split(distances, edges), strict=True)
    return np.vstack([bank.update(part, length) for part, length in parts])


def naive(rows: Float64s, distances: Float64s, limits: Float64s = LIMITS) -> Float64s:
    """The same, a row at a time."""
    known, out = reference(), np.full((len(rows), len(STATISTICS)), np.nan)
    rates = np.array(MEMORIES)
    averaged, mean, square = np.ones(len(rates)), np.zeros((len(rates), CHANNELS)), np.ones(CHANNELS)
    for at, (row, length) in enumerate(zip(rows, distances, strict=True)):
        if np.isnan(length):
            continue
        most = CAP * limits[0]
        taken = row * np.sqrt(most / length) if length > most else row
        averaged += rates * (np.minimum(length, np.minimum(most, CAP * limits[1 : 1 + len(rates)])) - averaged)
        mean += rates[:, None] * (taken - mean)
        square += SPREAD_RATE * (taken**2 - square)
        mean_distance, of_mean = averaged.copy(), np.empty(len(rates))
        for m, rate in enumerate(rates):
            precision = np.linalg.inv(known.covariance[m])
            of_mean[m] = mean[m] @ precision @ mean[m] / CHANNELS
            if rate < rates[PRESENT]:
                mean_distance[m] = min(averaged[m], averaged[PRESENT])
                still_there = mean[m] @ precision @ mean[PRESENT] / CHANNELS
                of_mean[m] = max(min(of_mean[m], still_there), 0.0)
        spread = np.abs(np.log(square + SPREAD_FLOOR) - known.log_spread).mean()
        out[at] = [length, *mean_distance, *of_mean, spread]
    return out


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    rows=st.integers(0, 300),
    seed=st.integers(0, 50),
    size=st.sampled_from([0.0, 1.0, 30.0]),
    missing=st.floats(0.0, 1.0),
    cuts=st.lists(st.integers(0, 300), max_size=5).map(tuple),
)
def test_any_chunking_gives_what_the_naive_loop_gives(
    rows: int, seed: int, size: float, missing: float, cuts: tuple[int, ...]
) -> None:
    x = size * white(rows, seed)
    lengths = np.where(np.random.default_rng(seed).random(rows) < missing, np.nan, distance(x))
    np.testing.assert_allclose(bank_of(x, lengths, cuts=cuts), naive(x, lengths), rtol=1e-9, atol=1e-12)


def test_a_long_stream_in_portions_is_a_long_stream() -> None:
    x = 2.0 * white(5000)
    lengths = np.where(np.random.default_rng(1).random(5000) < 0.1, np.nan, distance(x))
    in_portions = bank_of(x, lengths, cuts=(1, 63, 64, 65, 1000, 4999))
    np.testing.assert_allclose(in_portions, bank_of(x, lengths), rtol=1e-9)
    np.testing.assert_allclose(in_portions, naive(x, lengths), rtol=1e-9)


@pytest.mark.parametrize("garbage", [0.0, 1e6, np.nan])
def test_a_row_that_is_not_judged_leaves_no_trace(garbage: float) -> None:
    x = white(200)
    judged = np.random.default_rng(2).random(200) < 0.7
    dirty = np.where(judged[:, None], x, garbage)
    found = bank_of(dirty, np.where(judged, distance(x), np.nan))
    assert np.isnan(found[~judged]).all()
    np.testing.assert_allclose(found[judged], bank_of(x[judged], distance(x[judged])), rtol=1e-12)


def test_the_first_row_is_weighed_against_the_healthy_reference() -> None:
    x = 10.0 * np.ones((1, CHANNELS))
    (found,) = bank_of(x, distance(x), UNLIMITED)
    means = [NAMES.index(f"mean distance {rate:g}") for rate in MEMORIES]
    one = [1.0 + rate * 99.0 for rate in MEMORIES[: PRESENT + 1]]
    np.testing.assert_allclose(found[means[: PRESENT + 1]], one)
    assert found[means[-1]] == pytest.approx(1.0 + MEMORIES[-1] * 99.0), "one row moves the longest by a hundredth"


@settings(max_examples=30, deadline=None, derandomize=True)
@given(size=st.floats(1e2, 1e12))
def test_one_row_adds_no_more_than_the_limits_allow(size: float) -> None:
    x = size * np.ones((1, CHANNELS))
    (found,) = bank_of(x, distance(x))
    assert found[0] == pytest.approx(size**2), "the row itself is not capped"
    rates, most = np.array(MEMORIES), CAP * np.minimum(LIMITS[1:5], LIMITS[0])
    moved = 1.0 + rates * (most - 1.0)
    np.testing.assert_allclose(found[1:5], [*moved[: PRESENT + 1], *np.minimum(moved[PRESENT + 1 :], moved[PRESENT])])
    steepest = 1.0 / np.linalg.eigvalsh(reference().covariance).min(1)
    assert (found[5:9] <= rates**2 * CAP * LIMITS[0] * steepest + 1e-9).all()


def test_without_limits_nothing_is_capped() -> None:
    x = 1e3 * np.ones((1, CHANNELS))
    assert bank_of(x, distance(x), UNLIMITED)[0, 1] == pytest.approx(1.0 + MEMORIES[0] * (1e6 - 1.0))


def test_garbage_is_soon_forgotten_and_a_lasting_shift_is_not() -> None:
    x = white(600)
    second_of_garbage = x.copy()
    second_of_garbage[200] = 1e6
    shifted = x.copy()
    shifted[200:] += 2.0
    healthy, garbage, shift = (bank_of(rows, distance(rows)) for rows in (x, second_of_garbage, shifted))
    assert (garbage[300, 1:] < healthy[300, 1:] + 0.1).all()
    for name, times in (("mean distance 0.01", 2.0), ("distance of mean 0.01", 3.0), ("distance of mean 0.1", 3.0)):
        column = NAMES.index(name)
        assert shift[599, column] > times * healthy[200:, column].max(), name


def test_a_long_memory_fades_when_what_it_remembers_is_gone() -> None:
    """The longest memory alone would keep the alarm for hundreds of rows."""
    x = white(700)
    x[100:400] += 4.0
    found, over = bank_of(x, distance(x), UNLIMITED), 400 + 60
    averaged = naive_average(distance(x), MEMORIES[-1])
    column = NAMES.index("mean distance 0.01")
    assert averaged[over] > 5.0, "the event is still remembered"
    assert found[over, column] < 2.0
    assert found[399, column] == pytest.approx(averaged[399], rel=1e-9), "as long as it lasts, all of it counts"
    column = NAMES.index("distance of mean 0.01")
    assert found[over, column] < 0.1 * found[399, column]


def naive_average(x: Float64s, rate: float) -> Float64s:
    out, state = np.empty(len(x)), 1.0
    for at, value in enumerate(x):
        state += rate * (value - state)
        out[at] = state
    return out


def test_a_mean_that_turns_around_does_not_count_as_still_there() -> None:
    x = np.concatenate([np.full((300, CHANNELS), 3.0), np.full((40, CHANNELS), -3.0)])
    found = bank_of(x, distance(x), UNLIMITED)
    column = NAMES.index("distance of mean 0.01")
    assert found[299, column] > 1.0
    assert found[-1, column] == 0.0


@pytest.mark.parametrize("factor", [0.1, 3.0])
def test_spread_sees_a_channel_that_grows_noisy_or_quiet(factor: float) -> None:
    x = white(1200)
    x[600:, 1] *= factor
    spread = bank_of(x, distance(x), UNLIMITED)[:, NAMES.index(f"spread {SPREAD_RATE:g}")]
    assert spread[700:].mean() > 1.5 * spread[100:600].mean()


def learnt(rows: Float64s, counted: Bools, cuts: tuple[int, ...] = ()) -> Reference:
    learner = ReferenceLearner(rows.shape[1])
    for part, some in zip(np.split(rows, cuts), np.split(counted, cuts), strict=True):
        learner.update(part, some)
    return learner.reference()


def equal(one: Reference, other: Reference) -> None:
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(one.log_spread, other.log_spread, rtol=1e-9)


@pytest.mark.parametrize("cuts", [(1, 2, 3), (64, 128, 500), tuple(range(0, 1000, 37))])
def test_a_reference_does_not_depend_on_the_chunks_it_is_learnt_in(cuts: tuple[int, ...]) -> None:
    x, counted = white(1000), np.random.default_rng(3).random(1000) < 0.5
    equal(learnt(x, counted, cuts), learnt(x, counted))


def test_only_counted_rows_are_learnt_from_though_all_are_remembered() -> None:
    x = white(4000)
    x[2000:] *= 5.0
    half = np.arange(4000) < 2000
    equal(learnt(x, half), learnt(x[:2000], half[:2000]))
    wild, alone = learnt(x, ~half), learnt(x[2000:], ~half[2000:])
    np.testing.assert_allclose(wild.covariance, alone.covariance, rtol=0.1, atol=0.1)
    x[:2000] += 100.0
    assert learnt(x, ~half).covariance[-1].max() > 10.0 * wild.covariance[-1].max(), "a past that hangs on counts"


def test_another_stretch_begins_without_a_memory() -> None:
    x = white(300)
    learner = ReferenceLearner(CHANNELS)
    learner.update(50.0 * white(100, seed=4), np.zeros(100, np.bool_))
    learner.begin()
    learner.update(x, np.ones(300, np.bool_))
    equal(learner.reference(), learnt(x, np.ones(300, np.bool_)))


def test_the_covariance_of_the_averages_is_what_they_have() -> None:
    """An autoregressive row is no surprise on average: its averages are wider than those of white noise."""
    x = autoregressive(60_000, CHANNELS, 0.9, np.random.default_rng(5))
    found = learnt(x, np.ones(len(x), np.bool_)).covariance
    for covariance, rate in zip(found, MEMORIES, strict=True):
        keep = 1.0 - rate  # the variance of the average of an AR(1) process
        wide = rate / (2.0 - rate) * (1.0 + 0.9 * keep) / (1.0 - 0.9 * keep)
        np.testing.assert_allclose(np.diagonal(covariance), wide, rtol=0.15)
        assert np.abs(covariance - np.diag(np.diagonal(covariance))).max() < 0.15 * wide


def test_few_rows_say_little_of_a_covariance_and_many_say_all() -> None:
    """Two channels that go together: what is said of the direction in which they never move."""
    together = white(20_000)
    together[:, 1] = together[:, 0]
    narrow = np.array([1.0, -1.0, 0.0]) / np.sqrt(2.0)
    ratio = []
    for rows in (30, 300, 20_000):
        found = learnt(together[:rows], np.ones(rows, np.bool_)).covariance[0]
        ratio.append(float(narrow @ found @ narrow) / float(np.trace(found) / CHANNELS))
    assert ratio[0] > ratio[1] > ratio[2]
    assert ratio[0] > 0.3
    assert ratio[2] < 0.01


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_reference_of_hardly_any_rows_can_still_be_used(rows: int) -> None:
    x = np.zeros((rows, CHANNELS))
    known = learnt(x, np.ones(rows, np.bool_))
    found = ScoreBank(known, UNLIMITED).update(white(500), distance(white(500)))
    assert np.isfinite(found).all()
    assert np.median(found[:, NAMES.index("distance of mean 0.1")]) < 10.0, "no memory is far narrower than white noise"
