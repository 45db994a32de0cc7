"""What may be learnt from, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from agent.learning import quarantine
from agent.learning.quarantine import DAY_NS, EVER_NS, HOUR_NS, LEARNABLE, REASONS, Reason, Seen, Span, Standing
from agent.line.alert import Alert, Answer, Label
from agent.line.assess import BLIND, DEVIATING, NORMAL, SETTLING, UNSEEN
from agent.line.event import AssetEvent, EventKind, EventLog
from tests.agent.samples import alert

MINUTE_NS = HOUR_NS // 60
ROWS = 60
TIMES_NS = np.arange(ROWS, dtype=np.int64) * MINUTE_NS


def seen(condition: int = NORMAL, drift: float = 0.0) -> Seen:
    return Seen(TIMES_NS, np.full(ROWS, condition, np.int8), np.full(ROWS, drift, np.float32))


def told(rows: Seen, spans: Sequence[Span] = (), normal: Sequence[tuple[int, int]] = ()) -> list[Reason | None]:
    """The reason of each row, None where it may be learnt from."""
    found = quarantine.reasons(rows, spans, normal).tolist()
    return [None if place == LEARNABLE else REASONS[place] for place in found]


def minutes(reason: Reason, begin: int, end: int) -> Span:
    return Span(reason, begin * MINUTE_NS, end * MINUTE_NS)


def test_a_row_that_was_found_well_and_of_which_nothing_else_is_known_may_be_learnt_from() -> None:
    assert told(seen()) == [None] * ROWS


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        (BLIND, Reason.BLIND), (SETTLING, Reason.SETTLING), (DEVIATING, Reason.DEVIATING),
        (UNSEEN, Reason.UNSEEN_REGIME),
    ],
)
def test_what_was_not_found_well_is_left_out(condition: int, reason: Reason) -> None:
    assert told(seen(condition)) == [reason] * ROWS


def test_a_tag_that_has_moved_for_good_without_an_alarm_is_for_a_person_to_judge() -> None:
    assert told(seen(drift=2.5)) == [Reason.DRIFTED] * ROWS
    assert told(seen(drift=1.9)) == [None] * ROWS


@pytest.mark.parametrize("reason", REASONS)
def test_a_span_leaves_out_its_rows_from_its_beginning_to_before_its_end(reason: Reason) -> None:
    found = told(seen(), [minutes(reason, 10, 20)])
    assert found == [None] * 10 + [reason] * 10 + [None] * 40


def test_of_several_reasons_the_one_furthest_from_the_machine_at_work_is_told() -> None:
    found = told(seen(DEVIATING), [minutes(Reason.ALARM, 0, 60), minutes(Reason.OUT_OF_SERVICE, 0, 30)])
    assert found == [Reason.OUT_OF_SERVICE] * 30 + [Reason.ALARM] * 30


@pytest.mark.parametrize("reason", REASONS)
def test_a_person_can_only_overrule_what_the_agent_made_of_a_machine_at_work(reason: Reason) -> None:
    overruled = reason not in (
        Reason.BEFORE_BASELINE, Reason.OUT_OF_SERVICE, Reason.SUPPRESSED, Reason.ON_HOLD, Reason.BLIND, Reason.SETTLING
    )
    found = told(seen(), [minutes(reason, 0, 60)], [(20 * MINUTE_NS, 40 * MINUTE_NS)])
    assert found == [reason] * 20 + [None if overruled else reason] * 20 + [reason] * 20


def test_an_alarm_that_stands_is_left_out_for_ever_and_a_day_before_it() -> None:
    assert list(quarantine.of_alarm(Standing(5 * DAY_NS, 5 * DAY_NS))) == [
        Span(Reason.ALARM, 5 * DAY_NS, EVER_NS), Span(Reason.NEAR_ALARM, 4 * DAY_NS, 5 * DAY_NS),
    ]


def test_an_alarm_that_is_over_has_margins_and_one_in_maintenance_none_before() -> None:
    over = Standing(5 * DAY_NS, 5 * DAY_NS, 6 * DAY_NS)
    alarm, before, after = quarantine.of_alarm(over)
    assert (alarm.begin_ns, alarm.end_ns) == (5 * DAY_NS, 6 * DAY_NS)
    assert (before.begin_ns, before.end_ns) == (4 * DAY_NS, 5 * DAY_NS)
    assert (after.begin_ns, after.end_ns) == (6 * DAY_NS, 6 * DAY_NS + HOUR_NS)
    assert list(quarantine.of_alarm(over, withheld=True)) == [alarm, after]


def test_an_alert_that_was_raised_again_has_stood_twice() -> None:
    assert quarantine.standings(raised_twice(0)) == [
        Standing(DAY_NS, DAY_NS + 1, 2 * DAY_NS), Standing(3 * DAY_NS, 3 * DAY_NS + 1),
    ]


@pytest.mark.parametrize("behind_ns", [300 * DAY_NS, -300 * DAY_NS])
def test_of_a_wrong_clock_it_stood_when_the_gateway_s_says(behind_ns: int) -> None:
    *revisions, last = raised_twice(behind_ns)
    labelled = replace(last, updated_time_ns=last.updated_time_ns + 9 * DAY_NS)
    assert quarantine.standings([*revisions, last, labelled]) == [
        Standing(DAY_NS + behind_ns, DAY_NS + 1 + behind_ns, 2 * DAY_NS + behind_ns),
        Standing(3 * DAY_NS + behind_ns, 3 * DAY_NS + 1 + behind_ns),
    ]


def raised_twice(behind_ns: int) -> list[Alert]:
    """Return an alert of a source whose clock is behind, each revision at the time that it tells of."""
    first = replace(alert(1), onset_time_ns=DAY_NS, raised_time_ns=DAY_NS + 1, updated_time_ns=DAY_NS + 1 + behind_ns)
    returned = replace(first, returned_time_ns=2 * DAY_NS, updated_time_ns=2 * DAY_NS + behind_ns)
    raised_ns = 3 * DAY_NS + 1
    again = replace(first, onset_time_ns=3 * DAY_NS, raised_time_ns=raised_ns, updated_time_ns=raised_ns + behind_ns)
    return [first, returned, again, again]


def test_an_alert_of_which_a_person_says_that_nothing_was_wrong_was_normal_while_it_stood() -> None:
    raised = replace(alert(1), onset_time_ns=DAY_NS, raised_time_ns=DAY_NS, updated_time_ns=DAY_NS)
    over = replace(raised, returned_time_ns=2 * DAY_NS, updated_time_ns=2 * DAY_NS)
    label = Label(Answer.NORMAL, None, "Ana", 3 * DAY_NS)

    def declared(latest: Alert) -> tuple[int, int] | None:
        (alarm,) = quarantine.standings([raised, latest])
        return alarm.declared_normal

    assert declared(replace(over, label=label)) == (DAY_NS, 2 * DAY_NS)
    assert declared(replace(raised, label=label)) == (DAY_NS, 3 * DAY_NS), "up to when it was looked at"
    assert declared(over) is None
    assert declared(replace(over, label=replace(label, answer=Answer.SENSOR))) is None


def test_only_an_alarm_that_is_over_can_be_the_same_as_one_that_was_looked_at() -> None:
    known = Standing(DAY_NS, DAY_NS, 2 * DAY_NS, 3 * DAY_NS)
    assert known.is_same(known)
    assert known.is_same(Standing(DAY_NS - HOUR_NS, DAY_NS, DAY_NS + HOUR_NS))
    assert not known.is_same(Standing(DAY_NS, DAY_NS))
    assert not known.is_same(Standing(DAY_NS, DAY_NS, 3 * DAY_NS))
    assert not replace(known, over_ns=None).is_same(known)


def events(*said: tuple[EventKind, int, int | None, int | None]) -> list[AssetEvent]:
    """Events (kind, told, since, until), in minutes."""
    log = EventLog("pump")
    return [
        log.event(kind, at * MINUTE_NS, since_ns=None if since is None else since * MINUTE_NS,
                  until_ns=None if until is None else until * MINUTE_NS)
        for kind, at, since, until in said
    ]  # fmt: skip


def test_what_was_withheld_is_left_out_from_when_it_held_until_it_was_over() -> None:
    found = list(quarantine.of_events(events(
        (EventKind.OUT_OF_SERVICE, 0, 10, 50),
        (EventKind.SUPPRESSED, 5, 4, None),
        (EventKind.UNSUPPRESSED, 8, None, None),
        (EventKind.IN_SERVICE, 30, None, None),
        (EventKind.OUT_OF_SERVICE, 40, 45, 55),
        (EventKind.SUPPRESSED, 58, 57, None),
    )))
    assert found == [
        Span(Reason.SUPPRESSED, 4 * MINUTE_NS, 8 * MINUTE_NS),
        Span(Reason.SUPPRESSED, 57 * MINUTE_NS, EVER_NS),
        minutes(Reason.OUT_OF_SERVICE, 10, 30),
        minutes(Reason.OUT_OF_SERVICE, 45, 55),
    ]


def test_planned_work_that_was_called_off_leaves_nothing_out() -> None:
    said = events((EventKind.OUT_OF_SERVICE, 0, 10, 50), (EventKind.IN_SERVICE, 5, None, None))
    assert list(quarantine.of_events(said)) == []


def test_what_was_before_the_last_re_baseline_is_left_out() -> None:
    said = events(
        (EventKind.REBASELINED, 5, None, None), (EventKind.REBASELINE_BEGUN, 20, None, None),
        (EventKind.REBASELINED, 30, None, None), (EventKind.REBASELINE_BEGUN, 50, None, None),
    )
    assert list(quarantine.of_rebaselining(said)) == [minutes(Reason.BEFORE_BASELINE, 0, 30)]
    assert list(quarantine.of_rebaselining(said[3:])) == []


def test_the_newest_rows_wait() -> None:
    span = quarantine.waiting(10 * DAY_NS)
    assert (span.begin_ns, span.end_ns) == (7 * DAY_NS, EVER_NS)


def test_a_thin_history_is_told_with_all_that_it_lacks() -> None:
    lacking = quarantine.lacking(3.14, weekend=False, rows_of_regimes={"R1": 4000, "R2": 40})
    assert lacking == ["3.1 of 7 days", "no weekend", "regime R2 has 40 rows, and 100 are needed"]
    assert quarantine.lacking(7.0, weekend=True, rows_of_regimes={"R1": 100}) == []


@pytest.mark.parametrize(("day", "weekend"), [(0, False), (1, False), (2, True), (3, True), (4, False)])
def test_saturdays_and_sundays_are_weekend(day: int, weekend: bool) -> None:
    assert quarantine.has_weekend(np.array([day * DAY_NS, day * DAY_NS + HOUR_NS])) is weekend  # day 0: a Thursday
