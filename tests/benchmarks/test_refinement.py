"""Corrections to the floor gain where a machine is curved and nothing where it is linear, and never see the channel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.refinement import METHODS, Floor, Plain, Seen, curved, surprise
from benchmarks.virtual_sensors import Learn, Rows

ROWS = 1500


def linear(rows: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((rows, 2)) @ rng.standard_normal((2, 5))
    return (mixed + 0.3 * rng.standard_normal((rows, 5))).astype(np.float32)


@pytest.fixture(params=METHODS)
def learn(request: pytest.FixtureRequest) -> Learn:
    if request.param == "network":
        pytest.importorskip("torch")
    return METHODS[request.param]


def test_a_curved_machine_with_one_regime_gains(learn: Learn) -> None:
    plain = replace(Plain.of([curved(ROWS, 1)]), count=1)
    assert plain.gain(learn, 0) > 0.3


def test_a_linear_machine_gains_nothing(learn: Learn) -> None:
    plain = Plain.of([linear(ROWS, 1)])
    assert plain.count == 1
    assert plain.gain(learn, 0) == pytest.approx(0.0, abs=0.01)


def test_regimes_gain_on_a_curved_machine() -> None:
    plain = Plain.of([curved(ROWS, 1)])
    assert plain.count > 1
    assert replace(plain, count=1).gain_of_regimes(plain.count) > 0.3


def test_a_correction_does_not_see_the_channel_that_it_corrects(learn: Learn) -> None:
    """The channel may show anything: what is expected of it, and so what is said of it, stays the same."""
    plain = replace(Plain.of([curved(ROWS, 1)]), count=1)
    rows = plain.floors(1)[0].see(plain.x).rows
    correction = learn(rows, rows, 0)
    told = correction(rows)[:, 2]
    assert np.abs(told).max() > 0.1
    off = np.zeros_like(rows.offset)
    off[:, 2] = np.linspace(-9.0, 9.0, len(off))
    moved = Rows(rows.x + np.pad(off, ((0, 0), (0, rows.x.shape[1] - off.shape[1]))), rows.offset + off, rows.residual)
    np.testing.assert_allclose(correction(moved)[:, 2], told, atol=1e-4)


def test_the_surprise_of_a_gaussian_machine_is_what_the_formula_says() -> None:
    """Of unit variance and correlation 0.8, a channel has the variance 0.36 given the other."""
    rng = np.random.default_rng(1)
    x = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.8], [0.8, 1.0]], 40_000)
    floor = Floor.fitted(x, 2, 1, 1e-6)
    seen = floor.see(x)
    expected = 0.5 * np.log(2 * np.pi * np.e * 0.36)
    np.testing.assert_allclose(surprise([seen], [np.zeros((len(x), 2))]), expected, atol=0.02)


def test_a_set_point_that_stands_still_has_nothing_to_gain() -> None:
    """Its residual is rounding, and to halve that is no better knowledge."""
    rng = np.random.default_rng(1)
    rounding = 1e-9 * rng.standard_normal((100, 1))
    rows = Rows(rounding, rounding, rounding)
    seen = Seen(np.zeros((100, 1, 1)), rounding[:, None], np.ones((1, 1)), rows)
    halved, whole = surprise([seen], [0.5 * rounding]), surprise([seen], [np.zeros((100, 1))])
    np.testing.assert_allclose(halved, whole, atol=1e-9)


def test_folds_cut_each_stretch_or_keep_it_whole() -> None:
    stretches = [linear(200, seed) for seed in range(6)]
    cut, kept = Plain.of(stretches), Plain.of(stretches, whole=True)
    np.testing.assert_array_equal(cut.x, kept.x)
    np.testing.assert_array_equal(cut.fold, np.tile(np.repeat(np.arange(5), 40), 6))
    np.testing.assert_array_equal(kept.fold, np.repeat([0, 1, 2, 3, 4, 0], 200))
