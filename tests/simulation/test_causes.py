"""A simulated machine fails, or one of its sensors does: the alert says which, and what to check first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.config.advisories import rules_of
from agent.config.file import Config
from agent.line.alert import AlarmEvent, Alert
from agent.line.line import Line, LineSettings
from agent.line.verdict import Cause
from models import bundle
from models.runtime import Detector
from simulators.config import toml
from simulators.faults import DAY_S, HOUR_S, degradation
from simulators.machine import EPOCH_NS
from simulators.plant import Plant
from simulators.wire import apply

ONSET_S, PERIOD_S = DAY_S + 6 * HOUR_S, 5
SEED = 400
SETTINGS = LineSettings(1 / 604_800, on_delay_s=30, off_delay_s=300)


def first_alert(machine: str, kind: str, tag: str | None) -> Alert:
    """What is raised first of a machine that is healthy for some hours, and then degrades."""
    plant = Plant(machine, SEED, [degradation(machine, kind, ONSET_S, tag=tag)])
    text = toml(machine, plant.tags, "192.0.2.1:502", bundle="none", machine_type=machine)
    rules = rules_of(Config.parse(text, Path("agent.toml")))[machine]
    settings = replace(SETTINGS, symptoms=plant.machine.symptoms, rules=rules)
    line = Line(machine, Detector(bundle.load(bundle.SHIPPED / machine)), settings)
    for start_s in range(DAY_S, int(plant.degradations[0].failure_s), HOUR_S):
        times_ns = EPOCH_NS + (start_s + PERIOD_S * np.arange(HOUR_S // PERIOD_S, dtype=np.int64)) * 1_000_000_000
        frame = apply((), times_ns, plant.rows(start_s, len(times_ns), PERIOD_S), plant.tags)
        for entry in line.step(frame, int(times_ns[-1])):
            if isinstance(entry, Alert) and entry.event is AlarmEvent.RAISE:
                assert entry.raised_time_ns >= EPOCH_NS + ONSET_S * 1_000_000_000, f"seed {SEED}: {entry.message}"
                return entry
    raise AssertionError(f"seed {SEED}: nothing was raised before the {machine} failed of {kind}")


@pytest.mark.parametrize(
    ("machine", "kind", "tag", "cause"),
    [
        ("pump", "seal_leak", None, Cause.MACHINE),
        ("press", "heater_ageing", None, Cause.MACHINE),
        ("conveyor", "bearing_wear", None, Cause.MACHINE),
        ("pump", "sensor_drift", "flow", Cause.SENSOR),
        ("conveyor", "sensor_drift", "spindle_current", Cause.SENSOR),
        ("press", "stuck_sensor", "motor_current", Cause.SENSOR),
        ("conveyor", "loose_connection", "belt_speed", Cause.SENSOR),
    ],
)
def test_the_alert_names_the_cause_the_tag_and_what_to_check(
    machine: str, kind: str, tag: str | None, cause: Cause
) -> None:
    alert = first_alert(machine, kind, tag)
    assert alert.verdict.cause is cause, f"seed {SEED}: {alert.message}"
    assert alert.verdict.cause_probability is not None
    assert 0.5 < alert.verdict.cause_probability <= 1.0
    assert alert.advisory is not None
    assert alert.advisory.checks
    if cause is Cause.SENSOR:
        assert alert.verdict.contributions[0].tag == tag
        assert alert.advisory.mechanism == {
            "stuck_sensor": "3.3 faulty signal", "loose_connection": "4.2 open circuit"
        }.get(kind, "3.4 out of adjustment")
