"""A tag that was changed is learnt anew, and nothing else: it is judged again afterwards, within the same limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from agent.line.alert import AlarmEvent, Alert, Command, Rebaseline, SeeChange
from agent.line.event import AssetEvent, Entry, EventKind
from agent.line.line import Line, LineSettings
from agent.line.rebaselining import TIME_NS_MAX
from connectors.frame import Float32s
from models.baseline import ROWS
from models.runtime import Detector
from tests.line.conftest import SETTLE_ROWS
from tests.line.frames import frame
from tests.line.scripted import SECOND_NS, START_NS
from tests.models.plants import TAGS, coupled, settling

CHANGED_ROW = 500
SAID_ROW = 600
PRESSURE = 1
SETTINGS = LineSettings(1 / 604_800, 30, 60, hold_ns=3600 * SECOND_NS)


def rows(count: int, seed: int = 7) -> Float32s:
    """A machine whose pressure sensor was replaced by one that shows 12 bar more."""
    values = coupled(count, seed)
    values[CHANGED_ROW:, PRESSURE] += 12.0
    return values


def at(row: int) -> int:
    return START_NS + row * SECOND_NS


def said(row: int = SAID_ROW, tags: tuple[str, ...] = ("pressure",)) -> Rebaseline:
    return Rebaseline("pump", tags, "Ana", at(row), "new sensor")


def play(
    line: Line, values: Float32s, commands: Mapping[int, Command] = {}, first: int = 0, chunk_rows: int = 20
) -> tuple[list[AssetEvent], list[Alert]]:
    entries: list[Entry] = []
    for row in range(0, len(values), chunk_rows):
        if first + row in commands:
            assert line.submit(commands[first + row])
        part = frame(values[row : row + chunk_rows], first + row)
        entries += line.step(part, int(part.source_time_ns[-1]))
        line.publish()
    events = [one for one in entries if isinstance(one, AssetEvent)]
    return events, [one for one in entries if isinstance(one, Alert)]


def evidence(line: Line) -> float:
    assert line.snapshot.verdict is not None
    return line.snapshot.verdict.evidence


def test_a_replaced_sensor_is_learnt_anew_and_a_fault_in_it_is_found_afterwards(running: Detector) -> None:
    line = Line("pump", running, SETTINGS)
    values = rows(3000)
    values[2500:, PRESSURE] += 5.0
    events, alerts = play(line, values, {SAID_ROW: said()})
    begun, done = events
    assert (begun.kind, begun.about, begun.by, begun.comment) == (
        EventKind.REBASELINE_BEGUN, "pressure", "Ana", "new sensor")
    assert (done.kind, done.about, done.by) == (EventKind.REBASELINED, "pressure", None)
    assert at(SAID_ROW + ROWS) < done.time_ns < at(SAID_ROW + ROWS + 200)
    level = float(done.comment.removeprefix("pressure is ").partition(" bar above its learnt level, by 600 rows")[0])
    assert level == pytest.approx(12.0, abs=0.2)
    told = [(one.id, one.event, one.raised_time_ns > at(2500)) for one in alerts]
    assert told == [
        ("pump-1", AlarmEvent.RAISE, False), ("pump-1", AlarmEvent.RETURN, False), ("pump-1", AlarmEvent.RAISE, True),
    ]
    first = alerts[-1].verdict.contributions[0]
    assert first.tag == "pressure"
    assert first.measured - first.expected == pytest.approx(5.0, abs=1.0), "in the units of the new sensor"


def test_the_other_tags_are_judged_meanwhile(running: Detector) -> None:
    line = Line("pump", running, SETTINGS)
    values = rows(1200)
    values[900:, 3] += 12.0
    _, alerts = play(line, values, {480: said(480)})
    assert [one.event for one in alerts] == [AlarmEvent.RAISE]
    assert alerts[0].raised_time_ns > at(900)
    assert "pressure" not in [part.tag for part in alerts[0].verdict.contributions if part.share > 0.0]


def test_nothing_is_learnt_from_rows_in_which_the_others_deviate(running: Detector) -> None:
    line = Line("pump", running, SETTINGS)
    values = rows(3000)
    values[700:2000, 3] += 12.0
    events, _ = play(line, values, {SAID_ROW: said()})
    assert at(2000 + ROWS - 200) < events[-1].time_ns


def test_a_sensor_that_is_also_noisier_has_a_spread_of_its_own(running: Detector) -> None:
    noisy = rows(4000)
    noise = np.random.default_rng(3).normal(0.0, 4.0, 4000)
    noisy[CHANGED_ROW:, PRESSURE] += noise[CHANGED_ROW:].astype(np.float32)
    line = Line("pump", running, SETTINGS)
    events, alerts = play(line, noisy[:3000], {SAID_ROW: said()})
    assert "times the learnt one" in events[-1].comment
    assert alerts[-1].event is AlarmEvent.RETURN
    noisy[3000:, PRESSURE] += 25.0
    _, alerts = play(line, noisy[3000:], first=3000)
    assert [one.event for one in alerts] == [AlarmEvent.RAISE], "what is far beyond its own noise is found"


def test_it_ends_the_hold_that_the_change_has_begun(running: Detector) -> None:
    events, _ = play(
        Line("pump", running, SETTINGS), rows(700),
        {520: SeeChange("pump", "the program was changed", "plc", at(520)), SAID_ROW: said()},
    )
    assert [one.kind for one in events] == [
        EventKind.CHANGE_SEEN, EventKind.HOLD_ENDED, EventKind.REBASELINE_BEGUN]
    assert events[1].comment.startswith("the level of pressure is learnt anew; meanwhile ")
    assert "rows deviated" in events[1].comment
    assert "pressure most" in events[1].comment


@pytest.mark.parametrize("tags", [("nothing",), ("flow", "pressure", "current", "power", "speed", "heat"), ()])
def test_tags_without_a_level_and_all_of_them_together_are_not_learnt(running: Detector, tags: tuple[str, ...]) -> None:
    events, _ = play(Line("pump", running, SETTINGS), rows(40), {20: said(20, tags)})
    assert events == []


def test_a_tag_that_switches_is_not_learnt(switched: Detector) -> None:
    line = Line("pump", switched, SETTINGS)
    values = settling(40, seed=3, settle_rows=SETTLE_ROWS, dwell=500)
    assert play(line, values, {20: said(20, ("on",))}) == ([], [])
    assert line.snapshot.rebaselining is None
    assert (line.snapshot.levels, line.snapshot.switches) == (tuple(tag for tag, _ in TAGS), ("on",))
    assert play(line, values, {40: said(40, line.snapshot.levels)}, first=40)[0] == [], "a switch is nothing to go by"
    assert [one.kind for one in play(line, values, {80: said(80)}, first=80)[0]] == [EventKind.REBASELINE_BEGUN]


def test_how_far_it_is_can_be_seen(running: Detector) -> None:
    line, values = Line("pump", running, SETTINGS), rows(3000)
    play(line, values[:900], {SAID_ROW: said()})
    early = line.snapshot.rebaselining
    play(line, values[900:1000], first=900)
    later = line.snapshot.rebaselining
    assert early is not None
    assert later is not None
    assert early.tags == later.tags == ("pressure",)
    assert 0 < early.rows < later.rows < later.rows_needed == ROWS
    play(line, values[1000:], first=1000)
    assert line.snapshot.rebaselining is None


def test_what_was_learnt_outlasts_a_restart_and_what_was_not_begins_again(running: Detector) -> None:
    line, values = Line("pump", running, SETTINGS), rows(4000)
    events, _ = play(line, values[:2000], {SAID_ROW: said()})
    assert line.memory is not None
    after = Line("pump", running, SETTINGS, memory=line.memory)
    assert play(after, values[2000:2500], first=2000) == ([], [])
    assert evidence(after) < 0.8

    again = Line("pump", running, SETTINGS, rebaselining=events[0])
    done, alerts = play(again, values[2000:], first=2000)
    assert [one.kind for one in done] == [EventKind.REBASELINED]
    assert alerts == []


def test_a_memory_of_an_earlier_version_is_taken(running: Detector) -> None:
    line = Line("pump", running, SETTINGS)
    play(line, rows(500))
    assert line.memory is not None
    assert line.memory.wander is not None
    scored = len(running.statistics.scored)
    short = replace(line.memory.wander, state=line.memory.wander.state[: -2 * scored])
    after = Line("pump", running, SETTINGS, memory=replace(line.memory, wander=short))
    assert after.memory is not None
    assert after.memory.wander == line.memory.wander


def test_a_line_that_goes_on_from_its_state_learns_the_same(running: Detector) -> None:
    line, values = Line("pump", running, SETTINGS), rows(3000)
    play(line, values[:900], {SAID_ROW: said()})
    resumed = Line.resume("pump", running, line.state())
    assert play(line, values[900:], first=900) == play(resumed, values[900:], first=900)
    assert line.state() == resumed.state()


def test_a_machine_that_stands_still_for_a_week_ends_it(running: Detector) -> None:
    line = Line("pump", running, SETTINGS)
    play(line, rows(640), {SAID_ROW: said()})
    entries = line.step(frame(rows(20), 640), at(640) + TIME_NS_MAX)
    (failed,) = [one for one in entries if isinstance(one, AssetEvent)]
    assert failed.kind is EventKind.REBASELINE_FAILED
    assert failed.comment.startswith("in a week ")
    play(line, rows(1200)[700:], first=700)
    assert evidence(line) > 1.0, "it is judged by its learnt level again"
