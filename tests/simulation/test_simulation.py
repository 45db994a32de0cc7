"""Simulated weeks through the real line, in seconds: healthy machines stay silent, failing ones are announced in time.

A failing case names its seed: `FOREWARN_SEEDS=7,8 make test PYTEST_ARGS="-k simulation"` plays others.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import models
from agent.line.alert import Alert
from agent.line.line import Line, LineSettings
from agent.line.verdict import Condition
from connectors.frame import Frame, Tag
from models import bundle
from models.learn import learn
from models.runtime import Detector
from simulators import wire
from simulators.faults import DAY_S, EFFECTS, Degradation, degradation
from simulators.machine import EPOCH_NS
from simulators.plant import Plant

PERIOD_S = 5
HOUR_ROWS = 720
ONE_PER_WEEK = 1 / (7 * DAY_S)
SEEDS = [int(seed) for seed in os.environ.get("FOREWARN_SEEDS", "2").split(",")]
"""The shipped bundles were learnt on seed 1: these are other machines of the same make."""
BUNDLES = Path(models.__file__).parent / "bundles"
MACHINES = tuple(EFFECTS)
FAULTS = [(machine, kind) for machine in MACHINES for kind in EFFECTS[machine]]


@pytest.fixture(scope="module")
def detectors() -> dict[str, Detector]:
    return {machine: Detector(bundle.load(BUNDLES / machine)) for machine in MACHINES}


def watch(
    line: Line,
    plant: Plant,
    start_s: int,
    end_s: int,
    faults: tuple[wire.WireFault, ...] = (),
    tags: tuple[Tag, ...] | None = None,
) -> list[Alert]:
    """Give a line what a connector would have read, an hour at a time, as the wire's faults let it through."""
    alerts: list[Alert] = []
    for first_s in range(start_s, end_s, HOUR_ROWS * PERIOD_S):
        count = min(HOUR_ROWS, (end_s - first_s) // PERIOD_S)
        times_ns = EPOCH_NS + (first_s + PERIOD_S * np.arange(count, dtype=np.int64)) * 1_000_000_000
        rows = plant.rows(first_s, count, PERIOD_S)
        frame: Frame = wire.apply(faults, times_ns, rows, tags or plant.tags)
        alerts += line.step(frame, int(times_ns[-1]))
        line.publish()
    return alerts


def a_line(detector: Detector) -> Line:
    return Line("machine", detector, LineSettings(ONE_PER_WEEK, on_delay_s=30, off_delay_s=300))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("protocol", ["modbus", "opcua"])
@pytest.mark.parametrize("machine", MACHINES)
def test_a_healthy_week_under_wire_faults_keeps_to_the_budget(
    machine: str, protocol: str, seed: int, detectors: dict[str, Detector]
) -> None:
    start_s, end_s = DAY_S, 8 * DAY_S
    faults = wire.schedule(seed, EPOCH_NS + start_s * 1_000_000_000, end_s - start_s, mean_gap_s=3 * 3600)
    line = a_line(detectors[machine])
    plant = Plant(machine, seed)
    alerts = watch(line, plant, start_s, end_s, faults, plant.opcua_tags if protocol == "opcua" else plant.tags)
    assert {fault.kind for fault in faults} == set(wire.WireKind), "a week has every fault of the wire"
    raised = {alert.id for alert in alerts}
    assert len(raised) <= 1, f"seed {seed}: {[(a.id, a.state, a.message, a.raised_time_ns) for a in alerts]}"
    assert line.snapshot.rows > 0.9 * (end_s - start_s) / PERIOD_S


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("machine", "kind"), FAULTS)
def test_each_degradation_is_announced_before_the_failure(
    machine: str, kind: str, seed: int, detectors: dict[str, Detector]
) -> None:
    failing = degradation(machine, kind, onset_s=1.25 * DAY_S)
    end_s = int(failing.failure_s) // PERIOD_S * PERIOD_S
    alerts = watch(a_line(detectors[machine]), Plant(machine, seed, (failing,)), DAY_S, end_s)
    raised_s = [(alert.raised_time_ns - EPOCH_NS) / 1e9 for alert in alerts if alert.revision == 1]
    assert raised_s, f"seed {seed}: the {kind} of the {machine} was never announced"
    assert raised_s[0] >= failing.onset_s, f"seed {seed}: announced before it began: {alerts[0].message}"
    assert _names_a_tag_it_moves(machine, failing, alerts), f"seed {seed}: {[a.message for a in alerts]}"


def _names_a_tag_it_moves(machine: str, failing: Degradation, alerts: list[Alert]) -> bool:
    moved = {failing.tag} if failing.tag else set(EFFECTS[machine][failing.kind].tags)
    return bool(moved & {tag.tag for alert in alerts for tag in alert.verdict.contributions[:3]})


def test_what_a_machine_holds_while_it_stands_still_is_no_fault() -> None:
    """The press shows the stroke of its last product through each stop; three days have long stops of few products."""
    plant = Plant("press", 5)
    history = plant.rows(0, 3 * DAY_S // PERIOD_S, PERIOD_S)
    tags = [(tag.name, tag.unit) for tag in plant.tags]
    detector = Detector(learn([history], tags, PERIOD_S * 1000, name="press"))
    line, stopped = a_line(detector), 0
    for start_s in range(3 * DAY_S, 4 * DAY_S, 3600):
        alerts = watch(line, plant, start_s, start_s + 3600)
        assert not alerts, f"seed 5, {alerts[0].message}"
        assert line.snapshot.verdict is not None
        assert line.snapshot.verdict.condition in (Condition.NORMAL, Condition.SETTLING)
        running = next(reading for reading in line.snapshot.readings if reading.tag == "running")
        stopped += not running.value
    assert stopped >= 3, "the press did not stand still"
