from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from agent.line.alert import Acknowledge, AlarmState, Alert, Answer, GiveLabel, Label
from agent.line.memory import Memory, Remembered
from agent.store.journal import Journal
from agent.store.memories import Memories
from agent.store.telemetry import TelemetryLog
from agent.worker import COMMANDS_WAITING_MAX, LAST_TRIES, Job, Worker
from tests.agent.doubles import ThresholdLine, until
from tests.agent.plant import TAGS
from tests.agent.samples import SECOND_NS, START_NS, alert, frame, revised


class Hurried:
    """A clock on which two seconds pass whenever it is asked, and none while someone sleeps."""

    def __init__(self) -> None:
        self._asked = 0

    def monotonic_ns(self) -> int:
        self._asked += 1
        return self._asked * 2 * SECOND_NS

    def time_ns(self) -> int:
        return START_NS

    async def sleep_until(self, monotonic_ns: int) -> None:
        await asyncio.sleep(0)


class Counted(Journal):
    tries = 0

    def record(self, alert: Alert) -> None:
        self.tries += 1
        super().record(alert)


def jobs(count: int) -> list[Job]:
    """Frames of which each second one is above the limit of 10."""
    times = [START_NS + i * SECOND_NS for i in range(count)]
    return [Job("pump", frame(t, 9.0 + 3 * (i % 2), 40.0), t) for i, t in enumerate(times)]


def test_a_journal_that_refuses_holds_up_the_end_by_the_last_tries_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Counted(tmp_path / "journal.sqlite3", START_NS, busy_timeout_s=0)
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    worker = Worker({"pump": ThresholdLine("pump", TAGS, 10.0)}, journal, telemetry, Hurried())
    for job in jobs(20):
        assert worker.offer(job)
    other = sqlite3.connect(journal.path)
    other.execute("BEGIN IMMEDIATE")

    async def scenario() -> None:
        worker.finish()
        await worker.run()

    asyncio.run(scenario())
    other.close()
    assert journal.tries == 1 + LAST_TRIES
    assert "an alert could not be recorded" in caplog.messages
    telemetry.close()
    journal.close()


def test_what_a_line_remembers_is_kept_at_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite3", START_NS)
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    line = ThresholdLine("pump", TAGS, 100.0)
    line.memory = Memory(START_NS, Remembered("ab12", (1.0, 2.0)), None)
    worker = Worker({"pump": line}, journal, telemetry, Hurried(), memories=Memories(tmp_path / "memories"))

    async def scenario() -> None:
        worker.offer(jobs(1)[0])
        worker.finish()
        await worker.run()

    asyncio.run(scenario())
    assert Memories(tmp_path / "memories").load("pump") == line.memory
    telemetry.close()
    journal.close()


class CountedMemories(Memories):
    """Counts how often something is kept."""

    kept = 0

    def keep(self, asset: str, memory: Memory) -> None:
        self.kept += 1
        super().keep(asset, memory)


@pytest.mark.parametrize(("interval_ns", "kept"), [(0, 4), (10**15, 1)])
def test_what_a_line_remembers_is_kept_once_an_interval_and_at_the_end(
    interval_ns: int, kept: int, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "journal.sqlite3", START_NS)
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    line = ThresholdLine("pump", TAGS, 100.0)
    line.memory = Memory(START_NS, None, Remembered("ab12", (0.5,)))
    memories = CountedMemories(tmp_path / "memories", interval_ns)
    worker = Worker({"pump": line}, journal, telemetry, Hurried(), memories=memories)

    async def scenario() -> None:
        for job in jobs(3):
            worker.offer(job)
        worker.finish()
        await worker.run()

    asyncio.run(scenario())
    assert memories.kept == kept
    telemetry.close()
    journal.close()


