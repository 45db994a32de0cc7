"""One machine's year: simulated, read over a failing wire, watched by the agent's line, acknowledged and repaired."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from agent.backtest.judge import OFF_DELAY_S, ON_DELAY_S
from agent.line.alert import Acknowledge, AlarmState, Alert
from agent.line.line import Line, LineSettings
from agent.line.verdict import Verdict
from benchmarks.plant_year import START_S, Asset, Fault
from benchmarks.simulated_case import PERIOD_S, WEEK_S
from connectors.frame import Frame, Tag
from models import bundle
from models.runtime import Detector
from simulators import wire
from simulators.faults import HOUR_S
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant

WAKE_S: Final = HOUR_S
"""What is raised so soon after a repair is of the fault that was repaired."""
WIRE_WAKE_S: Final = 600
"""What is raised so soon after a fault of the wire is of that fault."""
ACKNOWLEDGED_AFTER_S: Final = HOUR_S
"""A person takes an alert on after an hour."""


@dataclass(frozen=True, slots=True)
class Raised:
    """An alarm was raised at a simulated second; `of_wire` says whether its wire failed then or just before."""

    time_s: float
    alert_id: str
    message: str
    verdict: Verdict
    of_wire: bool


@dataclass(frozen=True, slots=True)
class Life:
    """A remaining life as it was told at a simulated second; the truth lies in the interval in 90 % of cases."""

    time_s: float
    low_s: float
    high_s: float


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """What became of a fault: when it was repaired, what was raised from its onset on, which lives were told."""

    fault: Fault
    repaired_s: int
    raised: tuple[Raised, ...]
    lives: tuple[Life, ...]

    @property
    def first(self) -> Raised | None:
        """Return the first alarm raised between onset and failure."""
        return next((each for each in self.raised if each.time_s < self.fault.degradation.failure_s), None)

    @property
    def lead(self) -> float:
        """Return the share of the degradation that was left at the first alarm, 0 where there was none."""
        degradation = self.fault.degradation
        return 0.0 if self.first is None else (degradation.failure_s - self.first.time_s) / degradation.duration_s


@dataclass(frozen=True, slots=True)
class AssetYear:
    """What the line made of a machine's year at one budget; `other` was raised while the machine was healthy."""

    asset: Asset
    budget_per_week: float
    healthy_s: float
    faults: tuple[FaultOutcome, ...]
    other: tuple[Raised, ...]
    wire_faults: int
    simulating_cpu_s: float
    judging_cpu_s: float


def play(asset: Asset, budget_per_week: float) -> AssetYear:
    """Let the agent's line watch a machine for its year, at an alarm budget."""
    return _Year(asset, budget_per_week).play()


@lru_cache(maxsize=4)
def _detector(machine: str) -> Detector:
    return Detector(bundle.load(bundle.SHIPPED / machine))


