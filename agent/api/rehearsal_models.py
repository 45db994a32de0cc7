"""The bodies of the API that say how an asset does against its alarm budget."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from agent.api.models import Model, example
from agent.rehearsal.achieved import Achieved, Standing
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
        }
    )

    asset: str
    budget: str
    budget_per_week: float = Field(description="the budget as alerts a week")
    alerts: int = Field(description="raised since the recorded telemetry begins, by real faults too")
    weeks: float = Field(description="in which the asset was recorded; what was dropped for its age does not count")
    per_week: float | None = Field(description="alerts a week; null before anything was recorded")
    low: float | None = Field(description="least rate that agrees with the count, 95 % sure with `high`")
    high: float | None = Field(description="highest rate that agrees with it")
    standing: Standing = Field(
        description='"too_early" where the rate agrees with the budget and fewer than three alerts are due yet'
    )

    @classmethod
    def of(cls, info: AssetInfo, achieved: Achieved) -> Self:
        """Return what was achieved by an asset."""
        return cls.model_validate({"asset": info.name, "budget": info.budget, **achieved.as_json()})
