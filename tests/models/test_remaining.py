"""Remaining life: a small fleet teaches it, later machines get an honest interval, and bad histories are named."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from models import remaining, remaining_features, remaining_trees
from models.remaining import RemainingError, RemainingModel, RemainingTracker, Run
from models.remaining_trees import Boosting

SMALL = Boosting(trees=80, rate=0.1)
HORIZON = 100.0


def a_fleet(seed: int, runs: int, *, regimes: int = 1) -> list[Run]:
    """Return machines that wear out exponentially in two of four tags, in one or several operating regimes."""
    rng = np.random.default_rng(seed)
    levels = 40.0 * rng.permutation(np.arange(regimes))
    found = []
    for name in range(runs):
        rows = int(rng.integers(120, 260))
        left = np.arange(rows, 0, -1, dtype=np.float64) - 1.0
        wear = np.exp(-left / 30.0)
        level = levels[rng.integers(0, regimes, rows)]
        values = level[:, None] + 0.2 * rng.standard_normal((rows, 4)) + 0.3 * rng.standard_normal(4)
        values[:, 0] += 3.0 * wear
        values[:, 1] -= 2.0 * wear
        found.append(Run(str(name), values.astype(np.float32), left))
    return found


@pytest.fixture(scope="module")
def model() -> RemainingModel:
    return remaining.learn(a_fleet(1, 30), horizon_rows=HORIZON, boosting=SMALL)


def errors(model: RemainingModel, fleet: list[Run]) -> tuple[float, float, float]:
    """Return the capped error of the estimate, that of a constant, and the coverage of the interval."""
    features = remaining_features.features_of([run.values for run in fleet], model.norm, HORIZON)
    truth = np.concatenate([run.remaining_rows for run in fleet])
    said = model.estimate(np.concatenate(features))
    capped = np.minimum(truth, HORIZON)
    low, _, high = model.quantiles(said).T
    return (
        float(np.sqrt(np.mean((said - capped) ** 2))),
        float(capped.std()),
        float(((low <= truth) & (truth <= high)).mean()),
    )


def test_a_fleet_teaches_the_life_of_machines_that_were_not_in_it(model: RemainingModel) -> None:
    error, constant, coverage = errors(model, a_fleet(2, 30))
    assert error < 0.45 * constant
    assert 0.84 <= coverage <= 0.97


def test_regimes_are_found_and_do_not_hide_the_wear() -> None:
    learnt = remaining.learn(a_fleet(3, 30, regimes=4), horizon_rows=HORIZON, boosting=SMALL)
    assert len(learnt.norm.regime) == 4
    error, constant, _ = errors(learnt, a_fleet(3, 40, regimes=4)[30:])
    assert error < 0.5 * constant


def test_a_continuum_of_states_is_one_regime() -> None:
    values = np.random.default_rng(0).uniform(0, 10, (2000, 3)).astype(np.float32)
    norm = remaining_features.normaliser(values, np.full(len(values), np.nan), HORIZON)
    assert norm is not None
    assert len(norm.regime) == 1


def test_regimes_are_told_apart_where_some_are_near_each_other_and_outliers_are_none() -> None:
    rng = np.random.default_rng(11)
    levels = np.array([[0, 0, 0], [100, 0, 0], [0, 100, 0], [0, 0, 100], [100, 100, 9], [100, 100, 0]], np.float64)
    values = levels[rng.integers(0, 6, 4000)] + 0.1 * rng.standard_normal((4000, 3))
    values[:10, 2] += 20.0
    norm = remaining_features.normaliser(values.astype(np.float32), np.full(4000, np.nan), HORIZON)
    assert norm is not None
    found = norm.regime * norm.scale + norm.centre
    assert [round(float(np.abs(found - level).max(1).min())) for level in levels[4:]] == [0, 0]
    assert len(found) == 6


def test_stages_of_wear_are_not_taken_for_regimes() -> None:
    fleet = [Run(run.name, run.values[:, :1], run.remaining_rows) for run in a_fleet(9, 20)]
    learnt = remaining.learn(fleet, horizon_rows=HORIZON, boosting=SMALL)
    assert len(learnt.norm.regime) == 1
    error, constant, _ = errors(learnt, [Run(r.name, r.values[:, :1], r.remaining_rows) for r in a_fleet(10, 20)])
    assert error < 0.6 * constant


def test_the_sum_of_the_tags_follows_wear_and_bears_missing_ones(model: RemainingModel) -> None:
    assert np.abs(model.norm.wear).sum() == pytest.approx(1.0)
    assert model.norm.wear[0] < -0.2 < 0.2 < model.norm.wear[1], "tag 0 rises with wear, life falls"
    assert np.abs(model.norm.wear[2:]).max() < 0.02
    worn, lost = a_fleet(12, 1)[0].values[-5:], a_fleet(12, 1)[0].values[-5:].copy()
    lost[:, 0] = np.nan
    (whole, partly), width = (model.norm.apply(rows)[:, -1] for rows in (worn, lost)), model.norm.width
    assert width == 5
    assert (whole < -2).all()
    assert (partly < -2).all()
    lost[:] = np.nan
    assert np.isnan(model.norm.apply(lost)).all()


def test_the_same_runs_and_seed_give_the_same_bytes_and_another_seed_other_trees() -> None:
    fleet, few = a_fleet(4, 8), Boosting(trees=10)
    first, second, other = (remaining.learn(fleet, boosting=few, seed=seed).pack() for seed in (0, 0, 1))
    assert first == second != other


def test_a_packed_model_says_the_same(model: RemainingModel) -> None:
    again = remaining.unpack(model.pack())
    features = np.random.default_rng(0).standard_normal((50, 5 * model.norm.width + 1)).astype(np.float32)
    assert np.array_equal(again.estimate(features), model.estimate(features))
    assert np.array_equal(again.quantiles(np.arange(100.0)), model.quantiles(np.arange(100.0)))
    assert again.parameters == model.parameters == len(again.level) * 4 + again.trees.parameters + 5 * 4


@pytest.mark.parametrize("content", [b"", b"no archive", remaining_trees.__name__.encode() * 100])
def test_bytes_that_are_no_model_are_refused(content: bytes) -> None:
    with pytest.raises(RemainingError, match="is no model of remaining life"):
        remaining.unpack(content)


def test_quantiles_never_cross_and_never_fall_with_the_estimate(model: RemainingModel) -> None:
    life = model.quantiles(np.linspace(0.0, HORIZON, 200))
    assert (np.diff(life, axis=0) >= 0).all()
    assert (np.diff(life, axis=1) >= 0).all()
    assert (life >= 0).all()


def test_a_tracker_says_in_seconds_what_the_whole_run_says(model: RemainingModel) -> None:
    run = a_fleet(5, 1)[0]
    whole = remaining_features.features_of([run.values], model.norm, HORIZON)[0]
    expected = model.quantiles(model.estimate(whole[-1:]))[0] * 60.0
    tracker = RemainingTracker(model, period_s=60.0)
    said = None
    for part in np.array_split(run.values, 7):
        said = tracker.update(part)
    assert said == pytest.approx(tuple(expected))


def test_a_restart_loses_nothing(model: RemainingModel) -> None:
    run = a_fleet(6, 1)[0]
    through, before, after = (RemainingTracker(model, 1.0) for _ in range(3))
    before.update(run.values[:70])
    after.restore(before.state)
    assert through.update(run.values) == after.update(run.values[70:])


def test_missing_values_are_bridged_and_rows_without_any_give_no_estimate(model: RemainingModel) -> None:
    run = a_fleet(7, 1)[0]
    spoilt = run.values.copy()
    spoilt[np.random.default_rng(0).random(spoilt.shape) < 0.2] = np.nan
    spoilt[-1] = run.values[-1]
    whole, gappy = RemainingTracker(model, 1.0).update(run.values), RemainingTracker(model, 1.0).update(spoilt)
    assert whole is not None
    assert gappy is not None
    assert gappy[1] == pytest.approx(whole[1], abs=15)
    spoilt[-1] = np.nan
    assert RemainingTracker(model, 1.0).update(spoilt) is None
    assert RemainingTracker(model, 1.0).update(spoilt[:0]) is None


def test_life_that_nobody_knows_is_not_learnt_from() -> None:
    fleet = a_fleet(8, 10)
    partly = [Run(r.name, r.values, np.where(r.remaining_rows > 90, np.nan, r.remaining_rows)) for r in fleet]
    learnt = remaining.learn(partly, horizon_rows=HORIZON, boosting=SMALL)
    assert learnt.life.max() <= 90


def test_the_horizon_is_a_share_of_the_median_life() -> None:
    fleet = a_fleet(9, 9)
    learnt = remaining.learn(fleet, boosting=Boosting(trees=2))
    lives = [run.remaining_rows[0] for run in fleet]
    assert learnt.horizon_rows == pytest.approx(remaining.HORIZON_SHARE * np.median(lives))


FLEET = a_fleet(10, 6)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        pytest.param([], "0 of 0 runs have a remaining life, at least 5", id="no runs"),
        pytest.param(FLEET[:1], "1 of 1 runs .* at least 5 .* --run", id="one run"),
        pytest.param(
            [*FLEET, Run("x", FLEET[0].values, FLEET[0].remaining_rows - 7)], "run x: .* falls to -7", id="negative"
        ),
        pytest.param(
            [*FLEET, Run("x", FLEET[0].values, FLEET[0].remaining_rows[::-1])], "run x: .* does not fall", id="rising"
        ),
        pytest.param(
            [*FLEET, Run("x", FLEET[0].values, np.full_like(FLEET[0].remaining_rows, np.nan))],
            "6 of 7 runs have a remaining life",
            id="unknown",
        ),
        pytest.param(
            [Run(r.name, np.ones_like(r.values), r.remaining_rows) for r in FLEET], "no tag moves", id="nothing moves"
        ),
    ],
)
def test_histories_that_cannot_teach_are_refused(runs: list[Run], message: str) -> None:
    with pytest.raises(RemainingError, match=message):
        remaining.learn(runs, boosting=SMALL)


def test_trees_find_steps_products_and_ignore_constants() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4000, 4)).astype(np.float32)
    x[:, 3] = 1.0
    y = np.where(x[:, 0] > 0, 5.0, 0.0) + 3.0 * (x[:, 1] > 0) * (x[:, 2] > 0) + 0.1 * rng.standard_normal(4000)
    trees = remaining_trees.fit(x, y, Boosting(trees=100, rate=0.1, feature_share=1.0), np.random.default_rng(1))
    assert np.std(trees.predict(x) - y) < 0.3
    assert not (trees.feature == 3).any()


def test_a_prediction_does_not_depend_on_the_rows_beside_it() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5000, 3)).astype(np.float32)
    trees = remaining_trees.fit(x, x[:, 0].astype(np.float64), Boosting(trees=20), rng)
    alone = [trees.predict(x[i : i + 1])[0] for i in (0, 2047, 2048, 4999)]
    assert alone == [trees.predict(x)[i] for i in (0, 2047, 2048, 4999)]


def test_progress_rises_to_the_end() -> None:
    shares: list[float] = []
    remaining.learn(FLEET, boosting=Boosting(trees=3), progress=lambda _step, share: shares.append(share))
    assert all(a <= b for a, b in itertools.pairwise(shares))
    assert shares[-1] == 1.0
