"""The condition of a machine row by row, and when the line has no opinion."""

from __future__ import annotations

import numpy as np
import pytest

from agent.line.assess import (
    CONDITIONS,
    COVERAGE_MIN,
    LOOK_BACK_ROWS,
    LOSS_ROWS_MIN,
    RECOVERY_ROWS,
    WINDOW_ROWS,
    Assessment,
    Assessor,
)
from agent.line.verdict import Condition
from models.frozen import FACTOR, ROWS_MIN
from models.runtime import Detector
from models.scores import ScoreBank
from tests.line.conftest import SETTLE_ROWS
from tests.line.frames import grid
from tests.models.plants import TAGS, Float32s, coupled, settling, taught

WEEKLY = 1 / 604_800
SHIFT = 8.0
NORMAL, DEVIATING, UNSEEN, SETTLING, BLIND = CONDITIONS


def assess(detector: Detector, values: Float32s) -> Assessment:
    return Assessor(detector, WEEKLY).update(grid(values))


def conditions(assessment: Assessment) -> list[Condition]:
    return [CONDITIONS[number] for number in assessment.condition]


def lost(values: Float32s, rows: slice, columns: slice = slice(None)) -> Float32s:
    values = values.copy()
    values[rows, columns] = np.nan
    return values


def test_before_there_are_data_the_asset_is_blind(running: Detector) -> None:
    found = assess(running, np.full((100, 6), np.nan, np.float32))
    assert set(conditions(found)) == {BLIND}
    assert np.isnan(found.evidence).all()
    assert not found.judged.any()


def test_a_healthy_machine_is_normal(running: Detector) -> None:
    found = assess(running, coupled(2000, seed=5))
    assert set(conditions(found)) == {NORMAL}
    assert found.evidence.max() < 1.0
    assert found.judged.all()


def test_a_faulty_machine_deviates_and_evidence_is_what_says_so(running: Detector) -> None:
    values = coupled(600, seed=5)
    values[300:, 2] += 6.0
    found = assess(running, values)
    assert set(conditions(found)[350:]) == {DEVIATING}
    judged = found.judged
    assert np.array_equal(np.array(conditions(found))[judged] == DEVIATING, found.evidence[judged] >= 1.0)


@pytest.mark.parametrize("missing", [2, 3, 6])
def test_a_row_that_lacks_too_much_is_blind_and_so_is_what_follows_unjudged(running: Detector, missing: int) -> None:
    found = assess(running, lost(coupled(200, seed=5), slice(100, 110), slice(0, missing)))
    assert set(conditions(found)[100:110]) == {BLIND}
    assert np.isnan(found.evidence[100:110]).all()
    assert set(conditions(found)[110 : 110 + RECOVERY_ROWS]) == {SETTLING}
    assert set(conditions(found)[110 + RECOVERY_ROWS :]) == {NORMAL}


@pytest.mark.parametrize("rows", range(1, LOSS_ROWS_MIN))
def test_a_missed_poll_is_no_loss_however_often_it_happens(running: Detector, rows: int) -> None:
    values = coupled(400, seed=5)
    values[200:, 2] += SHIFT
    for start in range(10, 400, 10):
        values[start : start + rows] = np.nan
    seen = np.array(conditions(assess(running, values)))
    missed = np.isnan(values).all(1)
    assert set(seen[missed]) == {BLIND}
    assert set(seen[:200][~missed[:200]]) == {NORMAL}
    assert set(seen[250:][~missed[250:]]) == {DEVIATING}


def test_one_lost_tag_blinds_nobody(running: Detector) -> None:
    values = lost(coupled(300, seed=5), slice(100, None), slice(0, 1))
    found = assess(running, values)
    assert set(conditions(found)) == {NORMAL}
    assert found.coverage[-1] == pytest.approx(5 / 6)


def test_after_a_long_loss_the_window_must_fill_again(running: Detector) -> None:
    found = assess(running, lost(coupled(400, seed=5), slice(100, 200)))
    rows = WINDOW_ROWS
    seen = conditions(found)
    back = 200 + int(rows * COVERAGE_MIN) - 1
    assert set(seen[100:back]) == {BLIND}
    assert set(seen[back:]) == {NORMAL}


def test_a_machine_that_is_switched_settles_and_is_not_judged(switched: Detector) -> None:
    found = assess(switched, settling(1500, seed=2, settle_rows=SETTLE_ROWS, dwell=500))
    rows, others = switched.statistics.modes.settle_rows
    assert rows == others >= SETTLE_ROWS
    seen = conditions(found)
    for start in (0, 500, 1000):
        assert set(seen[start : start + rows]) == {SETTLING}
        assert set(seen[start + rows : start + 500]) == {NORMAL}
        assert np.isnan(found.evidence[start : start + rows]).all()


