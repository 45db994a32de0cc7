"""A re-baselining in the record counts in all that judges the record anew, from its time on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from agent.build import JOURNAL, layout_of, load_detectors, make_line
from agent.config.file import Config
from agent.ledger.course import course
from agent.line import rebaselining
from agent.line.alert import Acknowledge, Alert, Command, Rebaseline
from agent.line.event import EventKind
from agent.line.verdict import Condition
from agent.rehearsal.budget import rehearse
from agent.rehearsal.drill import drill
from agent.rehearsal.record import past_of, span
from agent.store.blocks import Start, Started, Step
from agent.store.journal import Journal
from agent.store.telemetry import TelemetryLog
from connectors.frame import Frame
from tests.agent.samples import SECOND_NS as NS
from tests.agent.samples import START_NS, quiet_rows
from tests.rehearsal.recordings import record_of

ROWS, CHANGED, SAID, FAULT = 4200, 300, 500, 3900
STATE_ROWS = 400
SETTLED = SAID + 600 + 150
"""By then 600 rows were learnt from, those that were not judged included."""


def lived(config: Config, restarts: tuple[int, ...] = (0,), said: Mapping[int, str] = {SAID: "temperature"}) -> Config:
    """Let the agent watch a sensor being replaced, and a fault of the new one; it keeps a state now and then."""
    values = quiet_rows(ROWS)
    values[CHANGED:, 1] += 6.0
    values[FAULT : FAULT + 40, 1] += 6.0
    detector = load_detectors(config)["pump"]
    journal = Journal(config.agent.state_dir / JOURNAL, START_NS)
    memory, raised = None, list[str]()
    log: TelemetryLog | None = None
    for row, each in enumerate(values):
        if row in restarts:
            if log is not None:
                log.close()
            start = Start(
                journal.next_number("pump"), journal.open_alert("pump"), memory,
                next_event=journal.next_event("pump"),
                rebaselining=rebaselining.running(journal.last_event("pump", rebaselining.KINDS)),
            )
            line = make_line(config, "pump", detector, start)
            log = TelemetryLog(
                config.agent.state_dir / "telemetry", layout_of(config), started=Started({"pump": start}),
                segment_bytes=20_000,
            )
        assert log is not None
        now_ns = START_NS + row * NS + 12_345
        commands: list[Command] = [Acknowledge(alert_id, "Ana", now_ns) for alert_id in raised]
        if row in said:
            commands.append(Rebaseline("pump", (said[row],), "Ana", now_ns, "new sensor"))
        frame = Frame.of(START_NS + row * NS, each, np.zeros(2))
        state = line.state() if row % STATE_ROWS == 0 else b""
        log.append(Step("pump", now_ns, frame, tuple(commands), state=state), row * NS)
        for command in commands:
            line.submit(command)
        entries = line.step(frame, now_ns)
        for entry in entries:
            journal.record(entry)
        raised = [entry.id for entry in entries if isinstance(entry, Alert) and entry.revision == 1]
        memory = line.memory
    assert log is not None
    log.close()
    journal.close()
    return config


@pytest.fixture
def config(file: Path) -> Config:
    return Config.parse(file.read_text(), file)


def at(row: int) -> int:
    return START_NS + row * NS


def deviating_s(config: Config, since_row: int, until_row: int, from_row: int = 0) -> float:
    found = course(record_of(config, since_ns=at(from_row)), at(since_row), at(until_row))
    return found.conditions[Condition.DEVIATING]


@pytest.mark.parametrize("restarts", [(0,), (0, 800, 2000)])
def test_the_report_s_evidence_the_budget_and_the_drill_know_of_it(config: Config, restarts: tuple[int, ...]) -> None:
    lived(config, restarts)
    kinds = [event.kind for event in past_of(config.agent.state_dir, "pump", 1000).events]
    assert kinds == [EventKind.REBASELINE_BEGUN, EventKind.REBASELINED]
    known = past_of(config.agent.state_dir, "pump", 1000).raised
    assert {round((one.raised_ns - START_NS) / NS) // 100 for one in known} == {CHANGED // 100, FAULT // 100}
    assert deviating_s(config, 0, SAID) > 150
    assert deviating_s(config, SAID + 100, FAULT) == 0.0, "it was learnt anew"
    assert deviating_s(config, FAULT, ROWS) > 30, "and is judged again"
    times = span(config.agent.state_dir, "pump")
    (own,) = rehearse(record_of(config), times, known, budgets=(), ramps=0).costs
    assert own.alerts == len(known)
    assert own.later_s == {one.alert_id: 0.0 for one in known}
    held = drill(
        record_of(config), times, at(ROWS), tags=("temperature",), faults=("bias",), repeats=20, within_s=200.0
    )
    assert held.moments >= 8
    assert held.findings[0].sizes[-1].seen == held.moments


def test_a_record_that_begins_after_it_begins_where_the_tags_stood(config: Config) -> None:
    lived(config)
    for begin in (SETTLED + 50, 1800, 2950):
        assert deviating_s(config, begin, FAULT, from_row=begin) == 0.0, begin
        assert deviating_s(config, FAULT, ROWS, from_row=begin) > 30
    assert deviating_s(config, 700, FAULT, from_row=700) == 0.0, "in the middle of it: it begins again"
    first = min((config.agent.state_dir / "telemetry").glob("*.fwt"))
    first.unlink()  # by the retention
    begin = round((span(config.agent.state_dir, "pump")[0] - START_NS) / NS)
    assert SAID < begin < FAULT
    assert deviating_s(config, begin, FAULT) == 0.0


def test_of_another_model_nothing_is_taken_over(config: Config) -> None:
    lived(config)
    said = config.assets["pump"]
    detector = load_detectors(config)["pump"]
    record = record_of(config, since_ns=at(1800))
    detector.hash = "another"
    other = course(type(record)(record.source, "pump", said, detector, at(1800), record.until_ns), at(1800), at(FAULT))
    assert other.conditions[Condition.DEVIATING] > 1500
