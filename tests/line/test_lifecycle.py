"""The life of an alert is a fold of its events, whatever happens to it in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.line import lifecycle
from agent.line.alert import (
    Acknowledge,
    AlarmEvent,
    AlarmState,
    Alert,
    AlertCommand,
    Answer,
    GiveLabel,
    Label,
    Priority,
    Shelve,
    Unshelve,
    Withheld,
    WithheldKind,
)
from agent.line.lifecycle import NEVER, TRANSITIONS, WITHHOLDING, Patience
from tests.agent import samples
from tests.agent.samples import SECOND_NS, START_NS
from tests.line.fold import assert_folds

PATIENCE = Patience(escalate_ns=20 * SECOND_NS, realarm_ns=30 * SECOND_NS)
OF_ASSETS = (WithheldKind.SUPPRESSED, WithheldKind.OUT_OF_SERVICE, WithheldKind.ON_HOLD)


@dataclass(frozen=True, slots=True)
class Moment:
    """Where an alert is, what its asset is withheld by, and the time."""

    alert: Alert
    asset: tuple[Withheld, ...]
    now_ns: int


def machine(event: AlarmEvent) -> Callable[[Moment], Alert | None]:
    def step(at: Moment) -> Alert | None:
        if event is AlarmEvent.RETURN:
            return lifecycle.returned(at.alert, at.now_ns, at.now_ns)
        return lifecycle.raised_again(at.alert, new(at.now_ns)) if lifecycle.is_open(at.alert) else None

    return step


def person(command: Callable[[int], AlertCommand]) -> Callable[[Moment], Alert | None]:
    return lambda at: lifecycle.obey(at.alert, command(at.now_ns), at.now_ns) if lifecycle.is_open(at.alert) else None


def new(now_ns: int) -> Alert:
    verdict = samples.verdict(time_ns=now_ns)
    return lifecycle.raised("pump-1", now_ns, now_ns, verdict, Priority.LOW, "pump deviates", samples.ADVISORY)


HAPPENINGS = (
    machine(AlarmEvent.RAISE),
    machine(AlarmEvent.RETURN),
    person(lambda now_ns: Acknowledge("pump-1", "ada", now_ns)),
    person(lambda now_ns: Shelve("pump-1", "eve", now_ns, now_ns + 25 * SECOND_NS, "part ordered")),
    person(lambda now_ns: Unshelve("pump-1", "eve", now_ns)),
    person(lambda now_ns: GiveLabel("pump-1", Label(Answer.NORMAL, None, "ada", now_ns))),
)
STEPS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from([*range(len(HAPPENINGS)), *OF_ASSETS])), min_size=1, max_size=60
)


def played(steps: Sequence[tuple[int, int | WithheldKind]]) -> list[Alert]:
    """What becomes of an alert: each step waits some seconds, and then something happens to it or its asset."""
    at = Moment(new(START_NS), (), START_NS)
    revisions = [at.alert]
    for wait_s, what in steps:
        at = replace(at, now_ns=at.now_ns + wait_s * SECOND_NS)
        if isinstance(what, WithheldKind):
            others = tuple(one for one in at.asset if one.kind is not what)
            begun = () if len(others) < len(at.asset) else (Withheld(what, None, at.now_ns, None, "so"),)
            at = replace(at, asset=others + begun)
        elif changed := HAPPENINGS[what](at):
            revisions.append(changed)
            at = replace(at, alert=changed)
        while lifecycle.is_open(at.alert) and (
            due := lifecycle.due(at.alert, at.asset, PATIENCE, at.now_ns)
        ):
            revisions.append(due)
            at = replace(at, alert=due)
        if lifecycle.is_open(at.alert):
            assert {one.kind for one in at.alert.withheld} - {WithheldKind.SHELVED} == {one.kind for one in at.asset}
    return revisions


@given(STEPS)
def test_an_alert_is_the_fold_of_its_events(steps: list[tuple[int, int | WithheldKind]]) -> None:
    revisions = played(steps)
    assert_folds(revisions)
    raised = [one.priority for one in revisions if one.event is AlarmEvent.RAISE]
    assert set(raised) == {Priority.LOW}, "it is raised anew for what it is this time, however far it had risen"


@given(STEPS)
def test_nothing_escalates_or_is_raised_again_while_it_is_withheld(steps: list[tuple[int, int | WithheldKind]]) -> None:
    for alert in played(steps):
        if alert.event in (AlarmEvent.ESCALATE, AlarmEvent.REALARM):
            assert not alert.withheld


def test_every_event_is_in_one_of_the_tables() -> None:
    in_tables = {event for _, event in TRANSITIONS} | {event for pair in WITHHOLDING.values() for event in pair}
    others = {AlarmEvent.ESCALATE, AlarmEvent.GROUP, AlarmEvent.LABEL, AlarmEvent.GO_LIVE, AlarmEvent.REASSESS}
    assert in_tables | others == set(AlarmEvent)
    assert set(WITHHOLDING) == set(WithheldKind)


def test_an_alert_nobody_acknowledges_rises_by_one_priority_at_a_time_up_to_the_highest() -> None:
    now_ns, seen = START_NS, []
    alert = replace(samples.alert(), priority=Priority.LOW, standing_since_ns=START_NS)
    for _ in range(200):
        now_ns += SECOND_NS
        if due := lifecycle.due(alert, (), PATIENCE, now_ns):
            alert = due
            seen.append((alert.event, alert.priority, (now_ns - START_NS) // SECOND_NS))
    assert seen == [(AlarmEvent.ESCALATE, Priority.MEDIUM, 20), (AlarmEvent.ESCALATE, Priority.HIGH, 40)]


def test_what_waits_begins_to_count_anew_when_a_person_takes_it_off_the_shelf() -> None:
    shelved = lifecycle.obey(samples.alert(), Shelve("pump-1", "ada", START_NS, START_NS * 2, "part"), START_NS)
    assert shelved is not None
    later_ns = START_NS + 500 * SECOND_NS
    assert lifecycle.due(shelved, (), PATIENCE, later_ns) is None
    back = lifecycle.obey(shelved, Unshelve("pump-1", "ada", later_ns), later_ns)
    assert back is not None
    assert lifecycle.due(back, (), PATIENCE, later_ns + 19 * SECOND_NS) is None
    assert lifecycle.due(replace(back, priority=Priority.LOW), (), PATIENCE, later_ns + 20 * SECOND_NS) is not None


@pytest.mark.parametrize("kind", OF_ASSETS)
def test_an_alert_is_back_once_the_last_of_what_withholds_it_is_over(kind: WithheldKind) -> None:
    shelf = Withheld(WithheldKind.SHELVED, "ada", START_NS, START_NS + 9 * SECOND_NS, "part")
    of_asset = Withheld(kind, None, START_NS, None, "so")
    alert = replace(samples.alert(), withheld=(shelf,))
    both = lifecycle.due(alert, (of_asset,), NEVER, START_NS)
    assert both is not None
    assert (both.event, both.withheld) == (WITHHOLDING[kind][0], (shelf, of_asset))
    one = lifecycle.due(both, (), NEVER, START_NS)
    assert one is not None
    assert (one.event, one.withheld) == (WITHHOLDING[kind][1], (shelf,))


def test_a_label_changes_nothing_in_how_an_alert_stands_and_lasts_until_the_next_one() -> None:
    alert = samples.alert()
    for answer, fault in ((Answer.NORMAL, None), (Answer.REAL, "impeller blockage")):
        label = Label(answer, fault, "ada", START_NS + 9, "a rag in the inlet")
        labelled = lifecycle.obey(alert, GiveLabel("pump-1", label), START_NS + 10)
        assert labelled == replace(
            alert, revision=alert.revision + 1, event=AlarmEvent.LABEL, by="ada", updated_time_ns=START_NS + 10,
            label=label,
        )
        alert = labelled
    again = lifecycle.raised_again(replace(alert, state=AlarmState.RETURNED_UNACKNOWLEDGED), new(START_NS + 20))
    assert again is not None
    assert again.label == alert.label
