"""Switching tags, and how long the machine takes to settle after they change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.modes import (
    SETTLE_CANDIDATES,
    SETTLING_MAX,
    Modes,
    ModeTracker,
    find_switches,
    is_setpoint,
    known_modes,
    learnt_settings,
    rows_since_change,
    setpoint_ranges,
    settle_rows,
    still_tags,
)
from tests.models.plants import Bools, Float64s, coupled, settling, taught

TAGS = (("flow", ""), ("pressure", ""), ("current", ""), ("power", ""), ("speed", ""), ("heat", ""), ("on", ""))
NAN = float("nan")


def column(*values: float) -> Float64s:
    return np.array(values, np.float64)[:, None]


def steps(dwell: int, *values: float) -> Float64s:
    return np.repeat(np.array(values, np.float64), dwell)[:, None]


@pytest.mark.parametrize(
    ("stretch", "is_switch"),
    [
        (steps(100, 0, 1, 0, 1), True),
        (steps(100, 3, 7, 11, 3), True),
        (steps(600, *range(16)), True),
        (steps(600, *range(17)), False),
        (steps(500, 1.0), False),
        (steps(10, *([0, 1] * 20)), False),
        (np.random.default_rng(0).normal(size=(400, 1)), False),
    ],
    ids=["on and off", "products", "16 values", "17 values", "constant", "never rests", "measured"],
)
def test_a_switch_rests_at_few_values(stretch: Float64s, is_switch: bool) -> None:
    assert find_switches([stretch]) == ((0,) if is_switch else ())


def test_missing_values_hide_no_switch() -> None:
    stretch = steps(200, 0, 1, 0, 1)
    stretch[np.random.default_rng(0).random(len(stretch)) < 0.3] = NAN
    assert find_switches([stretch]) == (0,)
    assert known_modes([stretch], (0,)) == ((0.0,), (1.0,))


def test_modes_are_the_combinations_that_occurred() -> None:
    both = np.hstack([steps(100, 0, 1, 1), steps(100, 5, 5, 7), np.zeros((300, 1))])
    assert find_switches([both]) == (0, 1)
    assert known_modes([both[:150], both[150:]], (0, 1)) == ((0.0, 5.0), (1.0, 5.0), (1.0, 7.0))


def test_rows_are_counted_since_the_last_change() -> None:
    values = column(0, 0, 0, 1, 1, 1, 0, 0)
    assert rows_since_change(values, (0,)).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_a_gap_in_a_switch_is_no_change() -> None:
    values = column(0, NAN, NAN, 0, 1, NAN, 1, NAN, 0)
    assert rows_since_change(values, (0,)).tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]


@pytest.mark.parametrize("settles", [0, 3, 20, 60])
def test_the_rows_in_which_the_machine_settles_are_found(settles: int) -> None:
    bundle = taught(settling(4000, seed=1, settle_rows=settles, dwell=500), TAGS)
    modes = bundle.statistics.modes
    assert modes.switches == (6,)
    assert modes.known == ((0.0,), (1.0,))
    wanted = min(rows for rows in SETTLE_CANDIDATES if rows >= settles)
    assert modes.settle_rows == (wanted, wanted)
    assert bundle.manifest.learnt_rows == 4000 - 8 * wanted, "what is not judged is not learnt from"


def test_no_more_than_a_share_of_the_history_is_given_up() -> None:
    since = np.tile(np.arange(50), 40)
    score = np.where(since < 45, 100.0, 1.0)
    (rows,) = settle_rows(since, score, np.zeros(len(since), np.int64), [0])
    assert (since < rows).mean() <= SETTLING_MAX


def test_each_mode_settles_in_its_own_time_and_a_rare_one_as_all_do() -> None:
    since = np.tile(np.arange(100), 60)
    mode = np.repeat([0, 1] * 30, 100)
    mode[:100] = 2
    score = np.where((mode == 1) & (since < 11), 100.0, 1.0)
    assert settle_rows(since, score, mode, [0] * 4) == (0, 12, 12, 12)


def test_what_a_mode_is_known_to_take_is_never_shortened_and_rows_that_were_not_judged_tell_nothing() -> None:
    since = np.tile(np.arange(200), 60)
    mode = np.repeat([0, 1] * 30, 200)
    score = np.where((mode == 1) & (since < 20), 100.0, 1.0)
    score[since < 6] = np.nan
    assert settle_rows(since, score, mode, (6, 6)) == (6, 24)
    assert settle_rows(since, np.ones(len(since)), mode, (12, 6)) == (12, 6)
    assert settle_rows(since, np.full(len(since), np.nan), mode, (3, 12)) == (3, 12)


def track(modes: Modes, values: Float64s, good: Bools, cuts: list[int]) -> tuple[Bools, Bools]:
    tracker = ModeTracker(modes)
    parts = [
        tracker.update(x.astype(np.float32), g)
        for x, g in zip(np.split(values, cuts), np.split(good, cuts), strict=True)
    ]
    return np.concatenate([part.settling for part in parts]), np.concatenate([part.unseen for part in parts])


ON_OFF = Modes((0,), ((0.0,), (1.0,)), (3, 3))


def test_the_tracker_says_when_the_machine_settles_and_when_its_mode_is_new() -> None:
    values = column(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0)
    settling_now, unseen = track(ON_OFF, values, np.ones(values.shape, np.bool_), [])
    assert settling_now.astype(int).tolist() == [1, 1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 0, 1]
    assert unseen.astype(int).tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0]


def test_a_lost_switch_leaves_the_mode_as_it_was() -> None:
    values = column(1, 1, 1, 1, NAN, NAN, 1, 0)
    settling_now, unseen = track(ON_OFF, values, ~np.isnan(values), [])
    assert settling_now.astype(int).tolist() == [1, 1, 1, 0, 0, 0, 0, 1]
    assert not unseen.any()


def test_before_the_switch_is_known_no_mode_is_new() -> None:
    values = column(NAN, NAN, NAN, NAN, 0)
    settling_now, unseen = track(ON_OFF, values, ~np.isnan(values), [])
    assert settling_now.astype(int).tolist() == [1, 1, 1, 0, 1]
    assert not unseen.any()


def test_a_machine_without_switches_never_settles() -> None:
    values = column(*range(10))
    assert not np.any(track(Modes((), (), ()), values, np.ones(values.shape, np.bool_), []))


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 1.0, 2.0, NAN]), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
)
def test_the_tracker_does_not_care_how_rows_are_cut(values: list[float], cuts: list[int]) -> None:
    x = column(*values)
    whole, parts = (track(ON_OFF, x, ~np.isnan(x), c) for c in ([], sorted(c % (len(x) + 1) for c in cuts)))
    assert np.array_equal(whole, parts)


@given(values=st.lists(st.sampled_from([0.0, 1.0, NAN]), min_size=1, max_size=60))
def test_learning_and_watching_agree_on_when_the_machine_settles(values: list[float]) -> None:
    x = column(*values)
    for modes in (ON_OFF, Modes((0,), ((0.0,), (1.0,)), (2, 5))):
        assert np.array_equal(track(modes, x, ~np.isnan(x), [])[0], modes.settling(x))


def levels(rows: int, seed: int, dwell: int = 100) -> Float64s:
    """Return a set-point f64[rows, 1] that is moved to any value of 10..20 every `dwell` rows."""
    count = -(-rows // dwell)
    return np.repeat(np.random.default_rng(seed).uniform(10.0, 20.0, count), dwell)[:rows, None]


@pytest.mark.parametrize(
    ("stretch", "expected"),
    [
        (levels(4000, 0), True),
        (steps(100, 0, 1, 0, 1), False),
        (np.random.default_rng(0).normal(size=(4000, 1)), False),
        (np.round(np.cumsum(np.random.default_rng(0).normal(size=(4000, 1)), 0) / 100, 2), False),
    ],
    ids=["set by hand", "a switch", "measured", "a slow sensor's digits"],
)
def test_a_setpoint_is_held_and_then_steps_to_any_value(stretch: Float64s, expected: bool) -> None:
    assert is_setpoint([stretch[:, 0]]) == expected


def test_a_setpoint_is_known_a_little_beyond_its_range() -> None:
    assert setpoint_ranges([column(10.0, 20.0), column(15.0, NAN)], [0]) == ((9.5,), (20.5,))


def test_a_setpoint_outside_its_range_is_an_unseen_regime_and_a_new_one_within_it_is_not() -> None:
    modes = Modes((), ((),), (2,), (0,), (9.5,), (20.5,), ((12.0,),))
    values = column(12.0, 12.0, 12.0, 17.3, 17.3, 17.3, 25.0, NAN, 25.0).astype(np.float32)
    followed = ModeTracker(modes).update(values, ~np.isnan(values))
    assert followed.settling.tolist() == [True, True, False] * 3
    assert followed.unseen.tolist() == [False] * 6 + [True] * 3
    assert followed.new.tolist() == [False] * 3 + [True] * 6


def test_settings_that_were_learnt_are_those_with_settled_rows_unless_there_are_too_many() -> None:
    stretch = np.hstack([steps(10, 0, 1, 1), column(*[5.0] * 10, *[5.0] * 10, *[7.0] * 10)])
    modes = Modes((0,), ((0.0,), (1.0,)), (3, 9), (1,), (4.0,), (8.0,))
    assert learnt_settings([stretch, stretch[:15]], modes) == ((0.0, 5.0), (1.0, 5.0), (1.0, 7.0))
    assert learnt_settings([stretch[:15]], modes) == ((0.0, 5.0),)
    many = np.hstack([np.zeros((600, 1)), np.arange(600.0)[:, None]])
    assert learnt_settings([many], Modes((0,), ((0.0,),), (0,), (1,), (0.0,), (600.0,))) == ()


HOLDING = Modes((0,), ((0.0,), (1.0,)), (0, 0), still=((1,), ()))


def test_tags_that_stand_still_in_a_mode_are_found() -> None:
    on = np.tile(np.repeat([0.0, 1.0], 150), 4)
    stroke = np.where(on > 0, np.random.default_rng(0).normal(size=1200), 0.0)
    for start in range(0, 1200, 300):
        stroke[start : start + 150] = start  # each stop holds another stroke
    noise = np.random.default_rng(1).normal(size=1200)
    modes = Modes((0,), ((0.0,), (1.0,)), (0, 0))
    assert still_tags([np.stack([on, stroke, noise], 1)], modes) == ((1,), ())


@pytest.mark.parametrize("cuts", [[], [1], [2, 3], [4, 5, 6]])
def test_a_value_is_held_where_it_is_as_it_was_brought(cuts: list[int]) -> None:
    """What the wire makes of it for a row is judged, and says nothing of the rows after it."""
    stroke = [5.0, 7.0, 7.0, NAN, 7.0, 8.0, 7.0]
    values = np.stack([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], stroke], 1).astype(np.float32)
    tracker = ModeTracker(HOLDING)
    held = [tracker.update(part, ~np.isnan(part)).held for part in np.split(values, cuts)]
    assert not np.concatenate(held)[:, 0].any()
    assert np.concatenate(held)[:, 1].tolist() == [False, True, True, False, True, False, True]


@pytest.mark.parametrize("cuts", [[], [1], [2, 3], [4, 5, 6]])
def test_what_comes_while_the_machine_settles_is_held_too(cuts: list[int]) -> None:
    """A PLC latches the last stroke when that is over, seconds after the command to stop."""
    stroke = [5.0, NAN, 7.0, 7.5, 7.5, 7.5, 7.0]
    values = np.stack([[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0], stroke], 1).astype(np.float32)
    tracker = ModeTracker(Modes((0,), ((0.0,), (1.0,)), (3, 3), still=((1,), ())))
    held = [tracker.update(part, ~np.isnan(part)).held for part in np.split(values, cuts)]
    assert np.concatenate(held)[:, 1].tolist() == [False, False, True, True, True, True, False]


def test_learning_finds_setpoints_and_takes_them_for_conditions() -> None:
    rows, asked = 4000, levels(4000, 3)
    values = coupled(rows, seed=1).astype(np.float64)
    values[:, 0] += 2.0 * asked[:, 0]
    bundle = taught(np.hstack([values, asked]).astype(np.float32), TAGS)
    assert bundle.manifest.tags[-1].role == "setpoint"
    assert bundle.statistics.modes.setpoints == (6,)
    assert bundle.statistics.used.tolist()[-1] == 6, "it conditions the others"
    assert len(bundle.statistics.scored) == 6
