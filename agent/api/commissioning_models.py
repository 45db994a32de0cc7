"""The bodies of the API that tell how far an asset is on the way to alerts that people see."""

from __future__ import annotations

from pydantic import Field

from agent.api.models import ALERT_EXAMPLE, TIME, AlertModel, Model, Time, example
from agent.line.stage import Stage


class CollectedModel(Model):
    """How much of an asset is recorded, and what is missing."""

    recorded_h: float = Field(description="hours that are recorded, but for those out of service and in cleaning")
    needed_h: float = Field(description="hours from which on a model is learnt")
    missing: list[str] = Field(description="tags without a good value in the last day")
    refused: str | None = Field(description="why no model could be learnt the last time; null where none was tried")


class CommissioningModel(Model):
    """The stage of an asset, how much is collected, and what it would have raised in shadow."""

    model_config = example(
        {
            "asset": "pump",
            "stage": "shadow",
            "since": TIME,
            "model": "1f2e3d4c5b6a",
            "collected": {"recorded_h": 171.2, "needed_h": 168.0, "missing": [], "refused": None},
            "looked_back": "1 alert would have been raised in what was recorded before",
            "before": [ALERT_EXAMPLE],
            "raised": [],
        }
    )

    asset: str
    stage: Stage
    since: Time | None = Field(description="since when; null where it has always been so")
    model: str | None = Field(description="the version of the model that judges it; null where there is none")
    collected: CollectedModel
    looked_back: str | None = Field(description="what the model made of the record; null where that is not known yet")
    before: list[AlertModel] = Field(description="what it would have raised before it began to judge, the newest first")
    raised: list[AlertModel] = Field(description="what it has raised in shadow since, the newest first")
