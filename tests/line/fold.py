"""An alert as a fold of its events: what its history says, by the tables of agent.line.lifecycle alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agent.line.alert import AlarmEvent, AlarmState, Alert, Priority, WithheldKind
from agent.line.lifecycle import ESCALATION, TRANSITIONS, WITHHOLDING

SAYS_ANEW: Final = frozenset({AlarmEvent.RAISE, AlarmEvent.REALARM, AlarmEvent.REASSESS})
"""The events that may tell another verdict, and so another priority."""


def assert_folds(history: Sequence[Alert]) -> None:
    """Fail unless each revision of an alert that people see is what the events up to it make of it.

    How urgent a verdict is no event says: that is taken from who tells it first, and holds until the next verdict.
    """
    state, kinds, priority, verdict_ns = AlarmState.NORMAL, set[WithheldKind](), Priority.LOW, 0
    for count, alert in enumerate(history, 1):
        event, so_far = alert.event, (alert.id, [one.event for one in history[:count]])
        assert event is not None, so_far
        assert alert.revision == count, so_far
        state = TRANSITIONS.get((state, event), state)
        kinds |= {kind for kind, (begins, _) in WITHHOLDING.items() if event is begins}
        kinds -= {kind for kind, (_, ends) in WITHHOLDING.items() if event is ends}
        if event is AlarmEvent.ESCALATE:
            priority = ESCALATION[priority]
        if alert.verdict.time_ns != verdict_ns:
            assert event in SAYS_ANEW, so_far
            priority, verdict_ns = alert.priority, alert.verdict.time_ns
        found = sorted(one.kind for one in alert.withheld)
        assert (alert.state, found, alert.priority) == (state, sorted(kinds), priority), so_far
