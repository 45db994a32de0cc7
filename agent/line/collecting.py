"""The line of an asset that has no model yet: its values are seen and recorded, and nothing is said of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from agent.line.alert import Command, ReturnToService, TakeOutOfService, Withheld, WithheldKind
from agent.line.event import Entry, EventLog
from agent.line.line import COMMANDS_MAX, LineSettings, Snapshot
from agent.line.memory import Memory
from agent.line.newest import Newest
from agent.line.quality import QualityTracker
from agent.line.rate_of_change import RateOfChange
from agent.line.stage import Decide, Decision, Stage
from agent.line.withholding import Suppression, Withholding
from connectors.frame import Frame
from models.bundle import TagSchema

_STAGE_AFTER = {Decision.LEARN: Stage.LEARNING, Decision.NOT_LEARNT: Stage.COLLECTING}


class CollectingLine:
    """An asset in the stage *collecting* or *learning*: a line without verdicts and alerts.

    What people say of the asset, and what its tag says of cleaning, become events as they do of any other.
    """

    def __init__(
        self,
        asset: str,
        tags: Sequence[tuple[str, str]],
        settings: LineSettings,
        *,
        stage: Stage = Stage.COLLECTING,
        withheld: Sequence[Withheld] = (),
        next_event: int = 1,
    ) -> None:
        """Begin with the asset's tags as (name, unit), in the order of the columns; each has its period in `settings`.
        """
        self.asset = asset
        self.tags = tuple(name for name, _ in tags)
        self.memory: Memory | None = None
        own_ns = [period_ms * 1_000_000 for period_ms in settings.periods_ms]
        self._rate_of_change = RateOfChange(settings.max_rates or [np.inf] * len(tags), own_ns)
        self._events = EventLog(asset, next_event)
        self._withholding = Withholding(self._events, withheld)
        self._suppression: Suppression | None = None
        if (when := settings.suppressed_when) is not None:
            self._suppression_column = self.tags.index(when.tag)
            period_ns = own_ns[self._suppression_column]
            self._suppression = Suppression(when, period_ns, self._withholding, self._events)
        self._stage = stage
        self._commands: deque[Command] = deque()
        self._commands_dropped = self._rows = 0
        self._newest = Newest.none(tuple(TagSchema(name, unit, "context") for name, unit in tags))
        self._quality = QualityTracker(len(tags))
        self.snapshot = self._next_snapshot = self._snapshot(0)

    def submit(self, command: Command) -> bool:
        """Queue a command for the next step; False where the queue is full. May be called from any thread."""
        if len(self._commands) >= COMMANDS_MAX:
            self._commands_dropped += 1
            return False
        self._commands.append(command)
        return True

    def step(self, frame: Frame, now_ns: int) -> list[Entry]:
        """Take a frame and the queued commands in; return the events that come of them."""
        entries: list[Entry] = []
        while self._commands:
            entries += self._obey(self._commands.popleft(), now_ns)
        entries += self._withholding.expire(now_ns)
        frame, too_fast = self._rate_of_change.screen(frame)
        self._newest = self._newest.then(frame)
        self._quality.note(frame, now_ns, too_fast)
        self._rows += frame.rows
        if self._suppression is None:
            why = "no tag is configured to say so any longer"
            entries += self._withholding.end(WithheldKind.SUPPRESSED, now_ns, None, why)
        else:
            column = self._suppression_column
            entries += self._suppression.follow(
                frame.source_time_ns, frame.values[:, column], frame.status[:, column], now_ns
            )
        self._next_snapshot = self._snapshot(now_ns)
        return entries

    def state(self) -> bytes:
        """Return nothing: no alert comes from this line, so that no replay has to begin in the middle of it."""
        return b""

    def publish(self) -> None:
        """Show the state after the last step: one reference assignment."""
        self.snapshot = self._next_snapshot

    def _obey(self, command: Command, now_ns: int) -> Sequence[Entry]:
        match command:
            case TakeOutOfService() | ReturnToService() if command.asset == self.asset:
                return self._withholding.obey(command, now_ns)
            case Decide() if command.asset == self.asset and command.decision is not Decision.GO_LIVE:
                self._stage = _STAGE_AFTER.get(command.decision, self._stage)
                return [self._events.decided(command, now_ns)]
        return []

    def _snapshot(self, now_ns: int) -> Snapshot:
        return Snapshot(
            self.asset,
            self._stage,
            now_ns,
            None,
            None,
            self._withholding.standing(),
            self._newest,
            self._rows,
            0,
            self._commands_dropped,
            0,
            self._quality.quality(),
        )
