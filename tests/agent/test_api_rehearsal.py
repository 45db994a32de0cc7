"""What the API tells of the alarm budget and of the last fire drill."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.api.ledger_models import LedgerModel
from agent.api.rehearsal_models import BudgetModel, DrillModel
from agent.line.alert import AlarmState, Answer, Label, OutcomeKind, RecordOutcome
from agent.line.event import EventKind, EventLog
from agent.rehearsal import drills
from agent.rehearsal.finding import Drill, Finding, Tried
from agent.store import codec
from agent.store.blocks import Step
from tests.agent.plant import Plant
from tests.agent.samples import SECOND_NS, alert, frame, revised
from tests.agent.test_api import ask, problem

DAY_NS = 86_400 * SECOND_NS


def go_live(plant: Plant) -> int:
    """Let people see the alerts of the pump, which has no bundle, from now on; return that time."""
    now_ns = plant.clock.time_ns()
    plant.journal.record(EventLog("pump", 90).event(EventKind.LIVE, now_ns, by="Ana"))
    return now_ns


def test_alerts_against_the_budget(plant: Plant) -> None:
    nothing = BudgetModel.model_validate(ask(plant, "GET", "/assets/pump/budget").json())
    assert (nothing.alerts, nothing.weeks, nothing.per_week, nothing.standing) == (0, 0.0, None, "too_early")
    begin_ns = go_live(plant)
    for number in range(1440):  # a day, a minute a step
        now_ns = begin_ns + number * 60 * SECOND_NS
        plant.telemetry.append(Step("pump", now_ns, frame(now_ns, 9.0, 40.0)), now_ns)
    plant.telemetry.sync()
    plant.clock.step_wall(1440 * 60 * SECOND_NS)
    plant.journal.record(alert(1, raised_ns=begin_ns - SECOND_NS))  # its telemetry is gone
    for number in range(2, 7):
        plant.journal.record(alert(number, raised_ns=begin_ns + number * SECOND_NS))
    plant.journal.record(revised(alert(6, raised_ns=begin_ns + 6 * SECOND_NS), AlarmState.ACKNOWLEDGED))
    found = BudgetModel.model_validate(ask(plant, "GET", "/assets/pump/budget").json())
    assert (found.budget, found.alerts, found.standing) == ("1/week", 5, "above")
    assert found.weeks == pytest.approx(1 / 7, rel=0.03)
    assert found.per_week == pytest.approx(35, rel=0.03)
    assert (found.low or 0) < 35 < (found.high or 0)
    assert found.not_counted == 0
    for number, answer in ((1, Answer.REAL), (2, Answer.SENSOR), (3, Answer.REAL), (4, Answer.NORMAL)):
        label = Label(answer, None, "Ana", plant.clock.time_ns())
        stood = plant.journal.alert(f"pump-{number}")
        assert stood is not None
        plant.journal.record(replace(stood, revision=stood.revision + 1, label=label))
    labelled = BudgetModel.model_validate(ask(plant, "GET", "/assets/pump/budget").json())
    assert (labelled.alerts, labelled.not_counted) == (3, 2), "of the first the telemetry is gone"
    assert "there is no asset" in problem(ask(plant, "GET", "/assets/press/budget"), 404).detail


def test_the_last_drill_is_shown(plant: Plant) -> None:
    assert "forewarn drill holds one" in problem(ask(plant, "GET", "/assets/pump/drill"), 404).detail
    assert "there is no asset" in problem(ask(plant, "GET", "/assets/press/drill"), 404).detail
    begin_ns = plant.clock.time_ns()
    sizes = (Tried(5.0, 0.45, (), 20, 20), Tried(10.0, 0.9, (60.0,) * 18 + (120.0,), 20, 20))
    finding = Finding("pressure", "bar", "bias", 9.0, sizes)
    held = Drill("pump", begin_ns, begin_ns - 2, begin_ns - 1, "1/week", "ab12", 86_400.0, 0, 20, 20, (finding,))
    drills.keep(plant.journal.path.parent, held)
    found = DrillModel.model_validate(ask(plant, "GET", "/assets/pump/drill").json())
    assert found == DrillModel.of(held)
    (shown,) = found.findings
    assert shown.sentence == "pressure off by 10 % (0.9 bar) would be seen in 1 min, 19 of 20 times (76 to 99 %)"
    assert shown.smallest_percent == 10.0
    assert [(size.seen, size.median_s, size.slowest_s) for size in shown.sizes] == [(0, None, None), (19, 60.0, 120.0)]


def test_what_came_of_the_alerts(plant: Plant) -> None:
    begin_ns = go_live(plant)
    for minute in range(10 * 1440 + 1):
        now_ns = begin_ns + minute * 60 * SECOND_NS
        plant.telemetry.append(Step("pump", now_ns, frame(now_ns, 9.0, 40.0)), 0)
        if minute % 60 == 0:
            plant.telemetry.sync()
    plant.clock.step_wall(10 * DAY_NS)
    for number, answer in ((1, Answer.REAL), (5, Answer.NORMAL), (9, None)):
        label = answer and Label(answer, None, "Ana", begin_ns)
        over = replace(alert(number, raised_ns=begin_ns + number * DAY_NS), label=label, state=AlarmState.NORMAL)
        plant.journal.record(replace(over, returned_time_ns=over.raised_time_ns + SECOND_NS))
    log, now_ns = EventLog("pump"), plant.clock.time_ns()
    out = {"since_ns": begin_ns + 6 * DAY_NS, "until_ns": begin_ns + 7 * DAY_NS}
    plant.journal.record(log.event(EventKind.OUT_OF_SERVICE, begin_ns, **out))
    failed_ns, cost_s = begin_ns + 2 * DAY_NS, 7200.0
    failure = RecordOutcome("pump", OutcomeKind.FAILURE, "Ana", now_ns, failed_ns, "pump-1", cost_s, "burst")
    plant.journal.record(log.outcome(failure, now_ns))
    (found,) = LedgerModel.model_validate(ask(plant, "GET", "/ledger").json()).items
    assert (found.asset, found.budget) == ("pump", "1/week")
    week, ever = found.span, found.ever
    assert (week.alerts, week.answers.normal, week.answers.unlabelled, week.failures) == (2, 1, 1, 0)
    assert (ever.alerts, ever.answers.real, ever.judged, ever.right, ever.precision) == (3, 1, 2, 1, None)
    assert (ever.failures, ever.missed, ever.median_lead_s, ever.downtime_s) == (1, 0, None, cost_s)
    assert [(one.alert_id, one.lead_s) for one in ever.outcomes] == [("pump-1", 86_400.0)]
    assert week.withheld_s["out_of_service"] == week.unwatched_s == 86_400.0
    assert week.achieved.alerts == ever.achieved.alerts == 2, "that of which somebody says that it was real is none"
    assert codec.parse_time(ever.since) == begin_ns
    narrow = {"since": codec.format_time(begin_ns), "until": codec.format_time(begin_ns + 3 * DAY_NS), "asset": "pump"}
    (found,) = LedgerModel.model_validate(ask(plant, "GET", "/ledger", params=narrow).json()).items
    assert (found.span.alerts, found.span.failures) == (1, 1)
    assert "there is no asset" in problem(ask(plant, "GET", "/ledger?asset=press"), 404).detail
    turned = {"since": narrow["until"], "until": narrow["since"]}
    assert "must be before until" in problem(ask(plant, "GET", "/ledger", params=turned), 422).detail
