"""The state of an alert as a fold of its events: what its history says, by the tables of agent.line.lifecycle alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.line.alert import AlarmEvent, AlarmState, Alert, Priority, WithheldKind
from agent.line.lifecycle import ESCALATION, TRANSITIONS, WITHHOLDING

SAYS_ANEW: Final = frozenset({AlarmEvent.RAISE, AlarmEvent.REALARM, AlarmEvent.REASSESS})
"""The events that may tell another verdict, and so another priority."""


def fold(events: Sequence[AlarmEvent]) -> tuple[AlarmState, set[WithheldKind], Priority]:
    """What an alert is after some events: its state, what withholds it, and its priority where it was raised as low."""
    state, kinds, priority = AlarmState.NORMAL, set[WithheldKind](), Priority.LOW
    for event in events:
        state = TRANSITIONS.get((state, event), state)
        kinds |= {kind for kind, (begins, _) in WITHHOLDING.items() if event is begins}
        kinds -= {kind for kind, (_, ends) in WITHHOLDING.items() if event is ends}
        if event is AlarmEvent.ESCALATE:
            priority = ESCALATION[priority]
        if event is AlarmEvent.RAISE:
            priority = Priority.LOW  # it is raised anew, for what it is this time
    return state, kinds, priority


def assert_folds(history: Sequence[Alert]) -> None:
    """Fail unless each revision of an alert that people see is what the events up to it make of it."""
    events: list[AlarmEvent] = []
    for before, alert in zip((None, *history), history, strict=False):
        assert alert.event is not None, alert
        events.append(alert.event)
        assert alert.revision == len(events), (alert.id, alert.revision, events)
        state, kinds, _ = fold(events)
        found = [one.kind for one in alert.withheld]
        assert (alert.state, sorted(found)) == (state, sorted(kinds)), (alert.id, alert.state, found, events)
        if before is not None and alert.event not in SAYS_ANEW:
            risen = ESCALATION[before.priority] if alert.event is AlarmEvent.ESCALATE else before.priority
            assert alert.priority is risen, (alert.id, before.priority, alert.priority, events)
