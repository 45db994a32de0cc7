"""Doubles that implement the agent's interfaces honestly, and small."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.clock import Clock
from agent.line import lifecycle
from agent.line.alert import (
    AlarmState,
    Alert,
    Command,
    GiveLabel,
    RecordOutcome,
    ReturnToService,
    TakeOutOfService,
    Withheld,
)
from agent.line.event import Entry, EventLog
from agent.line.memory import Memory
from agent.line.newest import TagReading
from agent.line.quality import Quality, QualityTracker
from agent.line.rebaselining import Progress
from agent.line.stage import Decide, Stage
from agent.line.verdict import Condition, Verdict
from agent.line.watched import Watched
from agent.line.withholding import Withholding
from connectors.frame import BAD_NO_DATA, GOOD, Frame, Tag
from connectors.link import LinkHealth, LinkState
from connectors.load import Load
from tests.agent.samples import alert as sample_alert
from tests.agent.samples import verdict as sample_verdict
from tests.clock import PATIENCE_S


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come true; the event loop and other threads go on."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - other threads set no event
            await asyncio.sleep(0.001)


@dataclass(frozen=True, slots=True)
class Snapshot:
    asset: str
    time_ns: int
    verdict: Verdict | None
    alert: Alert | None
    readings: tuple[TagReading, ...]
    rows: int
    rows_late: int = 0
    clock_steps: int = 0
    withheld: tuple[Withheld, ...] = ()
    quality: Quality = field(default_factory=lambda: QualityTracker(2).quality())
    stage: Stage = Stage.LIVE
    watched: Watched | None = None
    trial: tuple[Watched, Watched] | None = None
    rebaselining: Progress | None = None
    levels: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()


class ThresholdLine:
    """A Line whose alarm is: the first tag above `limit`. Every value changes nothing but the readings."""

    def __init__(
        self,
        asset: str,
        tags: Sequence[tuple[str, str]],
        limit: float = 100.0,
        *,
        open_alert: Alert | None = None,
        next_number: int = 1,
        withheld: Sequence[Withheld] = (),
        next_event: int = 1,
        commands_max: int = 64,
    ) -> None:
        self.asset = asset
        self.tags = tuple(name for name, _ in tags)
        self.frames: list[Frame] = []
        self._units = [unit for _, unit in tags]
        self._limit, self._number, self._commands_max = limit, next_number, commands_max
        self._alert = open_alert
        self._commands: list[Command] = []
        self._readings = tuple(TagReading(name, unit, np.nan, BAD_NO_DATA, 0) for name, unit in tags)
        self._verdict: Verdict | None = None
        self._rows = 0
        self._now_ns = 0
        self.memory: Memory | None = None
        self._log = EventLog(asset, next_event)
        self._withholding = Withholding(self._log, withheld)
        self.snapshot = Snapshot(
            asset, 0, None, open_alert, self._readings, 0, withheld=tuple(withheld), levels=self.tags
        )

    def state(self) -> bytes:
        return b""

    def submit(self, command: Command) -> bool:
        if len(self._commands) >= self._commands_max:
            return False
        self._commands.append(command)
        return True

    def step(self, frame: Frame, now_ns: int) -> list[Entry]:
        self.frames.append(frame)
        self._now_ns = now_ns
        changes: list[Entry] = [change for command in self._commands for change in self._obey(command)]
        self._commands.clear()
        changes += self._withholding.expire(now_ns)
        for row in range(frame.rows):
            self._rows += 1
            self._readings = tuple(
                old
                if status == BAD_NO_DATA
                else replace(
                    old, value=float(value), status=int(status), time_ns=int(frame.source_time_ns[row])
                )
                for old, value, status in zip(
                    self._readings, frame.values[row], frame.status[row], strict=True
                )
            )
            changes += self._judge()
        if self._alert is not None and (
            due := lifecycle.due(self._alert, self._withholding.in_force(now_ns), lifecycle.NEVER, now_ns)
        ):
            changes += self._take(due)
        return changes

    def publish(self) -> None:
        self.snapshot = Snapshot(
            self.asset, self._now_ns, self._verdict, self._alert, self._readings, self._rows,
            withheld=self._withholding.standing(), levels=self.tags,
        )

    def _judge(self) -> list[Alert]:
        high = self._readings[0].value > self._limit
        evidence = self._readings[0].value / self._limit if self._readings[0].status == GOOD else 0.0
        self._verdict = replace(
            sample_verdict(self.asset, self._now_ns, evidence),
            condition=Condition.DEVIATING if high else Condition.NORMAL,
        )
        if high and self._alert is None and not self._withholding.in_force(self._now_ns):
            self._alert = replace(
                sample_alert(self._number, asset=self.asset, raised_ns=self._now_ns), verdict=self._verdict
            )
            self._number += 1
            return [self._alert]
        if not high and self._alert is not None and self._alert.state is AlarmState.ACKNOWLEDGED:
            return self._take(lifecycle.returned(self._alert, self._now_ns, self._now_ns))
        return []

    def _obey(self, command: Command) -> Sequence[Entry]:
        if isinstance(command, TakeOutOfService | ReturnToService):
            return self._withholding.obey(command, self._now_ns)
        assert not isinstance(command, Decide), "it has no stages"
        if isinstance(command, GiveLabel) and self._alert is None and command.alert is not None:
            labelled = lifecycle.obey(command.alert, command, self._now_ns)
            return [] if labelled is None else [labelled]
        if isinstance(command, RecordOutcome):
            return [self._log.outcome(command, self._now_ns)]
        return [] if self._alert is None else self._take(lifecycle.obey(self._alert, command, self._now_ns))

    def _take(self, changed: Alert | None) -> list[Alert]:
        if changed is None:
            return []
        self._alert = changed if lifecycle.is_open(changed) else None
        return [changed]


class ScriptedLink:
    """A Link that gives what `values` returns for each read; None stands for a PLC that does not answer."""

    def __init__(
        self,
        tags: Sequence[Tag],
        clock: Clock,
        values: Callable[[int], Sequence[float] | None],
        duration_ns: int = 0,
        past: Sequence[Frame] = (),
    ) -> None:
        self.tags = tuple(tags)
        self._past = deque(past)
        self.reads = self._taken = 0
        self.closed = False
        self.duration_ns = duration_ns
        self._clock, self._values = clock, values

    @property
    def health(self) -> LinkHealth:
        state = LinkState.CLOSED if self.closed else LinkState.DELIVERING if self.reads else LinkState.IDLE
        return LinkHealth(state, self._clock.time_ns(), None, 1, self.reads, 0, self.reads, 1.5, 0.0, "")

    def take_load(self) -> Load:
        taken, self._taken = self.reads - self._taken, self.reads
        return Load(requests=taken)

    async def read(self) -> Frame:
        assert not self.closed
        if self.duration_ns:
            await self._clock.sleep_until(self._clock.monotonic_ns() + self.duration_ns)
        self.reads += 1
        values = self._values(self.reads)
        time_ns = self._clock.time_ns()
        if values is None:
            return Frame.bad(time_ns, len(self.tags), 0x80310000)
        row = np.array(values, np.float32)
        return Frame.of(time_ns, row, np.where(np.isnan(row), 0x800A0000, GOOD).astype(np.uint32))

    async def recover(self) -> Frame:
        return self._past.popleft() if self._past else Frame.empty(len(self.tags))

    async def close(self) -> None:
        self.closed = True
