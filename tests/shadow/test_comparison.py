from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from agent.line.alert import Alert, Answer, Label
from agent.rehearsal.achieved import Achieved
from agent.shadow.comparison import (
    DAY_S,
    NEAR_NS,
    ROLL_BACK_WEEKS_MAX,
    Comparison,
    compare,
    is_real,
    may_be_promoted,
    must_be_rolled_back,
)
from tests.agent.samples import START_NS, alert

WEEK_S = 7 * 86_400.0
BUDGET = 1 / WEEK_S
HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS


def at(hours: float, name: str = "pump-1", lasting_h: float | None = 0.5) -> Alert:
    onset_ns = START_NS + int(hours * HOUR_NS)
    returned_ns = None if lasting_h is None else onset_ns + int(lasting_h * HOUR_NS)
    return replace(alert(), id=name, onset_time_ns=onset_ns, returned_time_ns=returned_ns)


def compared(
    champion: Sequence[Alert], challenger: Sequence[Alert], days: float, since_ns: int = START_NS
) -> Comparison:
    """Compare alerts of so many days, all of which both have judged."""
    judged_s = (days * DAY_S, days * DAY_S)
    return compare(champion, challenger, BUDGET, judged_s, since_ns, START_NS + int(days * DAY_NS))


def test_alerts_of_one_deviation_agree_and_the_others_are_named() -> None:
    champion = [at(1, "pump-1"), at(30, "pump-2")]
    challenger = [at(2.4, "pump~a-1"), at(100, "pump~a-2")]
    found = compared(champion, challenger, 7)
    assert (found.missed, found.alone) == (("pump-2",), ("pump~a-2",))
    assert found.agreement == 1 / 3
    assert (found.days, found.champion.alerts, found.challenger.alerts) == (7.0, 2, 2)


def test_an_alert_that_still_stands_goes_with_a_later_one() -> None:
    found = compared([at(1, lasting_h=None)], [at(50)], 7)
    assert found.missed == ()
    apart = compared([at(1, lasting_h=0)], [at(2, lasting_h=0)], 7, START_NS - NEAR_NS)
    assert apart.missed == (), "an hour apart is near"
    apart = compared([at(1, lasting_h=0)], [at(2.01, lasting_h=0)], 7)
    assert apart.missed == ("pump-1",)


def test_what_people_said_of_alerts_counts() -> None:
    idle = replace(at(30, "pump-2"), label=Label(Answer.NORMAL, None, "Ana", START_NS))
    real = replace(at(60, "pump-3"), label=Label(Answer.REAL, "seal", "Ana", START_NS))
    found = compared([idle, real], [], 14)
    assert found.missed == ("pump-3",)
    assert [is_real(one) for one in (idle, real, at(1))] == [False, True, False]


def test_of_nothing_there_is_no_agreement() -> None:
    assert compared([], [], 1).agreement is None


@pytest.mark.parametrize(
    ("days", "champion", "challenger", "promoted"),
    [
        (14.0, [], [], True),
        (13.9, [], [], False),
        (14.0, [at(1)], [at(1)], True),
        (14.0, [at(1)], [at(9)], False),
        (14.0, [], [at(10 * n, f"pump~a-{n}") for n in range(5)], True),
        (14.0, [], [at(10 * n, f"pump~a-{n}") for n in range(9)], False),
    ],
)
def test_the_rule(days: float, champion: list[Alert], challenger: list[Alert], promoted: bool) -> None:
    found = compared(champion, challenger, days)
    assert may_be_promoted(found, 14.0) is promoted


@pytest.mark.parametrize(("weeks", "least"), [(0.1, 3), (1, 4), (2, 6), (4, 9)])
def test_a_promotion_is_taken_back_when_even_the_lower_end_of_its_rate_is_above_the_budget(
    weeks: float, least: int
) -> None:
    assert must_be_rolled_back(Achieved.of(BUDGET, least, weeks * WEEK_S))
    assert not must_be_rolled_back(Achieved.of(BUDGET, least - 1, weeks * WEEK_S))


def test_only_the_time_in_which_each_has_judged_counts() -> None:
    found = compare([at(1)], [at(1)], BUDGET, (10 * DAY_S, 2 * DAY_S), START_NS, START_NS + 100 * DAY_NS)
    assert (found.days, found.champion.weeks, found.challenger.weeks) == (2.0, 10 / 7, 2 / 7)
    assert not may_be_promoted(found, 14.0)


def test_a_model_that_has_judged_for_weeks_since_its_promotion_is_taken_back_no_more() -> None:
    within_s, many = ROLL_BACK_WEEKS_MAX * WEEK_S, 100
    assert must_be_rolled_back(Achieved.of(BUDGET, many, within_s))
    assert not must_be_rolled_back(Achieved.of(BUDGET, many, within_s + 1))


def test_an_alert_of_a_deviation_that_stood_when_the_trial_began_is_not_new() -> None:
    stood, soon, later = at(-20, "pump-1", None), at(0.1, "pump~a-1"), at(60, "pump~a-2")
    found = compare([], [soon, later], BUDGET, (7 * DAY_S, 7 * DAY_S), START_NS, START_NS + 7 * DAY_NS, stood)
    assert found.alone == ("pump~a-2",)
    assert found.challenger.alerts == 1
    raised = at(3, "pump-2", 4)
    both = compare([raised], [at(0.1, "pump~a-1", 10)], BUDGET, (DAY_S, DAY_S), START_NS, START_NS + DAY_NS, stood)
    assert (both.both, both.missed, both.challenger.alerts) == (1, (), 0), "it stands while the champion raises anew"
    over = compare([], [soon], BUDGET, (DAY_S, DAY_S), START_NS, START_NS + DAY_NS, at(-20, "pump-1", 2))
    assert over.alone == ("pump~a-1",), "it was over long before"
