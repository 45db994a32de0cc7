"""The bodies of the API that tell what happened to assets."""

from __future__ import annotations

from pydantic import Field

from agent.api.models import TIME, Model, Time, example
from agent.line.event import EventKind


class EventModel(Model):
    """Something that happened to an asset; the same bytes as in the journal."""

    id: str
    asset: str
    kind: EventKind
    time: Time = Field(description="when it was told")
    since: Time = Field(description="from when it holds, which may be to come")
    until: Time | None = Field(description="until when it holds; null where nobody can say")
    by: str | None = Field(description="the person; null where it was the agent")
    comment: str
    about: str | None = Field(
        description="what it is about, such as a tag or an alert; null where that is the asset itself"
    )
    downtime_s: float | None = Field(
        description="what a failure cost or a repair avoided, as that person judged it; null where nobody did"
    )


class EventPage(Model):
    """Events, the newest first."""

    model_config = example(
        {
            "items": [
                {
                    "id": "pump:3",
                    "asset": "pump",
                    "kind": "out_of_service",
                    "time": TIME,
                    "since": TIME,
                    "until": "2026-11-24T04:27:00.000000000Z",
                    "by": "Ana",
                    "comment": "new seal",
                    "about": None,
                    "downtime_s": None,
                }
            ],
            "before": 2,
        }
    )

    items: list[EventModel]
    before: int | None = Field(description="give it as `before` to get the next page; null at the end")
