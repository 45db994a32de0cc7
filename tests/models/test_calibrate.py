"""From statistics to evidence: 1 at the limit, and about as many alarms on healthy data as the budget allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibrate import Calibration, calibrate
from models.scores import RATES, ScoreBank
from tests.models.plants import Float64s, autoregressive

DAY_ROWS = 86_400


def healthy(rows: int, seed: int, memory: float) -> Float64s:
    """Mean squares of six healthy residuals that remember."""
    return np.asarray((autoregressive(rows, 6, memory, np.random.default_rng(seed)) ** 2).mean(1))


def episodes(above: np.ndarray, apart_rows: int) -> int:
    """Count stretches of True that are at least so far apart."""
    rows = np.flatnonzero(above)
    return 0 if not len(rows) else 1 + int((np.diff(rows) > apart_rows).sum())


@pytest.fixture(scope="module")
def white() -> Calibration:
    return calibrate([healthy(5000, 1, 0.0)])


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_healthy_data_exceed_the_limits_in_the_order_of_what_is_allowed_and_not_more_often(memory: float) -> None:
    calibration = calibrate([healthy(6000, 1, memory)])
    rows, per_row = 60_000, 1 / 500
    statistics = ScoreBank(calibration.centre).update(healthy(rows, 2, memory))
    found = episodes(calibration.evidence(statistics, calibration.limits(per_row)) >= 1.0, apart_rows=30)
    assert rows * per_row / 20 < found < rows * per_row


def test_a_tight_budget_is_kept_by_healthy_data() -> None:
    calibration = calibrate([healthy(6000, 1, 0.5)])
    evidence = calibration.evidence(
        ScoreBank(calibration.centre).update(healthy(60_000, 2, 0.5)), calibration.limits(1 / (30 * DAY_ROWS))
    )
    assert evidence.max() < 1.0


def test_limits_fall_as_the_budget_grows_and_stay_above_the_centre(white: Calibration) -> None:
    budgets = np.geomspace(1e-12, 10.0, 40)
    limits = np.array([white.limits(budget) for budget in budgets])
    assert (np.diff(limits, axis=0) <= 0).all()
    assert (limits[0] > limits[20]).all()
    assert (limits > white.centre).all()
    assert np.isfinite(limits).all()


def test_a_short_history_may_not_promise_a_thin_tail() -> None:
    short, long = calibrate([healthy(150, 1, 0.0)]), calibrate([healthy(20_000, 1, 0.0)])
    slow = -1
    assert short.limits(1e-6)[slow] > long.limits(1e-6)[slow]


def test_evidence_is_one_at_the_limit_and_zero_at_the_centre(white: Calibration) -> None:
    limits = white.limits(1e-5)
    for number in range(len(RATES)):
        statistics = white.centre.copy()
        statistics[number] = limits[number]
        np.testing.assert_allclose(white.evidence(statistics[None], limits), 1.0)
    assert white.evidence(white.centre[None], limits)[0] == 0.0
    assert white.evidence(0.5 * white.centre[None], limits)[0] == 0.0, "better than healthy is not negative"
    assert white.evidence(np.zeros((1, len(RATES))), limits)[0] == 0.0


@given(low=st.floats(0.0, 1e9), more=st.floats(0.0, 1e9), number=st.integers(0, len(RATES) - 1))
def test_evidence_never_falls_when_a_statistic_grows(white: Calibration, low: float, more: float, number: int) -> None:
    statistics = np.tile(white.centre, (2, 1))
    statistics[:, number] = [low, low + more]
    before, after = white.evidence(statistics, white.limits(1e-5))
    assert after >= before


def test_a_row_without_statistics_has_no_evidence(white: Calibration) -> None:
    evidence = white.evidence(np.array([[np.nan] * len(RATES), [2.0] * len(RATES)]), white.limits(1e-5))
    assert np.isnan(evidence[0])
    assert evidence[1] > 0


def test_several_stretches_with_gaps_are_as_good_as_one() -> None:
    scores = healthy(9000, 1, 0.5)
    gaps = scores.copy()
    gaps[np.random.default_rng(0).random(9000) < 0.2] = np.nan
    parts = [*np.split(gaps, 6), np.full(50, np.nan)]
    one, many = calibrate([scores]).limits(1e-5), calibrate(parts).limits(1e-5)
    np.testing.assert_allclose(many, one, rtol=0.35)


def test_a_history_that_is_always_the_same_still_has_limits() -> None:
    calibration = calibrate([np.ones(400)])
    limits = calibration.limits(1e-5)
    assert (limits > calibration.centre).all()
    assert calibration.evidence(np.ones((1, len(RATES))), limits)[0] == pytest.approx(0.0, abs=1e-9)
