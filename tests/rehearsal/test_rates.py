"""Intervals, against published values and against what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agent.rehearsal.achieved import WEEK_S, Achieved, Standing
from agent.rehearsal.rates import rate_interval, share_interval


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.6889), (1, 0.0253, 5.5716), (3, 0.6187, 8.7673), (10, 4.7954, 18.3904)],
)
def test_the_interval_of_a_count_is_that_of_the_tables(count: int, low: float, high: float) -> None:
    """Garwood's: half the 2.5 % and 97.5 % quantiles of chi-squared with 2n and 2n + 2 degrees of freedom."""
    assert rate_interval(count) == pytest.approx((low, high), abs=1e-4)


def test_the_interval_of_a_count_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    for mean in (0.4, 2.0, 7.5):
        counts, many = np.unique(random.poisson(mean, 4000), return_counts=True)
        inside = [low <= mean <= high for low, high in map(rate_interval, counts.tolist())]
        assert many[np.array(inside)].sum() >= 0.945 * 4000, mean


@pytest.mark.parametrize(
    ("found", "of", "low", "high"),
    [(19, 20, 0.7639, 0.9911), (20, 20, 0.8389, 1.0), (0, 20, 0.0, 0.1611), (5, 10, 0.2366, 0.7634), (0, 0, 0.0, 1.0)],
)
def test_the_interval_of_a_share_is_that_of_the_tables(found: int, of: int, low: float, high: float) -> None:
    assert share_interval(found, of) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("alerts", "weeks", "standing"),
    [
        (0, 1.0, Standing.TOO_EARLY),
        (2, 2.5, Standing.TOO_EARLY),
        (6, 0.5, Standing.ABOVE),  # more than can be chance, however early
        (3, 4.0, Standing.WITHIN),
        (0, 5.0, Standing.BELOW),
        (30, 10.0, Standing.ABOVE),
    ],
)
def test_a_rate_is_told_only_where_it_can_be(alerts: int, weeks: float, standing: Standing) -> None:
    achieved = Achieved.of(1 / WEEK_S, alerts, weeks * WEEK_S)
    assert achieved.standing is standing
    assert achieved.per_week == pytest.approx(alerts / weeks)
    assert f"{alerts} alert" in achieved.sentence()


def test_in_no_time_nothing_is_known() -> None:
    achieved = Achieved.of(1 / WEEK_S, 0, 0.0)
    assert (achieved.per_week, achieved.low, achieved.high) == (None, 0.0, math.inf)
    assert achieved.standing is Standing.TOO_EARLY
    assert achieved.as_json()["high"] is None
