"""The summary says what the agent said, and whether that was true."""

from __future__ import annotations

import pytest

from agent.api.models import AlertModel
from agent.demo.story import Story
from agent.demo.summary import Summary, number, summarise
from tests.demo.canned import SCRIPT, alert, moment


def summary(*alerts: AlertModel) -> Summary:
    story = Story(SCRIPT)
    story.see(moment(1))
    return summarise(SCRIPT, alerts, story.raised_ns)


def test_an_alert_in_time() -> None:
    told = summary(alert(30, number=2), alert(27))
    assert told.warned
    assert list(told.lines) == [
        "What happened, in simulated time (60 times as fast as wall time):",
        "",
        "  08:15:00  minute  15.0   filter_fouling began in the pump",
        "  08:27:00  minute  27.0   the agent warned: alert pump-1, priority medium",
        "                           in the API: raised 2026-11-25T10:13:40Z",
        '                           "pump behaves unlike it ever did"',
        "                           cause: machine (in truth: machine); shape: ramp 90%",
        "  09:35:00  minute  95.0   the pump failed",
        "",
        "  named tag   share  measured  expected  unit  really affected",
        "  filter_dp     75%    0.4688      0.43  bar   yes",
        "  tank_level    25%      44.5         -  %     no",
        "  75% of the deviation is in tags that the fault really affects.",
        "",
        "The conveyor stayed healthy, and the agent stayed silent about it.",
        "The agent warned 12.0 minutes after the onset and 68.0 minutes before the failure, at a severity of 15%.",
    ]


@pytest.mark.parametrize(
    ("value", "text"), [(0.46881, "0.4688"), (10962.4, "10962"), (-1234.5, "-1234"), (0.0, "0"), (None, "-")]
)
def test_values_are_as_long_as_a_person_reads_them(value: float | None, text: str) -> None:
    assert number(value) == text


def test_no_alert_at_all() -> None:
    told = summary()
    assert not told.warned
    assert told.lines[-1] == "The agent did NOT warn before the pump failed."
    assert not [line for line in told.lines if "warned" in line or "named" in line]


def test_an_alert_after_the_failure_is_too_late() -> None:
    assert not summary(alert(95.5)).warned


def test_an_alert_before_the_onset_is_false_and_no_warning() -> None:
    told = summary(alert(10))
    assert not told.warned
    said = "FALSE alert pump-1, before anything was wrong: pump behaves unlike it ever did"
    assert f"  08:10:00  minute  10.0   {said}" in told.lines


def test_a_false_alert_does_not_hide_the_warning_that_came_later() -> None:
    told = summary(alert(40, number=2), alert(10))
    assert told.warned
    assert any("FALSE alert pump-1" in line for line in told.lines)
    assert any("the agent warned: alert pump-2" in line for line in told.lines)


def test_an_alert_on_the_healthy_machine_is_said_to_be_false_and_does_not_count_as_a_warning() -> None:
    told = summary(alert(40, asset="conveyor"))
    assert not told.warned
    assert "The conveyor stayed healthy, but the agent warned of it:" in told.lines
    assert any("FALSE alert conveyor-1" in line for line in told.lines)


def test_an_alert_that_names_no_tag_is_told_too() -> None:
    bare = alert(20)
    nothing = {"contributions": [], "cause": None, "fault_probabilities": []}
    told = summary(bare.model_copy(update={"verdict": bare.verdict.model_copy(update=nothing)}))
    assert told.warned
    assert "                           cause: unknown (in truth: machine); shape: unknown" in told.lines
    assert "  The alert named no tag." in told.lines
