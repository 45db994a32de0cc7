"""The line: sole owner of one asset's window, statistics and alarm; a pure function of frames, commands and time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from agent.line import advise, state
from agent.line.advise import AlarmEvent, Change, Delays, Watch
from agent.line.alert import AlarmState, Alert, Command
from agent.line.assess import WINDOW_ROWS, Assessment, Assessor, Detector, Float64s
from agent.line.diagnose import diagnose, rounded
from agent.line.memory import Memory
from agent.line.outlook import Outlook
from agent.line.quality import Quality, QualityTracker
from agent.line.rate_of_change import RateOfChange
from agent.line.state import StateError
from agent.line.verdict import Verdict
from agent.line.window import Window
from connectors.frame import BAD_NO_DATA, BAD_WAITING_FOR_INITIAL_DATA, Float32s, Frame, Int64s, UInt32s
from models.bundle import TagSchema

COMMANDS_MAX = 64
_SHOWN = ("snapshot", "_next_snapshot", "_newest", "_quality", "_commands", "_commands_dropped", "_observe")
"""What people are shown and what they say, neither of which a verdict or an alert comes from."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What an asset's line is told: the alarm budget in alerts per second, the delays in seconds.

    `periods_ms` are the tags' own, in the order of the columns; empty where all are sampled as often as the asset.
    `max_rates` are how fast they can move, in units per second, infinite where nobody said; empty where none has one.
    """

    alerts_per_s: float
    on_delay_s: float
    off_delay_s: float
    periods_ms: tuple[int, ...] = ()
    max_rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TagReading:
    """The newest sample of a tag: `value` is NaN where `status` is Bad; `time_ns` is its source time."""

    tag: str
    unit: str
    value: float
    status: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest sample of each of C tags: `values` f32[C], `status` u32[C], `time_ns` i64[C]; never changes."""

    tags: tuple[TagSchema, ...]
    values: Float32s
    status: UInt32s
    time_ns: Int64s

    @classmethod
    def none(cls, tags: tuple[TagSchema, ...]) -> Newest:
        """Return what is known before the first frame."""
        waiting = np.full(len(tags), BAD_WAITING_FOR_INITIAL_DATA, np.uint32)
        return cls(tags, np.full(len(tags), np.nan, np.float32), waiting, np.zeros(len(tags), np.int64))

    def then(self, frame: Frame) -> Newest:
        """Return what is the newest after a frame; a cell that was not sampled leaves the one before."""
        if not frame.rows:
            return self
        sampled = frame.status != BAD_NO_DATA
        if sampled[-1].all():
            times_ns = np.full(len(self.tags), frame.source_time_ns[-1])
            return Newest(self.tags, frame.values[-1], frame.status[-1], times_ns)
        columns = np.flatnonzero(sampled.any(0))
        rows = frame.rows - 1 - np.argmax(sampled[::-1, columns], 0)
        values, status, times_ns = self.values.copy(), self.status.copy(), self.time_ns.copy()
        values[columns], status[columns] = frame.values[rows, columns], frame.status[rows, columns]
        times_ns[columns] = frame.source_time_ns[rows]
        return Newest(self.tags, values, status, times_ns)

    def readings(self) -> tuple[TagReading, ...]:
        """Return one object for each tag."""
        each = zip(self.tags, self.values.tolist(), self.status.tolist(), self.time_ns.tolist(), strict=True)
        return tuple(TagReading(tag.name, tag.unit, *sample) for tag, *sample in each)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the API may see of an asset at one moment; never changes.

    `alert` is the open one. `rows` counts grid rows, `rows_late` samples that came too late for theirs,
    `commands_dropped` commands refused because the queue was full, `clock_steps` how often the source's clock was
    set, back or ahead.
    """

    asset: str
    time_ns: int
    verdict: Verdict | None
    alert: Alert | None
    newest: Newest
    rows: int
    rows_late: int
    commands_dropped: int
    clock_steps: int
    quality: Quality

    @property
    def readings(self) -> tuple[TagReading, ...]:
        """The newest sample of each tag."""
        return self.newest.readings()


class Line:
    """One asset from frame to alert: `step` changes the state, `publish` shows it as the `snapshot`, for any thread."""

    def __init__(
        self,
        asset: str,
        detector: Detector,
        settings: LineSettings,
        *,
        open_alert: Alert | None = None,
        next_number: int = 1,
        memory: Memory | None = None,
        observe: Callable[[Assessment], None] | None = None,
    ) -> None:
        """Start from the learnt reference; `open_alert`, `next_number` and `memory` continue after a restart.

        `observe` is told what each step has made of its rows.
        """
        manifest = detector.manifest
        self.settings, self._observe = settings, observe
        self.asset = asset
        self.tags = tuple(tag.name for tag in manifest.tags)
        self.period_ns = manifest.period_ms * 1_000_000
        self._detector = detector
        own_ns = [period_ms * 1_000_000 for period_ms in settings.periods_ms] or [self.period_ns] * len(self.tags)
        self._rate_of_change = RateOfChange(settings.max_rates or [np.inf] * len(self.tags), own_ns)
        self._window = Window(len(self.tags), self.period_ns, WINDOW_ROWS, own_ns)
        self._assessor = Assessor(detector, settings.alerts_per_s)
        if memory is not None and memory.wander is not None:
            self._assessor.restore(memory.wander)
        self._outlook = Outlook(detector, memory)
        self._watch = Watch(self._delays(settings), raised=open_alert is not None and _is_active(open_alert))
        self._alert = open_alert
        self._peak = 0.0
        self._next_number = next_number
        self._commands: deque[Command] = deque()
        self._commands_dropped = 0
        self._rows = 0
        self._newest = Newest.none(manifest.tags)
        self._quality = QualityTracker(len(self.tags))
        self.snapshot = Snapshot(asset, 0, None, open_alert, self._newest, 0, 0, 0, 0, self._quality.quality())
        self._next_snapshot = self.snapshot

    def submit(self, command: Command) -> bool:
        """Queue a person's command for the next step; False where the queue is full. May be called from any thread."""
        if len(self._commands) >= COMMANDS_MAX:
            self._commands_dropped += 1
            return False
        self._commands.append(command)
        return True

    def step(self, frame: Frame, now_ns: int) -> list[Alert]:
        """Take a frame and the queued commands in; return the alerts they change, oldest revision first.

        The frame's columns are the asset's tags; `now_ns` is the agent's UTC time. The caller records the alerts
        and then calls `publish`.
        """
        changed = self._obey(now_ns)
        frame, too_fast = self._rate_of_change.screen(frame)
        self._newest = self._newest.then(frame)
        self._quality.note(frame, now_ns, too_fast)
        grid = self._window.push(frame, now_ns)
        verdict = self._next_snapshot.verdict
        if grid.rows:
            self._rows += grid.rows
            assessment = self._assessor.update(grid)
            if self._observe is not None:
                self._observe(assessment)
            self._quality.frozen(self._stood_s(assessment))
            changed += self._advise(assessment, now_ns)
            verdict = self._verdict(assessment, grid.rows - 1)
        if self._alert is not None:
            changed += self._revise(advise.expire(self._alert, now_ns))
        self._next_snapshot = Snapshot(
            self.asset,
            now_ns,
            verdict,
            self._alert,
            self._newest,
            self._rows,
            self._window.late,
            self._commands_dropped,
            self._window.clock_steps,
            self._quality.quality(),
        )
        return changed

    @property
    def memory(self) -> Memory | None:
        """Return what is to be kept of the asset over a restart, None before its first row."""
        newest_ns = self._outlook.newest_ns
        return None if newest_ns is None else Memory(newest_ns, self._outlook.life, self._assessor.wander)

    def state(self) -> bytes:
        """Return all that the next verdicts and alerts come from beside the model: what `resume` goes on from, exactly.

        What people are shown of the newest values and their quality is not in it.
        """
        new = Line(self.asset, self._detector, self.settings)
        return state.dumps({
            "model": self._detector.hash,
            "settings": state.whole(self.settings),
            "line": state.changes(self, new, _SHOWN),
        })

    @classmethod
    def resume(
        cls, asset: str, detector: Detector, kept: bytes, observe: Callable[[Assessment], None] | None = None
    ) -> Self:
        """Return a line that stands as another one did, with its settings; raise StateError where it cannot."""
        said = state.loads(kept)
        if said.get("model") != detector.hash:
            raise StateError(f"it is of the model {said.get('model')}, and this is {detector.hash}")
        settings = state.value_of(said.get("settings"))
        if not isinstance(settings, LineSettings):
            raise StateError("it has no settings")
        line = cls(asset, detector, settings, observe=observe)
        state.apply(line, said.get("line", {}))
        return line

    def publish(self) -> None:
        """Show the state after the last step: one reference assignment."""
        self.snapshot = self._next_snapshot

    def _stood_s(self, assessment: Assessment) -> Float64s:
        """Return f64[C]: for how long each tag that is stuck has stood still, in seconds, 0 for the others."""
        frozen = assessment.frozen[-1]
        limits = self._detector.statistics.frozen_limits
        return np.where(frozen >= 1.0, frozen * limits * (self.period_ns / 1e9), 0.0)

    def _delays(self, settings: LineSettings) -> Delays:
        period_s = self.period_ns / 1e9
        return Delays(max(1, round(settings.on_delay_s / period_s)), max(1, round(settings.off_delay_s / period_s)))

    def _obey(self, now_ns: int) -> list[Alert]:
        changed = []
        while self._commands:
            command = self._commands.popleft()
            if self._alert is not None:
                changed += self._revise(advise.obey(self._alert, command, now_ns))
        return changed

    def _advise(self, assessment: Assessment, now_ns: int) -> list[Alert]:
        changed: list[Alert] = []
        evidence = np.where(assessment.judged, assessment.evidence, 0.0)
        noted = 0
        for change in self._watch.changes(assessment):
            self._peak = max(self._peak, float(evidence[noted : change.row + 1].max(initial=0.0)))
            self._outlook.follow(assessment, noted, change.row + 1)
            changed += self._apply(change, assessment, now_ns)
            noted = change.row + 1
        # The next revision of the alert will tell.
        self._peak = max(self._peak, float(evidence[noted:].max(initial=0.0)))
        self._outlook.follow(assessment, noted, assessment.rows)
        return changed

    def _revise(self, alert: Alert | None) -> list[Alert]:
        """Take over the alert's next revision, if there is one."""
        if alert is None:
            return []
        revised = replace(alert, peak_evidence=max(alert.peak_evidence, rounded(self._peak)))
        self._alert = revised if advise.is_open(revised) else None
        return [revised]

    def _apply(self, change: Change, assessment: Assessment, now_ns: int) -> list[Alert]:
        verdict = self._verdict(assessment, change.row)
        onset_ns = verdict.time_ns - change.since_rows * self.period_ns
        if self._alert is not None:
            return self._revise(advise.move(self._alert, change.event, onset_ns, now_ns, verdict))
        if change.event is not AlarmEvent.RAISE:
            return []
        alert_id = f"{self.asset}-{self._next_number}"
        self._next_number += 1
        self._peak = verdict.evidence
        return self._revise(advise.raised(alert_id, onset_ns, now_ns, verdict))

    def _verdict(self, assessment: Assessment, row: int) -> Verdict:
        """Return the verdict on new row `row`, the newest that the outlook has followed."""
        return self._outlook.complete(diagnose(self.asset, assessment, row, self._detector))


def _is_active(alert: Alert) -> bool:
    return alert.state in (AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED)
