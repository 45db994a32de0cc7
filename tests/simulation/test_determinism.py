"""The agent is a function of its configuration, bundle and frames: what was recorded gives the same alerts again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from agent.line.alert import Acknowledge
from agent.line.line import Line
from agent.line.state import StateError
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


@pytest.mark.parametrize("seed", [5, 6])
def test_a_line_that_goes_on_from_the_state_of_another_says_the_same_to_the_byte(seed: int) -> None:
    detector = Detector(bundle.load(BUNDLES / "pump"))
    line = a_line(detector)
    frames = frames_of_a_day(seed)
    rng = np.random.default_rng(seed)
    taken_over = {0, 1, *rng.integers(2, len(frames), 3).tolist()}
    others: list[Line] = []
    alerts, opened = 0, False
    for number, frame in enumerate(frames):
        now_ns = int(frame.source_time_ns[-1]) + 40_000_000
        commands = _acknowledged(line, now_ns)
        if number in taken_over or (alerts and not opened):
            opened = opened or alerts > 0
            others.append(Line.resume("machine", detector, line.state()))
            assert others[-1].state() == line.state(), f"seed {seed}, step {number}"
        for other, command in itertools.product(others, commands):
            other.submit(command)
        said = _said(line, frame, now_ns)
        alerts += len(said) - 1
        for other in others:
            assert _said(other, frame, now_ns) == said, f"seed {seed}, step {number}"
    assert opened, f"seed {seed}: one goes on from an open alert"
    assert alerts >= 2, f"seed {seed}: the day has an alert and its acknowledgement"


def _said(line: Line, frame: Frame, now_ns: int) -> list[bytes]:
    alerts = line.step(frame, now_ns)
    line.publish()
    verdict = line.snapshot.verdict
    return [*map(codec.encode, alerts), b"" if verdict is None else codec.dumps(codec.verdict_json(verdict))]


def test_a_state_of_another_model_or_version_is_refused_with_the_reason() -> None:
    detector = Detector(bundle.load(BUNDLES / "pump"))
    kept = a_line(detector).state()
    with pytest.raises(StateError, match=r"of the model \w+, and this is"):
        Line.resume("machine", Detector(bundle.load(BUNDLES / "press")), kept)
    with pytest.raises(StateError, match="Line has no _tomorrow: another version kept it"):
        Line.resume("machine", detector, changed(kept, {"_tomorrow": {"is": 1}}))
    for said in (
        {"object": ["subprocess:Popen", {}]},
        {"object": ["models.runtime:ort", {}]},
        {"object": ["agent.line.alert:Shelf", {"by": "Ana"}]},
        {"array": ["|O", [1], "0000000000000000"]},
        {"array": ["<f8", [3], "0000000000000000"]},
        {"code": 1},
        [1],
    ):
        with pytest.raises(StateError):
            Line.resume("machine", detector, changed(kept, {"_peak": {"is": said}}))
    for broken in (kept[:-1], b"7", changed(kept, {"_peak": 7})):
        with pytest.raises(StateError):
            Line.resume("machine", detector, broken)


def changed(kept: bytes, line: dict[str, object]) -> bytes:
    return json.dumps({**json.loads(kept), "line": line}).encode()


def _acknowledged(line: Line, now_ns: int) -> tuple[Acknowledge, ...]:
    """Give the line a person's acknowledgement of what it last showed, once."""
    alert = line.snapshot.alert
    if alert is None or alert.acknowledgement is not None:
        return ()
    command = Acknowledge(alert.id, "jo", now_ns, "seen")
    return (command,) if line.submit(command) else ()
