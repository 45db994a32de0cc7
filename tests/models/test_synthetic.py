"""Random plants and their degradations: the truth that the fault head learns from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.degradations import FAILURE_SD, FAULTS, HORIZON_ROWS, SHIFTED_MIN, Degradation, apply
from models.degradations import draw as draw_degradation
from models.synthetic import Plant, Prior, autoregressive, courses, draw, pick

SMALL = Prior(channels=(4, 10), healthy_rows=(300, 500))


def plant(seed: int, prior: Prior = SMALL) -> Plant:
    return draw(prior, np.random.default_rng(seed))


def test_the_same_seed_gives_the_same_plant() -> None:
    one, same, other = plant(1), plant(1), plant(2)
    np.testing.assert_array_equal(one.values, same.values)
    assert one.values.shape != other.values.shape or not np.array_equal(one.values, other.values)


@pytest.mark.parametrize("seed", range(30))
def test_a_degradation_touches_its_own_channels_from_its_onset_on(seed: int) -> None:
    faulty, healthy = plant(seed, replace(SMALL, faulty=1.0)), plant(seed, replace(SMALL, faulty=0.0))
    rows, touched = np.nonzero(faulty.values != healthy.values)
    assert set(touched) <= set(np.flatnonzero(faulty.kind))
    assert set(np.flatnonzero(faulty.kind)) == set(touched), "every channel said to be struck is"
    assert rows.min() >= faulty.onset >= faulty.healthy_rows
    assert faulty.fault[faulty.onset :].all()
    assert not faulty.fault[: faulty.onset].any()
    assert not (faulty.failing & ~faulty.fault).any()
    assert not healthy.fault.any()
    assert not healthy.kind.any()


def test_every_fault_type_is_drawn() -> None:
    rng = np.random.default_rng(0)
    loadings = rng.standard_normal((3, 12))
    kinds = [draw_degradation(200, loadings, (0.3, 4.0), rng).kind for _ in range(300)]
    assert set(kinds) == set(range(1, len(FAULTS)))


def test_the_courses_of_a_plant_share_its_history_and_degrade_each_in_its_own_way() -> None:
    plants = courses(replace(SMALL, faulty=1.0), np.random.default_rng(7), 5)
    first = plants[0].healthy_rows
    assert all(np.array_equal(p.values[:first], plants[0].values[:first]) for p in plants)
    assert len({(int(p.kind.max()), p.onset) for p in plants}) > 1


def test_a_long_plant_is_monitored_for_longer() -> None:
    prior = replace(SMALL, long=1.0, long_rows=3000)
    monitored = [len(p.values) - p.healthy_rows for p in (plant(seed, prior) for seed in range(20))]
    assert all(prior.monitored_rows <= rows <= prior.long_rows for rows in monitored)
    assert max(monitored) > 2 * prior.monitored_rows


def test_a_shift_moves_several_channels() -> None:
    rng = np.random.default_rng(3)
    loadings = np.eye(6)[:2] + np.array([[0.0] * 6, [0.0, 0.5, 0.9, 0.9, 0.0, 0.0]])
    drawn = [draw_degradation(200, loadings, (0.3, 4.0), rng) for _ in range(400)]
    shifts = [d for d in drawn if FAULTS[d.kind] == "shift"]
    assert shifts
    assert all(len(d.channels) >= SHIFTED_MIN for d in shifts)


@pytest.mark.parametrize("name", [
    "drift", "wander", "slow", "curved", "setpoints", "regimes", "offsets", "lags", "heavy_tails", "quantised",
])
def test_what_healthy_plants_may_do_changes_them_and_stays_healthy(name: str) -> None:
    prior = replace(SMALL, faulty=0.0, drift=0.0)
    plain, special = plant(3, prior), plant(3, replace(prior, **{name: 1.0}))
    assert np.isfinite(special.values).all()
    assert not np.array_equal(plain.values, special.values)
    assert not special.fault.any()
    assert special.benign.any() == (name in {"wander", "setpoints", "regimes", "offsets"})
    assert (special.regimes > 1) == (name == "regimes")
    assert (special.runs.max() > 0) == (name == "offsets")


def test_a_mixture_is_drawn_by_its_shares() -> None:
    rng = np.random.default_rng(1)
    mixture = ((0.8, SMALL), (0.2, replace(SMALL, wander=1.0)))
    picked = [pick(mixture, rng).wander for _ in range(500)]
    assert 0.1 < np.mean(picked) < 0.3


def test_autoregressive_series_have_unit_variance_and_their_memory() -> None:
    noise = np.random.default_rng(4).standard_normal((20_000, 2))
    series = autoregressive(noise, np.array([0.0, 0.9]))
    np.testing.assert_allclose(series.std(0), 1.0, atol=0.1)
    np.testing.assert_allclose((series[1:] * series[:-1]).mean(0), [0.0, 0.9], atol=0.1)


def degraded(name: str, size: float = 2.0, seed: int = 5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return history, healthy and degraded rows of a plant of 6 channels of which the second is struck."""
    rng = np.random.default_rng(seed)
    values, loadings = rng.standard_normal((900, 6)), np.ones((1, 6))
    degradation = Degradation(FAULTS.index(name), np.array([1]), np.full(300, size), np.inf)
    return values[:600], values[600:], apply(values[600:], values[:600], degradation, loadings, rng)


