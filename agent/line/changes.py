"""What was done to an asset: a change that is seen puts its alerts on hold, and people say what it was, if anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agent.line.alert import DeclareNormal, EndHold, Rebaseline, SeeChange, Withheld, WithheldKind
from agent.line.assess import Assessment, Detector
from agent.line.event import AssetEvent, EventKind, EventLog
from agent.line.rebaselining import Rebaselining
from agent.line.sentinel import Hold, SensorWatch, SetpointWatch
from agent.line.verdict import Verdict
from agent.line.withholding import Withholding
from models.baseline import Baseline

ChangeCommand = DeclareNormal | SeeChange | EndHold | Rebaseline


class Changes:
    """Follows the changes of one asset; it owns the hold, and what is learnt anew."""

    def __init__(
        self, detector: Detector, baseline: Baseline, withholding: Withholding, log: EventLog, hold_ns: int,
        told: Sequence[float] = (),
    ) -> None:
        """Put alerts on hold for `hold_ns` after a change, for 0 not at all; `told` goes on from before a restart."""
        self._baseline, self._withholding, self._log, self._hold_ns = baseline, withholding, log, hold_ns
        self._hold = Hold()
        self._setpoints, self._sensors = SetpointWatch(detector, told), SensorWatch(detector, baseline)
        self.rebaselining = Rebaselining(detector, baseline, log)

    @property
    def told(self) -> tuple[float, ...]:
        """Which set-points were told to be outside, to be remembered over a restart."""
        return self._setpoints.told

    def obey(self, command: ChangeCommand, now_ns: int) -> list[AssetEvent]:
        """Return the events that a command makes, none where it does not apply."""
        match command:
            case DeclareNormal():
                return [self._log.event(
                    EventKind.NORMAL, now_ns, since_ns=command.since_ns, until_ns=command.until_ns, by=command.by,
                    comment=command.comment,
                )]
            case SeeChange():
                return [self._see(command.cause, command.about, now_ns)]
            case EndHold():
                return self._end_hold(command.comment or "nothing has changed", command.by, now_ns)
            case Rebaseline():
                begun = self.rebaselining.begin(command.tags, command.by, command.comment, now_ns)
                why = f"the level of {', '.join(command.tags)} is learnt anew"
                return self._end_hold(why, command.by, now_ns) + begun if begun else []

    def expire(self, now_ns: int) -> list[AssetEvent]:
        """Return the events of what no longer withholds the asset's alerts, since its time is over."""
        return self._withholding.expire(now_ns, self._meanwhile)

    def follow(
        self, assessment: Assessment, verdict: Callable[[int], Verdict], now_ns: int
    ) -> list[AssetEvent]:
        """Take in new rows, `verdict` that on one of them; return what they tell of changes."""
        events = self.rebaselining.follow(now_ns)
        learning = self._baseline.learning.any()
        for seen in self._setpoints.follow(assessment) + ([] if learning else self._sensors.follow(assessment)):
            if not seen.over:
                events.append(self._see(seen.cause, seen.about, now_ns))
            elif self._hold.about == seen.about:
                events += self._end_hold(seen.cause, None, now_ns)
        if self._withholding.has(WithheldKind.ON_HOLD):
            self._hold.note(assessment, verdict)
        return events

    def _see(self, cause: str, about: str, now_ns: int) -> AssetEvent:
        """Put the alerts on hold; where they are already, for no longer than they would be."""
        before = self._withholding.way(WithheldKind.ON_HOLD)
        if before is None and not self._hold_ns:
            return self._log.event(EventKind.CHANGE_SEEN, now_ns, until_ns=now_ns, comment=cause, about=about)
        window = (now_ns, now_ns + self._hold_ns) if before is None else (before.since_ns, before.until_ns)
        if before is None:
            self._hold = Hold(about)
        return self._withholding.begin(Withheld(WithheldKind.ON_HOLD, None, *window, cause), now_ns, about)

    def _end_hold(self, comment: str, by: str | None, now_ns: int) -> list[AssetEvent]:
        said = comment + self._meanwhile(WithheldKind.ON_HOLD)
        return self._withholding.end(WithheldKind.ON_HOLD, now_ns, by, said)

    def _meanwhile(self, kind: WithheldKind) -> str:
        return f"; {self._hold.sentence()}" if kind is WithheldKind.ON_HOLD else ""
