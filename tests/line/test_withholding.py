"""Machines that are cleaned or serviced raise no alert, what stands goes on, and what is not known is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.line.advise import REMEMBERS_ROWS
from agent.line.alert import (
    Acknowledge,
    AlarmEvent,
    AlarmState,
    Alert,
    Command,
    OutcomeKind,
    RecordOutcome,
    ReturnToService,
    TakeOutOfService,
    WithheldKind,
)
from agent.line.event import AssetEvent, Entry, EventKind
from agent.line.line import Line, LineSettings
from agent.line.withholding import SuppressedWhen, withheld_anyhow, withheld_spans
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, GOOD, Frame, is_bad
from tests.line.scripted import SECOND_NS, START_NS, ScriptedDetector

CLEANING = LineSettings(
    1e-6, 10, 30,
    context=(("cleaning", "1"), ("ambient", "degC")),
    suppressed_when=SuppressedWhen("cleaning", (1.0, 3.0)),
)
STAYS = "cleaning has no good value: pump stays suppressed, for an hour at most, until there is one"
QUIET, HIGH = 0.5, 1.5


def at(second: int) -> int:
    return START_NS + second * SECOND_NS


def frame(evidence: Sequence[float], cleaning: Sequence[float], start_s: int = 0) -> Frame:
    """A row a second; NaN is a time-out, -1 a value that was not sampled."""
    values = np.column_stack([evidence, cleaning, np.full(len(evidence), 20.0)]).astype(np.float32)
    status = np.where(np.isnan(values), BAD_TIMEOUT, GOOD).astype(np.uint32)
    status[values == -1] = BAD_NO_DATA
    values[status == BAD_NO_DATA] = np.nan
    return Frame(START_NS + (start_s + np.arange(len(values), dtype=np.int64)) * SECOND_NS, values, status)


def play(
    line: Line, evidence: Sequence[float], cleaning: Sequence[float], rows: int = 1, start_s: int = 0
) -> list[Entry]:
    entries: list[Entry] = []
    for row in range(0, len(evidence), rows):
        part = frame(evidence[row : row + rows], cleaning[row : row + rows], start_s + row)
        entries += line.step(part, int(part.source_time_ns[-1]))
        line.publish()
    return entries


def alerts(entries: Sequence[Entry]) -> list[Alert]:
    return [entry for entry in entries if isinstance(entry, Alert)]


def events(entries: Sequence[Entry]) -> list[AssetEvent]:
    return [entry for entry in entries if isinstance(entry, AssetEvent)]


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_a_machine_in_cleaning_raises_no_alert_and_counting_starts_anew_afterwards(rows: int) -> None:
    evidence = [QUIET] * 60 + [HIGH] * 240
    cleaning = [0.0] * 55 + [1.0] * 100 + [0.0] * 145
    entries = play(Line("pump", ScriptedDetector(), CLEANING), evidence, cleaning, rows)
    began, ended = events(entries)
    assert (began.id, began.kind, began.since_ns, began.about) == ("pump:1", EventKind.SUPPRESSED, at(55), "cleaning")
    assert (ended.id, ended.kind, began.comment, ended.comment) == (
        "pump:2", EventKind.UNSUPPRESSED, "cleaning is 1", "cleaning is 0",
    )
    (alert,) = alerts(entries)
    first = 155 + REMEMBERS_ROWS - 1
    assert (alert.onset_time_ns, alert.raised_time_ns) == (at(first), at(first + 9))


@pytest.mark.parametrize("ahead_s", [0, -2 * 3600, 5 * 3600])
def test_when_a_machine_was_in_cleaning_is_told_by_the_gateways_clock_however_wrong_that_of_its_source_is(
    ahead_s: int,
) -> None:
    line, entries = Line("pump", ScriptedDetector(), CLEANING), list[Entry]()
    for second, cleaning in enumerate([0.0] * 55 + [1.0] * 100 + [0.0] * 50):
        entries += line.step(frame([QUIET], [cleaning], second), at(second - ahead_s))
    spans = withheld_spans(events(entries), at(10_000 - ahead_s))
    assert spans[WithheldKind.SUPPRESSED] == [(at(55 - ahead_s), at(155 - ahead_s))]
    assert withheld_anyhow(events(entries), at(100 - ahead_s)) == [(at(55 - ahead_s), at(100 - ahead_s))]


def test_each_of_the_values_suppresses_and_no_other() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    kinds = [(event.kind, event.comment) for event in events(play(line, [QUIET] * 50, [*[0, 2, 3, 1, 0] * 10]))]
    assert kinds == [(EventKind.SUPPRESSED, "cleaning is 3"), (EventKind.UNSUPPRESSED, "cleaning is 0")] * 10


def test_context_tags_are_shown_and_never_scored() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    assert line.tags == ("evidence", "cleaning", "ambient")
    play(line, [QUIET] * 30, [0.0] * 15 + [float("nan")] * 15)
    assert [(one.tag, one.unit) for one in line.snapshot.readings][1:] == [("cleaning", "1"), ("ambient", "degC")]
    verdict = line.snapshot.verdict
    assert verdict is not None
    assert (verdict.condition, verdict.coverage) == ("normal", pytest.approx(30 / 31)), "one row was before the first"
    assert is_bad(np.array([one.status for one in line.snapshot.readings], np.uint32)).tolist() == [False, True, False]
    assert line.snapshot.quality.good_ns.shape == (3,)


def test_an_open_alert_is_suppressed_too_and_goes_on_underneath() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    evidence = [QUIET] * 20 + [HIGH] * 60 + [QUIET] * 120
    found = alerts(play(line, evidence, [0.0] * 50 + [1.0] * 100 + [0.0] * 50))
    assert [(one.event, one.state, [way.kind for way in one.withheld]) for one in found] == [
        (AlarmEvent.RAISE, AlarmState.UNACKNOWLEDGED, []),
        (AlarmEvent.SUPPRESS, AlarmState.UNACKNOWLEDGED, [WithheldKind.SUPPRESSED]),
        (AlarmEvent.RETURN, AlarmState.RETURNED_UNACKNOWLEDGED, [WithheldKind.SUPPRESSED]),
        (AlarmEvent.UNSUPPRESS, AlarmState.RETURNED_UNACKNOWLEDGED, []),
    ]


@pytest.mark.parametrize("rows", [1, 7])
def test_what_doubles_while_its_machine_is_cleaned_is_raised_again_once_no_row_remembers_the_cleaning(
    rows: int,
) -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    assert len(alerts(play(line, [QUIET] * 20 + [HIGH] * 50, [0.0] * 70, rows))) == 1
    assert line.submit(Acknowledge("pump-1", "Ana", at(70)))
    found = alerts(play(line, [HIGH] * 10 + [2.1 * HIGH] * 220, [0.0] * 7 + [1.0] * 105 + [0.0] * 118, rows, 70))
    assert [one.event for one in found] == [
        AlarmEvent.ACKNOWLEDGE, AlarmEvent.SUPPRESS, AlarmEvent.UNSUPPRESS, AlarmEvent.REALARM,
    ]
    due = 70 + 112 + REMEMBERS_ROWS - 1 + 9
    assert at(due) <= found[-1].updated_time_ns < at(due + 2 * rows)


@pytest.mark.parametrize("gone", [float("nan"), -1.0], ids=["bad", "not sampled"])
@pytest.mark.parametrize("rows", [1, 50])
def test_a_tag_that_cannot_be_read_neither_suppresses_nor_ends_it_but_is_told(gone: float, rows: int) -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    cleaning = [0.0] * 10 + [gone] * 30 + [1.0] * 10 + [gone] * 150 + [1.0] * 20 + [gone] * 80 + [0.0] * 10
    found = events(play(line, [QUIET] * len(cleaning), cleaning, rows))
    assert [(event.kind, event.comment) for event in found] == [
        (EventKind.SUPPRESSED, "cleaning is 1"),
        (EventKind.SUPPRESSION_UNKNOWN, STAYS),
        (EventKind.SUPPRESSED, "cleaning is 1 and can be read again"),
        (EventKind.SUPPRESSION_UNKNOWN, STAYS),
        (EventKind.UNSUPPRESSED, "cleaning is 0 and can be read again"),
    ]
    assert [event.since_ns for event in found if event.kind is EventKind.SUPPRESSION_UNKNOWN] == [at(49), at(219)]


def test_a_tag_that_never_can_be_read_is_told_and_the_machine_is_watched() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    entries = play(line, [QUIET] * 100 + [HIGH] * 20, [float("nan")] * 120)
    assert [event.comment for event in events(entries)] == [
        "cleaning has no good value: pump is not suppressed until there is one"
    ]
    assert len(alerts(entries)) == 1


def test_a_tag_that_breaks_while_it_suppresses_does_not_keep_the_machine_unwatched() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    evidence = [QUIET] * 20 + [HIGH] * 3700
    entries = play(line, evidence, [1.0] * 20 + [float("nan")] * 3700, 60)
    assert [event.kind for event in events(entries)] == [
        EventKind.SUPPRESSED, EventKind.SUPPRESSION_UNKNOWN, EventKind.UNSUPPRESSED,
    ]
    assert events(entries)[-1].comment == "cleaning has had no good value for an hour: watched again"
    (alert,) = alerts(entries)
    assert alert.onset_time_ns == at(19 + 3600 + REMEMBERS_ROWS - 1)


def out(since_s: int, until_s: int, said_s: int = 0, asset: str = "pump") -> TakeOutOfService:
    return TakeOutOfService(asset, "ada", at(said_s), at(since_s), at(until_s), "new seal")


def told(line: Line, seconds: int, commands: dict[int, Command], start_s: int) -> list[Entry]:
    entries: list[Entry] = []
    for second in range(start_s, start_s + seconds):
        if command := commands.get(second):
            assert line.submit(command)
        entries += play(line, [HIGH], [0.0], start_s=second)
    return entries


def test_a_machine_out_of_service_raises_no_alert_from_the_planned_beginning_to_the_planned_end() -> None:
    line = Line("pump", ScriptedDetector(), replace(CLEANING, on_delay_s=20))
    play(line, [QUIET] * 10, [0.0] * 10)
    entries = told(line, 200, {10: out(15, 100, 10)}, start_s=10)
    planned, over = events(entries)
    assert (planned.kind, planned.since_ns, planned.until_ns, planned.by) == ("out_of_service", at(15), at(100), "ada")
    assert planned.time_ns == at(10)
    assert (over.kind, over.by, over.comment) == ("in_service", None, "the time set for it is over")
    assert over.time_ns == at(100)
    (alert,) = alerts(entries)
    assert alert.onset_time_ns == at(99 + REMEMBERS_ROWS)


def test_a_person_returns_a_machine_to_service_earlier_or_calls_it_off() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    play(line, [QUIET] * 10, [0.0] * 10)
    back = ReturnToService("pump", "eve", at(60), "done")
    entries = told(line, 200, {10: out(10, 100, 10), 60: back, 61: back}, start_s=10)
    assert [(event.kind, event.by, event.comment) for event in events(entries)] == [
        ("out_of_service", "ada", "new seal"), ("in_service", "eve", "done"),
    ]
    assert alerts(entries)[0].onset_time_ns == at(59 + REMEMBERS_ROWS)
    called_off = told(line, 10, {210: out(500, 900, 210), 212: ReturnToService("pump", "eve", at(212))}, start_s=210)
    assert [event.kind for event in events(called_off)] == ["out_of_service", "in_service"]
    assert line.snapshot.withheld == ()


@pytest.mark.parametrize("command", [out(0, 900, asset="press"), out(-20, -10), ReturnToService("pump", "ada", 0)])
def test_what_is_said_to_another_asset_or_too_late_changes_nothing(command: Command) -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    line.submit(command)
    assert not line.step(Frame.empty(3), START_NS)


def test_people_record_that_a_machine_failed_and_the_next_event_has_the_next_number() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    line.submit(RecordOutcome("pump", OutcomeKind.FAILURE, "ada", at(0), at(-50), "pump-1", 3600.0, "bearing seized"))
    line.submit(RecordOutcome("press", OutcomeKind.FAILURE, "ada", at(0), at(-50), None, None, "another machine's"))
    line.submit(out(5, 9))
    line.submit(RecordOutcome("pump", OutcomeKind.REPAIR, "ada", at(0), at(0), None, None, "seal replaced"))
    failure, planned, repair = events(line.step(Frame.empty(3), at(1)))
    assert [one.id for one in (failure, planned, repair)] == ["pump:1", "pump:2", "pump:3"]
    assert (failure.kind, failure.time_ns, failure.since_ns, failure.until_ns) == ("failure", at(1), at(-50), at(-50))
    assert (failure.by, failure.about, failure.downtime_s) == ("ada", "pump-1", 3600.0)
    assert (repair.kind, repair.comment, repair.about, repair.downtime_s) == ("repair", "seal replaced", None, None)


def test_an_open_alert_says_that_its_machine_is_out_of_service_and_may_be_acknowledged() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    play(line, [QUIET] * 10, [0.0] * 10)
    commands = {40: out(40, 90, 40), 50: Acknowledge("pump-1", "ada", at(50), "seen")}
    found = alerts(told(line, 100, commands, start_s=10))
    assert [(one.event, one.by, one.state) for one in found] == [
        (AlarmEvent.RAISE, None, AlarmState.UNACKNOWLEDGED),
        (AlarmEvent.TAKE_OUT_OF_SERVICE, "ada", AlarmState.UNACKNOWLEDGED),
        (AlarmEvent.ACKNOWLEDGE, "ada", AlarmState.ACKNOWLEDGED),
        (AlarmEvent.RETURN_TO_SERVICE, None, AlarmState.ACKNOWLEDGED),
    ]


def test_a_restart_in_the_middle_goes_on_with_all_of_it() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    play(line, [QUIET] * 10, [1.0] * 10)
    told(line, 10, {10: out(10, 100, 10)}, start_s=10)
    standing = line.snapshot.withheld
    again = Line("pump", ScriptedDetector(), CLEANING, withheld=standing, next_event=4)
    assert again.snapshot.withheld == standing
    entries = told(again, 200, {}, start_s=30)
    assert [(event.id, event.kind) for event in events(entries)] == [("pump:4", "in_service")]
    assert alerts(entries)[0].onset_time_ns == at(99 + REMEMBERS_ROWS)


def test_what_was_suppressed_is_watched_once_no_tag_is_configured_to_say_so() -> None:
    line = Line("pump", ScriptedDetector(), CLEANING)
    play(line, [QUIET] * 10, [1.0] * 10)
    unconfigured = replace(CLEANING, suppressed_when=None)
    again = Line("pump", ScriptedDetector(), unconfigured, withheld=line.snapshot.withheld, next_event=2)
    entries = play(again, [QUIET] * 20 + [HIGH] * 20, [1.0] * 40, start_s=10)
    assert [(event.kind, event.comment) for event in events(entries)] == [
        (EventKind.UNSUPPRESSED, "no tag is configured to say so any longer")
    ]
    assert len(alerts(entries)) == 1
