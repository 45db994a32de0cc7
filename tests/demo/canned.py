"""What a running agent answers, made by hand."""

from __future__ import annotations

from agent.api.connection_models import ConnectionModel
from agent.api.models import (
    AlertModel,
    AssetDetail,
    ContributionModel,
    DriftModel,
    FaultModel,
    ReadingModel,
    RegimeDistanceModel,
    VerdictModel,
)
from agent.demo.scenario import MINUTE_NS, Script, Truth
from agent.demo.story import Moment
from agent.line.alert import AlarmEvent, AlarmState, Priority
from agent.line.stage import Stage
from agent.line.verdict import Cause, Condition
from agent.store.codec import format_time
from connectors.link import LinkState

START_NS = 1_767_600_000_000_000_000
AHEAD_NS = 28_000_000_000_000_000
"""How far the agent's clock is ahead of the plant's."""

TRUTH = Truth(
    kind="filter_fouling",
    cause="machine",
    tags=("filter_dp", "flow"),
    onset_ns=START_NS + 15 * MINUTE_NS,
    failure_ns=START_NS + 95 * MINUTE_NS,
    severity=tuple(step / 10 for step in range(11)),
)
SCRIPT = Script("pump", "conveyor", START_NS, 60.0, TRUTH)


def agent_time(minute: float) -> str:
    return format_time(START_NS + AHEAD_NS + int(minute * MINUTE_NS))


def verdict(
    asset: str, minute: float, condition: Condition = Condition.NORMAL, evidence: float = 0.2
) -> VerdictModel:
    deviating = condition is Condition.DEVIATING
    return VerdictModel(
        asset=asset,
        time=agent_time(minute),
        condition=condition,
        regime="R1",
        regime_distances=[RegimeDistanceModel(regime="R1", distance=1.1)],
        evidence=None if condition is Condition.SETTLING else evidence,
        contributions=[
            ContributionModel(tag="filter_dp", unit="bar", share=0.75, measured=0.4688, expected=0.43),
            ContributionModel(tag="tank_level", unit="%", share=0.25, measured=44.5, expected=None),
        ],
        cause=Cause.MACHINE if deviating else None,
        cause_probability=0.87 if deviating else None,
        fault_probabilities=[FaultModel(fault="ramp", probability=0.9)] if deviating else [],
        drift=DriftModel(tag="filter_dp", deviations=0.2),
        health=0.9,
        remaining_life_s=None,
        remaining_life_until=None,
        coverage=1.0,
        model_hash="00",
    )


def alert(
    minute: float,
    asset: str = "pump",
    number: int = 1,
    state: AlarmState = AlarmState.UNACKNOWLEDGED,
) -> AlertModel:
    return AlertModel(
        id=f"{asset}-{number}",
        asset=asset,
        revision=1,
        event=AlarmEvent.RAISE,
        by=None,
        state=state,
        priority=Priority.MEDIUM,
        message=f"{asset} behaves unlike it ever did",
        onset_time=agent_time(minute - 1),
        raised_time=agent_time(minute),
        updated_time=agent_time(minute),
        returned_time=None,
        standing_since=agent_time(minute),
        peak_evidence=1.5,
        acknowledgement=None,
        withheld=[],
        root=None,
        shadow=False,
        label=None,
        like=None,
        signature=(),
        peak_signature=(),
        advisory=None,
        verdict=verdict(asset, minute, Condition.DEVIATING, 1.5),
    )


def asset(name: str, said: VerdictModel | None, raised: AlertModel | None = None, tags: int = 16) -> AssetDetail:
    names = [f"tag_{number}" for number in range(tags - 2)] + ["filter_dp", "tank_level"]
    return AssetDetail(
        asset=name,
        stage=Stage.LIVE,
        period_ms=5000,
        budget="1/week",
        bundle=f"bundles/{name}",
        snapshot_time=agent_time(0),
        verdict=said,
        alert=raised,
        withheld=[],
        readings=[
            ReadingModel(tag=tag, unit="bar", value=None, status="BadTimeout", status_code=0x800A0000, time=None)
            if tag == "tag_1"
            else ReadingModel(tag=tag, unit="bar", value=1.25, status="Good", status_code=0, time=agent_time(0))
            for tag in names
        ],
        rows=1,
        rows_late=0,
        commands_dropped=0,
        clock_steps=0,
        rebaselining=None,
    )


def moment(
    minute: float,
    condition: Condition = Condition.NORMAL,
    raised: AlertModel | None = None,
    evidence: float = 0.2,
) -> Moment:
    return Moment(
        START_NS + int(minute * MINUTE_NS),
        {
            "pump": asset("pump", verdict("pump", minute, condition, evidence), raised),
            "conveyor": asset("conveyor", verdict("conveyor", minute), tags=14),
        },
        (connection("pump"), connection("conveyor")),
    )


def connection(name: str) -> ConnectionModel:
    return ConnectionModel(
        connection=f"{name}_plc",
        protocol="opcua",
        device="there",
        tags=2,
        period_ms=5000,
        state=LinkState.DELIVERING,
        since=agent_time(0),
        last_good=agent_time(0),
        attempts=1,
        reads=100,
        reads_failed=0,
        requests=100,
        latency_ms=1.0,
        retry_in_ms=0.0,
        error="",
        ticks_missed=3,
        frames_dropped=0,
        values_dropped=0,
        server="",
        clock_skew_ms=None,
        rows_recovered=0,
        missing_s=0.0,
        given_up_s=0.0,
        notes=[],
    )
