"""Averages: they are the recursion they stand for, however the rows come and whatever is missing in them."""

from __future__ import annotations

import numpy as np
import pytest

from models.averages import Averages
from tests.models.plants import Float64s

START = np.array([1.0, 2.0, 3.0])
RATES = (1.0, 0.3, 0.01, 1e-6)


def rows(missing: str) -> Float64s:
    """700 rows of three columns, in which nothing, whole rows, a column's values or every value is missing."""
    rng = np.random.default_rng(1)
    x = 50.0 + rng.standard_normal((700, 3))
    match missing:
        case "rows":
            x[rng.random(len(x)) < 0.3] = np.nan
            x[100:500] = np.nan
        case "values":
            x[rng.random(x.shape) < 0.05] = np.nan
            x[100:500, 1] = np.nan
        case "every":
            x[:] = np.nan
    return x


def recursion(x: Float64s, rate: float) -> Float64s:
    """Return the means of rows f64[T, Q] at one rate, step by step."""
    state, means = START, []
    for values in x:
        state = np.where(np.isnan(values), state, state + rate * (values - state))
        means.append(state)
    return np.array(means)


@pytest.mark.parametrize("missing", ["nothing", "rows", "values", "every"])
@pytest.mark.parametrize("portion", [1, 2, 16, 700])
def test_they_follow_the_recursion_and_skip_what_is_missing(missing: str, portion: int) -> None:
    x, running = rows(missing), Averages(START, RATES)
    found = np.concatenate([running.update(x[low : low + portion]) for low in range(0, len(x), portion)], 1)
    for of_rate, rate in zip(found, RATES, strict=True):
        np.testing.assert_allclose(of_rate, recursion(x, rate), rtol=1e-12)
    np.testing.assert_array_equal(running.state, found[:, -1])


@pytest.mark.parametrize("rates", [(0.3, 0.01), (1.0,)])
def test_each_rate_can_have_rows_of_its_own(rates: tuple[float, ...]) -> None:
    x = np.stack([rows("values"), rows("rows")])[: len(rates)]
    found = Averages(START, rates).update(x)
    for of_rate, own, rate in zip(found, x, rates, strict=True):
        np.testing.assert_allclose(of_rate, recursion(own, rate), rtol=1e-12)


def test_a_mean_stays_exactly_where_it_is_while_nothing_comes() -> None:
    x = rows("rows")
    (found,) = Averages(START, (0.3,)).update(x)
    gone = np.isnan(x[1:]).any(1)
    np.testing.assert_array_equal(found[1:][gone], found[:-1][gone])


def test_no_rows_change_nothing() -> None:
    running = Averages(START, (0.3, 0.01))
    assert running.update(np.empty((0, 3))).shape == (2, 0, 3)
    np.testing.assert_array_equal(running.state, np.stack([START, START]))
