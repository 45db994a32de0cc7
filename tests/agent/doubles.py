"""Doubles that implement the agent's interfaces honestly, and small."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from agent.clock import Clock
from agent.line.alert import (
    Acknowledge,
    Acknowledgement,
    AlarmState,
    Alert,
    Command,
    Shelf,
    Shelve,
    Unshelve,
)
from agent.line.memory import Memory
from agent.line.quality import Quality, QualityTracker
from agent.line.verdict import Condition, Verdict
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
class TagReading:
    tag: str
    unit: str
    value: float
    status: int
    time_ns: int


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
    quality: Quality = field(default_factory=lambda: QualityTracker(2).quality())


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
        self.snapshot = Snapshot(asset, 0, None, open_alert, self._readings, 0)

    def state(self) -> bytes:
        return b""

    def submit(self, command: Command) -> bool:
        if len(self._commands) >= self._commands_max:
            return False
        self._commands.append(command)
        return True

    def step(self, frame: Frame, now_ns: int) -> list[Alert]:
        self.frames.append(frame)
        self._now_ns = now_ns
        changes = [change for command in self._commands if (change := self._obey(command))]
        self._commands.clear()
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
        return changes

    def publish(self) -> None:
        self.snapshot = Snapshot(
            self.asset, self._now_ns, self._verdict, self._alert, self._readings, self._rows
        )

    def _judge(self) -> list[Alert]:
        high = self._readings[0].value > self._limit
        evidence = self._readings[0].value / self._limit if self._readings[0].status == GOOD else 0.0
        self._verdict = replace(
            sample_verdict(self.asset, self._now_ns, evidence),
            condition=Condition.DEVIATING if high else Condition.NORMAL,
        )
        if high and self._alert is None:
            self._alert = replace(
                sample_alert(self._number, asset=self.asset, raised_ns=self._now_ns), verdict=self._verdict
            )
            self._number += 1
            return [self._alert]
        if not high and self._alert is not None and self._alert.state is AlarmState.ACKNOWLEDGED:
            return [self._change(state=AlarmState.NORMAL, returned_time_ns=self._now_ns)]
        return []

    def _obey(self, command: Command) -> Alert | None:
        if self._alert is None or command.alert_id != self._alert.id:
            return None
        match command:
            case Acknowledge(by=by, time_ns=time_ns, comment=comment):
                return self._change(
                    state=AlarmState.ACKNOWLEDGED, acknowledgement=Acknowledgement(by, time_ns, comment)
                )
            case Shelve(by=by, time_ns=time_ns, until_ns=until_ns, reason=reason):
                return self._change(shelf=Shelf(by, time_ns, until_ns, reason))
            case Unshelve():
                return self._change(shelf=None)

    def _change(self, **fields: object) -> Alert:
        assert self._alert is not None
        changed = replace(
            self._alert, revision=self._alert.revision + 1, updated_time_ns=self._now_ns, **fields
        )  # type: ignore[arg-type]
        self._alert = None if changed.state is AlarmState.NORMAL else changed
        return changed


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
