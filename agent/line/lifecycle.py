"""The life of an alert after ISA-18.2 (IEC 62682): its tables, and the revision that each event makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from agent.line.advisory import Advisory
from agent.line.alert import (
    Acknowledge,
    Acknowledgement,
    AlarmEvent,
    AlarmState,
    Alert,
    AlertCommand,
    GiveLabel,
    Group,
    Likeness,
    Priority,
    Shelve,
    Signature,
    Unshelve,
    Withheld,
    WithheldKind,
)
from agent.line.verdict import Verdict

_S, _E, _W, _P = AlarmState, AlarmEvent, WithheldKind, Priority
TRANSITIONS: Final[dict[tuple[AlarmState, AlarmEvent], AlarmState]] = {
    (_S.NORMAL, _E.RAISE): _S.UNACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.ACKNOWLEDGE): _S.ACKNOWLEDGED,
    (_S.UNACKNOWLEDGED, _E.RETURN): _S.RETURNED_UNACKNOWLEDGED,
    (_S.ACKNOWLEDGED, _E.RETURN): _S.NORMAL,
    (_S.ACKNOWLEDGED, _E.REALARM): _S.UNACKNOWLEDGED,
    (_S.RETURNED_UNACKNOWLEDGED, _E.ACKNOWLEDGE): _S.NORMAL,
    (_S.RETURNED_UNACKNOWLEDGED, _E.RAISE): _S.UNACKNOWLEDGED,
}
"""The alarm's state (ISA-18.2-2016, clause 5.4): an event that is not in the table leaves it as it is."""

WITHHOLDING: Final[dict[WithheldKind, tuple[AlarmEvent, AlarmEvent]]] = {
    _W.SHELVED: (_E.SHELVE, _E.UNSHELVE),
    _W.SUPPRESSED: (_E.SUPPRESS, _E.UNSUPPRESS),
    _W.OUT_OF_SERVICE: (_E.TAKE_OUT_OF_SERVICE, _E.RETURN_TO_SERVICE),
    _W.ON_HOLD: (_E.HOLD, _E.RELEASE),
}
"""The events that an alert is withheld by, in each of the ways, and is not any longer."""

TELLING: Final = frozenset({_E.RAISE, _E.REALARM, _E.GO_LIVE})
"""The events by which people are told what an alert says. One that is reassessed says it to whom looks, silently."""

ESCALATION: Final[dict[Priority, Priority]] = {_P.LOW: _P.MEDIUM, _P.MEDIUM: _P.HIGH}
"""The priority after ESCALATE; from the highest on there is none."""


@dataclass(frozen=True, slots=True)
class Patience:
    """After how long an alert that stands escalates unacknowledged and is raised again acknowledged; None for never."""

    escalate_ns: int | None = None
    realarm_ns: int | None = None


NEVER: Final = Patience()


def raised(
    alert_id: str,
    onset_ns: int,
    now_ns: int,
    verdict: Verdict,
    priority: Priority,
    message: str,
    advisory: Advisory | None,
    signature: Signature = (),
    like: Likeness | None = None,
    *,
    shadow: bool = False,
) -> Alert:
    """Return the new alert that a verdict calls for, in shadow or for people to see."""
    return Alert(
        id=alert_id,
        asset=verdict.asset,
        revision=1,
        event=_E.RAISE,
        by=None,
        state=TRANSITIONS[_S.NORMAL, _E.RAISE],
        priority=priority,
        message=message,
        onset_time_ns=onset_ns,
        raised_time_ns=verdict.time_ns,
        updated_time_ns=now_ns,
        returned_time_ns=None,
        standing_since_ns=now_ns,
        peak_evidence=verdict.evidence,
        acknowledgement=None,
        withheld=(),
        root=None,
        label=None,
        like=like,
        signature=signature,
        peak_signature=signature,
        advisory=advisory,
        verdict=verdict,
        shadow=shadow,
    )


def raised_again(alert: Alert, new: Alert) -> Alert | None:
    """Return the alert's next revision where it is raised again as `new`, None where the table has none.

    It says what it is raised for this time: it may be another fault. What people said of the alert stays.
    """
    state = TRANSITIONS.get((alert.state, _E.RAISE))
    if state is None:
        return None
    return replace(
        new, id=alert.id, revision=alert.revision + 1, state=state, withheld=alert.withheld, root=alert.root,
        shadow=alert.shadow,
        label=alert.label,
    )


def returned(alert: Alert, time_ns: int, now_ns: int) -> Alert | None:
    """Return the alert's next revision after its deviation was over at `time_ns`, None where the table has none.

    One in shadow is over with that: it does not wait for somebody to see it, whom nobody has told.
    """
    state = _S.NORMAL if alert.shadow else TRANSITIONS.get((alert.state, _E.RETURN))
    if state is None:
        return None
    return _next(replace(alert, state=state, returned_time_ns=time_ns), _E.RETURN, None, now_ns)


def worsened(alert: Alert, new: Alert) -> Alert | None:
    """Return the next revision of an alert that stands, and whose deviation has grown to that of `new`.

    None unless somebody has acknowledged it: who has not will see how bad it is now. A withheld alert waits for nobody.
    """
    state = TRANSITIONS.get((alert.state, _E.REALARM))
    if state is None or alert.withheld:
        return None
    worse = replace(
        alert, priority=new.priority, message=new.message, verdict=new.verdict, like=new.like, advisory=new.advisory,
        signature=new.signature,
    )
    return _next(replace(worse, state=state, acknowledgement=None), _E.REALARM, None, new.updated_time_ns)


