"""Which tags have a level that can be learnt."""

from __future__ import annotations

import numpy as np
import pytest

from models.channels import CONSTANT, DRIFTING, LEVEL_ROWS_MIN, SCORED, roles
from tests.models.plants import Float64s, autoregressive

ROWS = 2000


def noise(seed: int = 0, memory: float = 0.5, rows: int = ROWS) -> Float64s:
    return autoregressive(rows, 1, memory, np.random.default_rng(seed))[:, 0]


def role(*stretches: Float64s) -> str:
    (found,) = roles([stretch[:, None] for stretch in stretches])
    return found


def test_a_tag_that_never_moves_is_constant() -> None:
    assert role(np.full(ROWS, 7.3)) == CONSTANT
    assert role(np.zeros(ROWS)) == CONSTANT
    assert role(np.full(ROWS, 2.0), np.full(ROWS, 2.0)) == CONSTANT


def test_a_tag_with_another_value_in_another_stretch_has_moved() -> None:
    assert role(np.full(ROWS, 2.0), np.full(ROWS, 3.0)) == SCORED


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_noise_around_a_level_is_scored_in_any_unit(size: float, offset: float) -> None:
    assert role(size * (offset + noise())) == SCORED


def test_a_tag_on_its_way_somewhere_is_drifting() -> None:
    ramp = np.linspace(0.0, 20.0, ROWS)
    assert role(ramp + noise()) == DRIFTING
    assert role(-ramp + noise()) == DRIFTING
    assert role(np.exp(-np.arange(ROWS) / 500) * 20.0 + 0.1 * noise()) == DRIFTING


@pytest.mark.parametrize("jump", [10.0, -50.0, 1000.0])
def test_a_set_point_that_jumps_is_not_drifting(jump: float) -> None:
    late = np.where(np.arange(ROWS) > ROWS * 0.55, jump, 0.0)
    assert role(noise() + late) == SCORED
    assert role(late) == SCORED, "nothing but the jump"


def test_a_jump_does_not_hide_a_drift() -> None:
    jump = np.where(np.arange(ROWS) > ROWS // 2, 30.0, 0.0)
    assert role(np.linspace(0.0, 30.0, ROWS) + jump + noise(memory=0.0) * 0.1) == DRIFTING


def test_most_stretches_decide() -> None:
    ramp = np.linspace(0.0, 20.0, ROWS)
    assert role(noise(1) + ramp, noise(2), noise(3)) == SCORED
    assert role(noise(1) + ramp, noise(2) + ramp, noise(3)) == DRIFTING


def test_stretches_that_are_too_short_to_show_a_drift_have_no_say() -> None:
    short = [noise(seed, rows=20) for seed in range(60)]
    assert role(*short) == SCORED, "halves of 10 rows differ by chance"
    assert role(*short, noise(100) + np.linspace(0.0, 20.0, ROWS)) == DRIFTING
    ramp = np.linspace(0.0, 40.0, 40 * (LEVEL_ROWS_MIN - 1)).reshape(40, -1)
    assert role(*ramp) == DRIFTING, "all of them together show one"


def test_missing_values_change_no_role() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([noise(), np.linspace(0.0, 20.0, ROWS) + noise(1), np.full(ROWS, 3.0)], 1)
    columns[rng.random(columns.shape) < 0.4] = np.nan
    assert roles([columns]) == [SCORED, DRIFTING, CONSTANT]


def test_a_tag_that_is_lost_for_a_whole_stretch_is_judged_by_the_others() -> None:
    lost = np.full(ROWS, np.nan)
    assert role(lost, noise(1), noise(2)) == SCORED
    assert role(noise(1), np.concatenate([lost[:1000], noise(2)[:1000]])) == SCORED
