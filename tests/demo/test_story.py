"""What a person hears of, from canned answers of an agent."""

from __future__ import annotations

import pytest

from agent.demo.scenario import MINUTE_NS
from agent.demo.story import EVENTS_KEPT, MEANINGS, Moment, Story
from agent.line.alert import AlarmState
from agent.line.verdict import Condition
from tests.demo.canned import SCRIPT, START_NS, TRUTH, alert, asset, moment


def texts(story: Story, seen: Moment) -> list[str]:
    return [event.text for event in story.see(seen)]


def test_every_condition_is_told_when_it_changes_and_only_then() -> None:
    story = Story(SCRIPT)
    assert texts(story, moment(1, Condition.SETTLING)) == [
        f"pump: settling ({MEANINGS[Condition.SETTLING]})",
        "conveyor: normal (as learnt)",
    ]
    assert texts(story, moment(2, Condition.SETTLING)) == []
    assert texts(story, moment(3)) == ["pump: normal (as learnt)"]
    assert texts(story, moment(4, Condition.UNSEEN_REGIME)) == [
        "pump: unseen regime (it is run in a way that was not learnt)"
    ]
    assert set(MEANINGS) == set(Condition)


def test_an_asset_that_was_not_judged_yet_is_not_spoken_of() -> None:
    seen = Moment(START_NS, {"pump": asset("pump", None)}, ())
    assert texts(Story(SCRIPT), seen) == []


def test_onset_and_failure_are_told_at_their_own_times() -> None:
    story = Story(SCRIPT)
    story.see(moment(14.9))
    (onset,) = story.see(moment(15.3))
    assert (onset.time_ns, onset.text) == (
        TRUTH.onset_ns, "filter_fouling begins in the pump; nobody has told the agent"
    )  # fmt: skip
    assert not story.see(moment(94))
    (failure,) = story.see(moment(95.2))
    assert (failure.time_ns, failure.text, failure.alarming) == (TRUTH.failure_ns, "the pump fails", True)
    assert not story.see(moment(96))


def test_a_story_seen_late_still_has_its_onset_and_its_failure() -> None:
    assert texts(Story(SCRIPT), moment(99))[:2] == [
        "filter_fouling begins in the pump; nobody has told the agent",
        "the pump fails",
    ]


def test_an_alert_is_told_once_at_the_time_it_was_raised_and_then_when_its_state_changes() -> None:
    story = Story(SCRIPT)
    story.see(moment(25, Condition.DEVIATING))
    raised = alert(25.5)
    (event,) = story.see(moment(26, Condition.DEVIATING, raised))
    assert event.text == ("ALERT pump-1, priority medium, in the API raised 2026-11-25T10:12:10Z: "
                          "pump behaves unlike it ever did")
    assert event.alarming
    assert event.time_ns == START_NS + int(25.5 * MINUTE_NS)
    assert not story.see(moment(27, Condition.DEVIATING, raised))
    acknowledged = alert(25.5, state=AlarmState.ACKNOWLEDGED)
    assert texts(story, moment(28, Condition.DEVIATING, acknowledged)) == ["pump-1: acknowledged"]
    assert texts(story, moment(29, Condition.DEVIATING, alert(28.5, number=2))) == [
        "ALERT pump-2, priority medium, in the API raised 2026-11-25T10:15:10Z: pump behaves unlike it ever did"
    ]


def test_how_far_the_agents_clock_is_ahead_is_learnt_from_the_least_late_answer() -> None:
    story = Story(SCRIPT)
    story.see(moment(1))
    late = moment(2)
    story.see(Moment(late.time_ns + MINUTE_NS, late.assets, ()))
    assert story.raised_ns(alert(10)) == START_NS + 10 * MINUTE_NS


def test_only_so_many_events_are_kept() -> None:
    story = Story(SCRIPT)
    for minute in range(EVENTS_KEPT + 5):
        story.see(moment(minute / 100, Condition.SETTLING if minute % 2 else Condition.NORMAL))
    assert len(story.events) == EVENTS_KEPT


@pytest.mark.parametrize("minute", [0.0, 14.0])
def test_nothing_is_told_of_a_healthy_line_that_goes_on(minute: float) -> None:
    story = Story(SCRIPT)
    story.see(moment(minute))
    assert not story.see(moment(minute + 0.5))