def frame_of(plant: Plant, tags: Sequence[Tag], faults: Sequence[wire.WireFault], start_s: int) -> Frame:
    """Return what a connector would have read in an hour; `faults` are those of the wire, in any order."""
    times_ns = EPOCH_NS + (start_s + PERIOD_S * np.arange(HOUR_S // PERIOD_S, dtype=np.int64)) * 1_000_000_000
    on = [fault for fault in faults if fault.start_ns <= times_ns[-1] and fault.end_ns > times_ns[0]]
    return wire.apply(on, times_ns, plant.rows(start_s, len(times_ns), PERIOD_S), tags)


class _Year:
    """Plays hour after hour; people acknowledge and repair at full hours."""

    def __init__(self, asset: Asset, budget_per_week: float) -> None:
        self._asset, self._budget = asset, budget_per_week
        self._pending = list(asset.faults())
        self._plant = asset.plant(tuple(self._pending))
        self._tags = self._plant.opcua_tags if asset.own_seed % 2 else self._plant.tags
        self._wire = asset.wire_faults()
        starts = np.array([fault.start_ns for fault in self._wire], np.int64)
        ends = np.array([fault.end_ns for fault in self._wire], np.int64)
        self._wire_s = (starts - EPOCH_NS) / 1e9, (ends - EPOCH_NS) / 1e9
        symptoms = MACHINES[asset.machine].symptoms
        settings = LineSettings(budget_per_week / WEEK_S, ON_DELAY_S, OFF_DELAY_S, symptoms=symptoms)
        self._line = Line(asset.name, _detector(asset.machine), settings)
        self._raised: dict[float, Raised] = {}
        self._lives: list[Life] = []
        self._repaired: list[tuple[Fault, int]] = []

    def play(self) -> AssetYear:
        """Return what came of it."""
        simulating_s = judging_s = 0.0
        for start_s in range(START_S, self._asset.end_s, HOUR_S):
            began_s = time.process_time()
            frame = frame_of(self._plant, self._tags, self._near(start_s), start_s)
            simulated_s = time.process_time()
            self._watch(frame, start_s + HOUR_S)
            judging_s += time.process_time() - simulated_s
            simulating_s += simulated_s - began_s
            self._repair(start_s + HOUR_S)
        faults = tuple(self._outcome(*repaired) for repaired in self._repaired)
        of_faults = {each.time_s for fault in faults for each in fault.raised}
        other = tuple(each for each in self._raised.values() if each.time_s not in of_faults)
        sick_s = sum(each.repaired_s + WAKE_S - each.fault.degradation.onset_s for each in faults)
        healthy_s = self._asset.end_s - START_S - sick_s
        return AssetYear(
            self._asset, self._budget, healthy_s, faults, other, len(self._wire),
            simulating_s, judging_s,
        )

    def _near(self, start_s: int) -> list[wire.WireFault]:
        starts_s, ends_s = self._wire_s
        return [self._wire[index] for index in np.flatnonzero((starts_s < start_s + HOUR_S) & (ends_s > start_s))]

    def _watch(self, frame: Frame, now_s: int) -> None:
        """Let the line see an hour, note what it raises, and let people acknowledge what is an hour old."""
        now_ns = EPOCH_NS + now_s * 1_000_000_000
        for alert in self._line.step(frame, now_ns):
            if alert.state is AlarmState.UNACKNOWLEDGED:
                self._note(alert)
        self._line.publish()
        snapshot = self._line.snapshot
        if snapshot.verdict is not None and (life := snapshot.verdict.remaining_life_s) is not None:
            self._lives.append(Life((snapshot.verdict.time_ns - EPOCH_NS) / 1e9, life[0], life[2]))
        alert = snapshot.alert
        unseen = (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED)
        if alert is not None and alert.state in unseen:
            raised_s = (alert.raised_time_ns - EPOCH_NS) / 1e9
            if now_s >= raised_s + ACKNOWLEDGED_AFTER_S:
                self._line.submit(Acknowledge(alert.id, "technician", now_ns))

    def _note(self, alert: Alert) -> None:
        time_s = (alert.raised_time_ns - EPOCH_NS) / 1e9
        starts_s, ends_s = self._wire_s
        of_wire = bool(((starts_s <= time_s) & (time_s <= ends_s + WIRE_WAKE_S)).any())
        self._raised.setdefault(time_s, Raised(time_s, alert.id, alert.message, alert.verdict, of_wire))

    def _repair(self, now_s: int) -> None:
        """Repair the machine when its time has come; it is as new, and will fail of the next fault."""
        if not self._pending:
            return
        fault = self._pending[0]
        since = [time_s for time_s in self._raised if time_s >= fault.degradation.onset_s]
        if now_s >= fault.repair_s(since[0] if since else None):
            self._pending.pop(0)
            self._repaired.append((fault, now_s))
            self._plant = self._plant.repaired(now_s, [each.degradation for each in self._pending[:1]])

    def _outcome(self, fault: Fault, repaired_s: int) -> FaultOutcome:
        degradation, until_s = fault.degradation, min(fault.degradation.failure_s, repaired_s)
        end_s = repaired_s + WAKE_S
        raised = tuple(each for each in self._raised.values() if degradation.onset_s <= each.time_s < end_s)
        lives = tuple(each for each in self._lives if degradation.onset_s <= each.time_s < until_s)
        return FaultOutcome(fault, repaired_s, raised, lives)
