"""Without the tag that is off the others are healthy; of what the machine does, something is always left."""

from __future__ import annotations

import numpy as np
import pytest

from models.leave_one_out import Recent, by_the_others, left_out
from models.runtime import Detector
from tests.models.plants import TAGS, Float32s, coupled, good, taught

ONSET = 300


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(taught(coupled(6000, seed=1, regimes=3)))


def left(detector: Detector, values: Float32s, rows: int = 1_000_000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    experts, reference = detector.statistics.experts, detector.statistics.reference
    recent = Recent(experts)
    white, regime = by_the_others(detector.statistics, detector.score(values, good(values)), values, good(values))
    for at in range(0, len(values), rows):
        part = slice(at, at + rows)
        averages = recent.update(white[part], regime[part], np.ones(len(white[part]), np.bool_))
    return left_out(experts, reference, averages[-1])


def test_of_a_healthy_machine_little_is_left_whichever_is_ignored(detector: Detector) -> None:
    found = np.mean([left(detector, coupled(900, seed, regimes=3)) for seed in range(5, 15)])
    assert 0.2 < found < 2.5


@pytest.mark.parametrize("off", [1.5, 12.0, 30.0])
@pytest.mark.parametrize("tag", range(len(TAGS)))
def test_a_tag_that_is_off_leaves_nothing_of_it_however_far(detector: Detector, tag: int, off: float) -> None:
    """By 30 the rows of some tags would be put into regimes that the machine is not in, and all others look strange."""
    values, healthy = coupled(900, seed=5, regimes=3), left(detector, coupled(900, seed=5, regimes=3))
    values[ONSET:, tag] += off
    found = left(detector, values)
    assert found.argmin() == tag
    assert found[tag] < 2.0 * max(healthy.max(), 1.0)
    assert np.delete(found, tag).min() > 3.0 * found[tag]


@pytest.mark.parametrize("off", [1.5, 12.0, 30.0])
def test_two_tags_that_move_leave_something_whichever_is_ignored(detector: Detector, off: float) -> None:
    values = coupled(900, seed=5, regimes=3)
    values[ONSET:, [0, 3]] += off
    assert left(detector, values).min() > 4.0


def test_a_far_tag_does_not_change_the_regime_that_the_others_tell(detector: Detector) -> None:
    values, healthy = coupled(900, seed=5, regimes=3), coupled(900, seed=5, regimes=3)
    values[:, 0] += 30.0
    seen, at_home = detector.score(values, good(values)), detector.score(healthy, good(values)).regime
    _, regime = by_the_others(detector.statistics, seen, values, good(values))
    assert (seen.regime != at_home).mean() > 0.3
    assert (regime != at_home).mean() < 0.05
    again, same = by_the_others(detector.statistics, detector.score(healthy, good(values)), healthy, good(values))
    assert (same == at_home).all(), "what is at home stays as it is"
    np.testing.assert_allclose(again, detector.score(healthy, good(values)).white, rtol=1e-4, atol=1e-4)


def test_it_does_not_matter_how_the_rows_come(detector: Detector) -> None:
    values = coupled(900, seed=5, regimes=3)
    values[ONSET:, 2] += 1.0
    assert left(detector, values, 1) == pytest.approx(left(detector, values), rel=1e-3, abs=1e-4)


def test_rows_that_do_not_count_and_a_machine_never_seen_say_nothing(detector: Detector) -> None:
    experts, reference = detector.statistics.experts, detector.statistics.reference
    values = coupled(50, seed=5)
    scores = detector.score(values + 100.0, good(values))
    averages = Recent(experts).update(scores.white.astype(np.float64), scores.regime, np.zeros(50, np.bool_))
    assert not averages.any()
    assert not left_out(experts, reference, averages[-1]).any()
