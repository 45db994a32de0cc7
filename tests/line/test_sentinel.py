"""A change was seen: alerts are on hold, for a time and never silently, until a person decides."""

from __future__ import annotations

import pytest

from agent.line.alert import Alert, Command, EndHold, SeeChange, WithheldKind
from agent.line.event import AssetEvent, Entry, EventKind
from agent.line.line import Line, LineSettings
from tests.line.scripted import SECOND_NS, START_NS, ScriptedDetector, rows

HOLD_S = 300
CAUSE = "the namespace table of OPC UA server opc.tcp://plc has moved"


def at(time_s: int) -> int:
    return START_NS + time_s * SECOND_NS


def seen(time_s: int, cause: str = CAUSE, asset: str = "pump") -> SeeChange:
    return SeeChange(asset, cause, "line3_plc", at(time_s))


def line(hold_s: int = HOLD_S) -> Line:
    return Line("pump", ScriptedDetector(), LineSettings(1e-6, 10, 30, hold_ns=hold_s * SECOND_NS))


def play(
    line: Line, evidence: dict[int, float], commands: dict[int, Command], seconds: int, chunk_s: int = 10
) -> tuple[list[AssetEvent], list[Alert]]:
    """Evidence and commands by the second they begin at, which are whole chunks; return what came of it."""
    entries: list[Entry] = []
    now = 0.2
    values = []
    for second in range(seconds):
        now = evidence.get(second, now)
        values.append(now)
    for begin in range(0, seconds, chunk_s):
        if begin in commands:
            assert line.submit(commands[begin])
        entries += line.step(rows(values[begin : begin + chunk_s], begin), at(begin + chunk_s - 1))
        line.publish()
    events = [one for one in entries if isinstance(one, AssetEvent)]
    return events, [one for one in entries if isinstance(one, Alert)]


def kinds(line: Line) -> list[WithheldKind]:
    return [one.kind for one in line.snapshot.withheld]


def test_a_change_puts_alerts_on_hold_and_the_hold_ends_with_what_was_seen_meanwhile() -> None:
    watched = line()
    events, alerts = play(watched, {50: 1.5, 80: 0.2}, {20: seen(20)}, 400)
    assert alerts == []
    begun, ended = events
    assert (begun.kind, begun.comment, begun.about, begun.by) == (EventKind.CHANGE_SEEN, CAUSE, "line3_plc", None)
    assert begun.until_ns == begun.time_ns + HOLD_S * SECOND_NS
    assert ended.kind is EventKind.HOLD_ENDED
    assert ended.comment == (
        "the time set for it is over; meanwhile 30 of 300 rows deviated, with an evidence of up to 1.50"
    )
    assert kinds(watched) == []


def test_what_still_deviates_when_the_hold_is_over_is_an_alert_then() -> None:
    _, alerts = play(line(), {50: 1.5}, {20: seen(20)}, 500)
    assert [one.id for one in alerts] == ["pump-1"]
    assert at(20 + HOLD_S) < alerts[0].raised_time_ns


def test_an_alert_that_stands_is_put_on_hold_and_comes_back() -> None:
    _, alerts = play(line(), {30: 1.5}, {100: seen(100)}, 500)
    assert [one.event and one.event.value for one in alerts] == ["raise", "hold", "release"]
    assert [one.reason for one in alerts[1].withheld] == [CAUSE]


@pytest.mark.parametrize("comment", ["", "a recipe was added"])
def test_a_person_who_says_that_nothing_changed_ends_the_hold(comment: str) -> None:
    watched = line()
    events, alerts = play(watched, {200: 1.5}, {20: seen(20), 120: EndHold("pump", "Ana", at(120), comment)}, 300)
    assert [(one.kind, one.by) for one in events] == [(EventKind.CHANGE_SEEN, None), (EventKind.HOLD_ENDED, "Ana")]
    assert events[1].comment == f"{comment or 'nothing has changed'}; meanwhile nothing deviated in 100 rows"
    assert len(alerts) == 1, "it is watched again"


def test_more_changes_are_told_and_make_the_hold_no_longer() -> None:
    commands: dict[int, Command] = {20: seen(20), 200: seen(200, "another one")}
    events, _ = play(line(), {}, commands, 400)
    assert [one.comment.partition(";")[0] for one in events] == [CAUSE, "another one", "the time set for it is over"]
    assert events[1].until_ns == events[0].until_ns


def test_without_a_time_to_hold_a_change_is_told_and_nothing_else() -> None:
    watched = line(hold_s=0)
    events, alerts = play(watched, {50: 1.5}, {20: seen(20)}, 100)
    assert [one.kind for one in events] == [EventKind.CHANGE_SEEN]
    assert len(alerts) == 1


def test_what_is_said_of_another_asset_or_without_a_hold_changes_nothing() -> None:
    events, _ = play(line(), {}, {20: seen(20, asset="press"), 30: EndHold("pump", "Ana", at(30))}, 60)
    assert events == []


def test_a_line_that_goes_on_from_its_state_ends_the_hold_with_the_same_words() -> None:
    watched = line()
    play(watched, {50: 1.5}, {20: seen(20)}, 100)
    resumed = Line.resume("pump", ScriptedDetector(), watched.state())
    again = [one.step(rows([0.2] * 300, 100), at(400)) for one in (watched, resumed)]
    assert again[0] == again[1]
    assert isinstance(again[0][0], AssetEvent)
    assert "50 of 80 rows deviated" in again[0][0].comment