def obey(alert: Alert, command: AlertCommand, now_ns: int) -> Alert | None:
    """Return the alert's next revision after a command, or None where it does not apply."""
    if alert.id != command.alert_id:
        return None
    match command:
        case Acknowledge():
            state = TRANSITIONS.get((alert.state, _E.ACKNOWLEDGE))
            if state is None:
                return None
            taken = Acknowledgement(command.by, command.time_ns, command.comment)
            seen = replace(alert, state=state, acknowledgement=taken)
            return _next(seen, _E.ACKNOWLEDGE, command.by, now_ns)
        case Shelve():
            shelf = Withheld(_W.SHELVED, command.by, command.time_ns, command.until_ns, command.reason)
            return withheld(alert, shelf, now_ns)
        case Unshelve():
            return released(alert, _W.SHELVED, command.by, now_ns) if shelf_of(alert) else None
        case Group():
            if command.root in (alert.root, alert.id):
                return None
            return _beside(replace(alert, root=command.root), _E.GROUP, None, now_ns)
        case GiveLabel():
            return _beside(replace(alert, label=command.label), _E.LABEL, command.by, now_ns)


def due(alert: Alert, asset_withheld: Sequence[Withheld], patience: Patience, now_ns: int) -> Alert | None:
    """Return the next revision that time calls for, or what its asset is `asset_withheld` by; None for none.

    A withheld alert, or one in shadow, does not wait for anybody: it neither escalates nor is raised again.
    """
    if (shelf := shelf_of(alert)) and shelf.until_ns is not None and shelf.until_ns <= now_ns:
        return released(alert, _W.SHELVED, None, now_ns)
    if new := next((one for one in asset_withheld if one not in alert.withheld), None):
        return withheld(alert, new, now_ns)
    kinds = {_W.SHELVED, *(one.kind for one in asset_withheld)}
    if over := next((one for one in alert.withheld if one.kind not in kinds), None):
        return released(alert, over.kind, None, now_ns)
    if alert.withheld or alert.shadow:
        return None
    stood_ns = now_ns - alert.standing_since_ns
    if alert.state is _S.UNACKNOWLEDGED and _is_over(stood_ns, patience.escalate_ns) and alert.priority in ESCALATION:
        return _next(replace(alert, priority=ESCALATION[alert.priority]), _E.ESCALATE, None, now_ns)
    state = TRANSITIONS.get((alert.state, _E.REALARM))
    if state is not None and _is_over(stood_ns, patience.realarm_ns):
        return _next(replace(alert, state=state, acknowledgement=None), _E.REALARM, None, now_ns)
    return None


def reassessed(
    alert: Alert, verdict: Verdict, priority: Priority, message: str, advisory: Advisory | None, now_ns: int
) -> Alert:
    """Return the alert's next revision, which tells another cause: that of a later verdict.

    For how long it has stood does not begin anew: what it is about has not changed, but what is known of it.
    """
    changed = replace(alert, verdict=verdict, priority=priority, message=message, advisory=advisory)
    told = _next(changed, _E.REASSESS, None, now_ns)
    return replace(told, standing_since_ns=alert.standing_since_ns)


def withheld(alert: Alert, by: Withheld, now_ns: int) -> Alert:
    """Return the alert's next revision, withheld in one more way; one of the same kind gives way."""
    others = tuple(one for one in alert.withheld if one.kind is not by.kind)
    return _next(replace(alert, withheld=(*others, by)), WITHHOLDING[by.kind][0], by.by, now_ns)


def released(alert: Alert, kind: WithheldKind, by: str | None, now_ns: int) -> Alert:
    """Return the alert's next revision, no longer withheld in this way."""
    others = tuple(one for one in alert.withheld if one.kind is not kind)
    return _next(replace(alert, withheld=others), WITHHOLDING[kind][1], by, now_ns)


def gone_live(alert: Alert, by: str | None, now_ns: int) -> Alert:
    """Return the next revision of an alert in shadow that people are shown from now on."""
    return _next(replace(alert, shadow=False), _E.GO_LIVE, by, now_ns)


def last_told(revisions: Sequence[Alert]) -> Alert:
    """Return the revision that people were told last: before they said what the alert was, where they have.

    What it says is what can be right or wrong; what the agent made of it afterwards people were not told.
    """
    label = revisions[-1].label
    answered = next(place for place, one in enumerate(revisions) if one.label == label) if label else len(revisions)
    return next((one for one in reversed(revisions[:answered]) if one.event in TELLING), revisions[0])


def shelf_of(alert: Alert) -> Withheld | None:
    """Return how a person shelved the alert, None where nobody has."""
    return next((one for one in alert.withheld if one.kind is _W.SHELVED), None)


def is_open(alert: Alert) -> bool:
    """Say whether an alert still needs somebody: its alarm is not back to normal."""
    return alert.state is not _S.NORMAL


def is_standing(alert: Alert) -> bool:
    """Say whether the deviation that the alert is about goes on."""
    return alert.state in (_S.UNACKNOWLEDGED, _S.ACKNOWLEDGED)


def _is_over(stood_ns: int, patience_ns: int | None) -> bool:
    return patience_ns is not None and stood_ns >= patience_ns


def _beside(changed: Alert, event: AlarmEvent, by: str | None, now_ns: int) -> Alert:
    """Return the next revision after an event that changes nothing in how the alert stands."""
    return replace(_next(changed, event, by, now_ns), standing_since_ns=changed.standing_since_ns)


def _next(changed: Alert, event: AlarmEvent, by: str | None, now_ns: int) -> Alert:
    return replace(
        changed, revision=changed.revision + 1, event=event, by=by, updated_time_ns=now_ns, standing_since_ns=now_ns
    )
