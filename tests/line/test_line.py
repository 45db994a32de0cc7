"""The line as a whole: frames, commands and time in, alerts out; nothing is seen before it is published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.line.alert import Acknowledge, AlarmState, Priority, Shelve
from agent.line.line import COMMANDS_MAX, Line
from agent.line.verdict import Cause, Condition
from connectors.frame import BAD_NO_DATA, BAD_TIMEOUT, BAD_WAITING_FOR_INITIAL_DATA, GOOD, Frame
from models.runtime import Detector
from tests.agent import samples
from tests.line.frames import WEEKLY, frame, play
from tests.line.scripted import SECOND_NS, START_NS, rows, scripted_line, state_of
from tests.models.plants import TAGS, Float32s, coupled

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState


def faulty_day(rows: int = 1200) -> Float32s:
    """A day with data lost for a while, and a sensor that is off from 300 to 600."""
    values = coupled(rows, seed=5)
    values[100:110] = np.nan
    values[200:240, 4] = np.nan
    values[300:600, 2] += 8.0
    return values


def raised_line() -> Line:
    line = scripted_line(on_s=3, off_s=5)
    (alert,) = line.step(rows([0.5] * 20 + [1.5] * 3), START_NS)
    line.publish()
    assert alert.id == "pump-1"
    return line


def test_a_healthy_day_raises_nothing(running: Detector) -> None:
    day = play(running, coupled(4000, seed=6))
    assert not day.alerts
    assert day.line.snapshot.alert is None
    assert day.last.condition is Condition.NORMAL


def test_a_fault_becomes_one_alert_that_explains_itself(running: Detector) -> None:
    raised, returned = play(running, faulty_day()).alerts
    assert (raised.id, raised.asset, raised.revision) == ("pump-1", "pump", 1)
    assert (raised.state, returned.state) == (UNACKNOWLEDGED, RETURNED)
    assert raised.onset_time_ns == pytest.approx(START_NS + 300 * SECOND_NS, abs=3 * SECOND_NS)
    assert raised.raised_time_ns == raised.onset_time_ns + 29 * SECOND_NS
    assert returned.returned_time_ns is not None
    assert returned.returned_time_ns > START_NS + 600 * SECOND_NS
    first = raised.verdict.contributions[0]
    assert (raised.verdict.cause, first.tag, raised.priority) == (Cause.MACHINE, "current", Priority.HIGH)
    looks, _ = raised.verdict.fault_probabilities[0]
    assert looks in {"bias", "ramp"}, "30 rows after the step it may still be the top of a ramp"
    assert raised.message == (
        "pump behaves unlike it ever did in regime R1: "
        f"current is {first.measured:.4g} A, expected {first.expected:.4g} A, looks like {looks}"
    )
    assert returned.peak_evidence > raised.peak_evidence


def test_the_machine_comes_before_a_sensor(running: Detector) -> None:
    values = coupled(500, seed=5)
    values[300:, 1] += 9.0
    values[300:, 3] -= 9.0
    values[300:, 4] += 7.0
    (alert,) = play(running, values).alerts
    assert alert.priority is Priority.HIGH
    assert alert.message.startswith("pump behaves unlike it ever did in regime R1: ")


@pytest.mark.parametrize("seed", range(4))
def test_the_same_samples_in_other_frames_give_the_same_alerts(running: Detector, seed: int) -> None:
    values = faulty_day()
    reference = play(running, values, chunk_rows=50)
    rng = np.random.default_rng(seed)
    cuts = sorted(rng.choice(np.arange(1, len(values)), size=1 + 30 * seed, replace=False).tolist())
    line, alerts = Line("pump", running, WEEKLY), []
    for part, start in zip(np.split(values, cuts), [0, *cuts], strict=True):
        alerts += line.step(frame(part, start), START_NS)
    line.publish()
    assert len(alerts) == len(reference.alerts) == 2
    for one, other in zip(alerts, reference.alerts, strict=True):
        alike = replace(one, updated_time_ns=0, standing_since_ns=0, verdict=other.verdict, peak_evidence=0.0)
        assert alike == replace(other, updated_time_ns=0, standing_since_ns=0, peak_evidence=0.0)
        assert one.peak_evidence == pytest.approx(other.peak_evidence, rel=1e-4)
        assert (one.verdict.cause, one.verdict.time_ns) == (other.verdict.cause, other.verdict.time_ns)
    assert line.snapshot.rows == reference.line.snapshot.rows == len(values)


def test_the_same_frames_give_the_same_alerts_to_the_bit(running: Detector) -> None:
    one, other = play(running, faulty_day()), play(running, faulty_day())
    assert one.alerts == other.alerts
    assert repr(one.verdicts) == repr(other.verdicts)


def test_tags_on_two_connections_make_the_same_alerts(running: Detector) -> None:
    """Each frame has the tags of one PLC; the other cells are "not sampled in this row"."""
    values = faulty_day(rows=400)
    line, alerts = Line("pump", running, WEEKLY), []
    for second, row in enumerate(values):
        time_ns = START_NS + second * SECOND_NS
        bad = np.where(np.isnan(row), BAD_TIMEOUT, GOOD).astype(np.uint32)
        for columns, late_ns in ((np.arange(4), 0), (np.arange(4, 6), 200_000_000)):
            part = Frame.of(time_ns + late_ns, row[columns], bad[columns])
            alerts += line.step(part.spread(columns, 6), time_ns)
    reference = play(running, values, chunk_rows=1).alerts
    assert len(alerts) == 1
    assert [replace(alert, updated_time_ns=0, standing_since_ns=0) for alert in alerts] == [
        replace(alert, updated_time_ns=0, standing_since_ns=0) for alert in reference
    ]


def test_nothing_is_seen_before_it_is_published() -> None:
    line = scripted_line(on_s=3)
    before = line.snapshot
    (alert,) = line.step(rows([0.5] * 20 + [1.5] * 3), START_NS + 99)
    assert line.snapshot is before
    line.publish()
    after = line.snapshot
    assert (after.alert, after.rows, after.time_ns) == (alert, 23, START_NS + 99)
    assert after.verdict is not None
    assert before.alert is None, "what somebody holds does not change under their hands"
    line.submit(Acknowledge("pump-1", "ada", START_NS))
    assert line.snapshot is after
    line.step(rows([1.5], 23), START_NS + 100)
    assert line.snapshot is after


def test_before_the_first_sample_every_tag_waits(running: Detector) -> None:
    snapshot = Line("pump", running, WEEKLY).snapshot
    assert snapshot.verdict is None
    assert [(reading.tag, reading.unit) for reading in snapshot.readings] == list(TAGS)
    assert {reading.status for reading in snapshot.readings} == {BAD_WAITING_FOR_INITIAL_DATA}
    assert np.isnan([reading.value for reading in snapshot.readings]).all()


def test_readings_are_the_newest_samples_of_each_tag(running: Detector) -> None:
    line = Line("pump", running, WEEKLY)
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    status = np.full((2, 6), GOOD, np.uint32)
    status[1, 0], status[:, 5] = BAD_TIMEOUT, BAD_NO_DATA
    status[1, 4] = BAD_NO_DATA
    line.step(Frame.clean(np.array([START_NS, START_NS + SECOND_NS]), values, status), START_NS)
    line.publish()
    first, second, *_, fifth, sixth = line.snapshot.readings
    assert (np.isnan(first.value), first.status, first.time_ns) == (True, BAD_TIMEOUT, START_NS + SECOND_NS)
    assert (second.value, second.status, second.time_ns) == (7.0, GOOD, START_NS + SECOND_NS)
    assert (fifth.value, fifth.time_ns) == (4.0, START_NS)
    assert sixth.status == BAD_WAITING_FOR_INITIAL_DATA


def test_a_frame_without_rows_changes_only_the_time() -> None:
    line = raised_line()
    before = line.snapshot
    assert not line.step(Frame.empty(1), START_NS + 5)
    line.publish()
    assert line.snapshot == replace(before, time_ns=START_NS + 5)


def test_commands_wait_in_a_bounded_queue_and_those_refused_are_counted() -> None:
    line = raised_line()
    said = [line.submit(Acknowledge(f"pump-{n}", "ada", START_NS)) for n in range(COMMANDS_MAX + 5)]
    assert said == [True] * COMMANDS_MAX + [False] * 5
    (acknowledged,) = line.step(Frame.empty(1), START_NS)
    line.publish()
    assert acknowledged.state is ACKNOWLEDGED
    assert line.snapshot.commands_dropped == 5
    assert line.submit(Acknowledge("pump-1", "ada", START_NS)), "the queue is empty again"


def test_commands_are_obeyed_in_the_order_they_came() -> None:
    line = raised_line()
    line.submit(Shelve("pump-1", "ada", START_NS, START_NS + 100, "first"))
    line.submit(Acknowledge("pump-1", "eve", START_NS))
    line.submit(Shelve("pump-1", "bob", START_NS, START_NS + 200, "second"))
    changes = line.step(Frame.empty(1), START_NS)
    assert [(alert.revision, alert.state) for alert in changes] == [
        (2, UNACKNOWLEDGED), (3, ACKNOWLEDGED), (4, ACKNOWLEDGED),
    ]
    assert [one.by for alert in changes for one in alert.withheld] == ["ada", "ada", "bob"]


@pytest.mark.parametrize("alert_id", ["pump-2", "press-1", "", "pump-1 "])
def test_commands_for_unknown_alerts_are_ignored(alert_id: str) -> None:
    line = raised_line()
    line.submit(Acknowledge(alert_id, "ada", START_NS))
    assert not line.step(rows([1.5], 23), START_NS)


@pytest.mark.parametrize("state", [UNACKNOWLEDGED, ACKNOWLEDGED])
def test_a_restart_goes_on_with_the_open_alert(state: AlarmState) -> None:
    alert = replace(samples.alert(state=state), peak_evidence=1.2)
    line = scripted_line(on_s=3, off_s=5, open_alert=alert, number=2)
    assert line.snapshot.alert == alert
    assert not line.step(rows([1.4] * 20), START_NS), "it is already raised"
    (returned,) = line.step(rows([0.5] * 5, 20), START_NS)
    assert (returned.id, returned.revision) == ("pump-1", 2)
    assert returned.state == (RETURNED if state is UNACKNOWLEDGED else NORMAL)
    assert returned.peak_evidence == pytest.approx(1.4, abs=1e-5)


def test_a_restart_goes_on_with_an_alert_that_has_returned() -> None:
    line = scripted_line(on_s=3, open_alert=samples.alert(state=RETURNED), number=2)
    (again,) = line.step(rows([0.5] * 20 + [1.5] * 3), START_NS)
    assert (again.id, again.state) == ("pump-1", UNACKNOWLEDGED)


def test_a_restart_goes_on_with_the_numbers() -> None:
    line = scripted_line(on_s=3, number=8)
    (alert,) = line.step(rows([0.5] * 20 + [1.5] * 3), START_NS)
    assert (alert.id, alert.revision) == ("pump-8", 1)


def test_a_closed_alert_takes_no_more_commands() -> None:
    line = raised_line()
    line.submit(Acknowledge("pump-1", "ada", START_NS))
    line.step(rows([0.5] * 5, 23), START_NS)
    line.publish()
    assert state_of(line) is NORMAL
    line.submit(Shelve("pump-1", "ada", START_NS, START_NS + 100, "late"))
    assert not line.step(rows([0.5], 28), START_NS)


def test_late_samples_and_clocks_that_were_set_back_are_told() -> None:
    line = scripted_line()
    line.step(rows([0.5] * 100), START_NS)
    line.step(rows([0.5], 50), START_NS)
    line.publish()
    assert (line.snapshot.rows, line.snapshot.rows_late, line.snapshot.clock_steps) == (100, 1, 0)
    for second in range(51, 60):
        line.step(rows([0.5], second), START_NS)
    line.publish()
    assert line.snapshot.clock_steps == 1


@pytest.mark.parametrize(("period_ms", "on_rows"), [(1000, 30), (100, 300), (60_000, 1)])
def test_delays_are_seconds_and_not_rows(running: Detector, period_ms: int, on_rows: int) -> None:
    class Slower:
        manifest = replace(running.manifest, period_ms=period_ms)
        statistics = running.statistics
        remaining = running.remaining
        hash = running.hash
        score = running.score
        judge = running.judge

    values = coupled(1000, seed=5)
    values[300:, 2] += 8.0
    time_ns = START_NS + np.arange(1000, dtype=np.int64) * period_ms * 1_000_000
    whole = Frame(time_ns, values, np.full(values.shape, GOOD, np.uint32))
    (alert,) = Line("pump", Slower(), WEEKLY).step(whole, START_NS)
    assert alert.raised_time_ns - alert.onset_time_ns == (on_rows - 1) * period_ms * 1_000_000


def test_drift_and_what_is_adapted_to_survive_a_restart_with_the_same_bundle_only(running: Detector) -> None:
    wandered = coupled(4000, seed=6)
    wandered[:, 0] += 0.4
    memory = play(running, wandered, 4000).line.memory
    assert memory is not None
    assert memory.wander is not None
    assert np.abs(memory.wander.state).max() > 0.01
    after = Line("pump", running, WEEKLY, memory=memory)
    assert after.memory == memory
    foreign = replace(memory, wander=replace(memory.wander, model_hash="another"))
    unknown, new = Line("pump", running, WEEKLY, memory=foreign), Line("pump", running, WEEKLY)
    for line in (after, unknown, new):
        line.step(frame(wandered[:1], 4000), 0)
    for line, wanted in ((after, memory), (unknown, new.memory)):
        assert line.memory is not None
        assert line.memory.wander is not None
        assert wanted is not None
        assert wanted.wander is not None
        assert line.memory.wander.state == pytest.approx(wanted.wander.state, abs=1e-3)
