"""One machine's year: simulated, read over a failing wire, watched by the agent's line, acknowledged and repaired."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agent.line.alert import Acknowledge, AlarmEvent, AlarmState, Alert, Signature
from agent.line.line import Line, LineSettings
from agent.line.verdict import Verdict
from benchmarks.plant_model import PERIOD_S, detector
from benchmarks.plant_year import ROUND_S, START_S, Asset, Fault
from benchmarks.simulated_case import WEEK_S
from connectors.frame import Frame, NodeAddress, Tag
from simulators import wire
from simulators.faults import HOUR_S
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant
from simulators.wire import WireKind

ON_DELAY_S: Final = 300.0
OFF_DELAY_S: Final = 8 * 3600.0
"""What a careful engineer gives a machine that is read once a minute: five rows with a deviation, a shift without one.

A shift is longer than it makes one product, and a fault may show in one product alone.
"""
CAUSE_DELAY_S: Final = 8 * 3600.0
"""So long may a slight alert wait for its cause, a shift: the machines fail within half a day to three days."""
HEALTH_TWICE: Final = 0.2
"""The health at twice the limit, 1 / (1 + 2^2)."""
WAKE_S: Final = HOUR_S
"""What is raised so soon after a repair is of the fault that was repaired."""
WIRE_WAKE_S: Final = 600
"""What is raised so soon after a fault of the wire that was seen is of that fault."""


@dataclass(frozen=True, slots=True)
class Raised:
    """People heard of an alert at a simulated second; `of_wire` says whether its wire failed then or just before.

    `worse` says that it stood already, and had become worse; `signature` is what it looked like when it was raised.
    `seen` is what it said at the end of the round, when people came to look.
    """

    time_s: float
    alert_id: str
    message: str
    verdict: Verdict
    of_wire: bool
    seen: Verdict
    worse: bool = False
    signature: Signature = ()


@dataclass(frozen=True, slots=True)
class Life:
    """A remaining life as it was told at a simulated second: how long until the evidence is at twice its limit.

    The truth lies in the interval in 90 % of cases.
    """

    time_s: float
    low_s: float
    high_s: float

    def holds(self, reached_s: float | None, repaired_s: float) -> bool | None:
        """Return whether it was right, where it was reached in the round before a simulated second or never.

        None where the repair came before anybody could know.
        """
        if reached_s is None:
            return False if self.time_s + self.high_s < repaired_s else None
        return self.time_s + self.low_s <= reached_s and reached_s - ROUND_S <= self.time_s + self.high_s


@dataclass(frozen=True, slots=True)
class FaultOutcome:
    """What became of a fault: when it was repaired, what was raised from its onset on, which lives were told.

    `twice_s` is the end of the round in which the evidence came to twice its limit, None where it never did.
    """

    fault: Fault
    repaired_s: int
    raised: tuple[Raised, ...]
    lives: tuple[Life, ...]
    twice_s: float | None

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


def play(asset: Asset, budgets_per_week: Sequence[float]) -> tuple[AssetYear, ...]:
    """Let the agent's line watch a machine for its year at each alarm budget; people act on the alerts of the first."""
    return _Year(asset, budgets_per_week).play()


