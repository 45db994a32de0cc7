"""The ledger's figures: they add up whatever happened, and say what little is known as little."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.ledger.account import CONFIRMED_MIN, Account, account
from agent.ledger.history import History, Raised
from agent.line.alert import Answer, WithheldKind
from agent.line.event import AssetEvent, EventKind
from agent.line.spans import Span, union
from agent.line.verdict import Cause
from agent.rehearsal.achieved import WEEK_S

NS = 1_000_000_000
DAY = 86_400 * NS
PER_S = 1 / WEEK_S
REAL = Answer.REAL


def event(number: int, kind: EventKind, at: int, **changes: object) -> AssetEvent:
    return replace(AssetEvent(f"pump:{number}", "pump", kind, at, at, None, "Ana", "", None), **changes)  # type: ignore[arg-type]


def raised(number: int, at: int, over: int | None = None, answer: Answer | None = None, **more: object) -> Raised:
    return replace(Raised(f"pump-{number}", at, at, over, "", answer, Cause.MACHINE), **more)  # type: ignore[arg-type]


def history(
    alerts: tuple[Raised, ...] = (), events: tuple[AssetEvent, ...] = (), recorded: tuple[Span, ...] = ((0, 100 * DAY),)
) -> History:
    return History("pump", alerts, events, recorded)


def ever(one: History) -> Account:
    return account(one, PER_S, 0, 100 * DAY)


TIMES = st.integers(0, 60)


@st.composite
def histories(draw: st.DrawFn) -> History:
    answers = st.one_of(st.none(), st.sampled_from(Answer))
    alerts = [
        raised(number, at, draw(st.one_of(st.none(), st.integers(at, 70))), draw(answers),
               cause=draw(st.sampled_from(Cause)), root=draw(st.sampled_from([None, "fan-1"])))
        for number, at in enumerate(sorted(draw(st.lists(TIMES, max_size=8))))
    ]
    kinds = st.sampled_from(EventKind)
    about = st.one_of(st.none(), st.sampled_from([one.alert_id for one in alerts] or [None]))
    events = [
        event(number, draw(kinds), at, since_ns=draw(st.integers(0, at)), about=draw(about),
              until_ns=draw(st.one_of(st.none(), st.integers(at, 80))),
              downtime_s=draw(st.one_of(st.none(), st.integers(0, 9))))
        for number, at in enumerate(sorted(draw(st.lists(TIMES, max_size=10))))
    ]
    recorded = union(draw(st.lists(st.tuples(TIMES, TIMES), max_size=4)))
    return History("pump", tuple(alerts), tuple(events), tuple(recorded))


@given(histories(), st.tuples(TIMES, TIMES, TIMES))
def test_two_parts_of_a_time_come_to_the_whole(one: History, cuts: tuple[int, int, int]) -> None:
    first, middle, last = sorted(cuts)
    whole, *parts = (
        account(one, PER_S, *span) for span in ((first, last), (first, middle), (middle, last))
    )
    for name in ("alerts", "grouped", "judged", "right", "known_patterns", "failures", "repairs", "missed"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts), name
    assert sorted(whole.leads_s) == sorted(lead for part in parts for lead in part.leads_s)
    for answer, count in whole.answers.items():
        assert count == sum(part.answers[answer] for part in parts)
    assert whole.achieved.alerts == sum(part.achieved.alerts for part in parts)
    for name in ("recorded_s", "unwatched_s"):
        assert getattr(whole, name) == pytest.approx(sum(getattr(part, name) for part in parts))
    assert whole.achieved.weeks == pytest.approx(sum(part.achieved.weeks for part in parts))


@given(histories(), st.tuples(TIMES, TIMES))
def test_the_counts_of_a_time_add_up(one: History, cuts: tuple[int, int]) -> None:
    found = account(one, PER_S, min(cuts), max(cuts))
    assert sum(found.answers.values()) == found.alerts
    assert found.judged == found.alerts - found.answers[None] - found.answers[Answer.NOT_LOOKED_AT]
    assert found.answers[Answer.REAL] <= found.right <= found.judged
    assert found.failures + found.repairs == len(found.outcomes)
    assert found.missed <= found.failures
    assert all(lead >= 0 for lead in found.leads_s)
    assert len(found.leads_s) + found.missed <= len(found.outcomes)
    assert 0 <= found.unwatched_s <= found.recorded_s <= found.span_s
    assert max(found.withheld_s.values()) <= found.unwatched_s
    if not any(each.kind is EventKind.LIVE for each in one.events):
        assert found.unwatched_s <= sum(found.withheld_s.values()) + 1e-12
    assert found.achieved.weeks * WEEK_S == pytest.approx(found.recorded_s - found.unwatched_s)


@given(histories())
def test_the_beginning_is_before_all_that_is_known(one: History) -> None:
    whole, told = account(one, PER_S, None, 61), account(one, PER_S, -1, 61)
    assert replace(whole, since_ns=-1) == told


def test_a_failure_was_told_of_by_the_alert_that_stood_then_and_not_by_one_that_was_over() -> None:
    stood, over = raised(2, 10 * DAY), raised(1, DAY, over=3 * DAY)
    failure = event(1, EventKind.FAILURE, 12 * DAY)
    (told,) = ever(history((over, stood), (failure,))).outcomes
    assert (told.alert_id, told.lead_s, told.missed) == ("pump-2", 2 * 86_400, False)
    (missed,) = ever(history((over,), (failure,))).outcomes
    assert (missed.alert_id, missed.lead_s, missed.missed) == (None, None, True)
    (named,) = ever(history((over, stood), (replace(failure, about="pump-1"),))).outcomes
    assert (named.alert_id, named.lead_s) == ("pump-1", 11 * 86_400)


@pytest.mark.parametrize("answer", [Answer.NORMAL, Answer.SENSOR, Answer.NOT_LOOKED_AT])
def test_an_alert_of_something_else_has_not_told_of_a_failure(answer: Answer) -> None:
    other = raised(1, DAY, answer=answer)
    assert ever(history((other,), (event(1, EventKind.FAILURE, 2 * DAY),))).missed == 1


def test_an_alert_after_the_failure_has_not_told_of_it_whoever_names_it() -> None:
    failure = event(1, EventKind.FAILURE, DAY, about="pump-1")
    assert ever(history((raised(1, 2 * DAY),), (failure,))).missed == 1


def test_a_failure_while_nobody_watched_is_no_miss_and_is_told() -> None:
    out = event(1, EventKind.OUT_OF_SERVICE, DAY, until_ns=3 * DAY)
    failure = event(2, EventKind.FAILURE, 2 * DAY)
    for one in (history((), (out, failure)), history((), (failure,), recorded=((3 * DAY, 9 * DAY),))):
        found = ever(one)
        assert (found.failures, found.missed) == (1, 0)
        assert [outcome.watched for outcome in found.outcomes] == [False]


def test_no_lead_and_no_precision_is_claimed_of_a_few() -> None:
    def account_of(count: int) -> Account:
        alerts = tuple(raised(n, n * DAY, over=n * DAY + 2 * DAY // 3, answer=REAL) for n in range(count))
        failures = tuple(event(n, EventKind.FAILURE, n * DAY + DAY // 2) for n in range(count))
        return ever(history(alerts, failures))

    few, enough = account_of(CONFIRMED_MIN - 1), account_of(CONFIRMED_MIN)
    assert (few.median_lead_s, few.precision) == (None, None)
    assert few.leads_s == (43_200.0,) * 4
    assert enough.median_lead_s == 43_200.0
    assert enough.precision is not None
    share, low, high = enough.precision
    assert share == high == 1.0
    assert 0.5 < low < 0.6, "five of five is not certainty"


def test_a_sensor_s_fault_is_right_where_the_alert_said_so() -> None:
    named = raised(1, DAY, answer=Answer.SENSOR, cause=Cause.SENSOR)
    called_machine = raised(2, 2 * DAY, answer=Answer.SENSOR)
    found = ever(history((named, called_machine, raised(3, 3 * DAY, answer=REAL), raised(4, 4 * DAY))))
    assert (found.judged, found.right) == (3, 2)


def test_the_budget_is_for_alerts_of_which_nobody_says_that_something_was_wrong() -> None:
    answers = (REAL, Answer.SENSOR, Answer.NORMAL, Answer.NOT_LOOKED_AT, None)
    alerts = tuple(raised(number, number * DAY, answer=answer) for number, answer in enumerate(answers))
    found = account(history(alerts), PER_S, 0, 7 * DAY)
    assert (found.achieved.alerts, found.achieved.weeks) == (3, 1.0)


def test_weeks_in_which_alerts_were_withheld_do_not_count() -> None:
    events = (
        event(1, EventKind.OUT_OF_SERVICE, DAY, until_ns=5 * DAY),
        event(2, EventKind.SUPPRESSED, 2 * DAY),
        event(3, EventKind.IN_SERVICE, 3 * DAY),
        event(4, EventKind.UNSUPPRESSED, 4 * DAY),
        event(5, EventKind.OUT_OF_SERVICE, 4 * DAY, since_ns=90 * DAY, until_ns=95 * DAY),
        event(6, EventKind.CHANGE_SEEN, 6 * DAY, until_ns=9 * DAY),
        event(7, EventKind.HOLD_ENDED, 7 * DAY),
    )
    found = account(history((), events), PER_S, 0, 14 * DAY)
    assert found.withheld_s == {
        WithheldKind.SUPPRESSED: 2 * 86_400, WithheldKind.OUT_OF_SERVICE: 2 * 86_400, WithheldKind.ON_HOLD: 86_400,
    }
    assert found.unwatched_s == 4 * 86_400
    assert found.achieved.weeks == pytest.approx(10 / 7)


def test_downtime_is_what_people_say_and_nothing_where_they_say_nothing() -> None:
    silent = (event(1, EventKind.FAILURE, DAY), event(2, EventKind.REPAIR, DAY))
    assert (ever(history((), silent)).downtime_s, ever(history((), silent)).avoided_s) == (None, None)
    said = (*silent, *(event(at, EventKind.REPAIR, at * DAY, downtime_s=60.0 * at) for at in (3, 58)))
    assert (ever(history((), said)).downtime_s, ever(history((), said)).avoided_s) == (None, 3660.0)


def test_before_an_asset_is_live_nobody_is_told_and_nothing_is_missed() -> None:
    commissioned = (event(1, EventKind.LEARNING, 3 * DAY), event(2, EventKind.LEARNT, 4 * DAY))
    failed = event(3, EventKind.FAILURE, 5 * DAY)
    live = event(4, EventKind.LIVE, 10 * DAY)
    late = event(5, EventKind.FAILURE, 20 * DAY)
    found = ever(history(events=(*commissioned, failed, live, late)))
    assert (found.failures, found.missed) == (2, 1)
    assert found.achieved.weeks == pytest.approx(90 / 7)
    assert ever(replace(history(events=(*commissioned, failed)), live=False)).achieved.weeks == 0
    assert ever(history(events=commissioned)).achieved.weeks == pytest.approx(100 / 7), "it was given a bundle later"
