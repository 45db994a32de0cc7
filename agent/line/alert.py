"""What people see: an alert, its alarm state after ISA-18.2, what can happen to it, and what people may say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.line.advisory import Advisory
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
    REASSESS = "reassess"
    LABEL = "label"


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


class Answer(StrEnum):
    """What a person found when they looked at what an alert was about."""

    REAL = "real"
    NORMAL = "normal"
    SENSOR = "sensor"
    NOT_LOOKED_AT = "not_looked_at"


@dataclass(frozen=True, slots=True)
class Label:
    """What an alert was: who says so, when (UTC, ns), and what else is to be kept.

    `fault` is what was wrong, in their words; None where the answer is not `real`.
    """

    answer: Answer
    fault: str | None
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
class Trait:
    """What one tag does; `still` is 1 where it is stuck, else 0.

    `level` is the mean of its white residual over 32 rows, signed, in standard deviations of such a mean where all is
    well; `spread` what it scatters in them beyond a healthy tag, in that one's standard deviations.
    """

    tag: str
    level: float
    spread: float
    still: float


Signature = tuple[Trait, ...]
"""What a deviation looks like in residual space: its largest traits, the largest first."""
Shapes = tuple[tuple[str, float], ...]
"""Types of fault and their probabilities."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """The labelled alert that an alert is like: when it was raised (UTC, ns), what people say it was, 0..1 how near."""

    alert_id: str
    raised_time_ns: int
    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Alert:
    """One occurrence of an alarm, as it stands after `revision` changes. All times are UTC in ns.

    `id` is unique in the agent's journal ("pump-3"). `event` made this revision, None where an earlier version did not
    say; `by` is the person who did, None where it was the agent. It stands as it does, in its state, with its priority,
    withheld or not, since `standing_since_ns`. `withheld` holds one of each kind at most. `root` is the alert that it
    goes under, None where it stands by itself. `label` is the newest that a person gave it, None before the first.
    `advisory` says what to check first. `verdict` is the one that raised it, or the one that last told another cause.
    `signature` is what it looked like when it was raised, and `like` the labelled alert that it was like, None where it
    was like none. `peak_evidence` is the highest evidence since, and `peak_signature` what it looked like when it
    deviated most. One in `shadow` is kept to see what would
    have been raised, and no alert that people are shown.
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
    label: Label | None
    like: Likeness | None
    signature: Signature
    peak_signature: Signature
    advisory: Advisory | None
    verdict: Verdict
    shadow: bool = False


def series_of(alert: Alert) -> str:
    """Return what an alert is numbered within: its asset, or what one model would have raised of it ("pump~1f2e")."""
    return alert.id.rpartition("-")[0] if alert.shadow else alert.asset


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
class GiveLabel:
    """A person says what an alert was, or corrects what was said.

    Most are over by then, and their line has forgotten them: `alert` is the one that is labelled, as it stood before.
    """

    alert_id: str
    label: Label
    alert: Alert | None = None

    @property
    def by(self) -> str:
        """Who says so."""
        return self.label.by

    @property
    def time_ns(self) -> int:
        """When, UTC."""
        return self.label.time_ns


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
class DeclareNormal:
    """A person says that what an asset did from `since_ns` until `until_ns` is normal, whatever was made of it."""

    asset: str
    by: str
    time_ns: int
    since_ns: int
    until_ns: int
    comment: str


@dataclass(frozen=True, slots=True)
class SeeChange:
    """The agent has seen that a machine, or what it is read by, is not what it was: `cause` is a sentence for people.

    `about` names what it is about, such as a connection.
    """

    asset: str
    cause: str
    about: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class EndHold:
    """A person says that a change that was seen changed nothing: the asset's alerts are no longer on hold."""

    asset: str
    by: str
    time_ns: int
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Rebaseline:
    """A person says that these tags of an asset, and nothing else, have changed: their level is learnt anew."""

    asset: str
    tags: tuple[str, ...]
    by: str
    time_ns: int
    comment: str = ""


class OutcomeKind(StrEnum):
    """What became of an asset: it failed, or was repaired before it did."""

    FAILURE = "failure"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class RecordOutcome:
    """A person records that an asset failed or was repaired at `at_ns`, and which alert had told of it, if one had.

    `downtime_s` is the downtime in seconds that the failure cost or the repair avoided, as that person judges it, None
    where nobody does.
    """

    asset: str
    kind: OutcomeKind
    by: str
    time_ns: int
    at_ns: int
    alert_id: str | None
    downtime_s: float | None
    comment: str


@dataclass(frozen=True, slots=True)
class Group:
    """The agent puts an alert under the root alert of what is one incident, None to let it stand by itself."""

    alert_id: str
    root: str | None
    time_ns: int


AlertCommand = Acknowledge | Shelve | Unshelve | Group | GiveLabel
AssetCommand = TakeOutOfService | ReturnToService | DeclareNormal | SeeChange | EndHold | Rebaseline | RecordOutcome
Command = AlertCommand | AssetCommand | Decide
