"""Advisory generation: the ISA-18.2 alarm as one table, with on delay, off delay and a deadband."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isnan
from typing import Final

from agent.line.alert import (
    Acknowledge,
    Acknowledgement,
    AlarmState,
    Alert,
    Command,
    Priority,
    Shelf,
    Shelve,
    Unshelve,
)
from agent.line.assess import Assessment
from agent.line.verdict import Cause, LifeEnd, Verdict
from agent.line.wording import remaining_life


class AlarmEvent(StrEnum):
    """What can happen to an alarm (ISA-18.2-2016, clause 5.4)."""

    RAISE = "raise"
    RETURN = "return"
    ACKNOWLEDGE = "acknowledge"


_S, _E = AlarmState, AlarmEvent
TRANSITIONS: Final[dict[tuple[AlarmState, AlarmEvent], AlarmState]] = {
    (_S.NORMAL, _E.RAISE): _S.UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.RETURN): _S.RETURNED_UNACKNOWLEDGED,
    (_S.ACKNOWLEDGED, _E.RETURN): _S.NORMAL,
    (_S.RETURNED_UNACKNOWLEDGED, _E.ACKNOWLEDGE): _S.NORMAL,
    (_S.RETURNED_UNACKNOWLEDGED, _E.RAISE): _S.UNACKNOWLEDGED,
}
"""The alarm's whole behaviour: a pair that is not in the table changes nothing."""

DEADBAND: Final = 0.9
"""An alarm returns to normal below this evidence, not at the limit: no chatter."""
SILENCE_ROWS_MAX: Final = 60
"""Deviations further apart than so many unjudged rows are not one deviation."""
PRIORITY_HIGH_EVIDENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class Delays:
    """For how many rows the evidence must stay above the limit before an alarm, and below it before the return."""

    on_rows: int
    off_rows: int


@dataclass(frozen=True, slots=True)
class Change:
    """At new row `row` of an assessment the evidence has called for `event`; it had begun `since_rows` rows before."""

    row: int
    event: AlarmEvent
    since_rows: int


class Watch:
    """Counts rows above and below the limit and says when an alarm is due; unjudged rows count for neither."""

    def __init__(self, delays: Delays, *, raised: bool) -> None:
        self._delays = delays
        self._raised = raised
        self._count = 0
        self._unjudged = 0
        self._rows = 0
        """Judged or not, rows since the count began: how long ago the onset was."""

    def changes(self, assessment: Assessment) -> list[Change]:
        """Return what the new rows call for, in order."""
        if not self._raised and not self._count and not (assessment.evidence >= 1.0).any():
            return []
        found: list[Change] = []
        pairs = zip(assessment.evidence.tolist(), assessment.judged.tolist(), strict=True)
        for row, (evidence, judged) in enumerate(pairs):
            self._rows += 1
            self._unjudged = 0 if judged else self._unjudged + 1
            if not judged:
                if not self._raised and self._unjudged > SILENCE_ROWS_MAX:
                    self._count = 0
                continue
            leaving = evidence < DEADBAND if self._raised else evidence >= 1.0
            self._count = self._count + 1 if leaving else 0
            self._rows = self._rows if leaving and self._count > 1 else 0
            needed = self._delays.off_rows if self._raised else self._delays.on_rows
            if self._count >= needed:
                found.append(Change(row, AlarmEvent.RETURN if self._raised else AlarmEvent.RAISE, self._rows))
                self._raised, self._count, self._rows = not self._raised, 0, 0
        return found


def raised(alert_id: str, onset_ns: int, now_ns: int, verdict: Verdict) -> Alert:
    """Return the new alert that a verdict calls for."""
    return Alert(
        id=alert_id,
        asset=verdict.asset,
        revision=1,
        state=TRANSITIONS[AlarmState.NORMAL, AlarmEvent.RAISE],
        priority=_priority(verdict),
        message=message(verdict),
        onset_time_ns=onset_ns,
        raised_time_ns=verdict.time_ns,
        updated_time_ns=now_ns,
        returned_time_ns=None,
        peak_evidence=verdict.evidence,
        acknowledgement=None,
        shelf=None,
        verdict=verdict,
    )


