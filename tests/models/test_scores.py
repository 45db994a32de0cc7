"""The score bank against a loop that anyone can check."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.scores import RATES, ScoreBank
from tests.models.plants import Float64s

REFERENCE = np.array([0.9, 0.95, 0.97, 0.99, 1.0])


def naive(scores: Float64s) -> Float64s:
    out = np.full((len(scores), len(RATES)), np.nan)
    state = REFERENCE.copy()
    for row, score in enumerate(scores):
        if not np.isnan(score):
            state += np.array(RATES) * (score - state)
            out[row] = state
    return out


def in_chunks(scores: Float64s, cuts: list[int]) -> Float64s:
    bank = ScoreBank(REFERENCE)
    return np.vstack([bank.update(part) for part in np.split(scores, sorted(cut % (len(scores) + 1) for cut in cuts))])


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.one_of(st.floats(0.0, 1e6), st.just(float("nan"))), max_size=400),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_any_chunking_gives_what_the_naive_loop_gives(scores: list[float], cuts: list[int]) -> None:
    x = np.array(scores, np.float64)
    np.testing.assert_allclose(in_chunks(x, cuts), naive(x), rtol=1e-9, atol=1e-9)


def test_a_long_stream_with_gaps_gives_what_the_naive_loop_gives() -> None:
    rng = np.random.default_rng(0)
    scores = np.where(rng.random(5000) < 0.1, np.nan, rng.exponential(1.0, 5000))
    np.testing.assert_allclose(in_chunks(scores, [1, 127, 128, 129, 1000, 4999]), naive(scores), rtol=1e-9)


def test_the_first_row_is_weighed_against_the_healthy_reference() -> None:
    first = ScoreBank(REFERENCE).update(np.array([100.0]))[0]
    np.testing.assert_allclose(first, REFERENCE + np.array(RATES) * (100.0 - REFERENCE))
    assert first[-1] < 2.0, "one row moves the slowest memory by a hundredth"


def test_reset_forgets_everything() -> None:
    bank = ScoreBank(REFERENCE)
    bank.update(np.full(50, 1e3))
    bank.reset()
    np.testing.assert_allclose(bank.update(np.array([1.0])), naive(np.array([1.0])))
