"""The bodies of the API: what is sent back, what is accepted, an example of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.config import JsonDict

from agent.api.refusals import NOT_BLANK
from agent.line.alert import AlarmEvent, AlarmState, Answer, Priority, WithheldKind
from agent.line.stage import Stage
from agent.line.verdict import Cause, Condition, LifeEnd
from agent.store.codec import parse_time

TIME = "2026-11-23T20:27:00.123456789Z"
Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time", "examples": [TIME]})]
"""RFC 3339, UTC, nine digits."""


_LATEST_NS = 2**63 - 1


def _time_ns(value: object) -> int:
    if not isinstance(value, str):  # pydantic turns a ValueError into an answer, a TypeError into a crash
        raise ValueError(f'a time such as "{TIME}" is needed')  # noqa: TRY004
    time_ns = parse_time(value)
    if not 0 <= time_ns <= _LATEST_NS:
        raise ValueError(f'"{value}" is before 1970 or after 2262; look at the year')
    return time_ns


TimeNs = Annotated[int, BeforeValidator(_time_ns), WithJsonSchema({"type": "string", "format": "date-time"})]
"""A time given as RFC 3339 text, taken as UTC nanoseconds."""

Person = Annotated[str, Field(min_length=1, max_length=100, pattern=NOT_BLANK, description="who says so")]
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=NOT_BLANK)]
"""What a person must say, and not leave blank."""


def example(body: JsonDict) -> ConfigDict:
    """Return the configuration of a model with an example of it."""
    return ConfigDict(extra="forbid", frozen=True, json_schema_extra={"examples": [body]})


class Model(BaseModel):
    """A body; what it does not name is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ContributionModel(Model):
    """One tag's part in the evidence."""

    tag: str
    unit: str
    share: float | None = Field(description="part of the whole, 0 to 1")
    measured: float | None = Field(description="in the tag's unit; null where nothing good was measured")
    expected: float | None = Field(description="in the tag's unit")


class FaultModel(Model):
    """A fault type and its probability."""

    fault: str
    probability: float | None


class RegimeDistanceModel(Model):
    """A known regime and how far the asset is from it."""

    regime: str
    distance: float | None = Field(description="standard deviations per tag; about 1 in the regime itself")


class DriftModel(Model):
    """The tag that has moved most, for good, from its learnt level."""

    tag: str
    deviations: float | None = Field(description="in the tag's learnt standard deviations, signed")


class VerdictModel(Model):
    """The agent's opinion of an asset at one time."""

    asset: str
    time: Time
    condition: Condition = Field(description='"blind" where too little good data came')
    regime: str | None = Field(description="the operating regime, null where none could be told")
    regime_distances: list[RegimeDistanceModel] = Field(description="the nearest known regimes, the nearest first")
    evidence: float | None = Field(description="1 is the limit that the alarm budget allows")
    contributions: list[ContributionModel] = Field(
        description="the tags that deviate most, in means over the last 32 rows; empty unless deviating or unseen"
    )
    cause: Cause | None = Field(description="where to look first")
    cause_probability: float | None = Field(
        description="how probable that cause is; null where there is none, or a rule without odds told it"
    )
    fault_probabilities: list[FaultModel] = Field(
        description="what kind of fault it looks like, the most probable first; empty unless deviating"
    )
    drift: DriftModel | None = Field(description="slow, since the model was learnt; raises no alarm")
    health: float | None = Field(
        description="1 without any deviation, 0.5 at the limit, towards 0 beyond; null while nothing can be said of it"
    )
    remaining_life_s: Annotated[list[float | None], Field(min_length=3, max_length=3)] | None = Field(
        description="5 %, 50 % and 95 % quantiles in seconds; null: no estimate"
    )
    remaining_life_until: LifeEnd | None = Field(
        description='what it runs to: "failure" where failures were learnt from, else "twice_the_limit"'
    )
    coverage: float | None = Field(description="share of good values in the last 64 rows, 0 to 1")
    model_hash: str


class AcknowledgementModel(Model):
    """Who took an alert on, and when."""

    by: str
    time: Time
    comment: str


class LabelModel(Model):
    """What a person says that an alert was."""

    answer: Answer
    fault: str | None = Field(description='what was wrong, in their words; null unless the answer is "real"')
    by: str
    time: Time
    comment: str


class LikenessModel(Model):
    """A labelled alert that another one is like."""

    alert_id: str
    raised_time: Time
    name: str = Field(description='the fault that it was, or "sensor", or "normal"')
    similarity: float | None = Field(description="0.6 to 1")


