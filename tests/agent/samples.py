"""What several tests need: an alert, a configuration text, a frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.line.advisory import Advisory, Check
from agent.line.alert import AlarmEvent, AlarmState, Alert, Priority
from agent.line.verdict import Cause, Condition, Contribution, Drift, LifeEnd, Verdict
from connectors.frame import BAD_TIMEOUT, GOOD, Frame

START_NS = 1_790_000_000_123_456_789
SECOND_NS = 1_000_000_000

CONFIG = """
[agent]
state_dir = "state"

[connections.line3_plc]
protocol = "modbus-tcp"
host = "192.0.2.10"

[connections.press_plc]
protocol = "opcua"
url = "opc.tcp://192.0.2.11:4840"
security_policy = "None"
insecure = true

[assets.pump]
bundle = "bundles/pump"
period_ms = 1000
budget = "1/week"

[[assets.pump.tags]]
name = "pressure"
unit = "bar"
connection = "line3_plc"
unit_id = 1
table = "input_register"
register = 12
dtype = "float32"
low = 0
high = 25.0

[[assets.pump.tags]]
name = "temperature"
unit = "degC"
connection = "press_plc"
node = "nsu=urn:example:press;s=press.oil_temperature"
"""


ADVISORY = Advisory(
    "pump",
    "ELP, external leakage of process medium",
    "1.1 leakage",
    (Check("Look for drops at the shaft seal.", "The pressure falls before the leak is seen: häufig."),),
)


def verdict(asset: str = "pump", time_ns: int = START_NS, evidence: float = 1.7) -> Verdict:
    return Verdict(
        asset=asset,
        time_ns=time_ns,
        condition=Condition.DEVIATING,
        regime="2",
        regime_distances=(("2", 1.25), ("1", 14.5)),
        evidence=evidence,
        contributions=(
            Contribution("pressure", "bar", 0.8, 11.1, 9.3),
            Contribution("temperature", "degC", 0.2, float("nan"), 41.0),
        ),
        cause=Cause.MACHINE,
        cause_probability=0.87,
        fault_probabilities=(("seal_leak", 0.7), ("cavitation", 0.1)),
        drift=Drift("temperature", -0.4),
        health=0.26,
        remaining_life_s=(3600.0, 7200.5, 1e5),
        remaining_life_until=LifeEnd.FAILURE,
        coverage=0.95,
        model_hash="ab12",
    )


def alert(
    number: int = 1,
    revision: int = 1,
    asset: str = "pump",
    state: AlarmState = AlarmState.UNACKNOWLEDGED,
    raised_ns: int | None = None,
) -> Alert:
    raised_ns = START_NS + number * SECOND_NS if raised_ns is None else raised_ns
    return Alert(
        id=f"{asset}-{number}",
        asset=asset,
        revision=revision,
        event=AlarmEvent.RAISE,
        by=None,
        state=state,
        priority=Priority.HIGH,
        message="pump deviates: pressure 11.1 bar, 9.3 expected; häufig",
        onset_time_ns=raised_ns - SECOND_NS,
        raised_time_ns=raised_ns,
        updated_time_ns=raised_ns + revision,
        returned_time_ns=None,
        standing_since_ns=raised_ns + revision,
        peak_evidence=1.7,
        acknowledgement=None,
        withheld=(),
        root=None,
        label=None,
        like=None,
        signature=(),
        peak_signature=(),
        advisory=ADVISORY,
        verdict=verdict(asset, raised_ns),
    )


def revised(old: Alert, state: AlarmState) -> Alert:
    return replace(
        old, revision=old.revision + 1, state=state, updated_time_ns=old.updated_time_ns + SECOND_NS
    )


def frame(time_ns: int, *values: float) -> Frame:
    """One row; NaN is a time-out."""
    row = np.array(values, np.float32)
    return Frame.of(time_ns, row, np.where(np.isnan(row), BAD_TIMEOUT, GOOD).astype(np.uint32))


def quiet_rows(rows: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """A plant of two tags that go together."""
    random = np.random.default_rng(5)
    swing = 10 + np.sin(np.arange(rows) / 20)
    noise = random.normal(0, (0.05, 0.2), (rows, 2))
    return (np.stack([swing, 4 * swing], 1) + noise).astype(np.float32)
