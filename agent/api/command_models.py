"""The bodies of the API's commands: what people say to alerts and assets, and the answer."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from agent.api.models import TIME, Model, Person, Text, TimeNs, example
from agent.api.refusals import NOT_BLANK
from agent.line.alert import Answer


class AcknowledgeBody(Model):
    """A person takes an alert on."""

    model_config = example({"by": "Ana", "comment": "looking at the seal"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class ShelveBody(Model):
    """A person puts an alert aside for a limited time."""

    model_config = example({"by": "Ana", "reason": "spare part ordered", "duration_s": 86400})

    by: Person
    reason: Text
    duration_s: float = Field(gt=0, le=30 * 86_400, description="seconds from now, 30 days at most")


class UnshelveBody(Model):
    """A person takes a shelved alert back."""

    model_config = example({"by": "Ana"})

    by: Person


class LabelBody(Model):
    """A person says what an alert was, or corrects what was said: the newest counts."""

    model_config = example(
        {"by": "Ana", "answer": "real", "fault": "impeller blockage", "comment": "a rag in the inlet"}
    )

    by: Person
    answer: Answer
    fault: str | None = Field(
        default=None, min_length=1, max_length=100, pattern=NOT_BLANK,
        description='what was wrong; only with "real"',
    )
    comment: str = Field(default="", max_length=2000)

    @model_validator(mode="after")
    def _fault_where_real(self) -> Self:
        if (self.answer is Answer.REAL) != (self.fault is not None):
            raise ValueError('fault: is needed with the answer "real", and only with that')
        return self


class OutOfServiceBody(Model):
    """A person takes an asset out of service for planned work; no alert of it is raised meanwhile."""

    model_config = example({"by": "Ana", "reason": "new seal", "since": TIME, "duration_s": 14400})

    by: Person
    reason: Text
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


class NothingChangedBody(Model):
    """A person says that a change that was seen changed nothing of the machine."""

    model_config = example({"by": "Ana", "comment": "only a recipe was added"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class ModelBody(Model):
    """A person decides which model judges an asset."""

    model_config = example({"by": "Ana", "comment": "it found the leak a day earlier"})

    by: Person
    comment: str = Field(default="", max_length=2000)


class RollbackBody(ModelBody):
    """A person gives the place back to a model that has judged an asset before."""

    model_config = example({"by": "Ana", "comment": "it was found to be deaf", "version": "1f2e3d4c5b6a"})

    version: str | None = Field(
        default=None, max_length=64, description="of a model that has judged the asset; default: of the last before"
    )


class RebaselineBody(Model):
    """A person says that these tags, and nothing else of the machine, have changed: their level is learnt anew."""

    model_config = example({"by": "Ana", "tags": ["temperature"], "comment": "new sensor"})

    by: Person
    tags: list[str] = Field(min_length=1, max_length=1000)
    comment: str = Field(default="", max_length=2000)


class NormalBody(Model):
    """A person says that what an asset did from one time to another is normal, so that it may be learnt from."""

    model_config = example({"by": "Ana", "since": TIME, "comment": "the new product, running as it should"})

    by: Person
    since: TimeNs = Field(description="from when on")
    until: TimeNs | None = Field(default=None, description="until when; default: now")
    comment: Text


class OutcomeBody(Model):
    """A person records that an asset failed, or was repaired before it did."""

    model_config = example(
        {"by": "Ana", "comment": "bearing seized", "at": TIME, "alert_id": "pump-3", "downtime_s": 14400}
    )

    by: Person
    comment: Text = Field(description="what failed, or what was repaired")
    at: TimeNs | None = Field(default=None, description="when; default: now")
    alert_id: str | None = Field(default=None, max_length=200, description="the alert that had told of it")
    downtime_s: float | None = Field(
        default=None,
        ge=0,
        le=366 * 86_400,
        description="what the failure cost or the repair avoided, as this person judges it",
    )


class CommandAccepted(Model):
    """The command is queued and takes effect at the asset's next step, within about one of its periods."""

    model_config = example(
        {"command": "acknowledge", "asset": "pump", "alert_id": "pump-3", "href": "/api/v1/alerts/pump-3"}
    )

    command: Literal[
        "acknowledge", "shelve", "unshelve", "label", "out-of-service", "in-service", "normal", "nothing-changed",
        "rebaseline", "go-live", "promote", "rollback", "failure", "repair",
    ]
    asset: str
    alert_id: str | None = Field(description="the alert that it is said to; null where it is the asset")
    href: str = Field(description="where the effect will be seen")
