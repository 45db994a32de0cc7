from __future__ import annotations

from dataclasses import replace

import pytest

from agent.line.alert import Alert, Answer, Label
from agent.rehearsal.achieved import Achieved
from agent.shadow.comparison import DAY_NS, NEAR_NS, compare, is_real, may_be_promoted, must_be_rolled_back
from tests.agent.samples import START_NS, alert

WEEK_S = 7 * 86_400.0
BUDGET = 1 / WEEK_S
HOUR_NS = 3_600_000_000_000


def at(hours: float, name: str = "pump-1", lasting_h: float | None = 0.5) -> Alert:
    onset_ns = START_NS + int(hours * HOUR_NS)
    returned_ns = None if lasting_h is None else onset_ns + int(lasting_h * HOUR_NS)
    return replace(alert(), id=name, onset_time_ns=onset_ns, returned_time_ns=returned_ns)


def test_alerts_of_one_deviation_agree_and_the_others_are_named() -> None:
    champion = [at(1, "pump-1"), at(30, "pump-2")]
    challenger = [at(2.4, "pump~a-1"), at(100, "pump~a-2")]
    found = compare(champion, challenger, BUDGET, START_NS, START_NS + 7 * DAY_NS)
    assert (found.missed, found.alone) == (("pump-2",), ("pump~a-2",))
    assert found.agreement == 1 / 3
    assert (found.days, found.champion.alerts, found.challenger.alerts) == (7.0, 2, 2)


def test_an_alert_that_still_stands_goes_with_a_later_one() -> None:
    found = compare([at(1, lasting_h=None)], [at(50)], BUDGET, START_NS, START_NS + 7 * DAY_NS)
    assert found.missed == ()
    apart = compare([at(1, lasting_h=0)], [at(2, lasting_h=0)], BUDGET, START_NS - NEAR_NS, START_NS + 7 * DAY_NS)
    assert apart.missed == (), "an hour apart is near"
    apart = compare([at(1, lasting_h=0)], [at(2.01, lasting_h=0)], BUDGET, START_NS, START_NS + 7 * DAY_NS)
    assert apart.missed == ("pump-1",)


def test_what_people_said_of_alerts_counts() -> None:
    idle = replace(at(30, "pump-2"), label=Label(Answer.NORMAL, None, "Ana", START_NS))
    real = replace(at(60, "pump-3"), label=Label(Answer.REAL, "seal", "Ana", START_NS))
    found = compare([idle, real], [], BUDGET, START_NS, START_NS + 14 * DAY_NS)
    assert found.missed == ("pump-3",)
    assert [is_real(one) for one in (idle, real, at(1))] == [False, True, False]


def test_of_nothing_there_is_no_agreement() -> None:
    assert compare([], [], BUDGET, START_NS, START_NS + DAY_NS).agreement is None


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
    found = compare(champion, challenger, BUDGET, START_NS, START_NS + int(days * DAY_NS))
    assert may_be_promoted(found, 14.0) is promoted


@pytest.mark.parametrize(("weeks", "least"), [(0.1, 3), (1, 4), (2, 6), (4, 9)])
def test_a_promotion_is_taken_back_when_even_the_lower_end_of_its_rate_is_above_the_budget(
    weeks: float, least: int
) -> None:
    assert must_be_rolled_back(Achieved.of(BUDGET, least, weeks * WEEK_S))
    assert not must_be_rolled_back(Achieved.of(BUDGET, least - 1, weeks * WEEK_S))
