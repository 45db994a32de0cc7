"""One machine, failing or healthy, watched from a fresh start by the agent's line and by the peers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from agent.backtest.judge import OFF_DELAY_S, ON_DELAY_S
from agent.backtest.trial import HEALTHY, Float64s, Judge, Segment
from agent.line.alert import AlarmState
from agent.line.line import Line, LineSettings
from agent.line.verdict import Condition, Verdict
from benchmarks.methods import METHODS, OURS
from benchmarks.trials import ALERTS_PER_S, alarms
from connectors.frame import Frame, is_bad
from models import bundle
from models.runtime import Detector
from simulators import wire
from simulators.faults import DAY_S, EFFECTS, HOUR_S, Degradation, degradation
from simulators.machine import EPOCH_NS
from simulators.plant import MACHINES, Plant

PERIOD_S: Final = 5
HISTORY_SEED: Final = 1
HISTORY_S: Final = 14 * DAY_S
"""The shipped bundles were learnt on so much of this machine, and the peers learn from the same."""

START_S: Final = DAY_S
WEEK_S: Final = 7 * DAY_S
ONSET_S: Final = (START_S + DAY_S // 4, START_S + 5 * DAY_S // 4)
"""Between these a degradation begins: at any hour of the day, after a quarter of a day or more of health."""
WIRE_FAULT_GAP_S: Final = 3 * HOUR_S
LATER_S: Final = HOUR_S
"""So long after the alert its verdict is read again."""


@dataclass(frozen=True, slots=True)
class Case:
    """A machine with its seed and what it fails of; `kind` None is a healthy week."""

    machine: str
    kind: str | None
    seed: int

    @property
    def failing(self) -> Degradation | None:
        """Return the degradation, its onset drawn from the seed."""
        if self.kind is None:
            return None
        numbers = [self.seed, list(EFFECTS).index(self.machine), list(EFFECTS[self.machine]).index(self.kind)]
        return degradation(self.machine, self.kind, float(np.random.default_rng(numbers).integers(*ONSET_S)))

    @property
    def end_s(self) -> int:
        """Return the simulated second at which the machine has failed, or its week is over."""
        failing = self.failing
        return START_S + WEEK_S if failing is None else int(failing.failure_s) // PERIOD_S * PERIOD_S


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a method made of a case: how long it was healthy, how often alarmed meanwhile, and what of the failure.

    `lead` is the share of the degradation that was left at the first alarm raised in it, NaN where none was. What was
    raised before is no find, even if it stands. `raised` is the verdict of that alert, `later` that of an hour after.
    """

    case: Case
    method: str
    healthy_s: float
    false_alerts: int
    lead: float
    raised: Verdict | None = None
    later: Verdict | None = None

    @property
    def found(self) -> bool:
        """Whether an alarm was raised between onset and failure."""
        return not np.isnan(self.lead)


def play(case: Case, methods: Sequence[str]) -> list[Outcome]:
    """Let each method watch the case from a fresh start; what is learnt for it stays in this process."""
    frames = tuple(_frames(case))
    return [_by_line(case, frames) if name == OURS else _by_peer(case, frames, name) for name in methods]


def _frames(case: Case) -> Iterator[Frame]:
    """Yield what a connector would have read, an hour a frame; a healthy week has faults of the wire, on both wires."""
    failing = case.failing
    plant = Plant(case.machine, case.seed, () if failing is None else (failing,))
    faults: tuple[wire.WireFault, ...] = ()
    if failing is None:
        faults = wire.schedule(case.seed, EPOCH_NS + START_S * 1_000_000_000, WEEK_S, WIRE_FAULT_GAP_S)
    tags = plant.opcua_tags if case.seed % 2 else plant.tags
    for first_s in range(START_S, case.end_s, HOUR_S):
        count = (min(first_s + HOUR_S, case.end_s) - first_s) // PERIOD_S
        times_ns = EPOCH_NS + (first_s + PERIOD_S * np.arange(count, dtype=np.int64)) * 1_000_000_000
        yield wire.apply(faults, times_ns, plant.rows(first_s, count, PERIOD_S), tags)


