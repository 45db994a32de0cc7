"""The line: sole owner of one asset's window, statistics and alarm; a pure function of frames, commands and time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np

from agent.line import advise, lifecycle, state
from agent.line.advise import Change, Delays, Watch
from agent.line.advisory import Rule, advisory_of
from agent.line.alert import (
    AlarmEvent,
    Alert,
    AssetCommand,
    Command,
    Consequence,
    GiveLabel,
    RecordOutcome,
    ReturnToService,
    TakeOutOfService,
    Withheld,
    WithheldKind,
)
from agent.line.assess import WINDOW_ROWS, Assessment, Assessor, Detector, Float64s
from agent.line.changes import Changes
from agent.line.deliberation import Opinions
from agent.line.diagnose import diagnose, rounded
from agent.line.event import AssetEvent, Entry, EventKind, EventLog
from agent.line.lifecycle import NEVER, Patience
from agent.line.likeness import Familiar, Prototype, Prototypes, Signatures
from agent.line.memory import Memory, Remembered
from agent.line.newest import Newest, TagReading
from agent.line.outlook import Outlook
from agent.line.quality import Quality, QualityTracker
from agent.line.rate_of_change import RateOfChange
from agent.line.rebaselining import Progress
from agent.line.second_look import SecondLook
from agent.line.stage import Decide, Decision, Stage
from agent.line.state import StateError
from agent.line.verdict import Verdict
from agent.line.watched import Tally, Watched
from agent.line.window import Grid, Window
from agent.line.withholding import SuppressedWhen, Suppression, Withholding
from connectors.frame import Bools, Frame
from models.bundle import TagSchema

COMMANDS_MAX = 64
_SHOWN = ("snapshot", "_next_snapshot", "_newest", "_quality", "_commands", "_commands_dropped", "_observe")
"""What people are shown and what they say, neither of which a verdict or an alert comes from."""


@dataclass(frozen=True, slots=True)
class LineSettings:
    """What an asset's line is told: the alarm budget in alerts per second, the delays in seconds.

    `periods_ms` are the tags' own, in the order of the columns; empty where all are sampled as often as the asset.
    `max_rates` are how fast they can move, in units per second, infinite where nobody said; empty where none has one.
    An alert whose cause is not clear waits for it for `cause_delay_s` at most.
    `hold_ns` is for how long alerts are on hold after a change was seen, 0 for not at all.
    `context` are tags (name, unit) beside those of the model, in the columns behind them: kept, and never scored.
    `symptoms` are the tags that are measured to see faults of the machine, `rules` say what to check first.
    """

    alerts_per_s: float
    on_delay_s: float
    off_delay_s: float
    periods_ms: tuple[int, ...] = ()
    max_rates: tuple[float, ...] = ()
    context: tuple[tuple[str, str], ...] = ()
    suppressed_when: SuppressedWhen | None = None
    patience: Patience = NEVER
    consequence: Consequence = Consequence.MAJOR
    symptoms: tuple[str, ...] = ()
    hold_ns: int = 0
    rules: tuple[Rule, ...] = ()
    cause_delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the API may see of an asset at one moment; never changes.

    `alert` is the open one that people are shown, `withheld` what keeps the asset's alerts from them, now or at a time
    to come. `rows` counts grid rows, `rows_late` samples that came too late for theirs, `commands_dropped` commands
    refused because the queue was full, `clock_steps` how often the source's clock was set, back or ahead. `watched`
    says for how long the model has judged, None without one, `trial` the same of champion and challenger since one is,
    `rebaselining` how far it is where the level of some tags is being learnt anew, `levels` which tags have one of
    their own in the model, and `switches` which switch between a few values instead.
    """

    asset: str
    stage: Stage
    time_ns: int
    verdict: Verdict | None
    alert: Alert | None
    withheld: tuple[Withheld, ...]
    newest: Newest
    rows: int
    rows_late: int
    commands_dropped: int
    clock_steps: int
    quality: Quality
    watched: Watched | None = None
    trial: tuple[Watched, Watched] | None = None
    rebaselining: Progress | None = None
    levels: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()

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
        withheld: Sequence[Withheld] = (),
        next_event: int = 1,
        shadow: bool = False,
        series: str | None = None,
        rebaselining: AssetEvent | None = None,
        prototypes: Sequence[Prototype] = (),
        observe: Callable[[Assessment], None] | None = None,
    ) -> None:
        """Start from the learnt reference; what is given beside it continues after a restart.

        `observe` is told what each step has made of its rows. In `shadow` what is raised is for nobody to see, until a
        person decides to go live. Alerts are numbered within a `series`, that of the asset where none is said.
        """
        manifest = detector.manifest
        self.settings, self._observe = settings, observe
        context = tuple(TagSchema(name, unit, "context") for name, unit in settings.context)
        tags = manifest.tags + context
        self.asset, self.series = asset, series or asset
        self.tags = tuple(tag.name for tag in tags)
        self.period_ns = manifest.period_ms * 1_000_000
        self._detector = detector
        self._opinions = Opinions(detector, settings.symptoms)
        self._model_columns = np.arange(len(manifest.tags))
        own_ns = [period_ms * 1_000_000 for period_ms in settings.periods_ms] or [self.period_ns] * len(tags)
        self._rate_of_change = RateOfChange(settings.max_rates or [np.inf] * len(tags), own_ns)
        self._window = Window(len(manifest.tags), self.period_ns, WINDOW_ROWS, own_ns[: len(manifest.tags)])
        self._assessor = Assessor(detector, settings.alerts_per_s)
        if memory is not None and memory.wander is not None:
            self._assessor.restore(memory.wander)
        self._outlook = Outlook(detector, memory)
        delays = Delays.of(settings.on_delay_s, settings.off_delay_s, self.period_ns / 1e9, settings.cause_delay_s)
        standing = None if open_alert is None or not lifecycle.is_standing(open_alert) else open_alert.verdict.evidence
        kept = () if memory is None or memory.watch is None else memory.watch.of(detector.hash)
        self._tally = Tally(detector.hash, delays.period_s, kept[:2])
        self._watch = Watch(delays, raised=standing is not None, level=standing or 1.0, chatter=kept[2:4])
        self._second_look = SecondLook()
        self._patience, self._consequence = settings.patience, settings.consequence
        self._alert = open_alert
        self._peak = 0.0
        self._signatures = Signatures(detector)
        self._prototypes = Prototypes(prototypes)
        self._familiar = Familiar(delays.on_rows)
        self._next_number = next_number
        self._log = log = EventLog(asset, next_event)
        self._shadow = shadow
        self._withholding = Withholding(log, withheld)
        self._changes = Changes(detector, self._assessor.baseline, self._withholding, log, settings.hold_ns, kept[4:])
        if rebaselining is not None:
            self._changes.rebaselining.resume(rebaselining)
        self._suppression: Suppression | None = None
        if (when := settings.suppressed_when) is not None:
            self._suppression_column = self.tags.index(when.tag)
            self._suppression = Suppression(when, own_ns[self._suppression_column], self._withholding, log)
        self._commands: deque[Command] = deque()
        self._commands_dropped = 0
        self._rows = 0
        self._newest = Newest.none(tags)
        self._quality = QualityTracker(len(tags))
        self.snapshot = self._next_snapshot = self._snapshot(0, None)

    def submit(self, command: Command) -> bool:
        """Queue a person's command for the next step; False where the queue is full. May be called from any thread."""
        if len(self._commands) >= COMMANDS_MAX:
            self._commands_dropped += 1
            return False
        self._commands.append(command)
        return True

    def step(self, frame: Frame, now_ns: int) -> list[Entry]:
        """Take a frame and the queued commands in; return what the journal is to keep, in order.

        These are events of the asset and revisions of its alerts. The frame's columns are the asset's tags; `now_ns` is
        the agent's UTC time. The caller records them and then calls `publish`.
        """
        entries = self._obey(now_ns)
        entries += self._changes.expire(now_ns)
        frame, too_fast = self._rate_of_change.screen(frame)
        self._newest = self._newest.then(frame)
        self._quality.note(frame, now_ns, too_fast)
        entries += self._follow_suppression(frame, now_ns)
        grid = self._window.push(self._of_model(frame), now_ns)
        verdict = self._next_snapshot.verdict
        if grid.rows:
            self._rows += grid.rows
            withheld = self._withheld(grid, now_ns)
            assessment = self._assessor.update(grid, withheld)
            if self._observe is not None:
                self._observe(assessment)
            self._tally.note(assessment, withheld, now_ns)
            self._quality.frozen(self._stood_s(assessment))
            entries += self._changes.follow(assessment, partial(self._diagnosed, assessment), now_ns)
            entries += self._advise(assessment, withheld, now_ns)
            verdict = self._verdict(assessment, grid.rows - 1)
            entries += self._reassess(verdict, now_ns)
        entries += self._tend(now_ns)
        self._next_snapshot = self._snapshot(now_ns, verdict)
        return entries

    @property
    def memory(self) -> Memory | None:
        """Return what is to be kept of the asset over a restart, None before its first row."""
        newest_ns = self._outlook.newest_ns
        if newest_ns is None:
            return None
        watch = Remembered(self._detector.hash, self._tally.state + self._watch.chatter + self._changes.told)
        return Memory(newest_ns, self._outlook.life, self._assessor.wander, watch)

    @property
    def rebaselining(self) -> Progress | None:
        """How far it is where the level of some tags is being learnt anew, None where none is."""
        return self._changes.rebaselining.progress

    @property
    def watched(self) -> Watched:
        """For how long its model has judged the asset."""
        return self._tally.watched

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

    def _snapshot(self, now_ns: int, verdict: Verdict | None) -> Snapshot:
        return Snapshot(
            self.asset,
            Stage.SHADOW if self._shadow else Stage.LIVE,
            now_ns,
            verdict,
            None if self._alert is None or self._alert.shadow else self._alert,
            self._withholding.standing(),
            self._newest,
            self._rows,
            self._window.late,
            self._commands_dropped,
            self._window.clock_steps,
            self._quality.quality(),
            self._tally.watched,
            rebaselining=self.rebaselining,
            levels=self._changes.rebaselining.levels,
            switches=self._changes.rebaselining.switches,
        )

    def _of_model(self, frame: Frame) -> Frame:
        """Return the columns of a frame that the model knows."""
        return frame if len(self._model_columns) == frame.columns else frame.select(self._model_columns)

    def _stood_s(self, assessment: Assessment) -> Float64s:
        """Return f64[C]: for how long each tag that is stuck has stood still, in seconds, 0 for the others."""
        frozen = assessment.frozen[-1]
        limits = self._detector.statistics.frozen_limits
        stood_s = np.where(frozen >= 1.0, frozen * limits * (self.period_ns / 1e9), 0.0)
        return np.concatenate([stood_s, np.zeros(len(self.tags) - len(stood_s))])

    def _follow_suppression(self, frame: Frame, now_ns: int) -> list[AssetEvent]:
        if self._suppression is None:
            why = "no tag is configured to say so any longer"
            return self._withholding.end(WithheldKind.SUPPRESSED, now_ns, None, why)
        column = self._suppression_column
        return self._suppression.follow(
            frame.source_time_ns, frame.values[:, column], frame.status[:, column], now_ns
        )

    def _withheld(self, grid: Grid, now_ns: int) -> Bools | None:
        """Return in which rows the asset's alerts are withheld, bool[N]; None for in none."""
        in_force = self._withholding.in_force(now_ns)
        suppressed = None if self._suppression is None else self._suppression.covers(grid.time_ns, self.period_ns)
        if any(one.kind is not WithheldKind.SUPPRESSED for one in in_force):
            return np.ones(grid.rows, np.bool_)
        return suppressed if suppressed is not None and suppressed.any() else None

    def _obey(self, now_ns: int) -> list[Entry]:
        entries: list[Entry] = []
        while self._commands:
            command = self._commands.popleft()
            if isinstance(command, AssetCommand):
                entries += self._obey_of_asset(command, now_ns) if command.asset == self.asset else []
            elif isinstance(command, Decide):
                entries += self._decide(command, now_ns) if command.asset == self.asset else []
            elif isinstance(command, GiveLabel):
                entries += self._label(command, now_ns)
            elif self._alert is not None:
                entries += self._revise(lifecycle.obey(self._alert, command, now_ns))
        return entries

    def _decide(self, command: Decide, now_ns: int) -> list[Entry]:
        """Take a decision over; an alert that stands in shadow is one for people to see once the asset is live."""
        if command.decision is Decision.GO_LIVE:
            if not self._shadow:
                return []
            self._shadow = False
            standing = self._alert if self._alert is not None and self._alert.shadow else None
            shown = None if standing is None else lifecycle.gone_live(standing, command.by, now_ns)
            return [self._log.decided(command, now_ns), *self._revise(shown)]
        return [self._log.decided(command, now_ns)]

    def _obey_of_asset(self, command: AssetCommand, now_ns: int) -> list[AssetEvent]:
        if isinstance(command, TakeOutOfService | ReturnToService):
            return self._withholding.obey(command, now_ns)
        if isinstance(command, RecordOutcome):
            return [self._log.outcome(command, now_ns)]
        return self._changes.obey(command, now_ns)

    def _label(self, command: GiveLabel, now_ns: int) -> list[Alert]:
        """Label the open alert, or one that is over; learn from it, and from that of another asset of the bundle."""
        if self._alert is not None and self._alert.id == command.alert_id:
            revised = self._revise(lifecycle.obey(self._alert, command, now_ns))
            self._prototypes.learn(revised[0])
            return revised
        if command.alert is None or (labelled := lifecycle.obey(command.alert, command, now_ns)) is None:
            return []
        self._prototypes.learn(labelled)
        # What is open is its line's to revise; what stands in shadow when a record or a challenger ends has none.
        nobodys = labelled.shadow or not lifecycle.is_open(labelled)
        return [labelled] if labelled.asset == self.asset and nobodys else []

    def _tend(self, now_ns: int) -> list[Alert]:
        """Revise the open alert by what time calls for, and by what withholds the asset's alerts."""
        revisions: list[Alert] = []
        while self._alert is not None:
            in_force = self._withholding.in_force(now_ns)
            changed = self._revise(lifecycle.due(self._alert, in_force, self._patience, now_ns))
            if not changed:
                break
            revisions += changed
        return revisions

    def _advise(self, assessment: Assessment, withheld: Bools | None, now_ns: int) -> list[Entry]:
        changed: list[Entry] = []
        noted, opinion = 0, self._opinions.of(assessment)
        alert_withheld = self._alert is not None and bool(self._alert.withheld)
        for change in self._watch.changes(assessment, withheld, opinion, alert_withheld=alert_withheld):
            changed += self._follow(assessment, noted, change.row + 1, withheld, now_ns)
            changed += self._apply(change, assessment, now_ns)
            noted = change.row + 1
        # The next revision of the alert will tell.
        return changed + self._follow(assessment, noted, assessment.rows, withheld, now_ns)

    def _follow(
        self, assessment: Assessment, begin: int, end: int, withheld: Bools | None, now_ns: int
    ) -> list[Entry]:
        """Note rows in which the alarm does not change; what a pattern labelled normal has become in them is raised."""
        if not self._familiar.stands:
            self._note(assessment, begin, end)
            return []
        row = self._familiar.outgrown(assessment, begin, end, withheld, self._signatures, self._prototypes)
        if row is None:
            self._note(assessment, begin, end)
            return []
        self._note(assessment, begin, row + 1)
        change = Change(row, AlarmEvent.RAISE, self._familiar.on_rows - 1)
        raised = self._raise(change, self._verdict(assessment, row), assessment, now_ns)
        self._note(assessment, row + 1, end)
        return raised

    def _note(self, assessment: Assessment, begin: int, end: int) -> None:
        evidence = np.where(assessment.judged[begin:end], assessment.evidence[begin:end], 0.0)
        self._peak = max(self._peak, float(evidence.max(initial=0.0)))
        self._outlook.follow(assessment, begin, end)
        if self._alert is not None and lifecycle.is_standing(self._alert):
            self._signatures.follow(assessment, begin, end)

    def _reassess(self, verdict: Verdict, now_ns: int) -> list[Alert]:
        """Revise the alert that stands where another cause has become clear."""
        alert = self._alert
        if alert is None or not lifecycle.is_standing(alert):
            self._second_look.forget()
            return []
        if not self._second_look.differs(alert.verdict.cause, verdict):
            return []
        priority, message = advise.priority(verdict, self._consequence), advise.message(verdict, alert.like)
        advisory = advisory_of(self.settings.rules, verdict)
        return self._revise(lifecycle.reassessed(alert, verdict, priority, message, advisory, now_ns))

    def _revise(self, alert: Alert | None) -> list[Alert]:
        """Take over the alert's next revision, if there is one."""
        if alert is None:
            return []
        revised = replace(
            alert, peak_evidence=max(alert.peak_evidence, rounded(self._peak)),
            peak_signature=self._signatures.peak(alert.peak_signature),
        )
        self._alert = revised if lifecycle.is_open(revised) else None
        return [revised]

    def _apply(self, change: Change, assessment: Assessment, now_ns: int) -> list[Entry]:
        verdict = self._verdict(assessment, change.row)
        if self._familiar.stands:
            if change.event is AlarmEvent.RETURN:
                self._familiar.over()
            return []
        if change.event is AlarmEvent.RETURN:
            alert = self._alert
            return [] if alert is None else [*self._revise(lifecycle.returned(alert, verdict.time_ns, now_ns))]
        signature = self._signatures.at(assessment, change.row)
        known = self._prototypes.normal(signature, self._signatures.model_hash)
        if change.event is AlarmEvent.RAISE and known is not None:
            self._familiar.begin()
            said = f"known since {known.alert_id} as normal, and no larger: no alert is raised"
            return [self._log.event(EventKind.KNOWN_PATTERN, now_ns, since_ns=verdict.time_ns, comment=said,
                                    about=known.alert_id)]
        return self._raise(change, verdict, assessment, now_ns)

    def _raise(self, change: Change, verdict: Verdict, assessment: Assessment, now_ns: int) -> list[Entry]:
        """Return the alert that a change calls for: a new one, or the next revision of the open one."""
        onset_ns, row = verdict.time_ns - change.since_rows * self.period_ns, change.row
        signature = self._signatures.at(assessment, row)
        like = self._prototypes.nearest(signature, verdict.fault_probabilities)
        new = lifecycle.raised(
            f"{self.series}-{self._next_number}", onset_ns, now_ns, verdict,
            advise.priority(verdict, self._consequence), advise.message(verdict, like),
            advisory_of(self.settings.rules, verdict), signature, like, shadow=self._shadow,
        )
        self._signatures.begin()
        if self._alert is not None:
            again = lifecycle.worsened if change.event is AlarmEvent.REALARM else lifecycle.raised_again
            return [*self._revise(again(self._alert, new))]
        self._next_number += 1
        self._peak = verdict.evidence
        return [*self._revise(new)]

    def _verdict(self, assessment: Assessment, row: int) -> Verdict:
        """Return the verdict on new row `row`, the newest that the outlook has followed."""
        return self._outlook.complete(self._diagnosed(assessment, row))

    def _diagnosed(self, assessment: Assessment, row: int) -> Verdict:
        return diagnose(self.asset, assessment, row, self._detector, self._opinions.symptoms)
