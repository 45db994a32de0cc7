"""The alarm of ISA-18.2: its table, and what comes of evidence, delays and people in time."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from agent.line import advise, lifecycle
from agent.line.advise import (
    DEADBAND,
    ELSEWHERE_S_MAX,
    PRIORITIES,
    REMEMBERS_ROWS,
    Chatter,
    Delays,
    Watch,
)
from agent.line.alert import (
    Acknowledge,
    Acknowledgement,
    AlarmEvent,
    AlarmState,
    Alert,
    Consequence,
    Priority,
    Shelve,
    TimeToAct,
    Trait,
    Unshelve,
    Withheld,
    WithheldKind,
)
from agent.line.assess import RECOVERY_ROWS, Assessor
from agent.line.lifecycle import NEVER, TRANSITIONS, Patience
from agent.line.verdict import Cause
from tests.agent import samples
from tests.line.frames import grid
from tests.line.scripted import SECOND_NS, START_NS, Scenario, ScriptedDetector, rows, scripted_line

NORMAL, UNACKNOWLEDGED, ACKNOWLEDGED, RETURNED = AlarmState
RAISE, RETURN, ACKNOWLEDGE, REALARM = list(AlarmEvent)[:4]
ISA_18_2 = {
    NORMAL: {RAISE: UNACKNOWLEDGED},
    UNACKNOWLEDGED: {RETURN: RETURNED, ACKNOWLEDGE: ACKNOWLEDGED},
    ACKNOWLEDGED: {RETURN: NORMAL, REALARM: UNACKNOWLEDGED},
    RETURNED: {RAISE: UNACKNOWLEDGED, ACKNOWLEDGE: NORMAL},
}
NOW_NS = START_NS + 99 * SECOND_NS


def alert_in(state: AlarmState) -> Alert:
    return samples.alert(state=state)


def moved(alert: Alert, event: AlarmEvent) -> Alert | None:
    if event is ACKNOWLEDGE:
        return lifecycle.obey(alert, Acknowledge(alert.id, "ada", NOW_NS, "seen"), NOW_NS)
    if event is REALARM:
        return lifecycle.due(replace(alert, standing_since_ns=NOW_NS - 5), (), Patience(realarm_ns=5), NOW_NS)
    if event is RETURN:
        return lifecycle.returned(alert, NOW_NS - 1, NOW_NS)
    return lifecycle.raised_again(alert, new())


def new() -> Alert:
    verdict = replace(samples.verdict(time_ns=NOW_NS - 1), evidence=9.0, contributions=())
    priority = advise.priority(verdict, Consequence.MAJOR)
    return lifecycle.raised("pump-9", NOW_NS - 5 * SECOND_NS, NOW_NS, verdict, priority, advise.message(verdict), None)


@pytest.mark.parametrize(("state", "event"), list(product(AlarmState, [RAISE, RETURN, ACKNOWLEDGE, REALARM])))
def test_every_event_in_every_state_does_what_the_standard_says(state: AlarmState, event: AlarmEvent) -> None:
    alert = alert_in(state)
    wanted = ISA_18_2[state].get(event)
    assert TRANSITIONS.get((state, event)) == wanted
    if (state, event) == (NORMAL, RAISE):
        return  # an alert that is over stays over: a new one is raised
    after = moved(alert, event)
    if wanted is None:
        assert after is None
        return
    assert after is not None
    assert (after.state, after.revision, after.updated_time_ns) == (wanted, alert.revision + 1, NOW_NS)
    assert (after.id, after.event, after.standing_since_ns) == (alert.id, event, NOW_NS)
    assert after.by == ("ada" if event is ACKNOWLEDGE else None)
    if event is not RAISE:
        assert (after.verdict, after.raised_time_ns) == (alert.verdict, alert.raised_time_ns)
    assert after.returned_time_ns == (NOW_NS - 1 if event is RETURN else None)
    assert after.acknowledgement == (Acknowledgement("ada", NOW_NS, "seen") if event is ACKNOWLEDGE else None)
    assert lifecycle.is_open(after) == (wanted is not NORMAL)


def test_every_state_is_reached_and_every_state_is_left() -> None:
    reached = {NORMAL}
    for _ in AlarmState:
        reached |= {to for (state, _), to in TRANSITIONS.items() if state in reached}
    assert reached == set(AlarmState)
    assert {state for state, _ in TRANSITIONS} == set(AlarmState)


def shelf(until_ns: int, by: str = "ada") -> Withheld:
    return Withheld(WithheldKind.SHELVED, by, 0, until_ns, "spare part")


def test_a_person_speaks_to_one_alert_only() -> None:
    alert = replace(alert_in(UNACKNOWLEDGED), withheld=(shelf(NOW_NS),))
    for command in (
        Acknowledge("pump-2", "ada", NOW_NS),
        Shelve("pump-2", "ada", NOW_NS, NOW_NS + 1, "later"),
        Unshelve("pump-2", "ada", NOW_NS),
    ):
        assert lifecycle.obey(alert, command, NOW_NS) is None


def test_an_alert_that_is_not_shelved_cannot_be_unshelved_and_does_not_expire() -> None:
    alert = alert_in(UNACKNOWLEDGED)
    assert lifecycle.obey(alert, Unshelve(alert.id, "ada", NOW_NS), NOW_NS) is None
    assert lifecycle.due(alert, (), NEVER, NOW_NS) is None


@pytest.mark.parametrize(("left_ns", "expires"), [(1, False), (0, True), (-1, True)])
def test_a_shelf_ends_at_its_time(left_ns: int, expires: bool) -> None:
    alert = replace(alert_in(ACKNOWLEDGED), withheld=(shelf(NOW_NS + left_ns),))
    after = lifecycle.due(alert, (), NEVER, NOW_NS)
    assert (after is not None) == expires
    assert after is None or after == replace(
        alert, withheld=(), revision=2, event=AlarmEvent.UNSHELVE, updated_time_ns=NOW_NS, standing_since_ns=NOW_NS
    )


def test_a_deviation_becomes_an_alert_after_the_on_delay() -> None:
    (alert,) = Scenario(on_s=10).at(60).evidence(1.5) \
        .between(0, 68).wants(NORMAL) \
        .between(69, 90).wants(UNACKNOWLEDGED).holds()
    assert (alert.id, alert.revision) == ("pump-1", 1)
    assert alert.onset_time_ns == START_NS + 60 * SECOND_NS
    assert alert.raised_time_ns == START_NS + 69 * SECOND_NS
    assert alert.verdict.evidence == pytest.approx(1.5, abs=1e-5)


@pytest.mark.parametrize("on_s", [0, 1])
def test_without_a_delay_the_first_row_is_enough(on_s: int) -> None:
    (alert,) = Scenario(on_s=on_s).at(60).evidence(1.5).at(59).wants(NORMAL).at(60).wants(UNACKNOWLEDGED).holds()
    assert alert.onset_time_ns == alert.raised_time_ns == START_NS + 60 * SECOND_NS


def test_a_deviation_that_ends_sooner_is_none() -> None:
    assert not Scenario(on_s=10).at(60).evidence(1.5).at(69).evidence(0.99).at(70).evidence(1.5).at(79) \
        .evidence(0.5).between(0, 150).wants(NORMAL).holds()


def test_just_at_the_limit_is_a_deviation() -> None:
    assert Scenario(on_s=10).at(60).evidence(1.0).at(69).wants(UNACKNOWLEDGED).holds()
    assert not Scenario(on_s=10).at(60).evidence(0.9999).at(120).wants(NORMAL).holds()


def test_an_alert_that_nobody_has_seen_stays_after_the_return() -> None:
    raised, returned, seen = Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(100).evidence(0.5) \
        .between(69, 128).wants(UNACKNOWLEDGED) \
        .between(129, 199).wants(RETURNED) \
        .at(200).acknowledged().between(200, 220).wants(NORMAL).holds()
    assert (raised.returned_time_ns, returned.returned_time_ns) == (None, START_NS + 129 * SECOND_NS)
    assert seen.acknowledgement == Acknowledgement("ada", START_NS + 200 * SECOND_NS, "seen")
    assert [raised.revision, returned.revision, seen.revision] == [1, 2, 3]


def test_an_alert_that_somebody_has_seen_ends_with_the_return() -> None:
    revisions = Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(80).acknowledged().at(100).evidence(0.5) \
        .between(69, 79).wants(UNACKNOWLEDGED).between(80, 128).wants(ACKNOWLEDGED) \
        .between(129, 140).wants(NORMAL).holds()
    assert [alert.state for alert in revisions] == [UNACKNOWLEDGED, ACKNOWLEDGED, NORMAL]


def test_evidence_that_swings_around_the_limit_is_one_alert() -> None:
    scenario = Scenario(on_s=10, off_s=5).at(60).evidence(1.5)
    for time_s in range(80, 200, 4):
        scenario.at(time_s).evidence(DEADBAND + 0.05).at(time_s + 2).evidence(1.05)
    assert len(scenario.between(69, 200).wants(UNACKNOWLEDGED).holds()) == 1


def test_the_return_takes_an_unbroken_off_delay() -> None:
    Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(100).evidence(0.5).at(129).evidence(0.95).at(130) \
        .evidence(0.5).between(69, 158).wants(UNACKNOWLEDGED).at(159).wants(RETURNED).holds()


STOPPED, RUNNING = 0, 1


def changes(*told: tuple[int, float, int]) -> list[tuple[AlarmEvent, int]]:
    """What a watch with delays of 10 and 30 s calls for, and in which row, of rows (how many, evidence, mode)."""
    values = np.repeat([evidence for _, evidence, _ in told], [count for count, _, _ in told]).astype(np.float32)
    mode = np.repeat([mode for _, _, mode in told], [count for count, _, _ in told])
    assessor = Assessor(ScriptedDetector(), 1e-6)
    watch, found = Watch(Delays.of(10, 30, 1.0), raised=False), []
    for first in range(0, len(values), 1000):
        rows = slice(first, first + 1000)
        assessment = replace(assessor.update(grid(values[rows, None], start_s=first)), mode=mode[rows])
        found += [(change.event, first + change.row) for change in watch.changes(assessment)]
    return found


def test_being_normal_in_another_mode_is_no_return() -> None:
    told = (60, 0.2, RUNNING), (40, 1.5, RUNNING), (800, 0.2, STOPPED), (100, 1.5, RUNNING), (40, 0.2, RUNNING)
    assert changes(*told) == [(RAISE, 69), (RETURN, 1029)]


def test_the_rows_of_a_return_need_not_follow_each_other_where_the_machine_was_stopped_between() -> None:
    told = (60, 0.2, RUNNING), (40, 1.5, RUNNING), (15, 0.2, RUNNING), (385, 0.2, STOPPED), (40, 0.2, RUNNING)
    assert changes(*told) == [(RAISE, 69), (RETURN, 514)]


def test_a_deviation_that_shows_in_both_modes_returns_in_either() -> None:
    told = (60, 0.2, RUNNING), (20, 1.5, RUNNING), (REMEMBERS_ROWS + 1, 1.5, STOPPED), (40, 0.2, STOPPED)
    assert changes(*told) == [(RAISE, 69), (RETURN, 80 + REMEMBERS_ROWS + 30)]


def test_what_the_evidence_remembers_of_the_mode_before_is_no_deviation_in_this_one() -> None:
    assert changes((60, 0.2, RUNNING), (20, 1.5, RUNNING), (REMEMBERS_ROWS, 1.5, STOPPED), (500, 0.2, STOPPED)) \
        == [(RAISE, 69)]


def test_a_deviation_that_was_over_before_the_alarm_does_not_count() -> None:
    assert changes((40, 0.2, STOPPED), (5, 1.5, STOPPED), (15, 0.2, STOPPED), (40, 1.5, RUNNING), (500, 0.2, STOPPED)) \
        == [(RAISE, 69)]


def test_an_alarm_whose_mode_does_not_come_back_returns_after_a_day() -> None:
    day = int(ELSEWHERE_S_MAX)
    assert changes((20, 1.5, RUNNING), (day + 29, 0.2, STOPPED)) == [(RAISE, 9)]
    assert changes((20, 1.5, RUNNING), (day + 30, 0.2, STOPPED)) == [(RAISE, 9), (RETURN, 20 + day + 29)]


def test_an_acknowledged_alert_is_raised_again_when_it_is_twice_as_bad() -> None:
    revisions = Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(80).acknowledged().at(100).evidence(2.9) \
        .at(200).evidence(3.1).at(205).evidence(1.0).at(300).evidence(3.1).at(400).evidence(6.0) \
        .between(80, 308).wants(ACKNOWLEDGED).between(309, 500).wants(UNACKNOWLEDGED).holds()
    again = revisions[-1]
    assert [each.event for each in revisions] == [RAISE, ACKNOWLEDGE, REALARM]
    assert (again.verdict.evidence, again.acknowledgement) == (pytest.approx(3.1), None)
    assert again.raised_time_ns == revisions[0].raised_time_ns


def test_each_time_it_has_to_be_twice_as_bad_as_the_last() -> None:
    revisions = Scenario(on_s=10).at(60).evidence(1.5).at(80).acknowledged().at(100).evidence(3.1) \
        .at(150).acknowledged().at(200).evidence(6.1).at(260).evidence(6.3).between(150, 268).wants(ACKNOWLEDGED) \
        .between(269, 300).wants(UNACKNOWLEDGED).holds()
    assert [each.event for each in revisions] == [RAISE, ACKNOWLEDGE, REALARM, ACKNOWLEDGE, REALARM]


def test_what_becomes_twice_as_bad_while_it_is_put_aside_is_raised_again_when_it_is_back() -> None:
    revisions = Scenario(on_s=10).at(60).evidence(1.5).at(80).acknowledged().at(90).shelved(until_s=200) \
        .at(100).evidence(3.1).between(80, 208).wants(ACKNOWLEDGED).between(209, 300).wants(UNACKNOWLEDGED).run()
    assert [each.event for each in revisions] == [
        RAISE, ACKNOWLEDGE, AlarmEvent.SHELVE, AlarmEvent.UNSHELVE, REALARM,
    ]


def test_what_was_twice_as_bad_only_while_it_was_put_aside_is_not_raised_again() -> None:
    revisions = Scenario(on_s=10).at(60).evidence(1.5).at(80).acknowledged().at(90).shelved(until_s=200) \
        .at(100).evidence(3.1).at(195).evidence(1.5).between(80, 300).wants(ACKNOWLEDGED).run()
    assert revisions[-1].event is AlarmEvent.UNSHELVE


def test_after_a_restart_it_is_still_known_how_bad_it_was() -> None:
    line = scripted_line(on_s=10)
    line.step(rows([3.0] * 20), NOW_NS)
    line.publish()
    assert line.snapshot.alert is not None
    line.submit(Acknowledge("pump-1", "ada", NOW_NS))
    line.step(rows([3.0], 20), NOW_NS)
    line.publish()
    again = scripted_line(on_s=10, open_alert=line.snapshot.alert, number=2)
    assert again.step(rows([5.9] * 100, 21), NOW_NS) == []
    (revised,) = again.step(rows([6.1] * 30, 121), NOW_NS)
    assert isinstance(revised, Alert)
    assert (revised.id, revised.event) == ("pump-1", REALARM)


def test_a_shelved_alert_is_not_raised_again_however_bad() -> None:
    Scenario(on_s=10).at(60).evidence(1.5).at(80).acknowledged().at(90).shelved(1000).at(100).evidence(9.0) \
        .between(80, 300).wants(ACKNOWLEDGED).holds()


def test_a_deviation_that_comes_back_wakes_the_same_alert() -> None:
    revisions = Scenario(on_s=10, off_s=30).at(60).evidence(1.2).at(100).evidence(0.5).at(150).evidence(1.6) \
        .at(158).wants(RETURNED).between(159, 170).wants(UNACKNOWLEDGED).holds()
    assert [(alert.id, alert.state) for alert in revisions] == [
        ("pump-1", UNACKNOWLEDGED), ("pump-1", RETURNED), ("pump-1", UNACKNOWLEDGED),
    ]
    assert revisions[-1].returned_time_ns is None
    assert revisions[-1].peak_evidence == pytest.approx(1.6, abs=1e-5)


def test_after_the_end_the_next_alert_has_the_next_number() -> None:
    revisions = Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(70).acknowledged().at(100).evidence(0.5) \
        .at(200).evidence(1.2).between(129, 208).wants(NORMAL).at(209).wants(UNACKNOWLEDGED).holds()
    assert [(alert.id, alert.revision) for alert in revisions] == [
        ("pump-1", 1), ("pump-1", 2), ("pump-1", 3), ("pump-2", 1),
    ]
    assert revisions[-1].acknowledgement is None
    assert revisions[-1].peak_evidence == pytest.approx(1.2, abs=1e-5), "the older one's peak is its own"


def test_the_peak_is_the_highest_evidence_while_the_alert_was_open() -> None:
    revisions = Scenario(on_s=10, off_s=30).at(20).evidence(1.65).at(22).evidence(0.5).at(60).evidence(1.1) \
        .at(80).evidence(1.6).at(82).evidence(1.2).at(90).acknowledged().at(100).evidence(0.5).at(140).wants(NORMAL) \
        .holds()
    assert [alert.peak_evidence for alert in revisions] == pytest.approx([1.1, 1.6, 1.6], abs=1e-5)


def test_rows_that_are_not_judged_count_neither_for_an_alert_nor_against_it() -> None:
    (alert,) = Scenario(on_s=10).at(60).evidence(1.5).at(65).blind().at(80).evidence(1.5) \
        .between(0, 83 + RECOVERY_ROWS).wants(NORMAL).between(84 + RECOVERY_ROWS, 120).wants(UNACKNOWLEDGED).holds()
    assert alert.onset_time_ns == START_NS + 60 * SECOND_NS


def test_deviations_on_either_side_of_a_long_silence_are_not_one() -> None:
    (alert,) = Scenario(on_s=10).at(60).evidence(1.5).at(65).blind().at(200).evidence(1.5) \
        .between(0, 208 + RECOVERY_ROWS).wants(NORMAL).at(280).wants(UNACKNOWLEDGED).holds()
    assert alert.onset_time_ns >= START_NS + 200 * SECOND_NS


def test_an_alarm_that_is_raised_again_says_what_for_this_time() -> None:
    standing, this_time = samples.alert(state=RETURNED), new()
    again = lifecycle.raised_again(standing, this_time)
    assert again is not None
    assert (again.id, again.revision, again.state) == (standing.id, standing.revision + 1, UNACKNOWLEDGED)
    assert (again.verdict, again.message) == (this_time.verdict, advise.message(this_time.verdict))
    assert (again.onset_time_ns, again.raised_time_ns) == (NOW_NS - 5 * SECOND_NS, NOW_NS - 1)
    assert again.acknowledgement is None
    assert again.returned_time_ns is None


def test_rows_that_are_not_judged_count_neither_for_the_return_nor_against_it() -> None:
    Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(100).evidence(0.5).at(115).blind().at(130).evidence(0.5) \
        .between(69, 143 + RECOVERY_ROWS).wants(UNACKNOWLEDGED).at(144 + RECOVERY_ROWS).wants(RETURNED).holds()


def test_a_source_that_is_lost_returns_no_alert() -> None:
    Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(80).blind().between(69, 500).wants(UNACKNOWLEDGED).holds()


def test_a_shelf_is_beside_the_state() -> None:
    revisions = Scenario(on_s=10, off_s=30).at(60).evidence(1.5).at(80).shelved(until_s=300) \
        .at(79).wants_shelf(False).between(80, 250).wants_shelf(True) \
        .between(80, 99).wants(UNACKNOWLEDGED).at(100).evidence(0.5) \
        .between(129, 199).wants(RETURNED).at(200).evidence(1.5).between(209, 300).wants(UNACKNOWLEDGED) \
        .at(251).unshelved().between(251, 300).wants_shelf(False).holds()
    assert [bool(alert.withheld) for alert in revisions] == [False, True, True, True, False]
    assert [alert.event for alert in revisions] == [
        RAISE, AlarmEvent.SHELVE, RETURN, RAISE, AlarmEvent.UNSHELVE,
    ]


def test_a_shelf_that_is_over_is_taken_away() -> None:
    raised, shelved, over = Scenario(on_s=10).at(60).evidence(1.5).at(80).shelved(until_s=120) \
        .between(80, 118).wants_shelf(True).between(119, 130).wants_shelf(False).run()
    kind = WithheldKind.SHELVED
    window = (START_NS + 80 * SECOND_NS, START_NS + 120 * SECOND_NS)
    assert shelved.withheld == (Withheld(kind, "ada", *window, "spare part"),)
    assert (raised.state, over.state, over.withheld) == (UNACKNOWLEDGED, UNACKNOWLEDGED, ())


@pytest.mark.parametrize("alert_id", ["pump-1", "pump-2", "press-1", ""])
def test_nothing_can_be_said_to_an_alert_that_is_not_there(alert_id: str) -> None:
    assert not Scenario().at(20).acknowledged(alert_id).at(21).shelved(100, alert_id).at(22).unshelved(alert_id) \
        .between(0, 40).wants(NORMAL).holds()


def test_what_is_said_to_another_alert_changes_nothing() -> None:
    assert len(Scenario(on_s=10).at(60).evidence(1.5).at(80).acknowledged("pump-2").at(81).acknowledged("press-1")
               .between(69, 100).wants(UNACKNOWLEDGED).holds()) == 1


def test_the_first_acknowledgement_counts() -> None:
    revisions = Scenario(on_s=10).at(60).evidence(1.5).at(80).acknowledged(by="ada").at(81).acknowledged(by="eve") \
        .between(80, 90).wants(ACKNOWLEDGED).holds()
    assert len(revisions) == 2
    assert revisions[-1].acknowledgement is not None
    assert revisions[-1].acknowledgement.by == "ada"


def test_an_alarm_that_comes_and_goes_is_held_for_longer_each_time() -> None:
    """Deviates for 20 s of every minute: the third alarm is held until it has been quiet for two minutes."""
    scenario = Scenario(on_s=10, off_s=10)
    for minute in range(1, 12):
        scenario.at(60 * minute).evidence(1.5).at(60 * minute + 20).evidence(0.5)
    revisions = scenario.at(1000).wants(RETURNED).run()
    events = [(alert.event, (alert.updated_time_ns - START_NS) // SECOND_NS) for alert in revisions]
    assert [event for event, _ in events] == [RAISE, RETURN, RAISE, RETURN, RAISE, RETURN]
    third, held = events[-2][1], events[-1][1]
    assert (third, held) == (60 * 3 + 10, 60 * 11 + 20 + 120)


@pytest.mark.parametrize(("off_s", "period_s", "wanted"), [
    (0.0, 1.0, [1, 1, 120, 240, 480, 960, 1920, 3840, 7680, 14_400, 14_400]),
    (300.0, 5.0, [60, 60, 120, 240]),
])
def test_the_off_delay_of_chatter_doubles_up_to_four_hours(off_s: float, period_s: float, wanted: list[int]) -> None:
    chatter, found = Chatter(Delays.of(0, off_s, period_s)), []
    for number, _ in enumerate(wanted):
        chatter.raised(round(3600 / period_s) if number else None)
        found.append(chatter.off_rows)
    assert found == wanted
    chatter.raised(round(3600 / period_s) + 1)
    assert chatter.off_rows == wanted[0], "after an hour of quiet it is like any other"


@pytest.mark.parametrize("consequence", Consequence)
def test_the_priority_follows_from_the_consequence_and_the_time_to_act(consequence: Consequence) -> None:
    def of(least_s: float | None, evidence: float = 1.5, cause: Cause = Cause.MACHINE) -> Priority:
        life = None if least_s is None else (least_s, 2 * least_s, 3 * least_s)
        said = replace(samples.verdict(evidence=evidence), cause=cause, remaining_life_s=life)
        return advise.priority(said, consequence)

    hours, days, weeks = (PRIORITIES[consequence, time] for time in TimeToAct)
    assert (of(86_399.0), of(86_400.0), of(604_799.0), of(604_800.0)) == (hours, days, days, weeks)
    assert (of(None), of(None, 2.0)) == (days, hours), "without an estimate the evidence tells"
    assert {of(1.0, 9.0, cause) for cause in (Cause.SENSOR, Cause.COMMUNICATION)} == {Priority.LOW}
    order = list(Priority)
    assert order.index(hours) >= order.index(days) >= order.index(weeks)


def test_an_alert_whose_deviation_has_grown_says_what_to_check_of_what_it_is_now() -> None:
    alert = replace(alert_in(ACKNOWLEDGED), advisory=samples.ADVISORY)
    other = replace(samples.ADVISORY, failure_mode="VIB, vibration")
    looks = (Trait("filter_dp", 9.0, 1.0, 0.0),)
    worse = lifecycle.worsened(alert, replace(new(), advisory=other, signature=looks))
    assert worse is not None
    assert (worse.verdict, worse.advisory, worse.signature) == (new().verdict, other, looks), "and what it is like"