@pytest.mark.parametrize("size", [6.0, 20.0])
def test_a_fault_that_shows_in_one_mode_alone_deviates_whenever_the_machine_is_in_it(
    switched: Detector, size: float
) -> None:
    values = settling(4000, seed=2, settle_rows=SETTLE_ROWS, dwell=500)
    on = values[:, 6] > 0
    values[1500:, 2] += np.where(on[1500:], np.float32(size), np.float32(0.0))
    seen = conditions(assess(switched, values))
    for start in (1500, 2500, 3500):
        assert seen[start + 100 : start + 500].count(DEVIATING) > 360
        assert UNSEEN not in seen[start : start + 500]


def recipes(rows: int, seed: int, asked: tuple[float, ...], bend: float = 0.0) -> Float32s:
    """The six tags and a set-point that steps through `asked`; the first tag follows it, `bend` more than linearly."""
    level = np.resize(np.repeat(np.array(asked), 250), rows)
    values = coupled(rows, seed).astype(np.float64)
    values[:, 0] += 3.0 * level + bend * (level - 10.0) * (level - 30.0)
    return np.column_stack([values, level]).astype(np.float32)


RECIPES = tuple(10.0 + 20.0 * (7 * step % 18) / 17 for step in range(18))
"""More than a switch has."""


def test_a_recipe_that_was_never_learnt_is_no_fault_and_a_learnt_one_may_be() -> None:
    detector = Detector(taught(recipes(9000, 1, RECIPES), (*TAGS, ("asked", ""))))
    assert len(detector.statistics.modes.learnt) == len(RECIPES)
    near = assess(detector, recipes(500, 2, (RECIPES[3], 20.3)))
    assert set(conditions(near)[-200:]) == {NORMAL}, "nothing is odd about it"
    far = assess(detector, recipes(1000, 2, (RECIPES[3], 20.3, RECIPES[3], RECIPES[8]), bend=-0.5))
    assert set(conditions(far)[300:500]) == {UNSEEN}
    assert conditions(far)[850:].count(DEVIATING) > 135


def test_settling_teaches_the_statistics_nothing(switched: Detector) -> None:
    """After a wild start-up the evidence is the same as after a mild one."""
    mild = settling(600, seed=2, settle_rows=0, dwell=500)
    wild = mild.copy()
    wild[500 : 500 + SETTLE_ROWS, :6] *= 10.0
    one, other = (assess(switched, values).evidence for values in (mild, wild))
    np.testing.assert_allclose(one, other, rtol=1e-6)


def with_switch(value: float) -> Float32s:
    values = settling(400, seed=2, settle_rows=0, dwell=5000)
    values[200:, 6] = value
    return values


def test_a_mode_that_was_never_seen_is_not_judged(switched: Detector) -> None:
    found = assess(switched, with_switch(2.0))
    assert set(conditions(found)[200:]) == {UNSEEN}
    assert np.isnan(found.evidence[200:]).all()


def test_an_unseen_mode_comes_before_settling_and_blindness_before_all(switched: Detector) -> None:
    values = lost(with_switch(2.0), slice(300, 310), slice(0, 6))
    seen = conditions(assess(switched, values))
    assert seen[200] == UNSEEN, "also while the machine settles"
    assert set(seen[300:310]) == {BLIND}
    assert seen[310] == UNSEEN, "also while data have just come back"


def test_settling_comes_before_deviating(switched: Detector) -> None:
    values = settling(1000, seed=2, settle_rows=0, dwell=500)
    values[450:, 2] += 200.0
    seen = conditions(assess(switched, values))
    assert seen[499] == DEVIATING
    assert seen[500] == SETTLING
    assert seen[999] == DEVIATING


def test_a_source_that_stands_still_is_blind_and_no_sensor_is_stuck(running: Detector) -> None:
    values = coupled(600, seed=5)
    values[300:] = values[300]
    found = assess(running, values)
    seen = conditions(found)
    stale_from = 300 + ROWS_MIN // FACTOR + 1
    assert set(seen[stale_from:]) == {BLIND}
    assert not found.frozen[stale_from:].any()


def test_a_stuck_sensor_has_evidence_of_its_own(running: Detector) -> None:
    values = coupled(600, seed=5)
    values[300:, 2] = values[300, 2]
    found = assess(running, values)
    assert found.frozen[300 + ROWS_MIN, 2] == 1.0
    assert (found.evidence[300 + ROWS_MIN :] >= 1.0).all()
    assert not np.delete(found.frozen, 2, axis=1)[RECOVERY_ROWS:].max() > 0.1


@pytest.mark.parametrize("garbage", [1e2, 1e4, 1e30, -1e30])
def test_a_second_of_garbage_is_soon_forgotten(running: Detector, garbage: float) -> None:
    values = coupled(600, seed=5)
    values[300] = garbage
    found = assess(running, values)
    above = np.flatnonzero(found.evidence >= 1.0)
    assert above[0] == 300
    assert above[-1] < 315
    assert found.evidence[360:].max() < 0.9


def test_a_fault_that_lasts_is_not_capped_away(running: Detector) -> None:
    values = coupled(600, seed=5)
    values[300:, 2] += 1000.0
    assert assess(running, values).evidence[400] > 2.0


