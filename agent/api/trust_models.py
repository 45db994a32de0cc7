"""The bodies of the API that say how far tags are to be trusted."""

from __future__ import annotations

from pydantic import Field

from agent.api.models import TIME, Model, Time, example


class TagTrustModel(Model):
    """How far one tag's values are to be trusted."""

    tag: str
    unit: str
    period_ms: int
    value: float | None = Field(description="the newest, in the unit; null where its status is bad")
    status: str = Field(description='OPC UA status by name, such as "Good" or "BadTimeout"')
    status_code: int
    time: Time | None = Field(description="the source time of the newest value")
    age_s: float | None = Field(description="for how long no good value has come; null where none ever came")
    trust: int = Field(description="0 to 100")
    reasons: list[str] = Field(description='why it is not 100, such as "frozen for 3 h", or that it is not judged')
    stale: bool = Field(description="no good value for two of its periods and a second")
    last_good: Time | None = Field(description="when the last good value came, by the agent's clock")
    samples_hour: int = Field(description="samples of the last hour, good or bad")
    samples_day: int


class TagTrustList(Model):
    """The tags of an asset, in the order of its model."""

    model_config = example(
        {
            "items": [
                {
                    "tag": "discharge_pressure",
                    "unit": "bar",
                    "period_ms": 1000,
                    "value": 9.07,
                    "status": "Good",
                    "status_code": 0,
                    "time": TIME,
                    "age_s": 0.4,
                    "trust": 86,
                    "reasons": ["12 % of reads had no answer in the last hour"],
                    "stale": False,
                    "last_good": TIME,
                    "samples_hour": 3600,
                    "samples_day": 86400,
                }
            ]
        }
    )

    items: list[TagTrustModel]