class TraitModel(Model):
    """What one tag does, in standard deviations of a healthy one."""

    tag: str
    level: float | None = Field(description="mean of the last 32 rows, signed")
    spread: float | None = Field(description="beyond that of a healthy machine")
    still: float | None = Field(description="1 where it stands still, else 0")


class WithheldModel(Model):
    """What keeps alerts from people for a time; their alarm states go on underneath."""

    kind: WithheldKind
    by: str | None = Field(description="the person; null where the agent or a tag did it")
    since: Time
    until: Time | None = Field(description="null where nobody can say when it ends")
    reason: str


class CheckModel(Model):
    """One thing to do, and why that is worth it."""

    do: str
    why: str


class AdvisoryModel(Model):
    """What most likely has failed, in the terms of ISO 14224, and what to check first."""

    machine_type: str = Field(description='the kind of machine that it was written for, "generic" for any')
    failure_mode: str
    mechanism: str
    checks: list[CheckModel] = Field(description="in order")


VERDICT_EXAMPLE: JsonDict = {
    "asset": "pump",
    "time": TIME,
    "condition": "deviating",
    "regime": "R2",
    "regime_distances": [{"regime": "R2", "distance": 1.9}, {"regime": "R1", "distance": 14.0}],
    "evidence": 1.7,
    "contributions": [
        {"tag": "discharge_pressure", "unit": "bar", "share": 0.8, "measured": 11.1, "expected": 9.3},
        {"tag": "oil_temperature", "unit": "degC", "share": 0.2, "measured": None, "expected": 41.0},
    ],
    "cause": "machine",
    "cause_probability": 0.87,
    "fault_probabilities": [{"fault": "seal_leak", "probability": 0.7}],
    "drift": {"tag": "oil_temperature", "deviations": 0.4},
    "health": 0.26,
    "remaining_life_s": [3600.0, 7200.0, 100000.0],
    "remaining_life_until": "failure",
    "coverage": 0.95,
    "model_hash": "6f1c0a",
}

WITHHELD_EXAMPLE: JsonDict = {
    "kind": "out_of_service",
    "by": "Ana",
    "since": TIME,
    "until": "2026-11-24T04:27:00.000000000Z",
    "reason": "new seal",
}

ALERT_EXAMPLE: JsonDict = {
    "id": "pump-3",
    "asset": "pump",
    "revision": 2,
    "event": "acknowledge",
    "by": "Ana",
    "state": "acknowledged",
    "priority": "medium",
    "message": "discharge_pressure is 11.1 bar where 9.3 bar is expected",
    "onset_time": TIME,
    "raised_time": TIME,
    "updated_time": TIME,
    "returned_time": None,
    "standing_since": TIME,
    "peak_evidence": 2.4,
    "acknowledgement": {"by": "Ana", "time": TIME, "comment": "looking at the seal"},
    "withheld": [],
    "root": None,
    "shadow": False,
    "label": {"answer": "real", "fault": "impeller blockage", "by": "Ana", "time": TIME, "comment": ""},
    "like": {"alert_id": "pump-1", "raised_time": TIME, "name": "impeller blockage", "similarity": 0.91},
    "signature": [{"tag": "discharge_pressure", "level": 2.9, "spread": 0.4, "still": 0.0}],
    "peak_signature": [{"tag": "discharge_pressure", "level": 5.1, "spread": 0.9, "still": 0.0}],
    "advisory": {
        "machine_type": "pump",
        "failure_mode": "ELP, external leakage of process medium",
        "mechanism": "1.1 leakage",
        "checks": [
            {"do": "Look for drops at the shaft seal.", "why": "The seal pressure falls before the leak is seen."}
        ],
    },
    "verdict": VERDICT_EXAMPLE,
}


class AlertModel(Model):
    """One occurrence of an alarm as it stands after `revision` changes; the same bytes as in the journal."""

    model_config = example(ALERT_EXAMPLE)

    id: str
    asset: str
    revision: int
    event: AlarmEvent | None = Field(description="what made this revision; null where an earlier version did not say")
    by: str | None = Field(description="the person who made this revision; null where it was the agent")
    state: AlarmState
    priority: Priority
    message: str
    onset_time: Time
    raised_time: Time
    updated_time: Time
    returned_time: Time | None
    standing_since: Time = Field(description="in this state, with this priority, withheld or not, since then")
    peak_evidence: float | None
    acknowledgement: AcknowledgementModel | None
    withheld: list[WithheldModel] = Field(description="one of each kind at most; empty where people are to look")
    root: str | None = Field(description="the alert that this one goes under; null where it stands by itself")
    shadow: bool = Field(description="true where it only tells what would have been raised: nobody was told of it")
    label: LabelModel | None = Field(description="the newest that a person gave it; null before the first")
    like: LikenessModel | None = Field(description="the labelled alert that it was like when raised; null for none")
    signature: list[TraitModel] = Field(description="what it looked like when raised, the largest traits first")
    peak_signature: list[TraitModel] = Field(description="what it looked like when it deviated most")
    advisory: AdvisoryModel | None = Field(description="what to check first; null where an earlier version raised it")
    verdict: VerdictModel


