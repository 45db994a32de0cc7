"""The trivial rules do what they say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.backtest.trial import Judged, Segment
from agent.backtest.trivial import TRIVIAL


def segment(values: npt.NDArray[np.float32]) -> Segment:
    rows = len(values)
    return Segment(
        "a",
        np.arange(rows, dtype=np.int64) * 1_000_000_000,
        values,
        ~np.isnan(values),
        np.zeros(rows, np.int8),
    )


def judged(rule: str, learnt: Segment, tried: Segment) -> Judged:
    judge = TRIVIAL[rule]([learnt], ["x", "y"], 1.0, 1e-6, lambda _: None)
    return judge.judge(tried.times_ns, tried.values, tried.mask)


def noise(rows: int, seed: int) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).normal([10.0, -3.0], [2.0, 0.1], (rows, 2)).astype(np.float32)


def test_always_on_alarms_and_its_score_ranks_nothing() -> None:
    said = judged("always-on", segment(noise(50, 1)), segment(noise(40, 2)))
    assert said.alarmed.all()
    assert len(set(said.score.tolist())) == 1


def test_random_alarms_in_one_row_of_a_hundred_and_always_in_the_same() -> None:
    learnt, tried = segment(noise(50, 1)), segment(noise(20_000, 2))
    said, again, other = (
        judged("random", learnt, each) for each in (tried, tried, segment(noise(20_000, 3)))
    )
    assert 0.005 < said.alarmed.mean() < 0.015
    assert np.array_equal(said.score, again.score)
    assert not np.array_equal(said.score, other.score)


def test_the_clock_alarms_in_the_middle_half() -> None:
    said = judged("clock", segment(noise(50, 1)), segment(noise(8, 2)))
    assert said.alarmed.tolist() == [False, False, True, True, True, True, False, False]
    assert np.array_equal(said.score > 0, said.alarmed)


def test_largest_z_is_that_of_the_learnt_part_and_its_limit_the_quantile_there() -> None:
    learnt = segment(noise(2000, 1))
    mean, sd = learnt.values.mean(axis=0), learnt.values.std(axis=0)
    values = np.array([mean, mean + np.array([3, 0]) * sd, mean - np.array([0, 9]) * sd], np.float32)
    said = judged("max |z|", learnt, segment(values))
    assert np.allclose(said.score, [0, 3, 9], atol=0.01)
    assert said.alarmed.tolist() == [False, False, True]
    assert judged("max |z|", learnt, learnt).alarmed.sum() == 2


def test_largest_z_leaves_out_what_is_missing_or_was_constant() -> None:
    flat = noise(500, 1)
    flat[:, 0] = 4.2
    values = np.array([[99.0, -3.0], [99.0, np.nan], [np.nan, -30.0]], np.float32)
    said = judged("max |z|", segment(flat), segment(values))
    assert said.score[0] < 1
    assert np.isnan(said.score[1])
    assert said.alarmed.tolist() == [False, False, True]


def test_largest_z_is_blind_where_everything_was_constant() -> None:
    said = judged("max |z|", segment(np.full((20, 2), 1.5, np.float32)), segment(noise(5, 1)))
    assert np.isnan(said.score).all()
    assert not said.alarmed.any()
