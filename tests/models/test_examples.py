"""From plants to what the fault head learns from, and how its naming of faults is counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.degradations import FAULTS, VISIBLE_SD
from models.examples import CHANNELS_MAX, COURSES, ROWS_PER_COURSE, UNTOLD, Examples, Floor, example, examples, joined
from models.features import FEATURES, GLOBALS
from models.quality import CLEAR_ROWS, CLEAR_SD, confusion
from models.synthetic import Prior, courses, draw

PRIOR = Prior(channels=(4, 9), healthy_rows=(300, 400), faulty=1.0)


def of(prior: Prior, seed: int, rows: int = 40) -> Examples:
    rng = np.random.default_rng(seed)
    return examples(courses(prior, rng, 1), rng, rows, judged=prior.judged)


def test_a_plant_gives_rows_of_each_course() -> None:
    found = example(3, 4, ((1.0, PRIOR),))
    assert found.features.shape == (COURSES * ROWS_PER_COURSE, CHANNELS_MAX, FEATURES)
    assert found.whole.shape == (COURSES * ROWS_PER_COURSE, GLOBALS)
    assert np.isfinite(found.features).all()
    count = int(found.channels[0])
    assert not found.features[:, count:].any()
    assert not found.kind[:, count:].any()


@pytest.mark.parametrize("seed", range(6))
def test_before_the_onset_all_is_healthy_and_a_small_fault_is_untold(seed: int) -> None:
    found = of(replace(PRIOR, amplitudes=(0.3, 1.0)), seed)
    healthy = found.fault == 0
    assert not found.kind[healthy].any()
    assert not found.amplitude[healthy].any()
    small = (found.fault == 1) & (found.amplitude < VISIBLE_SD)
    assert set(np.unique(found.kind[small])) <= {UNTOLD, 0}
    assert (found.kind[(found.fault == 1) & ~small] > 0).any(1).all()


def test_plants_that_are_not_judged_say_nothing_about_how_much_evidence_a_fault_needs() -> None:
    assert of(PRIOR, 1).certain.any()
    assert not of(replace(PRIOR, judged=False), 1).certain.any()


def test_the_first_rows_of_a_fault_are_seen_often() -> None:
    ages = np.concatenate([example(5, n, ((1.0, PRIOR),)).age for n in range(12)])
    fault = np.concatenate([example(5, n, ((1.0, PRIOR),)).fault for n in range(12)])
    assert (ages[fault == 1] < 3).mean() > 0.08


def test_the_floor_explains_what_the_other_channels_do() -> None:
    plant = draw(replace(PRIOR, faulty=0.0, drift=0.0), np.random.default_rng(2))
    floor = Floor.fit([plant.values[: plant.healthy_rows]])
    e, z, white, offset = floor.explain(plant.values)
    for rows in (e, z, white):
        np.testing.assert_allclose((rows**2).mean(), 1.0, atol=0.35)
    unit = offset / e
    np.testing.assert_allclose(unit, np.broadcast_to(unit[0], unit.shape), rtol=1e-6)
    assert (unit[0] < 1.05).all(), "what the others explain is off"


def test_only_clear_faults_are_counted_each_by_its_most_deviating_channel() -> None:
    bias, stuck = FAULTS.index("bias"), FAULTS.index("stuck")
    part = of(PRIOR, 0, 4)
    kind = np.zeros_like(part.kind)
    kind[:, 1:3] = np.array([bias, bias, bias, stuck])[:, None]
    features = np.zeros_like(part.features)
    features[:, 2] = 3.0
    known = replace(
        part,
        features=features,
        kind=kind,
        amplitude=np.array([CLEAR_SD, CLEAR_SD / 2, CLEAR_SD, 0.0], np.float32),
        age=np.array([CLEAR_ROWS, CLEAR_ROWS, CLEAR_ROWS - 1, CLEAR_ROWS]),
    )
    kinds = np.zeros((4, CHANNELS_MAX, len(FAULTS)), np.float32)
    kinds[:, :, 0] = 9.0  # calling it healthy does not count
    kinds[:, 2, bias] = 1.0
    table = confusion(kinds, joined([known]))
    assert table.sum() == 2
    assert table[bias - 1, bias - 1] == 1
    assert table[stuck - 1, bias - 1] == 1
