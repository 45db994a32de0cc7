"""Remaining life in words: coarse, honest about its end, and "no estimate" where there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.line.verdict import LifeEnd
from agent.line.wording import plain, remaining_life
from tests.agent.samples import verdict

MINUTE, HOUR, DAY, WEEK = 60.0, 3600.0, 86_400.0, 604_800.0
NAN = float("nan")


@pytest.mark.parametrize(
    ("life_s", "words"),
    [
        (None, "no estimate"),
        ((2.2 * DAY, 5.4 * DAY, 8.1 * DAY), "2 to 9 days left, most likely 5"),
        ((2.9 * DAY, 5.0 * DAY, 8.9 * DAY), "2 to 9 days left, most likely 5"),
        ((0.2 * DAY, 2.0 * DAY, 9.0 * DAY), "up to 9 days left, most likely 2"),
        ((0.5 * HOUR, 1.9 * DAY, 4.0 * DAY), "up to 96 hours left, most likely 46"),
        ((3 * WEEK, 10 * WEEK, 30 * WEEK), "3 to 30 weeks left, most likely 10"),
        ((90.0, 100.0, 230.0), "1 to 4 minutes left, most likely 2"),
        ((0.0, 5.0, 100.0), "up to 2 minutes left, most likely 1"),
        ((0.0, 0.0, 30.0), "less than a minute left"),
        ((0.0, 0.0, 0.0), "less than a minute left"),
        ((1.0, NAN, 3.0), "no estimate"),
        ((1.0, 2.0, float("inf")), "no estimate"),
    ],
)
def test_a_technician_reads(life_s: tuple[float, float, float] | None, words: str) -> None:
    until = None if life_s is None else LifeEnd.FAILURE
    assert remaining_life(replace(verdict(), remaining_life_s=life_s, remaining_life_until=until)) == words


def test_a_level_is_not_sold_as_a_failure() -> None:
    level = replace(
        verdict(), remaining_life_s=(4 * HOUR, 14 * HOUR, 56 * HOUR), remaining_life_until=LifeEnd.TWICE_THE_LIMIT
    )
    assert remaining_life(level) == "twice the limit in 4 to 56 hours, most likely 14"


def test_a_number_has_no_exponent() -> None:
    told = {0.0: "0", 1e-5: "under 0.001", 0.0123: "0.012", 0.54: "0.54", 3.0: "3", 9.96: "10", 106.9: "107",
            12345.6: "12,346"}
    assert {number: plain(number) for number in told} == told
