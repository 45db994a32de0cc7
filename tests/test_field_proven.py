"""docs/field-proven.md says what the scenarios play."""

from __future__ import annotations

from tests.scenarios.page import COMPLAINTS, NOT_PLAYED, PAGE, render, scenarios


def test_the_page_is_in_step_with_the_scenarios() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run python -m tests.scenarios"


def test_every_complaint_is_played_or_the_reason_is_given() -> None:
    played = {number for each in scenarios() for number in each.numbers}
    assert played | set(NOT_PLAYED) == set(COMPLAINTS)
    assert not played & set(NOT_PLAYED)
