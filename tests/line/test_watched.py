"""What outlasts a restart: for how long a model has judged, by its rows, and how its alarms have come and gone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.line.alert import ReturnToService, TakeOutOfService
from agent.line.beside import BesideLine, memory_of_challenger
from agent.line.line import Line, LineSettings
from agent.line.memory import Memory
from tests.line.scripted import SECOND_NS, START_NS, ScriptedDetector, rows, scripted_line

HOUR_NS = 3600 * SECOND_NS


def judged_s(line: Line) -> float:
    return line.watched.judged_s


def test_rows_without_a_score_or_withheld_are_not_counted() -> None:
    line = scripted_line()
    line.step(rows([0.2] * 20 + [np.nan] * 10), START_NS)
    line.step(rows([0.2] * 30, 30), START_NS + 30 * SECOND_NS)
    counted_s = judged_s(line)
    assert 20 < counted_s <= 50, "the rows just after a loss of data are not judged either"
    line.submit(TakeOutOfService("pump", "Ana", START_NS, START_NS, START_NS + HOUR_NS, "planned"))
    line.step(rows([0.2] * 40, 60), START_NS + 60 * SECOND_NS)
    assert judged_s(line) == counted_s
    line.submit(ReturnToService("pump", "Ana", START_NS))
    line.step(rows([0.2] * 5, 100), START_NS + 100 * SECOND_NS)
    line.publish()
    assert judged_s(line) == counted_s + 5
    assert line.snapshot.watched == line.watched
    assert line.watched.since_ns == START_NS // SECOND_NS * SECOND_NS


def test_the_count_goes_on_over_a_restart_and_begins_anew_with_another_model() -> None:
    line = scripted_line()
    line.step(rows([0.2] * 20), START_NS)
    memory = line.memory
    assert memory is not None
    again = scripted_line(memory=memory)
    again.step(rows([0.2] * 5, 1000), START_NS + 1000 * SECOND_NS)
    assert judged_s(again) == judged_s(line) + 5, "the time that it was off does not count"
    assert again.watched.since_ns == line.watched.since_ns
    assert memory.watch is not None
    other = scripted_line(memory=replace(memory, watch=replace(memory.watch, model_hash="another")))
    assert judged_s(other) == 0


def beside(memory: Memory | None) -> BesideLine:
    detector = ScriptedDetector()
    detector.hash = "challenger"
    challenger = Line(
        "pump", detector, LineSettings(1e-6, 10, 30), shadow=True, series="pump~c",
        memory=memory_of_challenger(memory, ScriptedDetector().hash, "challenger"),
    )  # fmt: skip
    return BesideLine(scripted_line(memory=memory), challenger, memory)


def test_a_trial_begins_anew_beside_another_champion() -> None:
    alone = scripted_line()
    alone.step(rows([0.2] * 100), START_NS)
    line = beside(alone.memory)
    line.step(rows([0.2] * 20, 100), START_NS + 100 * SECOND_NS)
    memory = line.memory
    assert memory is not None
    assert memory.watch is not None
    rolled_back = beside(replace(memory, watch=replace(memory.watch, model_hash="promoted")))
    rolled_back.step(rows([0.2] * 30, 500), START_NS + 500 * SECOND_NS)
    rolled_back.publish()
    assert rolled_back.snapshot.trial is not None
    assert [one.judged_s for one in rolled_back.snapshot.trial] == [30, 30]


def test_a_trial_counts_what_both_have_judged_since_it_began_and_goes_on_over_a_restart() -> None:
    alone = scripted_line()
    alone.step(rows([0.2] * 100), START_NS)
    line = beside(alone.memory)
    line.step(rows([0.2] * 20, 100), START_NS + 100 * SECOND_NS)
    line.publish()
    assert line.snapshot.trial is not None
    assert line.snapshot.watched is not None
    assert [one.judged_s for one in line.snapshot.trial] == [20, 20]
    assert line.snapshot.watched.judged_s == 120
    again = beside(line.memory)
    assert again.snapshot.trial == line.snapshot.trial
    again.step(rows([0.2] * 30, 500), START_NS + 500 * SECOND_NS)
    again.publish()
    assert again.snapshot.trial is not None
    assert [one.judged_s for one in again.snapshot.trial] == [50, 50]
    assert {one.since_ns for one in again.snapshot.trial} == {line.snapshot.trial[1].since_ns}


def returned_after_s(line: Line, start_s: int) -> int | None:
    """Deviate from `start_s` on for 20 s; return after how many seconds of quiet the alarm has returned."""
    line.step(rows([1.5] * 20, start_s), START_NS)
    line.publish()
    assert line.snapshot.alert is not None
    for quiet_s in range(1, 400):
        line.step(rows([0.2], start_s + 19 + quiet_s), START_NS)
        line.publish()
        if line.snapshot.alert is None or line.snapshot.alert.returned_time_ns is not None:
            return quiet_s
    return None


def test_an_alarm_that_comes_and_goes_is_held_for_longer_over_a_restart_too() -> None:
    line = scripted_line(on_s=10, off_s=10)
    quiet_s = [returned_after_s(line, start_s) for start_s in (0, 500)]
    for start_s in (1000, 1500):
        line = scripted_line(10, 10, memory=line.memory, open_alert=line.snapshot.alert)
        quiet_s.append(returned_after_s(line, start_s))
    assert quiet_s == [10, 10, 120, 240]
    forgetful = scripted_line(10, 10, open_alert=line.snapshot.alert)
    assert returned_after_s(forgetful, 2000) == 10
