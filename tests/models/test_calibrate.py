"""From statistics to evidence: 1 at the limit, and about as many alarms on healthy data as the budget allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibrate import BLOCKS_MIN, EPISODE_ROWS, Calibration, calibrate
from models.scores import STATISTICS, ReferenceLearner, ScoreBank
from tests.models.plants import Float64s, autoregressive

DAY_ROWS = 86_400
CHANNELS = 6
RATES = [statistic.rate for statistic in STATISTICS]
UNLIMITED = np.full(len(RATES), np.inf)


class Machine:
    """White residuals of a healthy machine that remembers `memory` of the row before, and what was learnt of them.

    The reference and the calibration are each learnt from rows of their own, as the folds of a history would be.
    """

    def __init__(self, memory: float, rows: int = 20_000) -> None:
        self._memory = memory
        learner = ReferenceLearner(CHANNELS)
        learner.update(self._white(rows, 1), np.ones(rows, np.bool_))
        self.reference = learner.reference()
        self.calibration = calibrate([self.statistics(rows, 2, UNLIMITED)], RATES)

    def _white(self, rows: int, seed: int) -> Float64s:
        return autoregressive(rows, CHANNELS, self._memory, np.random.default_rng(seed))

    def statistics(self, rows: int, seed: int, limits: Float64s) -> Float64s:
        white = self._white(rows, seed)
        return ScoreBank(self.reference, limits).update(white, np.asarray((white**2).mean(1)))

    def evidence(self, rows: int, seed: int, alerts_per_row: float) -> Float64s:
        limits = self.calibration.limits(alerts_per_row)
        return self.calibration.evidence(self.statistics(rows, seed, limits), limits)


@pytest.fixture(scope="module")
def white() -> Calibration:
    return Machine(0.0).calibration


def independent(rows: int, seed: int, columns: int = 1) -> Float64s:
    """Statistics without a memory whose tail is exactly exponential, of mean 0.25."""
    return 0.5 + np.random.default_rng(seed).exponential(0.25, (rows, columns))


def blocks(above: np.ndarray, rows: int) -> int:
    """Count the blocks of so many rows in which there is a True."""
    return int(above[: len(above) // rows * rows].reshape(-1, rows).any(1).sum())


def episodes(above: np.ndarray, apart_rows: int) -> int:
    """Count stretches of True that are at least so far apart."""
    rows = np.flatnonzero(above)
    return 0 if not len(rows) else 1 + int((np.diff(rows) > apart_rows).sum())


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_healthy_data_exceed_the_limits_about_as_often_as_is_allowed(memory: float) -> None:
    """Alarms, the exceedances of all statistics together, are within a factor of two of the budget."""
    machine, rows, per_row = Machine(memory, 60_000), 120_000, 1 / 1000
    limits = machine.calibration.limits(per_row)
    above = machine.calibration.parts(machine.statistics(rows, 3, UNLIMITED), limits) >= 1.0
    each = [blocks(above[:, j], int(machine.calibration.block_rows[j])) for j in range(len(RATES))]
    allowed = rows * per_row
    assert sum(count > 0 for count in each) == len(RATES), "each has its part"
    assert allowed / 2 <= episodes(machine.evidence(rows, 3, per_row) >= 1.0, EPISODE_ROWS) <= allowed * 2


@pytest.mark.parametrize("rate", [1.0, 0.03])
def test_each_statistic_by_itself_exceeds_its_limit_as_often_as_is_allowed(rate: float) -> None:
    noise = autoregressive(80_000, 1, 1.0 - rate, np.random.default_rng(1))
    calibration = calibrate([noise[:40_000] ** 2], [rate])
    block, per_row = int(calibration.block_rows[0]), 1 / 2000
    realised = blocks(noise[40_000:, 0] ** 2 > calibration.limits(per_row)[0], block)
    assert 40_000 * per_row / 2 <= realised <= 40_000 * per_row * 2


def test_a_tight_budget_is_kept_by_healthy_data() -> None:
    assert Machine(0.5).evidence(60_000, 3, 1 / (30 * DAY_ROWS)).max() < 1.0


def test_limits_fall_as_the_budget_grows_and_stay_above_the_centre(white: Calibration) -> None:
    budgets = np.geomspace(1e-12, 10.0, 40)
    limits = np.array([white.limits(budget) for budget in budgets])
    assert (np.diff(limits, axis=0) <= 0).all()
    assert (limits[0] > limits[20]).all()
    assert (limits > white.centre).all()
    assert np.isfinite(limits).all()


def test_the_tail_is_heavier_where_fewer_peaks_tell_its_scale(white: Calibration) -> None:
    """With very many peaks it is exponential."""
    budgets = (1e-3, 1e-5, 1e-9)
    beyond = [
        [replace(white, peaks=np.full(len(RATES), n)).limits(budget) - white.threshold for n in (3.0, 10.0, 55.0, 1e9)]
        for budget in budgets
    ]
    for at, budget in enumerate(budgets):
        few, some, usual, all_known = beyond[at]
        assert (few > some).all()
        assert (some > usual).all()
        exponential = white.scale * np.log(white.chance / (budget * white.block_rows / (len(RATES) * white.alone)))
        assert (usual > exponential).all()
        np.testing.assert_allclose(all_known, exponential, rtol=1e-6)
    ratio = [float((few / all_known).mean()) for few, _, _, all_known in beyond]
    assert ratio == sorted(ratio), "the more so, the rarer the event"


def test_a_short_history_may_not_promise_a_thin_tail() -> None:
    short, long = (calibrate([independent(rows, 1)], [1.0]) for rows in (40, 20_000))
    assert short.peaks < long.peaks
    assert short.limits(1e-6)[0] > 1.5 * long.limits(1e-6)[0]


def test_the_tail_of_a_long_history_is_found() -> None:
    calibration = calibrate([independent(60_000, 1)], [1.0])
    assert calibration.scale[0] == pytest.approx(0.25, rel=0.25)
    assert calibration.chance[0] == pytest.approx(50 / 20_000)
    assert calibration.centre[0] == pytest.approx(0.5 + 0.25 * np.log(2.0), rel=0.01)


def test_a_memory_that_the_history_is_too_short_for_is_switched_off() -> None:
    rates = [1.0, 0.1, 0.01]
    rows = int(BLOCKS_MIN) * 300
    enough, short = (calibrate([independent(n, 1, 3)], rates) for n in (rows, rows - 1))
    assert np.isfinite(enough.limits(1e-5)).all()
    limits = short.limits(1e-5)
    assert np.isfinite(limits).tolist() == [True, True, False]
    assert short.peaks[2] == 0.0
    statistics = np.tile(short.centre, (2, 1))
    statistics[1, 2] = 1e9
    np.testing.assert_array_equal(short.parts(statistics, limits)[:, 2], 0.0)
    np.testing.assert_array_equal(short.evidence(statistics, limits), 0.0)


def test_the_budget_is_shared_by_the_statistics_that_are_used() -> None:
    one = calibrate([independent(3000, 1)], [1.0])
    with_idle = calibrate([np.hstack([independent(3000, 1), independent(3000, 2)])], [1.0, 0.001])
    parts = ("centre", "threshold", "scale", "block_rows", "chance", "peaks")
    three = Calibration(*(np.repeat(getattr(one, part), 3) for part in parts), alone=one.alone)
    assert with_idle.limits(1e-5)[0] == one.limits(1e-5)[0]
    assert three.limits(1e-5)[0] > one.limits(1e-5)[0]
    np.testing.assert_allclose(three.limits(3e-5), one.limits(1e-5)[0])


def test_evidence_is_one_at_the_limit_and_zero_at_the_centre(white: Calibration) -> None:
    limits = white.limits(1e-5)
    for number in range(len(RATES)):
        statistics = white.centre.copy()
        statistics[number] = limits[number]
        np.testing.assert_allclose(white.evidence(statistics[None], limits), 1.0)
        np.testing.assert_allclose(white.parts(statistics[None], limits)[0, number], 1.0)
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
    statistics = np.vstack([np.full(len(RATES), np.nan), 2.0 * white.centre])
    evidence = white.evidence(statistics, white.limits(1e-5))
    assert np.isnan(evidence[0])
    assert evidence[1] > 0


def test_several_stretches_with_gaps_are_as_good_as_one() -> None:
    statistics = Machine(0.5).statistics(18_000, 4, UNLIMITED)
    gaps = statistics.copy()
    gaps[np.random.default_rng(0).random(len(gaps)) < 0.2] = np.nan
    parts = [*np.split(gaps, 6), np.full((50, len(RATES)), np.nan)]
    one, many = calibrate([statistics], RATES).limits(1e-5), calibrate(parts, RATES).limits(1e-5)
    np.testing.assert_allclose(many, one, rtol=0.35)


def test_a_history_that_is_always_the_same_still_has_limits() -> None:
    calibration = calibrate([np.ones((1200, len(RATES)))], RATES)
    limits = calibration.limits(1e-5)
    assert (limits > calibration.centre).all()
    assert calibration.evidence(np.ones((1, len(RATES))), limits)[0] == pytest.approx(0.0, abs=1e-9)


def test_statistics_that_exceed_together_share_no_budget() -> None:
    one = independent(20_000, 4)
    twins, strangers = (
        calibrate([np.hstack([one, other])], [1.0, 1.0]) for other in (one, independent(20_000, 5))
    )
    assert float(twins.alone) == pytest.approx(0.5, abs=0.05)
    assert float(strangers.alone) > 0.8
    np.testing.assert_allclose(twins.limits(1e-4)[:1], calibrate([one], [1.0]).limits(1e-4), rtol=1e-6)


def test_a_short_history_does_not_say_what_exceeds_together() -> None:
    one = independent(60, 4)
    assert float(calibrate([np.hstack([one, one])], [1.0, 1.0]).alone) == 1.0
