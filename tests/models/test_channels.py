"""Which tags have a level that can be learnt, and which only condition the others."""

from __future__ import annotations

import numpy as np
import pytest

from models.channels import CONSTANT, DRIFTING, SCORED, roles
from tests.models.plants import Float64s, autoregressive

ROWS = 2000


def noise(seed: int = 0, memory: float = 0.5, rows: int = ROWS) -> Float64s:
    return autoregressive(rows, 1, memory, np.random.default_rng(seed))[:, 0]


def walk(seed: int = 0, rows: int = ROWS) -> Float64s:
    return np.cumsum(np.random.default_rng(seed).standard_normal(rows))


def role(*stretches: Float64s) -> str:
    """Return the role of a tag that has a steady one beside it."""
    found = roles([np.stack([stretch, noise(999, rows=len(stretch))], 1) for stretch in stretches])
    assert found[1] == SCORED
    return found[0]


def test_a_tag_that_never_moves_is_constant() -> None:
    assert role(np.full(ROWS, 7.3)) == CONSTANT
    assert role(np.zeros(ROWS)) == CONSTANT
    assert role(np.full(ROWS, 2.0), np.full(ROWS, 2.0)) == CONSTANT


def test_a_tag_that_never_had_a_value_is_constant() -> None:
    assert role(np.full(ROWS, np.nan)) == CONSTANT


def test_a_tag_with_another_value_in_another_stretch_has_moved() -> None:
    assert role(np.full(ROWS, 2.0), np.full(ROWS, 3.0)) != CONSTANT


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_noise_around_a_level_is_scored_in_any_unit(size: float, offset: float) -> None:
    assert role(size * (offset + noise())) == SCORED


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9, 0.98])
@pytest.mark.parametrize("seed", range(5))
def test_what_comes_back_to_its_level_is_scored(memory: float, seed: int) -> None:
    assert role(noise(seed, memory)) == SCORED


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_a_random_walk_is_drifting(seed: int, size: float) -> None:
    assert role(size * walk(seed)) == DRIFTING
    assert role(size * (walk(seed, 10 * ROWS)[:: 10])) == DRIFTING, "however often it is read"


def test_a_tag_on_its_way_somewhere_is_drifting() -> None:
    ramp = np.linspace(0.0, 20.0, ROWS)
    assert role(ramp + noise()) == DRIFTING
    assert role(-ramp + noise()) == DRIFTING
    assert role(np.exp(-np.arange(ROWS) / 500) * 20.0 + 0.1 * noise()) == DRIFTING


def test_a_small_drift_under_the_noise_does_not_make_a_tag_drifting() -> None:
    assert role(noise() + np.linspace(0.0, 1.0, ROWS)) == SCORED


@pytest.mark.parametrize("dwell", [50, 100])
def test_a_tag_that_goes_between_levels_again_and_again_is_scored(dwell: int) -> None:
    assert role(10.0 * (np.arange(ROWS) // dwell % 2) + noise()) == SCORED


def test_stretches_are_judged_as_one_history() -> None:
    assert role(*np.array_split(walk(), 40)) == DRIFTING
    assert role(*np.array_split(noise(), 40)) == SCORED
    rises = [noise(seed) + np.linspace(0.0, 20.0, ROWS) for seed in range(16)]
    assert role(*rises) == SCORED, "each day it comes back"


def test_where_all_that_move_drift_they_are_scored() -> None:
    both = np.stack([walk(0), walk(1), np.full(ROWS, 4.0)], 1)
    assert roles([both]) == [SCORED, SCORED, CONSTANT]
    assert roles([np.full((ROWS, 2), 4.0)]) == [CONSTANT, CONSTANT]


def test_missing_values_change_no_role() -> None:
    rng = np.random.default_rng(0)
    columns = np.stack([noise(), np.linspace(0.0, 20.0, ROWS) + noise(1), np.full(ROWS, 3.0)], 1)
    columns[rng.random(columns.shape) < 0.4] = np.nan
    assert roles([columns]) == [SCORED, DRIFTING, CONSTANT]
    assert roles([columns.astype(np.float32)]) == [SCORED, DRIFTING, CONSTANT]


def test_a_tag_that_is_lost_for_a_whole_stretch_is_judged_by_the_others() -> None:
    lost = np.full(ROWS, np.nan)
    assert role(lost, noise(1), noise(2)) == SCORED
    assert role(lost, walk(1)) == DRIFTING


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_a_history_of_few_rows_has_roles(rows: int) -> None:
    assert roles([np.arange(rows * 2.0).reshape(rows, 2)]) == [SCORED if rows > 1 else CONSTANT] * 2
