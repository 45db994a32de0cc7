"""What happens to an asset apart from any alert: events, each recorded once and for ever."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from agent.line.alert import Alert, RecordOutcome
from agent.line.stage import Decide


class EventKind(StrEnum):
    """What happened to an asset."""

    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"
    SUPPRESSED = "suppressed"
    UNSUPPRESSED = "unsuppressed"
    SUPPRESSION_UNKNOWN = "suppression_unknown"
    LEARNING = "learning"
    NOT_LEARNT = "not_learnt"
    LEARNT = "learnt"
    LOOKED_BACK = "looked_back"
    LIVE = "live"
    CHALLENGED = "challenged"
    DISMISSED = "dismissed"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    IN_FORCE = "in_force"
    NORMAL = "normal"
    CHANGE_SEEN = "change_seen"
    HOLD_ENDED = "hold_ended"
    REBASELINE_BEGUN = "rebaseline_begun"
    REBASELINED = "rebaselined"
    REBASELINE_FAILED = "rebaseline_failed"
    KNOWN_PATTERN = "known_pattern"
    FAILURE = "failure"
    REPAIR = "repair"


@dataclass(frozen=True, slots=True)
class AssetEvent:
    """Something that happened to an asset. All times are UTC in ns.

    `id` is unique in the agent's journal ("pump:3"). It was told at `time_ns` and holds from `since_ns`, which may be
    to come, until `until_ns`, None where nobody can say. `by` is the person, None where it was the agent; `about` names
    what it is about, such as a tag, an alert or the hash of a model, None where that is the asset itself. `downtime_s`
    is what a failure cost or a repair avoided, in seconds, as that person judged it.
    """

    id: str
    asset: str
    kind: EventKind
    time_ns: int
    since_ns: int
    until_ns: int | None
    by: str | None
    comment: str
    about: str | None
    downtime_s: float | None = None


Entry = Alert | AssetEvent
"""What the journal keeps: a revision of an alert, or an event."""


class EventLog:
    """Numbers the events of one asset."""

    def __init__(self, asset: str, next_number: int = 1) -> None:
        self.asset, self._next_number = asset, next_number

    def event(
        self,
        kind: EventKind,
        now_ns: int,
        *,
        since_ns: int | None = None,
        until_ns: int | None = None,
        by: str | None = None,
        comment: str = "",
        about: str | None = None,
        downtime_s: float | None = None,
    ) -> AssetEvent:
        """Return a new event, told now; without `since_ns` it holds from now."""
        event_id = f"{self.asset}:{self._next_number}"
        self._next_number += 1
        start_ns = now_ns if since_ns is None else since_ns
        return AssetEvent(event_id, self.asset, kind, now_ns, start_ns, until_ns, by, comment, about, downtime_s)

    def decided(self, command: Decide, now_ns: int) -> AssetEvent:
        """Return the event of a decision."""
        kind = EventKind(command.decision.value)
        return self.event(kind, now_ns, by=command.by, comment=command.comment, about=command.about)

    def outcome(self, said: RecordOutcome, now_ns: int) -> AssetEvent:
        """Return the event of a failure or a repair that a person records."""
        return self.event(
            EventKind(said.kind.value),
            now_ns,
            since_ns=said.at_ns,
            until_ns=said.at_ns,
            by=said.by,
            comment=said.comment,
            about=said.alert_id,
            downtime_s=said.downtime_s,
        )
