"""Adaptation to benign wander: slow, bounded, frozen by evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.adaptation import AFTER_ROWS, BLOCK_ROWS, BOUND, QUIET, Adaptation

Float64s = np.ndarray[tuple[int, int], np.dtype[np.float64]]


def adapted(white: Float64s, evidence: Float64s, cuts: list[int] | None = None) -> tuple[Float64s, Float64s]:
    adaptation = Adaptation(white.shape[1])
    left, distance = [], []
    for part, seen in zip(np.split(white, cuts or []), np.split(evidence, cuts or []), strict=True):
        for rows in adaptation.blocks(len(part)):
            moved, far = adaptation.taken_off(part[rows], (part[rows] ** 2).mean(1))
            adaptation.learn(part[rows], seen[rows])
            left.append(moved)
            distance.append(far)
    return np.concatenate([np.empty((0, white.shape[1])), *left]), np.concatenate([np.empty(0), *distance])


def test_a_lasting_small_offset_of_quiet_rows_is_taken_off() -> None:
    white = np.random.default_rng(1).normal(size=(3000, 3)) + np.array([0.4, 0.0, -0.3])
    left, distance = adapted(white, np.zeros(3000))
    assert left[-1000:].mean(0) == pytest.approx(np.zeros(3), abs=0.12)
    assert distance == pytest.approx((left**2).mean(1))


def test_nothing_beyond_the_bound_is_taken_off() -> None:
    white = np.full((3000, 2), [5.0, -5.0])
    left, _ = adapted(white, np.zeros(3000))
    assert left[-1].tolist() == [5.0 - BOUND, BOUND - 5.0]


@pytest.mark.parametrize("evidence", [QUIET, 3.0, float("nan")])
def test_rows_with_evidence_or_without_a_judgement_are_not_adapted_to(evidence: float) -> None:
    white = np.full((500, 1), 0.8)
    left, _ = adapted(white, np.full(500, evidence))
    assert (left == white).all()


def test_a_residual_of_zero_stays_at_its_distance() -> None:
    moved, distance = Adaptation(2).taken_off(np.zeros((1, 2)), np.zeros(1))
    assert not moved.any()
    assert not distance.any()


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 5 * BLOCK_ROWS), cuts=st.lists(st.integers(0, 5 * BLOCK_ROWS), max_size=6))
def test_it_does_not_matter_how_rows_come(rows: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(2)
    white, evidence = rng.normal(1.0, 1.0, (rows, 2)), rng.uniform(0.0, 1.0, rows)
    whole, parts = (adapted(white, evidence, c)[0] for c in ([], sorted(min(c, rows) for c in cuts)))
    assert np.allclose(whole, parts, rtol=0, atol=1e-12)


def test_what_is_quiet_soon_after_a_deviation_is_not_adapted_to() -> None:
    white = np.full((3 * AFTER_ROWS, 1), 0.4)
    evidence = np.zeros(len(white))
    evidence[:: AFTER_ROWS // 2] = 1.0  # a fault that comes and goes
    left, _ = adapted(white, evidence, [1, 17, 400, 401, 999])
    assert (left == white).all()
    quiet_again = np.concatenate([evidence, np.zeros(2 * AFTER_ROWS)])
    left, _ = adapted(np.full((len(quiet_again), 1), 0.4), quiet_again)
    assert (left[: len(evidence)] == 0.4).all()
    assert left[-1] < 0.2
