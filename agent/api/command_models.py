"""The bodies of the API's commands: what people say to alerts and assets, and the answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agent.api.models import TIME, Model, Person, TimeNs, example


class AcknowledgeBody(Model):
    """A person takes an alert on."""

    model_config = example({"by": "Ana", "comment": "looking at the seal"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class ShelveBody(Model):
    """A person puts an alert aside for a limited time."""

    model_config = example({"by": "Ana", "reason": "spare part ordered", "duration_s": 86400})

    by: Person
    reason: str = Field(min_length=1, max_length=2000)
    duration_s: float = Field(gt=0, le=30 * 86_400, description="seconds from now, 30 days at most")


class UnshelveBody(Model):
    """A person takes a shelved alert back."""

    model_config = example({"by": "Ana"})

    by: Person


class OutOfServiceBody(Model):
    """A person takes an asset out of service for planned work; no alert of it is raised meanwhile."""

    model_config = example({"by": "Ana", "reason": "new seal", "since": TIME, "duration_s": 14400})

    by: Person
    reason: str = Field(min_length=1, max_length=2000)
    since: TimeNs | None = Field(default=None, description="when it begins, a year from now at most; default: now")
    duration_s: float = Field(gt=0, le=90 * 86_400, description="seconds from then, 90 days at most")


class InServiceBody(Model):
    """A person returns an asset to service, or calls off that it be taken out."""

    model_config = example({"by": "Ana", "comment": "seal replaced"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class GoLiveBody(Model):
    """A person decides that people are shown an asset's alerts from now on."""

    model_config = example({"by": "Ana", "comment": "both alerts of last week were real"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class ModelBody(Model):
    """A person decides which model judges an asset."""

    model_config = example({"by": "Ana", "comment": "it found the leak a day earlier"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class CommandAccepted(Model):
    """The command is queued and takes effect at the asset's next step, within about one of its periods."""

    model_config = example(
        {"command": "acknowledge", "asset": "pump", "alert_id": "pump-3", "href": "/api/v1/alerts/pump-3"}
    )

    command: Literal[
        "acknowledge", "shelve", "unshelve", "out-of-service", "in-service", "go-live", "promote", "rollback"
    ]
    asset: str
    alert_id: str | None = Field(description="the alert that it is said to; null where it is the asset")
    href: str = Field(description="where the effect will be seen")