def test_a_stuck_channel_holds_its_last_value() -> None:
    history, _, after = degraded("stuck")
    assert (after[:, 1] == history[-1, 1]).all()


def test_a_bias_moves_the_mean_and_noise_the_spread() -> None:
    _, before, after = degraded("bias")
    assert abs((after - before)[:, 1].mean()) > 0.9
    assert after[:, 1].std() == pytest.approx(before[:, 1].std())
    _, before, after = degraded("noise")
    assert after[:, 1].std() > 1.7 * before[:, 1].std()


def test_a_delayed_channel_shows_the_past() -> None:
    history, before, after = degraded("delay")
    both = np.concatenate([history[:, 1], before[:, 1]])
    lags = [lag for lag in range(1, 41) if np.array_equal(both[600 - lag : 900 - lag], after[:, 1])]
    assert len(lags) == 1


def test_a_decoupled_channel_is_healthy_by_itself() -> None:
    history, before, after = degraded("decoupling")
    assert set(after[:, 1]) <= set(history[:, 1])
    assert abs(np.corrcoef(before[:, 1], after[:, 1])[0, 1]) < 0.3


@pytest.mark.parametrize("seed", range(8))
def test_an_intermittent_fault_comes_and_goes(seed: int) -> None:
    _, before, after = degraded("intermittent", seed=seed)
    struck = (before != after)[:, 1]
    assert struck[0], "it begins with a burst"
    assert 0.0 < struck.mean() < 0.7
    jumps = (after - before)[struck, 1]
    levels = after[struck, 1]
    assert np.allclose(np.abs(jumps), 4.0) or (levels.std() < 0.1 and abs(levels.mean()) > 3.0)


def test_a_ramp_fails_when_it_reaches_the_failure_level() -> None:
    rng = np.random.default_rng(6)
    drawn = [draw_degradation(500, np.ones((1, 8)), (0.3, 4.0), rng) for _ in range(400)]
    ramps = [d for d in drawn if FAULTS[d.kind] == "ramp"]
    assert ramps
    for ramp in ramps:
        assert (np.diff(ramp.amplitude) >= 0).all()
        reached = np.flatnonzero(ramp.amplitude >= FAILURE_SD)
        if len(reached):
            assert reached[0] == pytest.approx(ramp.failure_row, abs=1.5)
            assert ramp.failing()[max(reached[0] - HORIZON_ROWS + 1, 0)]
            assert not ramp.failing()[: max(reached[0] - HORIZON_ROWS - 2, 0)].any()
