"""Values that stand still for longer than they ever did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.frozen import FACTOR, NEVER, ROWS_MIN, FrozenTracker, StayTracker, frozen_limits
from tests.models.plants import Bools, Float64s, coupled, good, settling, taught

NAN = float("nan")


def noise(rows: int, columns: int = 1, seed: int = 0) -> Float64s:
    return np.random.default_rng(seed).normal(size=(rows, columns))


def track(limits: list[int], values: Float64s, cuts: list[int] | None = None) -> tuple[Float64s, Bools]:
    tracker = FrozenTracker(np.array(limits))
    parts = [tracker.update(part.astype(np.float32), ~np.isnan(part)) for part in np.split(values, cuts or [])]
    return np.vstack([evidence for evidence, _ in parts]), np.concatenate([stale for _, stale in parts])


def test_a_value_is_frozen_after_a_multiple_of_its_longest_stay() -> None:
    coarse = np.repeat(noise(20), 100, axis=0)
    fine = noise(2000)
    assert frozen_limits([np.hstack([coarse, fine])], [0, 1]).tolist() == [FACTOR * 99, ROWS_MIN]


def test_a_missing_value_ends_a_stay_in_the_history() -> None:
    held = np.zeros((400, 1))
    held[200] = NAN
    assert frozen_limits([held], [0])[0] == FACTOR * 199


def test_the_longest_stay_of_any_stretch_counts() -> None:
    assert frozen_limits([noise(50), np.repeat(noise(3), 100, axis=0), noise(50)], [0])[0] == FACTOR * 99


def test_constants_and_switches_never_freeze() -> None:
    values = settling(2000, seed=1, settle_rows=0)
    values[:, 2] = 4.0
    tags = [(f"tag{number}", "") for number in range(7)]
    limits = taught(values, tags).statistics.frozen_limits
    assert [number for number, limit in enumerate(limits) if limit == NEVER] == [2, 6]
    still = np.repeat(values[-1:], 100_000, axis=0)
    still[:, :2] += noise(100_000, 2)
    evidence, _ = FrozenTracker(limits).update(still, good(still))
    assert evidence[-1, [2, 6]].max() < 1e-6


def test_evidence_is_one_at_the_limit() -> None:
    values = np.hstack([np.vstack([noise(10), np.full((300, 1), 5.0)]), noise(310, 2, seed=1)])
    evidence, stale = track([200, 200, 200], values)
    assert evidence[10 + 200, 0] == 1.0
    assert evidence[10 + 199, 0] < 1.0
    assert not evidence[:, 1:].any()
    assert not stale.any()


def test_the_tiniest_change_ends_a_stay() -> None:
    values = np.full(301, 5.0, np.float32)
    values[150] = np.nextafter(np.float32(5.0), np.float32(6.0))
    evidence, _ = track([200, 200], np.column_stack([values, noise(301)]))
    assert evidence[:, 0].max() < 1.0


def test_a_missing_value_ends_a_stay() -> None:
    values = np.hstack([np.full((400, 1), 5.0), noise(400)])
    values[199, 0] = NAN
    evidence, _ = track([200, 200], values)
    assert evidence[:199, 0].max() < 1.0
    assert evidence[199, 0] == evidence[200, 0] == 0.0
    assert evidence[200:400, 0].max() < 1.0


@pytest.mark.parametrize(("still", "is_stale"), [(2, False), (3, True), (4, True)])
def test_when_most_tags_stand_still_the_source_is_stale_and_no_sensor_stuck(still: int, is_stale: bool) -> None:
    values = np.hstack([np.zeros((500, still)), noise(500, 4 - still), np.zeros((500, 5))])
    evidence, stale = track([200] * 4 + [NEVER] * 5, values)
    assert stale[-1] == is_stale
    assert (evidence[-1].max() >= 1.0) == (not is_stale)
    assert not stale[:60].any(), "it takes a third of the limit"


def test_tags_that_may_stand_still_do_not_make_a_source_stale() -> None:
    values = np.hstack([noise(500, 2), np.zeros((500, 6))])
    assert not track([200, 200] + [NEVER] * 6, values)[1].any()
    assert not track([NEVER] * 2, np.zeros((500, 2)))[1].any()


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.tuples(*[st.sampled_from([1.0, 2.0, NAN])] * 3), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
def test_the_tracker_does_not_care_how_rows_are_cut(values: list[tuple[float, ...]], cuts: list[int]) -> None:
    x = np.array(values)
    whole, parts = (track([4, 6, NEVER], x, c) for c in ([], sorted(c % (len(x) + 1) for c in cuts)))
    assert np.array_equal(whole[0], parts[0])
    assert np.array_equal(whole[1], parts[1])


def test_a_healthy_machine_never_looks_frozen() -> None:
    bundle = taught(coupled(1500, seed=1))
    fresh = coupled(3000, seed=2)
    evidence, stale = FrozenTracker(bundle.statistics.frozen_limits).update(fresh, good(fresh))
    assert evidence.max() < 0.1
    assert not stale.any()


def test_a_stay_is_the_more_surprising_the_more_often_the_tag_moved_before() -> None:
    rng = np.random.default_rng(0)
    moves = rng.random((2000, 3)) < [1.0, 0.3, 0.01]
    since = np.arange(2000)[:, None] - np.maximum.accumulate(np.where(moves, np.arange(2000)[:, None], 0))
    stay = np.vstack([since, since[-1] + 1 + np.arange(30)[:, None]]).astype(np.float64)
    tracker, seen = StayTracker(3), np.ones(len(stay), np.bool_)
    surprise = tracker.update(stay, np.ones(stay.shape, np.bool_), seen, np.zeros(stay.shape, np.bool_))
    assert surprise[:2000].max() < 20.0, "none while they move as they do"
    assert surprise[-1, 0] > 50.0 > surprise[-1, 1] > 5.0 > surprise[-1, 2]


def test_a_lost_value_and_a_row_that_does_not_count_teach_nothing_of_how_often_a_tag_moves() -> None:
    still, never = np.zeros((500, 1)), np.zeros((500, 1), np.bool_)
    tracker = StayTracker(1)
    assert not tracker.update(still, never, np.ones(500, np.bool_), never).any()
    assert not tracker.update(still, ~never, np.zeros(500, np.bool_), never).any()
    assert not tracker.update(still + 50.0, ~never, np.ones(500, np.bool_), never).any()


@pytest.mark.parametrize("portions", [1, 7])
def test_a_value_that_the_machine_holds_in_a_stop_is_not_stuck_and_one_that_stays_after_it_is(portions: int) -> None:
    stay = np.concatenate([np.zeros(300), 1.0 + np.arange(200)])[:, None]
    held = (np.arange(500) >= 300) & (np.arange(500) < 450)
    tracker, ones = StayTracker(1), np.ones((500, 1), np.bool_)
    surprise = np.vstack([
        tracker.update(stay[rows], ones[rows], ones[rows, 0], held[rows, None])
        for rows in np.array_split(np.arange(500), portions)
    ])
    assert surprise[:450].max() == 0.0
    assert surprise[450] < surprise[-1] > 10.0
