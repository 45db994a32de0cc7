"""Judging rows for looking back, over weeks."""

from __future__ import annotations

import numpy as np

from agent.line.advise import Delays
from agent.line.alert import AlarmEvent
from agent.line.vigil import Vigil
from models.learn import learn
from models.runtime import Detector
from tests.learning.watched import DAY_ROWS, PERIOD_S, TAGS, healthy
from tests.line.frames import grid


def test_adapting_to_wander_raises_no_alarms_on_a_machine_that_does_not_wander() -> None:
    """What was adapted to must not choose what is adapted to next, or the offset walks away by itself."""
    detector = Detector(learn([healthy(10, 1)], TAGS, PERIOD_S * 1000, name="pump"))
    alarms = []
    for seed in range(20, 24):
        vigil = Vigil(detector, 1 / 604_800, Delays.of(1200, 1200, PERIOD_S))
        raised = 0
        for values in np.split(healthy(20, seed), 20 * DAY_ROWS // 240):
            raised += sum(change.event is AlarmEvent.RAISE for change in vigil.take(grid(values))[1])
        alarms.append(raised)
    assert sum(alarms) <= 11, f"{alarms} in 20 days each, with a budget of one a week"
