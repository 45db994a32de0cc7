"""What people see: an alert, its alarm state after ISA-18.2, what can happen to it, and what people may say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.line.stage import Decide
from agent.line.verdict import Verdict


class AlarmState(StrEnum):
    """ISA-18.2 (IEC 62682) alarm states; the fourth, "returned to normal, unacknowledged", latches until seen."""

    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED_UNACKNOWLEDGED = "returned_unacknowledged"


class AlarmEvent(StrEnum):
    """What can happen to an alert, each of its revisions by one; agent.line.lifecycle says what comes of them."""

    RAISE = "raise"
    RETURN = "return"
    ACKNOWLEDGE = "acknowledge"
    REALARM = "realarm"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"
    SUPPRESS = "suppress"
    UNSUPPRESS = "unsuppress"
    TAKE_OUT_OF_SERVICE = "take_out_of_service"
    RETURN_TO_SERVICE = "return_to_service"
    HOLD = "hold"
    RELEASE = "release"
    ESCALATE = "escalate"
    GROUP = "group"
    GO_LIVE = "go_live"


class Priority(StrEnum):
    """How soon a person should look."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Consequence(StrEnum):
    """What a failure of the machine would do, as its owner says."""

    MINOR = "minor"
    MAJOR = "major"
    SEVERE = "severe"


class TimeToAct(StrEnum):
    """How long there is to act on an alert before it is too late, roughly."""

    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who took an alert on, when (UTC, ns) and what they said."""

    by: str
    time_ns: int
    comment: str = ""


class WithheldKind(StrEnum):
    """Why an alert is kept from people: a person shelved it, or its machine is cleaned, serviced, or has been changed.

    Each is independent of the others, as in OPC UA Part 9: an alert is back once the last of them is over.
    """

    SHELVED = "shelved"
    SUPPRESSED = "suppressed"
    OUT_OF_SERVICE = "out_of_service"
    ON_HOLD = "on_hold"


@dataclass(frozen=True, slots=True)
class Withheld:
    """An alert, or all alerts of an asset, kept from people; the alarm's state goes on underneath.

    `by` is the person, None where the agent or a tag did it; `until_ns` None where nobody can say when it ends.
    """

    kind: WithheldKind
    by: str | None
    since_ns: int
    until_ns: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One occurrence of an alarm, as it stands after `revision` changes. All times are UTC in ns.

    `id` is unique in the agent's journal ("pump-3"). `event` made this revision, None where an earlier version did not
    say; `by` is the person who did, None where it was the agent. It stands as it does, in its state, with its priority,
    withheld or not, since `standing_since_ns`. `withheld` holds one of each kind at most. `root` is the alert that it
    goes under, None where it stands by itself. `verdict` is the one that raised it, `peak_evidence` the highest
    evidence since. One in `shadow` is kept to see what would have been raised, and no alert that people are shown.
    """

    id: str
    asset: str
    revision: int
    event: AlarmEvent | None
    by: str | None
    state: AlarmState
    priority: Priority
    message: str
    onset_time_ns: int
    raised_time_ns: int
    updated_time_ns: int
    returned_time_ns: int | None
    standing_since_ns: int
    peak_evidence: float
    acknowledgement: Acknowledgement | None
    withheld: tuple[Withheld, ...]
    root: str | None
    verdict: Verdict
    shadow: bool = False


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


@dataclass(frozen=True, slots=True)
class TakeOutOfService:
    """A person takes an asset out of service from `since_ns`, which may be to come, until `until_ns`."""

    asset: str
    by: str
    time_ns: int
    since_ns: int
    until_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class ReturnToService:
    """A person returns an asset to service, or calls off that it be taken out."""

    asset: str
    by: str
    time_ns: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The agent puts an alert under the root alert of what is one incident, None to let it stand by itself."""

    alert_id: str
    root: str | None
    time_ns: int


AlertCommand = Acknowledge | Shelve | Unshelve | Group
AssetCommand = TakeOutOfService | ReturnToService
Command = AlertCommand | AssetCommand | Decide
