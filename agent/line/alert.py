"""What people see: an alert, its alarm state after ISA-18.2, and what people may say to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.line.verdict import Verdict


class AlarmState(StrEnum):
    """ISA-18.2 (IEC 62682) alarm states; the fourth, "returned to normal, unacknowledged", latches until seen."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"


class Priority(StrEnum):
    """How soon a person should look."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who took an alert on, when (UTC, ns) and what they said."""

    by: str
    time_ns: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Shelf:
    """An alert put aside by a person until a time; orthogonal to its alarm state, which goes on underneath."""

    by: str
    since_ns: int
    until_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One occurrence of an alarm, as it stands after `revision` changes. All times are UTC in ns.

    `id` is unique in the agent's journal ("pump-3"). `verdict` is the one that raised it, `peak_evidence` the highest
    evidence since.
    """

    id: str
    asset: str
    revision: int
    state: AlarmState
    priority: Priority
    message: str
    onset_time_ns: int
    raised_time_ns: int
    updated_time_ns: int
    returned_time_ns: int | None
    peak_evidence: float
    acknowledgement: Acknowledgement | None
    shelf: Shelf | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """A person acknowledges an alert."""

    alert_id: str
    by: str
    time_ns: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Shelve:
    """A person shelves an alert until `until_ns`, with a reason."""

    alert_id: str
    by: str
    time_ns: int
    until_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Unshelve:
    """A person takes a shelved alert back."""

    alert_id: str
    by: str
    time_ns: int


Command = Acknowledge | Shelve | Unshelve
