"""A lost tag neither raises nor hides evidence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import Bundle, Statistics
from models.experts import Experts
from models.gaps import GapFiller
from models.regimes import Regimes
from models.runtime import Detector
from tests.models.plants import TAGS, Bools, Float64s, coupled, good

COLUMNS = len(TAGS)


def marginal(statistics: Statistics, z: Float64s, present: Bools) -> tuple[int, float]:
    """The most likely regime and the squared distance to it, judged by the present channels f64[S] alone."""
    regimes = statistics.experts.regimes
    found = []
    for k in range(regimes.count):
        covariance = regimes.covariance[k][np.ix_(present, present)]
        off = (z - regimes.mean[k])[present]
        distance = float(off @ np.linalg.solve(covariance, off))
        density = regimes.log_weight[k] - 0.5 * (np.linalg.slogdet(covariance)[1] + distance)
        found.append((float(density), k, distance))
    _, k, distance = max(found)
    return k, distance


def standardised(statistics: Statistics, x: np.ndarray) -> Float64s:
    return np.asarray((x - statistics.centre) / statistics.scale, np.float64)


masks = st.lists(st.lists(st.booleans(), min_size=COLUMNS, max_size=COLUMNS), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(present=masks, seed=st.integers(0, 50), shift=st.floats(-30.0, 30.0))
def test_a_completed_row_is_as_far_from_normal_as_its_present_channels(
    three: Bundle, present: list[list[bool]], seed: int, shift: float
) -> None:
    statistics = three.statistics
    mask = np.array(present)
    x = coupled(600, seed, regimes=3)[np.linspace(0, 599, len(mask)).astype(int)]
    x[:, seed % COLUMNS] += np.float32(shift)
    filled = GapFiller(statistics).fill(np.where(mask, x, np.float32(np.nan)), mask)
    assert np.array_equal(filled[mask], x[mask])
    distance = statistics.experts.regimes.assess(standardised(statistics, filled))[1]
    for row, here in enumerate(mask):
        if here.any():
            k, wanted = marginal(statistics, standardised(statistics, x[row]), here)
            np.testing.assert_allclose(distance[row, k], wanted, rtol=1e-3, atol=1e-3)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), share=st.floats(0.6, 0.99), fault=st.sampled_from([0.0, 10.0]))
def test_the_score_with_gaps_is_that_of_the_present_tags(
    three: Bundle, detector: Detector, seed: int, share: float, fault: float
) -> None:
    rng = np.random.default_rng(seed)
    x = coupled(90, seed, regimes=3, dwell=30)
    x[:, seed % COLUMNS] += np.float32(fault)
    mask = rng.random(x.shape) < share
    scores = detector.score(np.where(mask, x, np.float32(np.nan)), mask)
    z = standardised(three.statistics, x)
    for row in np.flatnonzero(~np.isnan(scores.score)):
        here = mask[row]
        k, distance = marginal(three.statistics, z[row], here)
        assert scores.regime[row] == k
        np.testing.assert_allclose(scores.score[row], distance / here.sum(), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(scores.residual[~mask], 0.0, atol=2e-3)


def test_residual_and_expected_value_are_those_given_the_other_present_tags(three: Bundle, detector: Detector) -> None:
    rng = np.random.default_rng(4)
    x = coupled(100, seed=4, regimes=3, dwell=30)
    x[80:, 2] += 8.0
    mask = rng.random(x.shape) < 0.8
    scores = detector.score(x, mask)
    statistics, z = three.statistics, standardised(three.statistics, x)
    for row, column in zip(*np.nonzero(mask), strict=True):
        others = mask[row].copy()
        others[column] = False
        if not others.any():
            continue
        k = int(scores.regime[row])
        covariance = statistics.experts.regimes.covariance[k]
        off = z[row] - statistics.experts.regimes.mean[k]
        weight = np.linalg.solve(covariance[np.ix_(others, others)], covariance[others, column])
        spread = np.sqrt(covariance[column, column] - weight @ covariance[others, column])
        offset = off[column] - weight @ off[others]
        np.testing.assert_allclose(scores.residual[row, column], offset / spread, rtol=1e-3, atol=2e-3)
        expected = x[row, column] - offset * statistics.scale[column]
        np.testing.assert_allclose(scores.expected[row, column], expected, rtol=1e-3, atol=2e-3)


def test_a_lost_tag_does_not_hide_the_fault_that_the_others_see(plain: Bundle) -> None:
    detector = Detector(plain)
    x = coupled(400, seed=9)
    x[200:, 1] += 6.0
    mask = good(x)
    mask[:, 4] = False
    whole, poor = (detector.score(x, m).score for m in (good(x), mask))
    assert np.median(poor[:130]) < 1.5 * np.median(whole[:130])
    assert np.median(poor[140:]) > 10.0 * np.median(poor[:130])


def test_a_narrow_regime_is_likelier_than_a_wide_one_around_the_same_mean(three: Bundle) -> None:
    """The narrow one says that two channels go together, the wide one that they go against each other."""
    narrow = np.array([[1.0, 0.9], [0.9, 1.0]])
    wide = 100.0 * np.array([[1.0, -0.9], [-0.9, 1.0]])
    statistics = replace(
        three.statistics,
        used=np.arange(2),
        centre=np.zeros(2),
        scale=np.ones(2),
        experts=Experts(
            Regimes(np.log([0.5, 0.5]), np.zeros((2, 2)), np.stack([narrow, wide])), np.empty(0), np.empty(0)
        ),
    )
    x = np.array([[0.5, np.nan], [20.0, np.nan]], np.float32)
    filled = GapFiller(statistics).fill(x, ~np.isnan(x))
    np.testing.assert_allclose(filled[:, 1], [0.45, -18.0], rtol=1e-5)


def test_a_row_without_any_value_becomes_the_middle_of_the_most_frequent_regime(three: Bundle) -> None:
    statistics = three.statistics
    filled = GapFiller(statistics).fill(np.full((2, COLUMNS), np.nan, np.float32), np.zeros((2, COLUMNS), np.bool_))
    k = int(statistics.experts.regimes.log_weight.argmax())
    wanted = statistics.experts.regimes.mean[k] * statistics.scale + statistics.centre
    np.testing.assert_allclose(filled, np.broadcast_to(wanted, filled.shape), rtol=1e-5)


def test_rows_without_gaps_are_left_alone(three: Bundle) -> None:
    x = coupled(50, seed=3, regimes=3)
    assert np.array_equal(GapFiller(three.statistics).fill(x, good(x)), x)


def test_a_fill_does_not_depend_on_the_rows_beside_it(three: Bundle) -> None:
    rng = np.random.default_rng(5)
    x = coupled(700, seed=3, regimes=3)
    mask = rng.random(x.shape) < 0.5
    together = GapFiller(three.statistics).fill(x, mask)
    filler = GapFiller(three.statistics)
    alone = np.vstack([filler.fill(x[row : row + 1], mask[row : row + 1]) for row in range(len(x))])
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_what_stands_in_a_cell_that_is_not_good_does_not_matter(three: Bundle, value: float) -> None:
    x = coupled(20, seed=3, regimes=3)
    mask = np.random.default_rng(1).random(x.shape) < 0.5
    dirty = np.where(mask, x, np.float32(value))
    filler = GapFiller(three.statistics)
    assert np.array_equal(filler.fill(dirty, mask), filler.fill(np.where(mask, x, np.float32(0)), mask))
