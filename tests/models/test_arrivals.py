"""Tells a machine that was switched to a state it never showed from one that went astray by itself."""

from __future__ import annotations

import numpy as np
import pytest

from models.arrivals import ArrivalTracker

MEDIAN, LIMIT = 1.0, 4.0
HEALTHY, ODD, FAR = 1.0, 6.0, 100.0
NAN = float("nan")
SETTLES = -1.0
"""Stands for a row in which the machine settles."""


def astray(*commands: list[float], cut: int | None = None, at_home: bool = True) -> list[bool]:
    """Follow the scores after each command; the first row of each is the first that has settled, unless it says so."""
    given = np.concatenate([np.full(len(scores), number, np.int64) for number, scores in enumerate(commands, 1)])
    scores = np.concatenate([np.array(scores) for scores in commands])
    settling = scores == SETTLES
    tracker = ArrivalTracker(MEDIAN, LIMIT, at_home=at_home)
    parts = [slice(0, cut), slice(cut, None)] if cut is not None else [slice(None)]
    found = [tracker.update(given[part], settling[part], np.where(settling, FAR, scores)[part]) for part in parts]
    return np.concatenate(found).tolist()


def test_who_was_at_home_and_is_far_after_a_command_is_astray_until_the_next() -> None:
    assert astray([HEALTHY], [FAR, FAR], [HEALTHY]) == [False, True, True, False]


def test_who_goes_far_without_a_command_is_not_astray() -> None:
    assert astray([HEALTHY, FAR, FAR]) == [False] * 3


def test_who_is_far_after_the_command_before_as_well_is_not_astray() -> None:
    assert astray([HEALTHY], [FAR, FAR], [FAR, FAR]) == [False, True, True, False, False]


def test_who_was_beyond_the_limit_before_the_command_is_not_astray() -> None:
    assert astray([HEALTHY, ODD], [FAR]) == [False] * 3


def test_a_little_beyond_the_limit_is_not_far() -> None:
    assert astray([HEALTHY], [ODD, ODD]) == [False] * 3


def test_who_comes_home_is_no_longer_astray_and_has_no_excuse_for_leaving_again() -> None:
    assert astray([HEALTHY], [FAR, ODD, HEALTHY, FAR]) == [False, True, True, False, False]


def test_rows_without_a_score_and_rows_that_settle_change_nothing() -> None:
    assert astray([HEALTHY, NAN], [SETTLES, SETTLES, NAN, FAR, NAN, SETTLES, FAR]) == [
        False, False, False, False, False, True, False, False, True,
    ]  # fmt: skip


def test_the_first_state_after_the_start_may_be_a_new_one_unless_the_machine_is_known_to_deviate() -> None:
    assert astray([FAR]) == [True]
    assert astray([FAR], at_home=False) == [False]


def test_a_machine_without_commands_is_never_astray() -> None:
    tracker = ArrivalTracker(MEDIAN, LIMIT, at_home=True)
    assert not tracker.update(np.zeros(2, np.int64), np.zeros(2, np.bool_), np.array([HEALTHY, FAR])).any()


def test_without_a_limit_nothing_is_far() -> None:
    tracker = ArrivalTracker(MEDIAN, float("inf"), at_home=True)
    assert not tracker.update(np.array([1, 2]), np.zeros(2, np.bool_), np.array([HEALTHY, FAR])).any()


@pytest.mark.parametrize("cut", range(9))
def test_the_portions_do_not_matter(cut: int) -> None:
    commands = [HEALTHY, NAN], [SETTLES, FAR, ODD], [FAR, HEALTHY], [FAR]
    assert astray(*commands, cut=cut) == astray(*commands)