def frame_of(plant: Plant, tags: Sequence[Tag], faults: Sequence[wire.WireFault], start_s: int) -> Frame:
    """Return what a connector would have read from one round to the next; `faults` are those of the wire."""
    times_ns = EPOCH_NS + (start_s + PERIOD_S * np.arange(ROUND_S // PERIOD_S, dtype=np.int64)) * 1_000_000_000
    on = [fault for fault in faults if fault.start_ns <= times_ns[-1] and fault.end_ns > times_ns[0]]
    return wire.apply(on, times_ns, plant.rows(start_s, len(times_ns), PERIOD_S), tags)


def seen_faults(faults: Sequence[wire.WireFault], tags: Sequence[Tag]) -> list[wire.WireFault]:
    """Return the faults of the wire that are on when a row is read, and that can befall tags read as these are."""
    nodes = any(isinstance(tag.address, NodeAddress) for tag in tags)
    never = (WireKind.WRONG_UNIT, WireKind.SWAPPED_WORDS) if nodes else (WireKind.CLOCK_STEP,)
    period_ns = PERIOD_S * 1_000_000_000
    next_row_ns = [-(-(fault.start_ns - EPOCH_NS) // period_ns) * period_ns + EPOCH_NS for fault in faults]
    return [
        fault for fault, row_ns in zip(faults, next_row_ns, strict=True)
        if row_ns < fault.end_ns and fault.kind not in never
    ]


class _Watcher:
    """The agent's line at one budget, what it has raised and told, and the person who acknowledges."""

    def __init__(self, asset: Asset, budget_per_week: float, wires: Sequence[wire.WireFault]) -> None:
        self.budget = budget_per_week
        self.raised: dict[float, Raised] = {}
        self.judging_cpu_s = 0.0
        self._lives: list[Life] = []
        self._twice_s: list[float] = []
        starts = np.array([fault.start_ns for fault in wires], np.int64)
        ends = np.array([fault.end_ns for fault in wires], np.int64)
        self._wire_s = (starts - EPOCH_NS) / 1e9, (ends - EPOCH_NS) / 1e9
        symptoms = MACHINES[asset.machine].symptoms
        settings = LineSettings(budget_per_week / WEEK_S, ON_DELAY_S, OFF_DELAY_S, symptoms=symptoms,
                                cause_delay_s=CAUSE_DELAY_S)
        self._line = Line(asset.name, detector(asset.machine), settings)

    def watch(self, frame: Frame, now_s: int) -> None:
        """Let the line see what came since the last round, note what it raises, and let people acknowledge."""
        began_s = time.process_time()
        now_ns = EPOCH_NS + now_s * 1_000_000_000
        alerts = [entry for entry in self._line.step(frame, now_ns) if isinstance(entry, Alert)]
        seen = {alert.id: alert.verdict for alert in alerts}
        for alert in alerts:
            if alert.event in (AlarmEvent.RAISE, AlarmEvent.REALARM):
                self._note(alert, seen[alert.id])
        self._line.publish()
        snapshot = self._line.snapshot
        if (verdict := snapshot.verdict) is not None:
            if (life := verdict.remaining_life_s) is not None:
                self._lives.append(Life((verdict.time_ns - EPOCH_NS) / 1e9, life[0], life[2]))
            if verdict.health <= HEALTH_TWICE:
                self._twice_s.append(now_s)
        alert = snapshot.alert
        unseen = (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED)
        if alert is not None and alert.state in unseen:
            self._line.submit(Acknowledge(alert.id, "technician", now_ns))
        self.judging_cpu_s += time.process_time() - began_s

    def outcome(self, fault: Fault, repaired_s: int) -> FaultOutcome:
        """Return what it made of a fault."""
        onset_s, until_s = fault.degradation.onset_s, min(fault.degradation.failure_s, repaired_s)
        raised = tuple(each for each in self.raised.values() if onset_s <= each.time_s < repaired_s + WAKE_S)
        lives = tuple(each for each in self._lives if onset_s <= each.time_s < until_s)
        twice_s = next((at_s for at_s in self._twice_s if onset_s <= at_s <= repaired_s), None)
        return FaultOutcome(fault, repaired_s, raised, lives, twice_s)

    def _note(self, alert: Alert, seen: Verdict) -> None:
        """Note that people hear of an alert, as of the row of its verdict."""
        time_s = (alert.verdict.time_ns - EPOCH_NS) / 1e9
        starts_s, ends_s = self._wire_s
        of_wire = bool(((starts_s <= time_s) & (time_s <= ends_s + WIRE_WAKE_S)).any())
        worse = alert.event is AlarmEvent.REALARM
        self.raised.setdefault(
            time_s, Raised(time_s, alert.id, alert.message, alert.verdict, of_wire, seen, worse, alert.signature)
        )


class _Year:
    """Plays round after round."""

    def __init__(self, asset: Asset, budgets_per_week: Sequence[float]) -> None:
        self._asset = asset
        self._pending = list(asset.faults())
        self._plant = asset.plant(tuple(self._pending))
        self._tags = self._plant.opcua_tags if asset.own_seed % 2 else self._plant.tags
        self._wire = seen_faults(asset.wire_faults(), self._tags)
        self._wire_ns = np.array([(fault.start_ns, fault.end_ns) for fault in self._wire], np.int64).reshape(-1, 2)
        self._watchers = [_Watcher(asset, budget, self._wire) for budget in budgets_per_week]
        self._repaired: list[tuple[Fault, int]] = []

    def play(self) -> tuple[AssetYear, ...]:
        """Return what came of it at each budget."""
        simulating_s = 0.0
        for start_s in range(START_S, self._asset.end_s, ROUND_S):
            began_s = time.process_time()
            frame = frame_of(self._plant, self._tags, self._near(start_s), start_s)
            simulating_s += time.process_time() - began_s
            for watcher in self._watchers:
                watcher.watch(frame, start_s + ROUND_S)
            self._repair(start_s + ROUND_S)
        return tuple(self._year(watcher, simulating_s) for watcher in self._watchers)

    def _year(self, watcher: _Watcher, simulating_s: float) -> AssetYear:
        faults = tuple(watcher.outcome(*repaired) for repaired in self._repaired)
        of_faults = {each.time_s for fault in faults for each in fault.raised}
        other = tuple(each for each in watcher.raised.values() if each.time_s not in of_faults)
        sick_s = sum(each.repaired_s + WAKE_S - each.fault.degradation.onset_s for each in faults)
        healthy_s = self._asset.end_s - START_S - sick_s
        return AssetYear(
            self._asset, watcher.budget, healthy_s, faults, other, len(self._wire),
            simulating_s, watcher.judging_cpu_s,
        )

    def _near(self, start_s: int) -> list[wire.WireFault]:
        from_ns = EPOCH_NS + start_s * 1_000_000_000
        starts_ns, ends_ns = self._wire_ns.T
        on = (starts_ns < from_ns + ROUND_S * 1_000_000_000) & (ends_ns > from_ns)
        return [self._wire[index] for index in np.flatnonzero(on)]

    def _repair(self, now_s: int) -> None:
        """Repair the machine when its time has come; it is as new, and will fail of the next fault."""
        if not self._pending:
            return
        fault = self._pending[0]
        since = [time_s for time_s in self._watchers[0].raised if time_s >= fault.degradation.onset_s]
        if now_s >= fault.repair_s(since[0] if since else None):
            self._pending.pop(0)
            self._repaired.append((fault, now_s))
            self._plant = self._plant.repaired(now_s, [each.degradation for each in self._pending[:1]])