@pytest.mark.parametrize("chunk_rows", [1, 7, 64, 65, 500])
def test_rows_are_assessed_the_same_however_they_come(switched: Detector, chunk_rows: int) -> None:
    values = settling(1200, seed=2, settle_rows=SETTLE_ROWS, dwell=500)
    values[300:330, 2] = np.nan
    values[420:450] = np.nan
    values[650:, 1] += 8.0
    values[800:1000, 4] = values[800, 4]
    values[1050:, 6] = 2.0
    whole = assess(switched, values)
    assessor = Assessor(switched, WEEKLY)
    parts, features = [], []
    for row in range(0, len(values), chunk_rows):
        parts.append(assessor.update(grid(values[row : row + chunk_rows], start_s=row)))
        if row % 5 == 0:  # asked for now and then, as where a machine deviates
            features.append((row, parts[-1].features.back(parts[-1].rows - 1)))
    assert np.array_equal(np.concatenate([part.condition for part in parts]), whole.condition)
    assert set(conditions(whole)) == set(CONDITIONS)
    np.testing.assert_allclose(np.concatenate([part.evidence for part in parts]), whole.evidence, rtol=1e-4, atol=1e-6)
    for row, seen in features:
        for one, other in zip(seen, whole.features.back(len(values) - 1 - row), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3)
    np.testing.assert_allclose(
        np.concatenate([part.coverage for part in parts]), whole.coverage, rtol=1e-12
    )
    assert np.array_equal(parts[-1].grid.time_ns[-1], whole.grid.time_ns[-1])
    for part in parts:
        assert part.position(part.rows - 1) == part.grid.rows - 1
        assert len(part.coverage) == part.rows
        assert len(part.scores.score) == part.grid.rows <= LOOK_BACK_ROWS + part.rows


def test_limits_follow_the_budget_and_not_the_period(running: Detector) -> None:
    weekly, daily = Assessor(running, WEEKLY).limits, Assessor(running, 7 * WEEKLY).limits
    assert (weekly > daily).all()
    np.testing.assert_allclose(weekly, running.statistics.calibration.limits(WEEKLY))


def test_the_statistics_are_those_of_the_model(running: Detector) -> None:
    """On a healthy day evidence is what the score bank and the calibration make of it."""
    found = Assessor(running, WEEKLY, adapt=False).update(grid(coupled(300, seed=5)))
    learnt, limits = running.statistics, running.statistics.calibration.limits(WEEKLY)
    new = found.scores.last(found.rows)
    statistics = ScoreBank(learnt.reference, limits).update(new.white.astype(np.float64), new.score)
    np.testing.assert_allclose(found.evidence, learnt.calibration.evidence(statistics, limits), rtol=1e-6)


def test_benign_wander_is_adapted_to_and_a_fault_is_not(running: Detector) -> None:
    values = coupled(3000, seed=6)
    spread = values.std(0)
    wandered, faulty = values.copy(), values.copy()
    wandered[:, 0] += np.float32(0.1) * spread[0] * np.minimum(np.arange(3000) / 1500, 1).astype(np.float32)
    faulty[1500:, 0] += np.float32(1.5) * spread[0]
    adapted, stubborn = (Assessor(running, WEEKLY, adapt=adapt).update(grid(wandered)) for adapt in (True, False))
    assert np.median(adapted.evidence[2000:]) < np.median(stubborn.evidence[2000:])
    np.testing.assert_array_equal(adapted.drift, stubborn.drift, "the drift monitor does not adapt")
    healthy = Assessor(running, WEEKLY).update(grid(values))
    assert adapted.drift[-1, 0] > healthy.drift[-1, 0], "and sees what was added"
    assert (assess(running, faulty).evidence[1600:] >= 1.0).all(), "evidence freezes the adaptation"


def holding(rows: int, seed: int, kept: tuple[float, ...]) -> Float32s:
    """Six tags and a switch; while it is off the first tag shows one of `kept`, another one each time."""
    values = settling(rows, seed, settle_rows=0, dwell=250)
    off = values[:, 6] == 0
    values[off, 0] = np.resize(np.array(kept, np.float32), rows // 250 + 1)[np.arange(rows) // 500][off]
    return values


def test_what_a_tag_holds_from_before_is_no_evidence_and_what_moves_is() -> None:
    detector = Detector(taught(holding(8000, 1, (18.0, 22.0)), (*TAGS, ("on", ""))))
    assert detector.statistics.modes.still == ((0,), ())
    values = holding(2000, 2, (60.0,))
    found = assess(detector, values)
    assert set(conditions(found)[20:]) <= {NORMAL, SETTLING}
    assert np.abs(found.drift[-1, 0]) < 0.1
    moved = values.copy()
    moved[1100:1250, 0] += 1.0 + np.random.default_rng(0).normal(size=150).astype(np.float32)
    assert DEVIATING in conditions(assess(detector, moved))[1100:1250]
    other = values.copy()
    other[1100:1250, 2] += 15.0
    assert conditions(assess(detector, other))[1120:1250].count(DEVIATING) > 100
