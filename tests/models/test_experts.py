"""The experts against the Gaussian conditional that they stand for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.experts import Experts
from models.regimes import Regimes
from tests.models.plants import Float64s

SCORED, CONDITIONS = 4, 2
CHANNELS = SCORED + CONDITIONS
WIDE = 1e9


def random_experts(count: int = 3, seed: int = 0, conditions: int = CONDITIONS, bound: float = WIDE) -> Experts:
    rng = np.random.default_rng(seed)
    mixing = rng.normal(0.0, 1.0, (count, CHANNELS, CHANNELS))
    covariance = mixing @ mixing.transpose(0, 2, 1) + 0.1 * np.eye(CHANNELS)
    weight = rng.dirichlet(np.ones(count))
    regimes = Regimes(np.log(weight), rng.normal(0.0, 3.0, (count, CHANNELS)), covariance)
    return Experts(regimes, np.full(conditions, -bound), np.full(conditions, bound))


def rows_of(experts: Experts, rows: int, seed: int = 1) -> Float64s:
    """Draw rows from all regimes in turn."""
    rng, r = np.random.default_rng(seed), experts.regimes
    return np.stack([rng.multivariate_normal(r.mean[i % r.count], r.covariance[i % r.count]) for i in range(rows)])


def conditional(experts: Experts, k: int, row: Float64s) -> tuple[Float64s, Float64s]:
    """The scored channels' offset from their mean given the conditions, and their covariance given these."""
    S, mean, C = experts.scored, experts.regimes.mean[k], experts.regimes.covariance[k]
    slope = C[:S, S:] @ np.linalg.inv(C[S:, S:]) if len(C) > S else np.zeros((S, 0))
    return (row - mean)[:S] - slope @ (row - mean)[S:], C[:S, :S] - slope @ C[S:, :S]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 100), count=st.integers(1, 4), conditions=st.integers(0, 3))
def test_a_row_is_judged_by_the_gaussian_conditional_of_its_likeliest_regime(
    seed: int, count: int, conditions: int
) -> None:
    experts = random_experts(count, seed, conditions)
    x = rows_of(experts, 12, seed)
    seen = experts.see(x)
    for at, row in enumerate(x):
        found = []
        for k in range(count):
            off, covariance = conditional(experts, k, row)
            distance = float(off @ np.linalg.solve(covariance, off))
            density = experts.regimes.log_weight[k] - 0.5 * (np.linalg.slogdet(covariance)[1] + distance)
            found.append((float(density), k, distance))
        _, best, distance = max(found)
        assert seen.regime[at] == best
        assert seen.distance[at] == pytest.approx(distance, rel=1e-6)
        assert (seen.white[at] ** 2).sum() == pytest.approx(distance, rel=1e-6)


def test_without_conditions_the_distance_is_that_of_the_regimes() -> None:
    experts = random_experts(conditions=0)
    x = rows_of(experts, 200)
    assert experts.scored == CHANNELS
    density, distance = experts.regimes.assess(x)
    np.testing.assert_allclose(experts.see(x).distance, distance[np.arange(200), density.argmax(1)], rtol=1e-8)


def test_where_all_is_well_the_white_residual_is_white() -> None:
    experts = random_experts(1)
    white = experts.see(rows_of(experts, 20_000)).white
    np.testing.assert_allclose(white.mean(0), 0.0, atol=0.05)
    np.testing.assert_allclose(np.cov(white.T), np.eye(SCORED), atol=0.06)


