"""A pump watched by the worker of a real agent: journal, telemetry and states as they come to be on a gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.build import JOURNAL, layout_of, load_detectors, make_line
from agent.config.advisories import rules_of
from agent.config.file import Config, load
from agent.line.alert import Acknowledge
from agent.replay import TELEMETRY
from agent.store.blocks import Start, Started
from agent.store.journal import Journal
from agent.store.telemetry import TelemetryLog
from agent.worker import Job, Worker
from connectors.frame import BAD_TIMEOUT, Frame
from tests.agent.doubles import until
from tests.agent.samples import SECOND_NS, START_NS, quiet_rows
from tests.clock import ManualClock

SAID = 'seen </script><img src=x onerror="alert(1)"> \u202e"'


def failing_frames(rows: int, *faults: tuple[int, int]) -> list[Frame]:
    """A row a second; in a fault the second tag is 6 too high, and each 50th row of the first has no answer."""
    values = quiet_rows(rows)
    status = np.zeros(values.shape, np.uint32)
    for begin, end in faults:
        values[begin:end, 1] += 6.0
    values[20::50, 0], status[20::50, 0] = np.nan, BAD_TIMEOUT
    return [Frame.of(START_NS + i * SECOND_NS, *row) for i, row in enumerate(zip(values, status, strict=True))]


@dataclass(frozen=True)
class Watch:
    """An agent's run that is not over: journal and telemetry are open, all that was read is judged."""

    config: Config
    journal: Journal
    telemetry: TelemetryLog
    worker: Worker

    async def read(self, frames: Sequence[Frame]) -> None:
        """Judge frames, each read 12 us after it was measured; acknowledge what is open with the next."""
        for frame in frames:
            (alert,) = self.journal.alerts(limit=1).alerts or (None,)
            if alert is not None and alert.acknowledgement is None and alert.id.endswith("1"):
                self.worker.submit("pump", Acknowledge(alert.id, "Ana", int(frame.source_time_ns[0]), SAID))
            done = self.worker.jobs_done
            assert self.worker.offer(Job("pump", frame, int(frame.source_time_ns[0]) + 12_345))
            await until(lambda done=done: self.worker.jobs_done > done)
        self.telemetry.sync()


@contextmanager
def watching(file: Path, *, state_steps: int = 20_000) -> Iterator[Watch]:
    """Start as the daemon does."""
    config = load(file)
    detectors = load_detectors(config)
    journal = Journal(config.agent.state_dir / JOURNAL, START_NS)
    start = Start(journal.next_number("pump"), journal.open_alert("pump"))
    folder = config.agent.state_dir / TELEMETRY
    telemetry = TelemetryLog(folder, layout_of(config), segment_bytes=1_000, started=Started({"pump": start}))
    lines = {"pump": make_line(config, "pump", detectors["pump"], start, rules_of(config)["pump"])}
    worker = Worker(lines, journal, telemetry, ManualClock(), state_steps=state_steps)
    yield Watch(config, journal, telemetry, worker)
    telemetry.close()
    journal.close()


def watched(file: Path, frames: Sequence[Frame], *, state_steps: int = 20_000) -> None:
    """Run an agent on frames, from its start to its end."""
    with watching(file, state_steps=state_steps) as watch:
        asyncio.run(to_the_end(watch, frames))


async def to_the_end(watch: Watch, frames: Sequence[Frame]) -> None:
    running = asyncio.create_task(watch.worker.run())
    for first in range(0, len(frames), 100):
        await watch.read(frames[first : first + 100])
    watch.worker.finish()
    await running
