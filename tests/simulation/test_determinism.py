"""The agent is a function of its configuration, bundle and frames: what was recorded gives the same alerts again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from agent.line.alert import Acknowledge
from agent.line.line import Line
from agent.replay import recorded, replay
from agent.store import codec
from agent.store.blocks import Step
from agent.store.telemetry import TelemetryLog
from connectors.frame import Frame
from models import bundle
from models.runtime import Detector
from simulators import wire
from simulators.faults import DAY_S, degradation
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from tests.simulation.test_simulation import BUNDLES, PERIOD_S, a_line

SECOND_NS = 1_000_000_000


def frames_of_a_day(seed: int) -> list[Frame]:
    """A failing pump behind a poor wire, as polls bring it: now one row, now several."""
    failing = degradation("pump", "seal_leak", onset_s=DAY_S + 3 * 3600, duration_s=12 * 3600)
    plant = Plant("pump", seed, (failing,))
    faults = wire.schedule(seed, EPOCH_NS + DAY_S * SECOND_NS, DAY_S, mean_gap_s=2 * 3600)
    rng = np.random.default_rng(seed)
    frames, start_s = [], DAY_S
    while start_s < 2 * DAY_S:
        count = int(rng.integers(1, 40))
        times_ns = EPOCH_NS + (start_s + PERIOD_S * np.arange(count, dtype=np.int64)) * SECOND_NS
        frames.append(wire.apply(faults, times_ns, plant.rows(start_s, count, PERIOD_S), plant.tags))
        start_s += count * PERIOD_S
    return frames


def test_a_recorded_day_with_a_fault_replays_to_the_same_bytes(tmp_path: Path) -> None:
    seed = 5
    detector = Detector(bundle.load(BUNDLES / "pump"))
    layout = {"machine": tuple((tag.name, tag.unit) for tag in detector.manifest.tags)}
    line, log = a_line(detector), TelemetryLog(tmp_path / "telemetry", layout)
    live: list[bytes] = []
    for frame in frames_of_a_day(seed):
        now_ns = int(frame.source_time_ns[-1]) + 40_000_000
        commands = _acknowledged(line, now_ns)
        log.append(Step("machine", now_ns, frame, commands), now_ns)
        live += [codec.encode(alert) for alert in line.step(frame, now_ns)]
        line.publish()
    log.close()
    again = replay(recorded(tmp_path, layout), lambda _asset, _start: a_line(Detector(bundle.load(BUNDLES / "pump"))))
    assert [codec.encode(alert) for alert in again] == live, f"seed {seed}"
    assert len(live) >= 2, f"seed {seed}: the day has an alert and its acknowledgement"


def _acknowledged(line: Line, now_ns: int) -> tuple[Acknowledge, ...]:
    """Give the line a person's acknowledgement of what it last showed, once."""
    alert = line.snapshot.alert
    if alert is None or alert.acknowledgement is not None:
        return ()
    command = Acknowledge(alert.id, "jo", now_ns, "seen")
    return (command,) if line.submit(command) else ()