class AlertPage(Model):
    """Alerts, the newest first."""

    model_config = example({"items": [ALERT_EXAMPLE], "before": 17})

    items: list[AlertModel]
    before: int | None = Field(description="give it as `before` to get the next page; null at the end")


class AlertHistory(Model):
    """All revisions of one alert, the oldest first."""

    model_config = example({"items": [ALERT_EXAMPLE]})

    items: list[AlertModel]


class AssetSummary(Model):
    """An asset at a glance."""

    model_config = example(
        {
            "asset": "pump",
            "stage": "live",
            "time": TIME,
            "condition": "deviating",
            "regime": "R2",
            "evidence": 1.7,
            "health": 0.26,
            "remaining_life": "1 to 28 hours left, most likely 2",
            "alert_id": "pump-3",
            "alarm_state": "acknowledged",
            "withheld": [],
        }
    )

    asset: str
    stage: Stage
    time: Time | None = Field(description="of the newest verdict")
    condition: Condition
    regime: str | None
    evidence: float | None
    health: float | None = Field(
        description="1 without any deviation, 0.5 at the limit, towards 0 beyond; null while nothing can be said of it"
    )
    remaining_life: str = Field(description='in words, such as "2 to 9 days left, most likely 5", or "no estimate"')
    alert_id: str | None = Field(description="the open alert")
    alarm_state: AlarmState
    withheld: list[WithheldModel] = Field(description="what keeps its alerts from people, now or at a time to come")


class AssetList(Model):
    """All assets, in the order of the configuration."""

    items: list[AssetSummary]


class ReadingModel(Model):
    """The newest value of a tag."""

    tag: str
    unit: str
    value: float | None = Field(description="null where the status is bad")
    status: str = Field(description='OPC UA status by name, such as "Good" or "BadTimeout"')
    status_code: int
    time: Time | None


class RebaseliningModel(Model):
    """How far the learning anew of some tags' level is."""

    tags: list[str]
    rows: int = Field(description="judged rows that it rests on so far")
    rows_needed: int


class AssetDetail(Model):
    """One asset: what is configured, what was read, and the live verdict."""

    model_config = example(
        {
            "asset": "pump",
            "stage": "live",
            "period_ms": 1000,
            "budget": "1/week",
            "bundle": "bundles/pump",
            "snapshot_time": TIME,
            "verdict": VERDICT_EXAMPLE,
            "alert": ALERT_EXAMPLE,
            "withheld": [WITHHELD_EXAMPLE],
            "rebaselining": {"tags": ["discharge_pressure"], "rows": 240, "rows_needed": 600},
            "readings": [
                {
                    "tag": "discharge_pressure",
                    "unit": "bar",
                    "value": 11.1,
                    "status": "Good",
                    "status_code": 0,
                    "time": TIME,
                }
            ],
            "rows": 86400,
            "rows_late": 0,
            "commands_dropped": 0,
            "clock_steps": 0,
        }
    )

    asset: str
    stage: Stage = Field(description="how far it is on the way to alerts that people see")
    period_ms: int
    budget: str
    bundle: str | None = Field(description="the folder that is configured; null where the model is learnt here")
    snapshot_time: Time
    verdict: VerdictModel | None
    alert: AlertModel | None = Field(description="the open alert")
    withheld: list[WithheldModel] = Field(description="what keeps its alerts from people, now or at a time to come")
    rebaselining: RebaseliningModel | None = Field(description="the tags whose level is being learnt anew")
    readings: list[ReadingModel]
    rows: int = Field(description="rows judged since the start")
    rows_late: int
    commands_dropped: int
    clock_steps: int




class Health(Model):
    """The process answers."""

    model_config = example({"status": "live", "version": "0.1.0"})

    status: Literal["live"]
    version: str


class Ready(Model):
    """The agent watches and keeps what it sees. A PLC that is down is shown by its connection instead."""

    model_config = example(
        {
            "status": "ready",
            "telemetry_steps": 900,
            "telemetry_steps_lost": 0,
            "telemetry_bytes_damaged": 0,
            "telemetry_error": None,
        }
    )

    status: Literal["ready"]
    telemetry_steps: int
    telemetry_steps_lost: int
    telemetry_bytes_damaged: int
    telemetry_error: str | None
