"""The bodies of the API that tell which models an asset has, and how a challenger does beside the champion."""

from __future__ import annotations

from typing import Self

from pydantic import Field
from pydantic.config import JsonDict

from agent.api.event_models import EventModel
from agent.api.models import TIME, Model, Time, example
from agent.rehearsal.achieved import Achieved, Standing
from agent.shadow.comparison import Comparison
from agent.shadow.versions import Role, Version, version
from agent.store import codec

RATE_EXAMPLE: JsonDict = {
    "budget_per_week": 1.0, "alerts": 3, "weeks": 4.2, "per_week": 0.71, "low": 0.15, "high": 2.1, "standing": "within",
}  # fmt: skip


class RateModel(Model):
    """Alerts raised against the alarm budget, as in `GET /assets/{asset}/budget`."""

    budget_per_week: float
    alerts: int
    weeks: float = Field(description="in which the model could have raised an alert")
    per_week: float | None
    low: float | None
    high: float | None
    standing: Standing

    @classmethod
    def of(cls, achieved: Achieved) -> Self:
        """Return a rate that was achieved."""
        return cls.model_validate(achieved.as_json())


class TrialModel(Model):
    """What the champion and the challenger have raised since the latter began."""

    since: Time
    days: float = Field(description="in which the challenger could have raised an alert: not off, blind or withheld")
    champion: RateModel
    challenger: RateModel
    agreement: float | None = Field(description="share of the deviations that both raised; null where neither did")
    missed: list[str] = Field(description="alerts of the champion that the challenger has not raised")
    alone: list[str] = Field(description="alerts in shadow of the challenger that the champion has not raised")

    @classmethod
    def of(cls, found: Comparison) -> Self:
        """Return a comparison."""
        return cls(
            since=codec.format_time(found.since_ns),
            days=found.days,
            champion=RateModel.of(found.champion),
            challenger=RateModel.of(found.challenger),
            agreement=found.agreement,
            missed=list(found.missed),
            alone=list(found.alone),
        )


class VersionModel(Model):
    """One model of an asset: where it comes from, what it is to the asset, and what was decided of it."""

    version: str
    model_hash: str
    name: str
    role: Role
    learnt_rows: int
    learnt_from: str
    origin: str = Field(description="who vouches for it")
    decided: list[EventModel] = Field(description="the oldest first")

    @classmethod
    def of(cls, found: Version) -> Self:
        """Return a model of an asset."""
        return cls(
            version=version(found.model),
            model_hash=found.model,
            name=found.manifest.name,
            role=found.role,
            learnt_rows=found.manifest.learnt_rows,
            learnt_from=found.manifest.learnt_from,
            origin=found.origin,
            decided=[EventModel.model_validate(codec.event_json(event)) for event in found.decided],
        )


class VersionList(Model):
    """The models of an asset, the trial of a challenger, and what a promoted model has raised since."""

    model_config = example(
        {
            "asset": "pump",
            "items": [
                {
                    "version": "1f2e3d4c5b6a",
                    "model_hash": "1f2e3d4c5b6a" + "0" * 52,
                    "name": "pump",
                    "role": "challenger",
                    "learnt_rows": 604800,
                    "learnt_from": "what was recorded here",
                    "origin": "signed by this gateway",
                    "decided": [],
                }
            ],
            "trial": {
                "since": TIME, "days": 29.4, "champion": RATE_EXAMPLE, "challenger": RATE_EXAMPLE, "agreement": 1.0,
                "missed": [], "alone": [],
            },
            "since_promotion": None,
        }
    )  # fmt: skip

    asset: str
    items: list[VersionModel]
    trial: TrialModel | None = Field(description="null where there is no challenger")
    since_promotion: RateModel | None = Field(description="null where nothing was promoted, or it was taken back")
