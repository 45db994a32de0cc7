"""The stages of an asset from its first value to alerts that people see, and the decisions that lead there.

*collecting* (read and recorded, there is no model) -> *learning* -> *shadow* (judged, and alerts are formed that nobody
is told of) -> *live*. What has been decided is an event in the journal each; the stage is a fold of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    """How far an asset is on the way to alerts that people see."""

    COLLECTING = "collecting"
    LEARNING = "learning"
    SHADOW = "shadow"
    LIVE = "live"


class Decision(StrEnum):
    """What is decided of an asset's stage and models; the events of it have the same names (EventKind)."""

    LEARN = "learning"
    NOT_LEARNT = "not_learnt"
    LEARNT = "learnt"
    LOOKED_BACK = "looked_back"
    GO_LIVE = "live"
    CHALLENGE = "challenged"
    DISMISS = "dismissed"
    PROMOTE = "promoted"
    ROLL_BACK = "rolled_back"
    IN_FORCE = "in_force"


@dataclass(frozen=True, slots=True)
class Decide:
    """A person, or the agent by its rules (`by` None), decides something of an asset.

    `about` is the hash of the model that it is about, None where it is about none.
    """

    asset: str
    decision: Decision
    by: str | None
    time_ns: int
    comment: str = ""
    about: str | None = None