def test_the_root_is_the_symmetric_one_of_the_precision_given_the_conditions() -> None:
    experts = random_experts()
    w = experts.whitening
    for k in range(3):
        _, covariance = conditional(experts, k, experts.regimes.mean[k])
        np.testing.assert_array_equal(w.root[k], w.onto[k, :SCORED])
        np.testing.assert_allclose(w.root[k], w.root[k].T, atol=1e-9)
        np.testing.assert_allclose(w.root[k] @ w.root[k], np.linalg.inv(covariance), rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(w.stiffness[k], np.diagonal(np.linalg.inv(covariance)), rtol=1e-6)
        assert w.log_det[k] == pytest.approx(-0.5 * np.linalg.slogdet(covariance)[1])


def test_a_white_component_stays_with_its_channel() -> None:
    """No other whitening keeps closer to the channels; a triangular one gives all to the last."""
    correlation = 0.5 * np.eye(CHANNELS) + 0.5
    experts = Experts(Regimes(np.zeros(1), np.zeros((1, CHANNELS)), correlation[None]), np.empty(0), np.empty(0))
    for channel in range(CHANNELS):
        row = np.zeros((1, CHANNELS))
        row[0, channel] = 5.0
        assert int(np.abs(experts.see(row).white[0]).argmax()) == channel


def test_residual_and_deviation_are_in_standard_deviations() -> None:
    experts = random_experts()
    x = rows_of(experts, 30)
    seen = experts.see(x)
    residual, deviation = experts.explain(x, seen)
    for at, row in enumerate(x):
        k = int(seen.regime[at])
        C, mean = experts.regimes.covariance[k], experts.regimes.mean[k]
        for channel in range(SCORED):
            others = np.arange(CHANNELS) != channel
            slope = np.linalg.solve(C[np.ix_(others, others)], C[others, channel])
            spread = np.sqrt(C[channel, channel] - slope @ C[others, channel])
            offset = (row - mean)[channel] - slope @ (row - mean)[others]
            assert residual[at, channel] == pytest.approx(offset / spread, rel=1e-5, abs=1e-8)
        np.testing.assert_allclose(deviation[at], ((row - mean) / np.sqrt(np.diagonal(C)))[:SCORED])


def test_leaving_a_channel_out_lowers_the_distance_by_its_squared_residual() -> None:
    experts = random_experts(1)
    x = rows_of(experts, 20)
    seen = experts.see(x)
    residual, _ = experts.explain(x, seen)
    r = experts.regimes
    rest = np.array([0, 2, 3, 4, 5])
    without = replace(experts, regimes=Regimes(r.log_weight, r.mean[:, rest], r.covariance[:, rest][:, :, rest]))
    np.testing.assert_allclose(seen.distance - without.see(x[:, rest]).distance, residual[:, 1] ** 2, rtol=1e-6)


def test_a_drift_of_the_conditions_that_takes_the_others_along_is_no_surprise() -> None:
    """A sum of a walk and noise: far from the mean, yet where it belongs."""
    mixing = np.array([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0]])
    experts = Experts(
        Regimes(np.zeros(1), np.zeros((1, 3)), (mixing @ mixing.T)[None]), np.array([-50.0]), np.array([50.0])
    )
    drifted = np.array([[30.0, -30.0, 30.0], [30.0, -30.0, 0.0]])
    along, alone = experts.see(drifted).distance
    assert along == pytest.approx(0.0, abs=1e-6)
    assert alone > 1000.0


def test_a_condition_is_followed_to_its_bounds_and_no_further() -> None:
    experts = random_experts(bound=2.0)
    x = rows_of(experts, 50)
    inside, outside = x.copy(), x.copy()
    inside[:, SCORED:] = np.array([2.0, -2.0])
    outside[:, SCORED:] = np.array([2.5, -1e6])
    np.testing.assert_array_equal(experts.bounded(outside), inside)
    for one, other in zip(
        (experts.see(outside).distance, experts.see(outside).white, experts.surprise(outside)),
        (experts.see(inside).distance, experts.see(inside).white, experts.surprise(inside)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(outside[:, SCORED:], np.tile([2.5, -1e6], (50, 1)), "the rows are left alone")


def test_scored_channels_have_no_bounds() -> None:
    experts = random_experts(bound=2.0)
    x = rows_of(experts, 5)
    x[:, :SCORED] = 1e6
    np.testing.assert_array_equal(experts.bounded(x)[:, :SCORED], x[:, :SCORED])


def test_surprise_is_the_mean_negative_log_density_but_for_its_constant() -> None:
    experts = random_experts()
    x = rows_of(experts, 40)
    total = 0.0
    for row in x:
        density = 0.0
        for k in range(3):
            off, covariance = conditional(experts, k, row)
            exponent = off @ np.linalg.solve(covariance, off)
            density += np.exp(experts.regimes.log_weight[k] - 0.5 * exponent) / np.sqrt(np.linalg.det(covariance))
        total -= np.log(density)
    assert experts.surprise(x) == pytest.approx(total / len(x), rel=1e-6)


def test_rows_from_elsewhere_surprise() -> None:
    experts = random_experts()
    x = rows_of(experts, 200)
    assert experts.surprise(x + 20.0) > experts.surprise(x) + 10.0
