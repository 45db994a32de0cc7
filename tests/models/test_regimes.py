"""Operating regimes: as many as there are, not one more."""

from __future__ import annotations

import numpy as np
import pytest

from models.regimes import COUNTS, RIDGES, Regimes, choose, fit
from tests.models.plants import Float64s, coupled

CHANNELS = 6


def rows(regimes: int, seed: int, count: int = 2400) -> Float64s:
    x = coupled(count, seed, regimes=regimes).astype(np.float64)
    return np.asarray((x - x.mean(0)) / x.std(0))


def distance(regimes: Regimes, x: Float64s) -> Float64s:
    """The squared distance f64[N] of rows to their most likely regime."""
    density, found = regimes.assess(x)
    return np.asarray(found[np.arange(len(x)), density.argmax(1)])


def chosen(fitted: Float64s, held_out: Float64s) -> tuple[int, float, float]:
    return list(choose(fitted, held_out))[-1]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_as_many_regimes_are_found_as_there_are(count: int) -> None:
    x = rows(count, seed=1)
    found, ridge, _ = chosen(x[::2], x[1::2])
    assert found == count
    assert ridge in RIDGES


def test_one_regime_where_one_is_enough_whatever_its_shape() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((3000, CHANNELS)) @ rng.normal(size=(CHANNELS, CHANNELS))
    assert chosen(x[::2], x[1::2])[0] == 1


def test_the_choice_follows_the_held_out_rows_and_not_the_fitted_ones() -> None:
    """Three regimes in what is fitted, but the held-out rows only know noise around everything."""
    fitted = rows(3, seed=1)
    held_out = np.random.default_rng(0).normal(0.0, 3.0, fitted.shape)
    assert chosen(fitted, held_out)[0] < 3


def test_few_rows_do_not_become_many_regimes() -> None:
    x = rows(3, seed=1, count=300)[:60]
    tried = {count for count, _, _ in choose(x[::2], x[1::2])}
    assert tried == {1}


def test_more_shrinkage_is_chosen_for_fewer_rows() -> None:
    rng = np.random.default_rng(1)
    mixing = rng.normal(size=(20, 20))
    x = rng.standard_normal((4000, 20)) @ mixing
    x /= x.std(0)
    (_, few, _), (_, many, _) = (next(choose(x[:rows], x[2000:])) for rows in (30, 2000))
    assert few > many


def test_the_regimes_are_where_the_rows_are() -> None:
    x = rows(3, seed=1)
    regimes = fit(x, 3, 1e-5)
    own = np.arange(len(x)) // 100 % 3
    centres = np.stack([x[own == k].mean(0) for k in range(3)])
    nearest = ((regimes.mean[:, None] - centres) ** 2).sum(2).argmin(1)
    assert sorted(nearest) == [0, 1, 2]
    np.testing.assert_allclose(regimes.mean, centres[nearest], atol=0.05)
    np.testing.assert_allclose(np.exp(regimes.log_weight), 1 / 3, atol=0.02)
    assert (regimes.assess(x)[0].argmax(1) == np.argsort(nearest)[own]).mean() > 0.99


def test_residuals_of_healthy_rows_are_white() -> None:
    x, fresh = rows(1, seed=1), rows(1, seed=2)
    regimes = fit(x, 1, 1e-6)
    white = (fresh - regimes.mean[0]) @ regimes.whiteners()[0]
    np.testing.assert_allclose(np.cov(white.T), np.eye(CHANNELS), atol=0.25)
    np.testing.assert_allclose(distance(regimes, fresh).mean() / CHANNELS, 1.0, atol=0.15)


def test_whiteners_precision_and_density_agree_with_their_definitions() -> None:
    regimes = fit(rows(2, seed=1), 2, 1e-4)
    x = rows(2, seed=2, count=50)
    np.testing.assert_allclose(regimes.precision(), np.linalg.inv(regimes.covariance), rtol=1e-6)
    density, distance = regimes.assess(x)
    for k, (mean, covariance) in enumerate(zip(regimes.mean, regimes.covariance, strict=True)):
        wanted = np.einsum("ni,ij,nj->n", x - mean, np.linalg.inv(covariance), x - mean)
        np.testing.assert_allclose(distance[:, k], wanted, rtol=1e-6)
        norm = CHANNELS * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1]
        np.testing.assert_allclose(density[:, k], regimes.log_weight[k] - 0.5 * (wanted + norm), rtol=1e-6)


def test_a_channel_that_is_the_copy_of_another_is_no_trouble() -> None:
    x = rows(1, seed=1)
    x = np.hstack([x, x[:, :1]])
    assert np.isfinite(distance(fit(x, 1, RIDGES[0]), x)).all()


@pytest.mark.parametrize("count", COUNTS)
def test_fewer_different_rows_than_regimes_are_no_trouble(count: int) -> None:
    x = np.repeat(np.array([[-1.0, 0.5], [1.0, -0.5]]), 100, axis=0)
    regimes = fit(x, count, 1e-4)
    assert isinstance(regimes, Regimes)
    assert regimes.count == count
    assert np.isfinite(distance(regimes, x)).all()


def test_the_same_rows_give_the_same_regimes() -> None:
    one, other = fit(rows(3, seed=1), 3, 1e-4), fit(rows(3, seed=1), 3, 1e-4)
    assert np.array_equal(one.covariance, other.covariance)
    assert np.array_equal(one.mean, other.mean)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_search_that_begins_at_other_regimes_keeps_their_order(order: tuple[int, ...]) -> None:
    """Folds are fitted on their own, and regime 2 of one must be regime 2 of all."""
    whole = fit(rows(3, seed=1), 3, 1e-4)
    at = list(order)
    start = Regimes(whole.log_weight[at], whole.mean[at], whole.covariance[at])
    other_day = fit(rows(3, seed=2), 3, 1e-4, start=start)
    np.testing.assert_allclose(other_day.mean, start.mean, atol=0.2)