def move(alert: Alert, event: AlarmEvent, onset_ns: int, now_ns: int, verdict: Verdict) -> Alert | None:
    """Return the alert's next revision after the machine's own event, or None where the table has none.

    An alarm that is raised again says what it is raised for this time: it may be another fault.
    """
    state = TRANSITIONS.get((alert.state, event))
    if state is None:
        return None
    if event is AlarmEvent.RAISE:
        again = raised(alert.id, onset_ns, now_ns, verdict)
        return replace(again, revision=alert.revision + 1, state=state, shelf=alert.shelf)
    return replace(
        alert, revision=alert.revision + 1, state=state, updated_time_ns=now_ns, returned_time_ns=verdict.time_ns
    )


def obey(alert: Alert, command: Command, now_ns: int) -> Alert | None:
    """Return the alert's next revision after a person's command, or None where it does not apply."""
    if alert.id != command.alert_id:
        return None
    match command:
        case Acknowledge():
            state = TRANSITIONS.get((alert.state, AlarmEvent.ACKNOWLEDGE))
            if state is None:
                return None
            taken = Acknowledgement(command.by, command.time_ns, command.comment)
            changed = replace(alert, state=state, acknowledgement=taken)
        case Shelve():
            changed = replace(alert, shelf=Shelf(command.by, command.time_ns, command.until_ns, command.reason))
        case Unshelve():
            if alert.shelf is None:
                return None
            changed = replace(alert, shelf=None)
    return replace(changed, revision=alert.revision + 1, updated_time_ns=now_ns)


def expire(alert: Alert, now_ns: int) -> Alert | None:
    """Return the alert taken off the shelf where its time there is over, else None."""
    if alert.shelf is None or alert.shelf.until_ns > now_ns:
        return None
    return replace(alert, revision=alert.revision + 1, shelf=None, updated_time_ns=now_ns)


def is_open(alert: Alert) -> bool:
    """Say whether an alert still needs somebody: its alarm is not back to normal."""
    return alert.state is not AlarmState.NORMAL


def message(verdict: Verdict) -> str:
    """Return one sentence for a person: cause first, then the tag that deviates most and what was expected of it.

    How long the machine has comes last, where that was learnt from failures; without them it is too wide to go by.
    """
    first = {
        Cause.MACHINE: f"{verdict.asset} behaves unlike it ever did in regime {verdict.regime}",
        Cause.SENSOR: f"{verdict.asset}: a tag does what only a sensor or its wiring can do",
        Cause.COMMUNICATION: f"{verdict.asset}: deviates while much of its data is missing",
        None: f"{verdict.asset} deviates",
    }[verdict.cause]
    left = f"; {remaining_life(verdict)}" if verdict.remaining_life_until is LifeEnd.FAILURE else ""
    if not verdict.contributions:
        return first + left
    tag = verdict.contributions[0]
    looks = f", looks like {verdict.fault_probabilities[0][0]}" if verdict.fault_probabilities else ""
    expected = "" if isnan(tag.expected) else f", expected {_quantity(tag.expected, tag.unit)}"
    return f"{first}: {tag.tag} is {_quantity(tag.measured, tag.unit)}{expected}{looks}{left}"


def _quantity(value: float, unit: str) -> str:
    return f"{value:.4g} {unit}".removesuffix(" 1").rstrip()  # the unit 1 is not worth saying


def _priority(verdict: Verdict) -> Priority:
    if verdict.cause is not Cause.MACHINE:
        return Priority.LOW
    return Priority.HIGH if verdict.evidence >= PRIORITY_HIGH_EVIDENCE else Priority.MEDIUM
