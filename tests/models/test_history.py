"""Healthy history as learning sees it: nothing lost, nothing counted twice, and folds that are apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.history import CHUNK_ROWS, FIT_ROWS_MAX, FOLDED_ROWS_MIN, FOLDS, History
from tests.models.plants import Bools, Float32s, coupled

USED = np.array([0, 2, 3])


def with_gaps(rows: int, seed: int = 0, share: float = 0.05) -> Float32s:
    x = coupled(rows, seed)
    x[np.random.default_rng(seed).random(x.shape) < share] = np.nan
    return x


def complete(stretch: Float32s) -> Bools:
    return np.asarray(~np.isnan(stretch[:, USED]).any(1))


def joined(history: History, field: str) -> np.ndarray:
    return np.concatenate([getattr(chunk, field) for chunk in history.chunks()])


def test_the_channels_in_use_are_standardised_over_all_stretches() -> None:
    stretches = [with_gaps(3000, 1), with_gaps(500, 2) + 5.0]
    history = History.of(stretches, USED)
    x = joined(history, "x")
    np.testing.assert_allclose(np.nanmean(x, 0), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(x, 0), 1.0, rtol=1e-6)
    raw = np.concatenate(stretches)[:, USED]
    np.testing.assert_array_equal(joined(history, "raw"), raw)
    np.testing.assert_allclose(x * history.scale + history.centre, raw, rtol=1e-6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.sampled_from([0, 1, 30, 99, 100, 101, CHUNK_ROWS, 2 * CHUNK_ROWS + 1]), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.1, 0.6]),
)
def test_the_chunks_are_the_rows_in_order(lengths: list[int], share: float) -> None:
    stretches = [with_gaps(300, 9), *(with_gaps(rows, at, share) for at, rows in enumerate(lengths))]
    history = History.of(stretches, USED)
    chunks = list(history.chunks())
    assert all(0 < len(chunk.x) <= CHUNK_ROWS for chunk in chunks)
    np.testing.assert_array_equal(np.concatenate([c.raw for c in chunks]), np.concatenate(stretches)[:, USED])
    assert sum(chunk.first for chunk in chunks) == sum(len(s) > 0 for s in stretches)
    assert chunks[0].first
    judged = np.concatenate([chunk.judged for chunk in chunks])
    np.testing.assert_array_equal(judged, np.concatenate([complete(s) for s in stretches]))
    assert history.count() == judged.sum()
    assert all(chunk.fold.shape == chunk.judged.shape == (len(chunk.x),) for chunk in chunks)


def test_a_gap_in_a_channel_that_is_not_used_does_not_matter() -> None:
    x = coupled(200, 1)
    x[:, 1] = np.nan
    assert History.of([x], USED).count() == 200


def test_skipped_rows_do_not_count_and_stay_skipped() -> None:
    stretches = [coupled(300, 1), coupled(200, 2)]
    skipped = [np.arange(300) < 50, np.arange(200) >= 150]
    more = [np.arange(300) % 2 == 0, np.zeros(200, np.bool_)]
    history = History.of(stretches, USED)
    once = history.without(skipped)
    twice = once.without(more)
    assert (history.count(), once.count(), twice.count()) == (500, 400, 275)
    assert len(joined(twice, "x")) == 500, "they are still there, for what has a memory"
    np.testing.assert_array_equal(
        joined(twice, "judged"), ~np.concatenate([a | b for a, b in zip(skipped, more, strict=True)])
    )
    np.testing.assert_array_equal(twice.scale, history.scale)


def test_the_first_channels_are_a_history_of_their_own() -> None:
    x = coupled(300, 1)
    x[:100, 3] = np.nan
    history = History.of([x], USED)
    first = history.first(2)
    np.testing.assert_array_equal(joined(first, "x"), joined(history, "x")[:, :2])
    assert (history.count(), first.count()) == (200, 300), "a gap in a channel left out counts no more"



def test_a_long_stretch_has_a_part_of_its_judged_rows_in_each_fold() -> None:
    x = coupled(1000, 1)
    x[300:900, 0] = np.nan
    history = History.of([x], USED)
    fold, judged = joined(history, "fold"), joined(history, "judged")
    assert np.bincount(fold[judged]).tolist() == [80] * FOLDS
    assert (np.diff(fold) >= 0).all(), "a fold is one block of time"


def test_short_stretches_take_turns() -> None:
    rows = FOLDED_ROWS_MIN - 1
    history = History.of([coupled(rows, seed) for seed in range(2 * FOLDS)], USED)
    folds = [set(chunk.fold.tolist()) for chunk in history.chunks()]
    assert folds == [{at % FOLDS} for at in range(2 * FOLDS)]


@pytest.mark.parametrize("complete_rows", [40, 400])
@pytest.mark.parametrize("every", [2, 5])
def test_no_fold_has_all_rows_wherever_the_gaps_are(complete_rows: int, every: int) -> None:
    """What is learnt from the rows of the other folds needs some."""
    stretches = [coupled(500, seed) for seed in range(12)]
    for at, stretch in enumerate(stretches):
        stretch[0 if at % every else complete_rows :, 0] = np.nan
    history = History.of(stretches, USED)
    folds = np.bincount(joined(history, "fold")[joined(history, "judged")], minlength=FOLDS)
    assert folds.sum() == history.count() > 0
    assert (folds > 0).sum() >= 2
    assert folds[::2].sum() > 0, "even folds"
    assert folds[1::2].sum() > 0, "odd folds"


def test_few_rows_are_all_fitted_to() -> None:
    x = with_gaps(5000)
    history = History.of([x[:1], x[1:]], USED)
    rows, folds = history.rows()
    np.testing.assert_array_equal(rows, joined(history, "x")[joined(history, "judged")])
    np.testing.assert_array_equal(folds, joined(history, "fold")[joined(history, "judged")])


def test_many_rows_are_thinned_evenly_over_chunks_and_stretches() -> None:
    stretches = [with_gaps(FIT_ROWS_MAX, 1), with_gaps(17, 2), with_gaps(FIT_ROWS_MAX + 3, 3)]
    history = History.of(stretches, USED)
    rows, folds = history.rows()
    judged = joined(history, "x")[joined(history, "judged")]
    every = -(-len(judged) // FIT_ROWS_MAX)
    assert every == 2
    np.testing.assert_array_equal(rows, judged[::every])
    assert FIT_ROWS_MAX / 2 < len(rows) <= FIT_ROWS_MAX
    assert (np.bincount(folds) > 0.15 * len(rows)).all()
