"""docs/field-proven.md says what the scenarios play."""

from __future__ import annotations

from tests.scenarios.page import COMPLAINTS, PAGE, render, scenarios


def test_the_page_is_in_step_with_the_scenarios() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run python -m tests.scenarios"


def test_every_complaint_is_played() -> None:
    assert {number for each in scenarios() for number in each.numbers} == set(COMPLAINTS)
