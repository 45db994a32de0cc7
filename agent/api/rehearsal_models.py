"""The bodies of the API that say how an asset does against its alarm budget, and in its fire drills."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from agent.api.models import TIME, Model, Time, example
from agent.ledger.account import Account
from agent.rehearsal.achieved import Standing
from agent.rehearsal.finding import Drill, Finding, Tried
from agent.store.codec import format_time
from agent.view import AssetInfo


class BudgetModel(Model):
    """Alerts raised against the alarm budget."""

    model_config = example(
        {
            "asset": "pump",
            "budget": "1/week",
            "budget_per_week": 1.0,
            "alerts": 3,
            "weeks": 4.2,
            "per_week": 0.71,
            "low": 0.15,
            "high": 2.1,
            "standing": "within",
            "not_counted": 1,
        }
    )

    asset: str
    budget: str
    budget_per_week: float = Field(description="the budget as alerts a week")
    alerts: int = Field(
        description="raised since the recorded telemetry begins, less those labelled real or a sensor's fault"
    )
    weeks: float = Field(
        description="in which the asset was recorded and its alerts not withheld, as far back as that is kept"
    )
    per_week: float | None = Field(description="alerts a week; null before anything was recorded")
    low: float | None = Field(description="least rate that agrees with the count, 95 % sure with `high`")
    high: float | None = Field(description="highest rate that agrees with it")
    standing: Standing = Field(
        description='"too_early" where the rate agrees with the budget and fewer than three alerts are due yet'
    )
    not_counted: int = Field(description="alerts left out, since people labelled them real or a sensor's fault")

    @classmethod
    def of(cls, info: AssetInfo, account: Account) -> Self:
        """Return what was achieved by an asset."""
        named = {"asset": info.name, "budget": info.budget, "not_counted": account.not_counted}
        return cls.model_validate({**named, **account.achieved.as_json()})


class SizeModel(Model):
    """One size of a fault, and how often and how soon it was seen."""

    percent: float | None = Field(description="of the tag's normal value, of a gain of its swings; null: no size")
    value: float | None = Field(description="in the tag's unit, of a delay in seconds")
    seen: int
    of: int = Field(description="at so many moments")
    tried: int = Field(description="at so many of them really; after two sizes that were missed smaller ones are not")
    low: float = Field(description="least share that agrees with the count, 95 % sure with `high`")
    high: float
    median_s: float | None = Field(description="seconds to the alert, where there was one")
    slowest_s: float | None


class FindingModel(Model):
    """A fault of a tag."""

    tag: str
    unit: str
    fault: str
    normal: float = Field(description="what sizes are percentages of, in the unit")
    sentence: str
    smallest_percent: float | None = Field(description="the smallest size seen nine times of ten, null where none was")
    sizes: list[SizeModel]


class DrillModel(Model):
    """The last fire drill of an asset."""

    model_config = example(
        {
            "asset": "pump",
            "held": TIME,
            "since": TIME,
            "until": TIME,
            "budget": "1/week",
            "model_hash": "6f1c0a",
            "within_s": 86400.0,
            "seed": 0,
            "wanted": 20,
            "moments": 20,
            "findings": [
                {
                    "tag": "flow",
                    "unit": "m3/h",
                    "fault": "bias",
                    "normal": 57.9,
                    "sentence": "flow off by 1 % (0.579 m3/h) would be seen in 20 min, 19 of 20 times (76 to 99 %)",
                    "smallest_percent": 1.0,
                    "sizes": [
                        {
                            "percent": 1.0,
                            "value": 0.579,
                            "seen": 19,
                            "of": 20,
                            "tried": 20,
                            "low": 0.764,
                            "high": 0.991,
                            "median_s": 1200.0,
                            "slowest_s": 2400.0,
                        }
                    ],
                }
            ],
        }
    )

    asset: str
    held: Time
    since: Time = Field(description="the record that was used begins here")
    until: Time
    budget: str
    model_hash: str
    within_s: float = Field(description="how long an alert was waited for")
    seed: int
    wanted: int
    moments: int = Field(description="healthy moments of the record at which each fault was begun")
    findings: list[FindingModel]

    @classmethod
    def of(cls, drill: Drill) -> Self:
        """Return what a drill has found."""
        return cls(
            asset=drill.asset,
            held=format_time(drill.held_ns),
            since=format_time(drill.since_ns),
            until=format_time(drill.until_ns),
            budget=drill.budget,
            model_hash=drill.model_hash,
            within_s=drill.within_s,
            seed=drill.seed,
            wanted=drill.wanted,
            moments=drill.moments,
            findings=[_finding(one, drill.within_s) for one in drill.findings],
        )


def _finding(one: Finding, within_s: float) -> FindingModel:
    return FindingModel(
        tag=one.tag,
        unit=one.unit,
        fault=one.fault,
        normal=one.normal,
        sentence=one.sentence(within_s),
        smallest_percent=one.smallest.percent if one.smallest else None,
        sizes=[_size(tried) for tried in one.sizes],
    )


def _size(one: Tried) -> SizeModel:
    low, high = one.interval
    return SizeModel(
        percent=one.percent,
        value=one.value,
        seen=one.seen,
        of=one.of,
        tried=one.tried,
        low=low,
        high=high,
        median_s=one.median_s,
        slowest_s=max(one.seen_s, default=None),
    )
