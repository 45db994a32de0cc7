"""The bodies of the API that say what came of the alerts."""

from __future__ import annotations

from typing import Self

from pydantic import Field
from pydantic.config import JsonDict

from agent.api.models import TIME, Model, Time, example
from agent.ledger.account import Account, Outcome
from agent.line.alert import Answer
from agent.line.event import EventKind
from agent.rehearsal.achieved import Standing
from agent.store.codec import format_time


class AnswersModel(Model):
    """Alerts by what people say that they were."""

    real: int
    normal: int
    sensor: int
    not_looked_at: int
    unlabelled: int = Field(description="nobody has said anything yet")


class PrecisionModel(Model):
    """The share of the judged alerts that were right, and between which shares it lies with 95 %."""

    share: float
    low: float
    high: float


class OutcomeModel(Model):
    """A failure or a repair that people recorded."""

    event: str = Field(description="its event")
    kind: EventKind
    at: Time
    by: str | None
    comment: str
    alert_id: str | None = Field(description="the alert that had told of it; null where none had")
    lead_s: float | None = Field(description="how long before it that alert was raised")
    missed: bool = Field(description="a failure while the asset was watched, and no alert had told of it")
    downtime_s: float | None = Field(description="what it cost or avoided, as that person judged it")

    @classmethod
    def of(cls, one: Outcome) -> Self:
        """Return it as plain values."""
        return cls(
            event=one.event.id,
            kind=one.event.kind,
            at=format_time(one.event.since_ns),
            by=one.event.by,
            comment=one.event.comment,
            alert_id=one.alert_id,
            lead_s=one.lead_s,
            missed=one.missed,
            downtime_s=one.event.downtime_s,
        )


class AchievedModel(Model):
    """Alerts against the alarm budget; those that people say were real, or a sensor's fault, do not count."""

    budget_per_week: float
    alerts: int
    weeks: float = Field(description="in which the asset was recorded and its alerts were not withheld")
    per_week: float | None = Field(description="null before anything was recorded")
    low: float | None = Field(description="least rate that agrees with the count, 95 % sure with `high`")
    high: float | None
    standing: Standing


class AccountModel(Model):
    """What came of the alerts of an asset in a time."""

    since: Time
    until: Time
    alerts: int = Field(description="raised in this time")
    grouped: int = Field(description="of these, under another alert")
    answers: AnswersModel
    judged: int = Field(description="alerts of which people say what they were")
    right: int = Field(description="of these, faults of the machine, or of a sensor where the alert said so")
    known_patterns: int = Field(description="deviations that raised no alert, since such a one was labelled normal")
    precision: PrecisionModel | None = Field(description="null where fewer than 5 were judged")
    failures: int
    repairs: int
    missed: int
    outcomes: list[OutcomeModel]
    median_lead_s: float | None = Field(description="null where an alert had told of fewer than 5 of them")
    downtime_s: float | None = Field(description="of the failures; null where nobody judged it")
    avoided_s: float | None = Field(description="by the repairs; null where nobody judged it")
    achieved: AchievedModel
    recorded_s: float
    withheld_s: dict[str, float] = Field(description="of the recorded time, in each way")
    unwatched_s: float = Field(description="the same, in any way, or because it was not live yet")

    @classmethod
    def of(cls, one: Account) -> Self:
        """Return it as plain values."""
        counts = {answer.value: one.answers[answer] for answer in Answer}
        share = one.precision
        return cls(
            since=format_time(one.since_ns),
            until=format_time(one.until_ns),
            alerts=one.alerts,
            grouped=one.grouped,
            answers=AnswersModel(**counts, unlabelled=one.answers[None]),
            judged=one.judged,
            right=one.right,
            known_patterns=one.known_patterns,
            precision=None if share is None else PrecisionModel(share=share[0], low=share[1], high=share[2]),
            failures=one.failures,
            repairs=one.repairs,
            missed=one.missed,
            outcomes=[OutcomeModel.of(outcome) for outcome in one.outcomes],
            median_lead_s=one.median_lead_s,
            downtime_s=one.downtime_s,
            avoided_s=one.avoided_s,
            achieved=AchievedModel.model_validate(one.achieved.as_json()),
            recorded_s=one.recorded_s,
            withheld_s={kind.value: seconds for kind, seconds in one.withheld_s.items()},
            unwatched_s=one.unwatched_s,
        )


class AssetLedger(Model):
    """An asset in the time that was asked for, and since its beginning."""

    asset: str
    budget: str
    span: AccountModel
    ever: AccountModel


_ACCOUNT: JsonDict = {
    "since": "2026-11-16T20:27:00.000000000Z",
    "until": TIME,
    "alerts": 2,
    "grouped": 0,
    "answers": {"real": 1, "normal": 0, "sensor": 0, "not_looked_at": 0, "unlabelled": 1},
    "judged": 1,
    "right": 1,
    "known_patterns": 0,
    "precision": None,
    "failures": 0,
    "repairs": 1,
    "missed": 0,
    "outcomes": [
        {
            "event": "pump:3",
            "kind": "repair",
            "at": TIME,
            "by": "Ana",
            "comment": "impeller cleaned",
            "alert_id": "pump-3",
            "lead_s": 86400.0,
            "missed": False,
            "downtime_s": 28800.0,
        }
    ],
    "median_lead_s": None,
    "downtime_s": None,
    "avoided_s": 28800.0,
    "achieved": {
        "budget_per_week": 1.0,
        "alerts": 1,
        "weeks": 0.98,
        "per_week": 1.02,
        "low": 0.03,
        "high": 5.7,
        "standing": "too_early",
    },
    "recorded_s": 604800.0,
    "withheld_s": {"suppressed": 0.0, "out_of_service": 14400.0},
    "unwatched_s": 14400.0,
}


class LedgerModel(Model):
    """What came of the alerts, asset by asset."""

    model_config = example(
        {"items": [{"asset": "pump", "budget": "1/week", "span": _ACCOUNT, "ever": _ACCOUNT}]}
    )

    items: list[AssetLedger]