@lru_cache(maxsize=8)
def _detector(machine: str) -> Detector:
    return Detector(bundle.load(bundle.SHIPPED / machine))


def _by_line(case: Case, frames: Sequence[Frame]) -> Outcome:
    """Let the agent's line watch, as the daemon would, until the verdict has been read again."""
    symptoms = MACHINES[case.machine].symptoms
    settings = LineSettings(ALERTS_PER_S, ON_DELAY_S, OFF_DELAY_S, symptoms=symptoms)
    line = Line(case.machine, _detector(case.machine), settings)
    raised: dict[float, Verdict] = {}
    onset_s = np.inf if case.failing is None else case.failing.onset_s
    for hour, frame in enumerate(frames):
        now_s = min(START_S + (hour + 1) * HOUR_S, case.end_s)
        for alert in line.step(frame, EPOCH_NS + now_s * 1_000_000_000):
            if alert.state is AlarmState.UNACKNOWLEDGED:
                raised.setdefault((alert.raised_time_ns - EPOCH_NS) / 1e9, alert.verdict)
        line.publish()
        found_s = next((time_s for time_s in raised if time_s >= onset_s), None)
        now = line.snapshot.verdict
        if found_s is None or now is None or now_s < found_s + LATER_S:
            continue
        if now.condition is Condition.DEVIATING:
            return _outcome(case, OURS, list(raised), raised[found_s], now)
    first = next((verdict for time_s, verdict in raised.items() if time_s >= onset_s), None)
    return _outcome(case, OURS, list(raised), first, first)


def _outcome(
    case: Case, method: str, raised_s: Sequence[float], raised: Verdict | None = None, later: Verdict | None = None
) -> Outcome:
    """Count alarms raised at simulated seconds, in order, for and against a method."""
    failing = case.failing
    if failing is None:
        return Outcome(case, method, float(case.end_s - START_S), len(raised_s), np.nan)
    before = sum(time_s < failing.onset_s for time_s in raised_s)
    found_s = raised_s[before] if before < len(raised_s) else np.nan
    lead = (failing.failure_s - found_s) / failing.duration_s
    return Outcome(case, method, failing.onset_s - START_S, before, lead, raised, later)


@lru_cache(maxsize=2)
def _history(machine: str) -> Segment:
    values = Plant(machine, HISTORY_SEED).rows(0, HISTORY_S // PERIOD_S, PERIOD_S)
    times_ns = EPOCH_NS + PERIOD_S * np.arange(len(values), dtype=np.int64) * 1_000_000_000
    return Segment(machine, times_ns, values, np.isfinite(values), np.full(len(values), HEALTHY, np.int8))


@lru_cache(maxsize=64)
def _judge(machine: str, method: str) -> Judge:
    tags = [tag.name for tag in Plant(machine, HISTORY_SEED).tags]
    learn = METHODS[method].make(0)
    return learn([_history(machine)], tags, float(PERIOD_S), ALERTS_PER_S, lambda _share: None)


def _by_peer(case: Case, frames: Sequence[Frame], method: str) -> Outcome:
    """Let a peer judge every row; its alarms have the agent's delays."""
    values = np.concatenate([frame.values for frame in frames])
    good = ~is_bad(np.concatenate([frame.status for frame in frames]))
    times_ns = np.concatenate([frame.source_time_ns for frame in frames])
    over = _judge(case.machine, method).judge(times_ns, values, good).alarmed
    active = alarms(over, round(ON_DELAY_S / PERIOD_S), round(OFF_DELAY_S / PERIOD_S))
    rows = np.flatnonzero(active & ~np.append(False, active[:-1]))
    raised_s: Float64s = START_S + PERIOD_S * rows.astype(np.float64)
    return _outcome(case, method, raised_s.tolist())
