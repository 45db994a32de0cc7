"""The baseline: where a changed tag stands, learnt from what the others say of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from models.baseline import ROWS, Baseline
from models.bundle import Statistics
from tests.models.plants import Float32s, coupled, good, taught

COLUMNS = 6


@pytest.fixture(scope="module", params=[1, 3])
def statistics(request: pytest.FixtureRequest) -> Statistics:
    return taught(coupled(4000, seed=1, regimes=request.param), name="pump").statistics


def machine(statistics: Statistics, seed: int, rows: int = ROWS) -> Float32s:
    return coupled(rows, seed, regimes=3 if statistics.experts.regimes.count > 1 else 1)


def learnt(statistics: Statistics, values: Float32s, columns: Sequence[int], cut: int = 100) -> Baseline:
    baseline = Baseline(statistics)
    baseline.begin(columns, COLUMNS)
    for part in np.split(values, range(cut, len(values), cut)):
        baseline.learn(part, good(part), np.ones(len(part), np.bool_))
    return baseline


def test_without_a_change_nothing_is_corrected(statistics: Statistics) -> None:
    x = machine(statistics, 2)
    assert Baseline(statistics).corrected(x, good(x)) is x


def test_two_tags_that_have_moved_are_put_back_where_the_others_say(statistics: Statistics) -> None:
    truth = machine(statistics, 2)
    shown = truth.copy()
    shown[:, 1] += 12.0
    shown[:, 4] -= 300.0
    baseline = learnt(statistics, shown, (4, 1))
    assert not baseline.learning.any()
    assert baseline.corrected(shown, good(shown)) == pytest.approx(truth, abs=0.5)
    assert (baseline.corrected(shown, good(shown))[:, [0, 2, 3, 5]] == truth[:, [0, 2, 3, 5]]).all()


def test_it_does_not_matter_how_rows_come(statistics: Statistics) -> None:
    x = machine(statistics, 3)
    one, other = (learnt(statistics, x, (2,), cut).state for cut in (ROWS, 7))
    assert one == pytest.approx(other)


def test_only_rows_that_count_and_have_the_tag_are_learnt_from(statistics: Statistics) -> None:
    x = machine(statistics, 4, 2 * ROWS)
    mask = good(x)
    mask[::4, 1] = False
    counts = np.arange(len(x)) % 2 == 0
    baseline = Baseline(statistics)
    baseline.begin((1,), COLUMNS)
    baseline.learn(np.where(mask, x, np.float32(np.nan)), mask, counts)
    assert baseline.rows == len(x) // 4


def test_a_spread_that_is_plainly_another_is_learnt_and_one_that_is_not_is_left(statistics: Statistics) -> None:
    truth = machine(statistics, 5)
    noise = np.random.default_rng(1).normal(0.0, 4.0, ROWS).astype(np.float32)
    noisy = truth.copy()
    noisy[:, 1] += noise
    gains = 1.0 + learnt(statistics, noisy, (1, 3)).state.reshape(2, -1)[1]
    assert gains[1] < 0.5
    assert (np.delete(gains, 1) == 1.0).all()
    corrected = learnt(statistics, noisy, (1, 3)).corrected(noisy, good(noisy))
    assert np.std(corrected[:, 1] - truth[:, 1]) < 0.5 * np.std(noise)


def test_what_was_learnt_goes_on_from_its_state(statistics: Statistics) -> None:
    x = machine(statistics, 6)
    x[:, 1] += 12.0
    baseline, again = learnt(statistics, x, (1,)), Baseline(statistics)
    again.restore(baseline.state)
    assert (again.corrected(x, good(x)) == baseline.corrected(x, good(x))).all()