def test_a_command_that_the_line_refuses_waits_for_the_next_job(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite3", START_NS)
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    line = ThresholdLine("pump", TAGS, 10.0, commands_max=1)
    worker = Worker({"pump": line}, journal, telemetry, Hurried())
    said = [Acknowledge("pump-1", "Ana", START_NS + i) for i in range(COMMANDS_WAITING_MAX + 2)]
    assert [worker.submit("pump", one) for one in said] == [True] * COMMANDS_WAITING_MAX + [False] * 2
    assert worker.commands_dropped("pump") == 2

    async def scenario() -> None:
        for job in jobs(COMMANDS_WAITING_MAX):
            worker.offer(job)
        worker.finish()
        await worker.run()

    asyncio.run(scenario())
    given = [step.commands for step in telemetry.scan("pump")]
    assert given == [(one,) for one in said[:COMMANDS_WAITING_MAX]]
    telemetry.close()
    journal.close()


def test_two_labels_of_a_past_alert_are_two_revisions_though_they_wait_together(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite3", START_NS)
    journal.record(revised(alert(1), AlarmState.NORMAL))
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    worker = Worker({"pump": ThresholdLine("pump", TAGS, 100.0)}, journal, telemetry, Hurried())
    labels = [Label(Answer.NORMAL, None, "Ana", START_NS), Label(Answer.REAL, "seal", "Bo", START_NS + 1)]
    for label in labels:
        assert worker.submit("pump", GiveLabel("pump-1", label))

    async def scenario() -> None:
        for job in jobs(3):
            worker.offer(job)
        worker.finish()
        await worker.run()

    asyncio.run(scenario())
    assert [one.label for one in journal.history("pump-1")] == [None, *labels]
    given = [command for step in telemetry.scan("pump") for command in step.commands]
    assert [one.alert and one.alert.revision for one in given if isinstance(one, GiveLabel)] == [2, 3]
    telemetry.close()
    journal.close()


def test_a_label_is_of_the_alert_as_what_was_said_before_it_leaves_it(tmp_path: Path) -> None:
    """Whoever acknowledges an alert that has returned closes it; the label is then one of an alert that is over."""
    journal = Journal(tmp_path / "journal.sqlite3", START_NS)
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    worker = Worker({"pump": ThresholdLine("pump", TAGS, 10.0)}, journal, telemetry, Hurried())

    async def scenario() -> None:
        raises, last = jobs(3)[1:]
        worker.offer(raises)
        work = asyncio.create_task(worker.run())
        await until(lambda: worker.jobs_done == 1)
        assert worker.submit("pump", Acknowledge("pump-1", "Ana", START_NS))
        assert worker.submit("pump", GiveLabel("pump-1", Label(Answer.REAL, "seal", "Ana", START_NS)))
        worker.offer(last)
        worker.finish()
        await work

    asyncio.run(scenario())
    given = [step.commands for step in telemetry.scan("pump") if step.commands]
    assert [len(commands) for commands in given] == [1, 1], "each has a step of its own, both by one read"
    (label,) = given[1]
    assert isinstance(label, GiveLabel)
    assert label.alert is not None
    assert label.alert.acknowledgement is not None
    telemetry.close()
    journal.close()


@pytest.mark.parametrize("readable_again", [True, False])
def test_a_label_waits_until_the_journal_can_be_read_and_is_told_where_it_never_can(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, readable_again: bool
) -> None:
    path = tmp_path / "journal.sqlite3"
    journal = Journal(path, START_NS)
    journal.record(revised(alert(1), AlarmState.NORMAL))
    telemetry = TelemetryLog(tmp_path / "telemetry", {"pump": TAGS})
    worker = Worker({"pump": ThresholdLine("pump", TAGS, 100.0)}, journal, telemetry, Hurried())
    label = Label(Answer.REAL, "seal", "Ana", START_NS)
    assert worker.submit("pump", GiveLabel("pump-1", label))

    def rename(old: str, new: str) -> None:
        with sqlite3.connect(path) as other:
            other.execute(f"ALTER TABLE {old} RENAME TO {new}")
        other.close()

    async def scenario() -> None:
        first, second = jobs(2)
        work = asyncio.create_task(worker.run())
        rename("current", "elsewhere")
        worker.offer(first)
        await until(lambda: worker.jobs_done == 1)
        if readable_again:
            rename("elsewhere", "current")
        worker.offer(second)
        worker.finish()
        await work

    asyncio.run(scenario())
    if not readable_again:
        rename("elsewhere", "current")
    assert [one.label for one in journal.history("pump-1")] == ([None, label] if readable_again else [None])
    told = [record.said for record in caplog.records if record.message == "a command was not taken"]
    assert ["seal" in said for said in told] == ([] if readable_again else [True])
    telemetry.close()
    journal.close()


class Stateful(ThresholdLine):
    """Its state is how many frames it has taken."""

    def state(self) -> bytes:
        return b'{"frames":%d}' % len(self.frames)


def test_how_lines_stand_is_recorded_at_first_and_then_in_turn(tmp_path: Path) -> None:
    layout = {"fan": TAGS, "pump": TAGS}
    journal = Journal(tmp_path / "journal.sqlite3", START_NS)
    telemetry = TelemetryLog(tmp_path / "telemetry", layout)
    lines = {name: Stateful(name, TAGS) for name in layout}
    worker = Worker(lines, journal, telemetry, Hurried(), state_steps=10)
    for number in range(35):
        now_ns = START_NS + number * SECOND_NS
        for name in layout:
            assert worker.offer(Job(name, frame(now_ns, 9.0, 40.0), now_ns))

    async def scenario() -> None:
        worker.finish()
        await worker.run()

    asyncio.run(scenario())
    kept = {name: [(at, step.state) for at, step in enumerate(telemetry.scan(name)) if step.state] for name in layout}
    assert [at for at, _ in kept["fan"]] == [0, 5, 15, 25]
    assert [at for at, _ in kept["pump"]] == [0, 10, 20, 30]
    assert all(state == b'{"frames":%d}' % at for found in kept.values() for at, state in found)
    telemetry.close()
    journal.close()
