"""The picture on the terminal: what is in it, and that it fits."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from agent.demo.screen import Picture, evidence_bar
from agent.demo.story import Moment, Story
from agent.line.verdict import Condition
from tests.demo.canned import SCRIPT, START_NS, alert, asset, moment

URL = "http://127.0.0.1:40000/api/v1"
FILE = Path("/tmp/forewarn-demo-1/agent.toml")


def draw(seen: Moment, width: int = 100, height: int = 45, encoding: str = "utf-8", story: Story | None = None) -> str:
    """Draw a moment as a terminal of that size and encoding would show it, without colours."""
    told = story or Story(SCRIPT)
    told.see(seen)
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=width, height=height, force_terminal=True, color_system=None)
    console.print(Picture(told, seen, URL, FILE, {"pump": "Modbus TCP here"}, {"pump": {"R1": "speed 2480 rpm"}}))
    out.seek(0)
    return out.read()


def test_a_healthy_line() -> None:
    picture = draw(moment(5))
    for part in (
        "08:05:00, minute 5 (simulated time, 60 times faster)",
        "filter_fouling healthy, severity 0%",
        "pump  Modbus TCP here; in the API 2026-11-25T09:51:40Z",
        "R1: speed 2480 rpm",
        "0.20 (limit 1)",
        "condition normal",
        "alarm normal",
        "missed: 6",
        f"Configuration: {FILE}",
        f"curl -s {URL}/assets/pump",
        "BadTimeout",
    ):
        assert part in picture
    assert "of the deviation" not in picture


def test_a_deviation_names_its_tags_and_the_alarm() -> None:
    picture = draw(moment(55, Condition.DEVIATING, alert(50), evidence=1.5))
    (row,) = [line for line in picture.splitlines() if line.startswith("  filter_dp")]
    assert row.split() == ["filter_dp", "1.25", "0.43", "bar", "75%", "of", "the", "deviation"]
    assert "alarm unacknowledged (pump-1)" in picture
    assert "filter_fouling degrading, severity 50%" in picture
    assert "ALERT pump-1, priority medium" in picture


def test_what_cannot_be_told_is_a_dash_and_no_number() -> None:
    picture = draw(Moment(START_NS, {"pump": asset("pump", None)}, ()))
    assert "regime    -" in picture
    assert "not judged" in picture
    assert "condition blind" in picture


def test_a_unit_in_brackets_is_no_markup() -> None:
    seen = asset("pump", None)
    readings = [one.model_copy(update={"unit": "[/s]"}) for one in seen.readings]
    assert "[/s]" in draw(Moment(START_NS, {"pump": seen.model_copy(update={"readings": readings})}, ()))


@pytest.mark.parametrize("minute", [5, 55, 99])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 31), (100, 32), (120, 45), (200, 80)])
def test_it_fits_into_the_terminal(width: int, height: int, minute: float) -> None:
    story = Story(SCRIPT)
    story.see(moment(1, Condition.SETTLING))
    seen = moment(minute, Condition.DEVIATING, alert(minute - 1), evidence=9.0)
    lines = draw(seen, width, height, story=story).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert any("ALERT pump-1" in line for line in lines), "the newest events are always there"
    assert any("filter_dp" in line and "75%" in line for line in lines), "and what deviates most"
    assert lines[-1].strip() == f"curl -s {URL}/assets/pump"


def test_an_alert_stays_on_a_small_screen_whatever_comes_after_it() -> None:
    story = Story(SCRIPT)
    story.see(moment(20, Condition.DEVIATING, alert(20)))
    for minute in range(30, 40):
        story.see(moment(minute, Condition.SETTLING if minute % 2 else Condition.NORMAL))
    lines = draw(moment(41, Condition.NORMAL), 80, 24, story=story).splitlines()
    told = [line for line in lines if line.startswith("08:")]
    assert "ALERT pump-1" in told[0]
    assert "pump: normal" in told[-1]


def test_a_tall_terminal_shows_ten_tags_of_each_machine() -> None:
    lines = draw(moment(5), height=80).splitlines()
    assert len([line for line in lines if line.startswith("  tag_")]) == 20


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert draw(moment(20, Condition.DEVIATING, evidence=2.0), encoding="ascii").isascii()


@pytest.mark.parametrize(
    ("evidence", "bar"),
    [
        (0.0, "..........|.................... 0.00 (limit 1)"),
        (0.99, "#########.|.................... 0.99 (limit 1)"),
        (1.0, "##########|.................... 1.00 (limit 1)"),
        (7.5, "##########|#################### 7.50 (limit 1)"),
        (None, "..........|.................... not judged"),
    ],
)
def test_the_bar_passes_its_mark_at_the_limit(evidence: float | None, bar: str) -> None:
    assert evidence_bar(evidence, ("#", ".")).plain == bar
