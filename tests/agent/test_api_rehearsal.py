"""What the API tells of the alarm budget and of the last fire drill."""

from __future__ import annotations

import pytest

from agent.api.rehearsal_models import BudgetModel, DrillModel
from agent.line.alert import AlarmState
from agent.rehearsal import drills
from agent.rehearsal.finding import Drill, Finding, Tried
from agent.store.blocks import Step
from tests.agent.plant import Plant
from tests.agent.samples import SECOND_NS, alert, frame, revised
from tests.agent.test_api import ask, problem


def test_alerts_against_the_budget(plant: Plant) -> None:
    nothing = BudgetModel.model_validate(ask(plant, "GET", "/assets/pump/budget").json())
    assert (nothing.alerts, nothing.weeks, nothing.per_week, nothing.standing) == (0, 0.0, None, "too_early")
    begin_ns = plant.clock.time_ns()
    for number in range(1440):  # a day, a minute a step
        now_ns = begin_ns + number * 60 * SECOND_NS
        plant.telemetry.append(Step("pump", now_ns, frame(now_ns, 9.0, 40.0)), now_ns)
    plant.telemetry.sync()
    plant.journal.record(alert(1, raised_ns=begin_ns - SECOND_NS))  # its telemetry is gone
    for number in range(2, 7):
        plant.journal.record(alert(number, raised_ns=begin_ns + number * SECOND_NS))
    plant.journal.record(revised(alert(6, raised_ns=begin_ns + 6 * SECOND_NS), AlarmState.ACKNOWLEDGED))
    found = BudgetModel.model_validate(ask(plant, "GET", "/assets/pump/budget").json())
    assert (found.budget, found.alerts, found.standing) == ("1/week", 5, "above")
    assert found.weeks == pytest.approx(1 / 7, rel=0.03)
    assert found.per_week == pytest.approx(35, rel=0.03)
    assert (found.low or 0) < 35 < (found.high or 0)
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
